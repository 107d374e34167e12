"""Distinct texts, and their vectors back in the caller's order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skbert._texts.distinct import DistinctTexts, Embedded


def test_order_and_first_positions():
    distinct = DistinctTexts(["b", "a", "b", "", "a", "c"], 2, True)
    assert distinct.texts == ["b", "a", "", "c"]
    assert distinct.firsts.tolist() == [0, 1, 3, 5]


@given(st.lists(st.text("ab", max_size=2), min_size=1), st.randoms())
def test_every_text_gets_its_own(texts, draw):
    """Parts come in any order; a text's vector is its length and its number of a's."""
    distinct = DistinctTexts(texts, 2, True)
    rows = list(range(len(distinct.texts)))
    draw.shuffle(rows)
    for part in np.array_split(np.array(rows), 3):
        some = [distinct.texts[row] for row in part]
        vectors = np.array([(len(t), t.count("a")) for t in some], np.float32).reshape(-1, 2)
        distinct.put(Embedded(part, vectors, np.array([len(t) for t in some], np.int64)))
    vectors, lost = distinct.results()
    assert vectors.tolist() == [[len(t), t.count("a")] for t in texts]
    assert lost.tolist() == [len(t) for t in texts]


def test_token_vectors_of_equal_texts_are_not_the_same_array():
    distinct = DistinctTexts(["a", "b", "a"], 2, False)
    arrays = [np.full((n, 2), n, np.float32) for n in (3, 4)]
    distinct.put(Embedded(np.array([0, 1]), arrays, np.array([5, 0])))
    vectors, lost = distinct.results()
    assert [len(part) for part in vectors] == [3, 4, 3]
    assert lost.tolist() == [5, 0, 5]
    vectors[2][:] = 0
    assert (vectors[0] == 3).all()


def test_what_is_missing_is_noticed():
    distinct = DistinctTexts(["a", "b"], 2, True)
    distinct.put(Embedded(np.array([1]), np.zeros((1, 2), np.float32), np.array([0])))
    assert distinct.is_done.tolist() == [False, True]
    with pytest.raises(AssertionError):
        distinct.results()
