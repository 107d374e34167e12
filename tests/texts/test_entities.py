"""Entities of labels, and their F1, are those of CoNLL's evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from skbert._texts.entities import entity_f1, entity_spans, find_scheme, marks_entities


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
        (["B", "I", "O"], False),
        (["B-", "O"], False),
        (["NOUN", "VERB"], False),
        ([0, 1], False),
        (["b-X", "o"], True),
    ],
)
def test_known_labels(labels, expected):
    scheme = find_scheme(labels)
    assert marks_entities(labels, scheme) is expected
    assert (scheme.name == "BIO") or not expected


WORDS_OF = {  # "Ada Lovelace met Max in Rome", persons PER, places LOC
    "BIO": "B-PER I-PER O B-PER O B-LOC",
    "IOE": "I-PER E-PER O E-PER O E-LOC",
    "BIOES": "B-PER E-PER O S-PER O S-LOC",
    "BILOU": "B-PER L-PER O U-PER O U-LOC",
    "BMEWO": "B-PER E-PER O W-PER O W-LOC",
}
SPELLINGS = {
    "prefix": lambda label: label,
    "underscore": lambda label: label.replace("-", "_"),
    "suffix": lambda label: "-".join(reversed(label.split("-"))),
    "suffix, underscore": lambda label: "_".join(reversed(label.split("-"))),
    "small": str.lower,
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("name", WORDS_OF)
def test_every_scheme_in_every_spelling(name, spelling):
    labels = [SPELLINGS[spelling](label) for label in WORDS_OF[name].split()]
    known = [*labels, *(SPELLINGS[spelling](f"M-{kind}") for kind in ["PER"] if name == "BMEWO")]
    scheme = find_scheme(known)
    assert scheme.name == name
    assert marks_entities(known, scheme)
    spans = [(kind.upper(), first, stop) for kind, first, stop in entity_spans(labels, scheme)]
    assert spans == [("PER", 0, 2), ("PER", 3, 4), ("LOC", 5, 6)]
    assert entity_f1([labels], [labels], scheme) == 1
    assert entity_f1([labels], [["O"] * 6], scheme) == 0


@pytest.mark.parametrize(
    ("labels", "outside", "name"),
    [
        ([0, 1, 2], 0, None),
        (["OUT", "B-X", "I-X"], "OUT", "BIO"),
        (["OUT", "B-X", "I-X"], "O", "BIO"),  # but not all labels are known
        (["NOUN", "VERB"], "O", None),
        (["S-1", "S-2"], "O", None),  # no letter of a scheme where nothing is outside
        (["M-1", "F-1", "O"], "O", None),
    ],
)
def test_outside_label(labels, outside, name):
    scheme = find_scheme(labels, outside)
    assert scheme.name == name
    assert marks_entities(labels, scheme) is (name is not None and outside in labels)


def test_plain_labels_of_neighbours_are_one_entity():
    scheme = find_scheme([0, 1, 2], 0)
    assert entity_spans([1, 1, 0, 2, 1], scheme) == [("1", 0, 2), ("2", 3, 4), ("1", 4, 5)]


def test_no_word_is_lost_beside_a_scheme():
    scheme = find_scheme(["O", "B-X", "E-X", "S-X", "MISC"])
    labels = ["MISC", "MISC", "S-X", "O", "MISC"]
    assert entity_spans(labels, scheme) == [("MISC", 0, 2), ("X", 2, 3), ("MISC", 4, 5)]


@pytest.mark.parametrize("name", ["BIO", "IOE", "BIOES", "BILOU"])
def test_spans_are_those_of_seqeval(name):
    """Any order of labels: as seqeval reads them, strictly where it knows no other way."""
    metrics = pytest.importorskip("seqeval.metrics.sequence_labeling")
    schemes = pytest.importorskip("seqeval.scheme")
    letters = {"BIO": "BI", "IOE": "IE", "BIOES": "BIES", "BILOU": "BILU"}[name]
    labels = ["O", *(f"{letter}-{kind}" for letter in letters for kind in "XY")]
    scheme = find_scheme(labels)
    assert scheme.name == name
    rng = np.random.default_rng(0)
    for _ in range(300):
        row = rng.choice(labels, rng.integers(1, 9)).tolist()
        if name in ("BIO", "IOE"):
            expected = [(kind, a, b + 1) for kind, a, b in metrics.get_entities(row)]
        else:
            strict = {"BIOES": schemes.IOBES, "BILOU": schemes.BILOU}[name]
            found = schemes.Entities([row], scheme=strict).entities[0]
            expected = [(entity.tag, entity.start, entity.end) for entity in found]
        assert entity_spans(row, scheme) == expected, row


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
