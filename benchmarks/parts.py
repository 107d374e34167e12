"""The parts of the benchmarks: the one list that run.py reads."""

from collections.abc import Callable
from dataclasses import dataclass

import answers.quality
import answers.speed
import embedding.growth
import embedding.imports
import embedding.int8
import embedding.memory
import embedding.numbers
import embedding.speed
import fine_tuning.prediction
import fine_tuning.quality
import fine_tuning.training
import grid_search.search
import words.quality
import words.speed
from shared.training import summarize_scores, summarize_side_by_side


@dataclass(frozen=True)
class Part:
    """Something to measure.

    Attributes
    ----------
    description : str
    measure : callable
        The options of run.py, with ``folder``, the model's → results that JSON can hold.
    summarize : callable, optional
        These results → lines of the summary.
    needs_trainer : bool
        Whether it trains with transformers' Trainer.
    needs_data : bool
        Whether it reads the texts and the weights.
    """

    description: str
    measure: Callable
    summarize: Callable | None = None
    needs_trainer: bool = False
    needs_data: bool = True


PARTS = {
    "import": Part(
        "time of import skbert, beyond torch and scikit-learn",
        embedding.imports.measure,
        needs_data=False,
    ),
    "memory": Part(
        "peak memory of embedding many texts",
        embedding.memory.measure,
        embedding.memory.summarize,
    ),
    "numbers": Part(
        "the same numbers as sentence-transformers and transformers",
        embedding.numbers.measure,
    ),
    "speed": Part(
        "embedding beside its peers",
        embedding.speed.measure,
        embedding.speed.summarize,
    ),
    "growth": Part(
        "embedding as the texts become more and longer",
        embedding.growth.measure,
    ),
    "grid-search": Part(
        "a search that embeds each text once",
        grid_search.search.measure,
        grid_search.search.summarize,
    ),
    "flat-memory": Part(
        "memory over many fits and transforms",
        embedding.memory.measure_flat,
        embedding.memory.summarize_flat,
    ),
    "int8": Part(
        "int8 beside the other precisions",
        embedding.int8.measure,
        embedding.int8.summarize,
    ),
    "fine-tuning-speed": Part(
        "training of a classifier beside the Trainer",
        fine_tuning.training.measure,
        fine_tuning.training.summarize,
        needs_trainer=True,
    ),
    "fine-tuning-quality": Part(
        "accuracy of a classifier beside the Trainer",
        fine_tuning.quality.measure,
        summarize_scores(fine_tuning.training.TASK, frozen="frozen + LR", tfidf="TF-IDF + LR"),
        needs_trainer=True,
    ),
    "fine-tuning-memory": Part(
        "peak memory of a fit beside the Trainer's",
        fine_tuning.training.measure_memory,
        fine_tuning.training.summarize_memory,
        needs_trainer=True,
    ),
    "fine-tuning-prediction": Part(
        "a classifier's prediction beside transformers' pipeline",
        fine_tuning.prediction.measure,
        fine_tuning.prediction.summarize,
    ),
    "words-quality": Part(
        "names and parts of speech beside the Trainer",
        words.quality.measure,
        summarize_scores(words.task.TASK),
        needs_trainer=True,
    ),
    "words-speed": Part(
        "labels of words beside the Trainer and a loop",
        words.speed.measure,
        summarize_side_by_side("words", "sentences"),
        needs_trainer=True,
    ),
    "answers-quality": Part(
        "answers beside the Trainer with the published post-processing",
        answers.quality.measure,
        answers.quality.summarize,
        needs_trainer=True,
    ),
    "answers-speed": Part(
        "answers beside the Trainer and a loop",
        answers.speed.measure,
        summarize_side_by_side("answers", "questions"),
        needs_trainer=True,
    ),
}
