"""Labelled texts and pairs of the fine-tuning benchmarks, in fixed splits."""

import csv
import random
from collections import defaultdict

from shared.data import DATA, SEED

A_CLASS = 10
TEST_QUESTIONS = 1_000


def banking(*, everything=False):
    """BANKING77, all 77 classes: ``(train texts, labels), (test texts, labels)``.

    Ten texts a class to train on and 1,000 to test on; or all of both files.
    """
    train, test = _read("banking77_train.csv"), _read("banking77_test.csv")
    draw = random.Random(SEED)
    if not everything:
        of_class = defaultdict(list)
        for row in train:
            of_class[row["category"]].append(row)
        train = [row for name in sorted(of_class) for row in draw.sample(of_class[name], A_CLASS)]
        test = draw.sample(test, TEST_QUESTIONS)
    draw.shuffle(train)
    return tuple(
        ([row["text"] for row in rows], [row["category"] for row in rows]) for rows in (train, test)
    )


def pairs():
    """Pair questions with sentences that answer them or not; 70 % of the questions to train on."""
    rows = _read("question_sentence_pairs.csv")
    questions = list(dict.fromkeys(row["question"] for row in rows))
    random.Random(SEED).shuffle(questions)
    chosen = set(questions[: round(0.7 * len(questions))])
    parts = (
        [row for row in rows if row["question"] in chosen],
        [row for row in rows if row["question"] not in chosen],
    )
    return tuple(
        (
            [(row["question"], row["sentence"]) for row in part],
            [row["label"] for row in part],
        )
        for part in parts
    )


def codes_of(labels):
    """Turn labels into their numbers in sorted order."""
    names = sorted(set(labels))
    return [names.index(label) for label in labels]


def _read(name):
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
