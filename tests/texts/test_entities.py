"""Entities of labels, and their F1, are those of CoNLL's evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from skbert._texts.entities import entity_f1, entity_spans, is_bio


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["B-X", "I-X", "O"], True),
        (["B-X", "B-Y"], True),
        (["I-X", "O"], True),
        (["B-a-b", "O"], True),
        (["O"], False),
        ([], False),
        (["B-X", "O", "X"], False),
        (["B-X", "E-X", "O"], False),
        (["B", "I", "O"], False),
        (["B-", "O"], False),
        (["NOUN", "VERB"], False),
        ([0, 1], False),
        (["b-X", "o"], False),
    ],
)
def test_is_bio(labels, expected):
    assert is_bio(labels) is expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("", []),
        ("O O", []),
        ("B-X", [("X", 0, 1)]),
        ("O B-X I-X O", [("X", 1, 3)]),
        ("B-X B-X", [("X", 0, 1), ("X", 1, 2)]),
        ("B-X I-X B-X I-X", [("X", 0, 2), ("X", 2, 4)]),
        ("I-X I-X O I-X", [("X", 0, 2), ("X", 3, 4)]),
        ("B-X I-Y I-Y I-X", [("X", 0, 1), ("Y", 1, 3), ("X", 3, 4)]),
        ("B-a-b I-a-b I-a", [("a-b", 0, 2), ("a", 2, 3)]),
    ],
)
def test_entity_spans(labels, expected):
    assert entity_spans(labels.split()) == expected


@pytest.mark.parametrize(
    ("true", "predicted", "expected"),
    [
        (["B-X I-X O"], ["B-X I-X O"], 1),
        (["O O"], ["O O"], 1),  # nothing to find, and nothing found
        (["O O"], ["O B-X"], 0),
        (["B-X O"], ["O O"], 0),
        (["B-X I-X"], ["B-X O"], 0),  # half an entity is none
        (["B-X I-X"], ["B-X B-X"], 0),
        (["B-X I-X"], ["I-X I-X"], 1),  # the same words, however begun
        (["B-X"], ["B-Y"], 0),
        # 3 true, 2 found, 1 of them right: precision 1/2, recall 1/3.
        (["B-X O B-Y", "B-X"], ["B-X O O", "B-Y"], 2 / 5),
        # Micro: by entities, not by sentences; equal places in different sentences differ.
        (["B-X", "O", "B-X B-X B-X"], ["O", "B-X", "B-X B-X B-X"], 6 / 8),
    ],
)
def test_entity_f1_by_hand(true, predicted, expected):
    rows = [[labels.split() for labels in side] for side in (true, predicted)]
    assert entity_f1(*rows) == pytest.approx(expected)


def conlleval(true: list[list[str]], predicted: list[list[str]]) -> float:
    """F1 as CoNLL's script counts it, word by word: written from its rules, not from skbert."""

    def begins(before: str, label: str) -> bool:
        return label[0] == "B" or (label[0] == "I" and before[2:] != label[2:])

    def ends(label: str, after: str) -> bool:
        return label[0] != "O" and (after[0] in "BO" or after[2:] != label[2:])

    n_true = n_predicted = n_right = 0
    for labels, guesses in zip(true, predicted, strict=True):
        on_track = False
        befores, afters = ["O", "O"], ["O", "O"]
        for position, pair in enumerate(zip(labels, guesses, strict=True)):
            is_last = position == len(labels) - 1
            afters = ["O", "O"] if is_last else [labels[position + 1], guesses[position + 1]]
            begin = [begins(b, label) for b, label in zip(befores, pair, strict=True)]
            end = [ends(label, a) for label, a in zip(pair, afters, strict=True)]
            n_true, n_predicted = n_true + begin[0], n_predicted + begin[1]
            if begin[0] or begin[1]:
                on_track = begin[0] and begin[1] and pair[0][2:] == pair[1][2:]
            if end[0] or end[1]:
                n_right += on_track and end[0] and end[1]
                on_track = False
            befores = list(pair)
    return 2 * n_right / (n_true + n_predicted) if n_true + n_predicted else 1.0


LABEL_SETS = [["O", "B-X", "I-X"], ["O", "B-X", "I-X", "B-Y", "I-Y"], ["B-X", "I-X", "I-Y"]]


@pytest.mark.parametrize("labels", LABEL_SETS)
def test_entity_f1_as_conll_counts(labels):
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(200):
        lengths = rng.integers(0, 9, 3)
        true = [list(rng.choice(labels, n)) for n in lengths]
        changes = [rng.random(n) < 0.3 for n in lengths]
        predicted = [
            list(np.where(change, rng.choice(labels, len(row)), row).astype(str)) if row else []
            for row, change in zip(true, changes, strict=True)
        ]
        scores.append(entity_f1(true, predicted))
        assert scores[-1] == pytest.approx(conlleval(true, predicted)), (true, predicted)
    assert len(set(scores)) > 10
