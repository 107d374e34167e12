"""The parts of the benchmarks: the one list that run.py reads."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from answers import comparison as answers
from embedding import (
    components,
    cpu_peers,
    growth,
    imports,
    int8,
    kernels,
    memory,
    mteb,
    numbers,
    speed,
    start_up,
)  # fmt: skip
from fine_tuning import accuracy, half_precision, prediction, quality, tables, training
from grid_search import search
from shared.training import summarize_scores, summarize_side_by_side
from words import comparison as words


class Part(NamedTuple):
    """Something to measure.

    ``measure`` turns the options of run.py into results that JSON can hold, and ``summarize`` these
    into lines of the summary. ``needs`` says what must be there: "trainer", "data" or nothing.
    """

    description: str
    measure: Callable
    summarize: Callable | None = None
    needs: str = "data"


TRAINER = "trainer"  # and the data
PARTS = {
    "import": Part("time beyond torch and scikit-learn", imports.measure, needs=""),
    "memory": Part("peak of many texts", memory.measure, memory.summarize),
    "numbers": Part("beside sentence-transformers and transformers", numbers.measure),
    "components": Part("three ways to fewer features", components.measure),
    "mteb": Part("BANKING77 by MTEB's protocol", mteb.measure, mteb.summarize),
    "speed": Part("embedding beside its peers", speed.measure, speed.summarize),
    "growth": Part("as the texts become more and longer", growth.measure),
    "grid-search": Part("each text embedded once", search.measure, search.summarize),
    "flat-memory": Part("growth over many fits", memory.measure_flat, memory.summarize_flat),
    "int8": Part("beside the other precisions", int8.measure, int8.summarize),
    "cpu-peers": Part(
        "beside OpenVINO and ONNX Runtime, all precisions", cpu_peers.measure, cpu_peers.summarize
    ),
    "cpu-peers-base": Part(
        "the same with models of BERT's usual size",
        cpu_peers.measure_base,
        cpu_peers.summarize_base,
    ),
    "kernels": Part("what each file of skbert/_kernels gains", kernels.measure),
    "start-up": Part(
        "from the start of a process to the first vector", start_up.measure, start_up.summarize
    ),
    "fine-tuning-speed": Part(
        "training beside the Trainer", training.measure, training.summarize, TRAINER
    ),
    "fine-tuning-quality": Part(
        "accuracy beside the Trainer", quality.measure, quality.summarize, TRAINER
    ),
    "fine-tuning-bfloat16": Part(
        "training in bfloat16 beside float32",
        half_precision.measure,
        half_precision.summarize,
        TRAINER,
    ),
    "accuracy": Part(
        "nothing set, beside simple pipelines, SetFit and the Trainer",
        accuracy.measure,
        accuracy.summarize,
        TRAINER,
    ),
    "tables": Part("texts beside numbers: pipelines and one model", tables.measure),
    "fine-tuning-memory": Part(
        "a fit beside the Trainer", training.measure_memory, training.summarize_memory, TRAINER
    ),
    "fine-tuning-prediction": Part(
        "beside transformers' pipeline", prediction.measure, prediction.summarize
    ),
    "words-quality": Part(
        "F1, accuracy beside the Trainer",
        words.measure_quality,
        partial(summarize_scores, task=words.TASK),
        TRAINER,
    ),
    "words-speed": Part(
        "beside the Trainer and a loop",
        words.measure_speed,
        partial(summarize_side_by_side, what="words", unit="sentences"),
        TRAINER,
    ),
    "answers-quality": Part(
        "EM, F1 beside the Trainer", answers.measure_quality, answers.summarize_quality, TRAINER
    ),
    "answers-speed": Part(
        "beside the Trainer and a loop",
        answers.measure_speed,
        partial(summarize_side_by_side, what="answers", unit="questions"),
        TRAINER,
    ),
}
