"""Exact match and F1 of answers are those of SQuAD's script."""

from __future__ import annotations

import pytest

from skbert._texts.squad import exact_match, f1_score, normalize_answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat!", "cat"),
        ("an apple, a day", "apple day"),
        ("theatre", "theatre"),
        ("U.S.A.", "usa"),
        ("don't\n\tgo", "dont go"),
        ("the", ""),
        ("", ""),
    ],
)
def test_normalisation(text, expected):
    assert normalize_answer(text) == expected


@pytest.mark.parametrize(
    ("predicted", "acceptable", "f1_by_hand", "exact_by_hand"),
    [
        ("the cat", ["Cat."], 1.0, 1.0),
        ("red cat", ["cat"], 2 / 3, 0.0),
        ("red cat", ["dog", "big red cat"], 0.8, 0.0),
        ("cat cat", ["cat"], 2 / 3, 0.0),
        ("cat cat dog", ["cat cat cat"], 2 / 3, 0.0),
        ("dog", ["cat"], 0.0, 0.0),
        ("", ["cat"], 0.0, 0.0),
        ("", [""], 1.0, 1.0),
        ("cat", [""], 0.0, 0.0),
        ("dog", ["cat", "dog"], 1.0, 1.0),
    ],
)
def test_measures(predicted, acceptable, f1_by_hand, exact_by_hand):
    assert f1_score(predicted, acceptable) == pytest.approx(f1_by_hand)
    assert exact_match(predicted, acceptable) == exact_by_hand
