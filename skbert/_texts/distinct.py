"""Each distinct text once: which ones there are, and their vectors back in the caller's order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# (n_texts, F), or with one vector a token a list of n_texts arrays (n_tokens_i, F).
Vectors = NDArray[np.float32] | list[NDArray[np.float32]]


class Embedded(NamedTuple):
    """Some of the distinct texts, embedded."""

    rows: NDArray[np.int64]
    """Which of them, shape (n,)."""
    vectors: Vectors
    """One entry a row."""
    lost: NDArray[np.int64]
    """Tokens that truncation cut off of each, shape (n,)."""


class DistinctTexts:
    """The distinct ones of many texts, and where their vectors go.

    Parameters
    ----------
    texts : sequence of str
        The caller's texts.
    n_features : int
        Length of a vector.
    one_a_text : bool
        Whether a text has one vector, or one a token.

    Attributes
    ----------
    texts : list of str, length n_distinct
        The distinct texts, in the order in which they first appear.
    firsts : ndarray of int64, shape (n_distinct,)
        Where each first appears.
    is_done : ndarray of bool, shape (n_distinct,)
        Which of them have their vectors.
    """

    def __init__(self, texts: Sequence[str], n_features: int, one_a_text: bool) -> None:
        numbers: dict[str, int] = {}
        # Not np.unique: that would sort all texts.
        which = (numbers.setdefault(text, len(numbers)) for text in texts)
        self._which = np.fromiter(which, np.int64, len(texts))
        self.texts = list(numbers)
        is_first = np.zeros(len(texts), bool)
        # The numbers rise: a text is new where it has a higher one than all texts before it.
        is_first[0:1] = True
        is_first[1:] = self._which[1:] > np.maximum.accumulate(self._which)[:-1]
        self.firsts = np.flatnonzero(is_first)
        self.is_done = np.zeros(len(self.texts), bool)
        self._lost = np.zeros(len(self.texts), np.int64)
        nothing = np.empty((0, n_features), np.float32)
        self._vectors: Vectors = (
            np.empty((len(texts), n_features), np.float32) if one_a_text else [nothing] * len(texts)
        )

    def put(self, part: Embedded) -> None:
        """Take the vectors of some of the distinct texts."""
        self._place(self.firsts[part.rows], part.vectors)
        self._lost[part.rows] = part.lost
        self.is_done[part.rows] = True

    def results(self) -> tuple[Vectors, NDArray[np.int64]]:
        """Return the vectors, and the numbers of lost tokens, of all of the caller's texts."""
        assert self.is_done.all()
        firsts = self.firsts[self._which]
        again = np.flatnonzero(firsts != np.arange(len(firsts)))
        if isinstance(self._vectors, list):
            # Copies: who changes one text's array must not change another's.
            self._place(again, [self._vectors[first].copy() for first in firsts[again]])
        else:
            self._place(again, self._vectors[firsts[again]])
        return self._vectors, self._lost[self._which]

    def _place(self, positions: NDArray[np.int64], vectors: Vectors) -> None:
        if isinstance(self._vectors, list):
            for position, vector in zip(positions, vectors, strict=True):
                self._vectors[position] = vector
        else:
            self._vectors[positions] = vectors
