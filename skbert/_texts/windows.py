"""Windows of token ids, ragged, and which of their tokens each window owns.

A text that fits is one window, ``[CLS] body [SEP]``. A longer one is truncated, refused, or read
in overlapping windows. With room for 5 body tokens and ``stride=2`` tokens of overlap, the body
``a b c d e f g h`` becomes::

    window 0   [CLS] a b c d e [SEP]            owns [CLS] a b c d
    window 1         [CLS] d e f g h [SEP]      owns e f g h [SEP]

(The last window is moved back so that it is full.) In the overlap ``d e`` each token is owned by
the window in whose middle it lies more nearly: there it has most context on both sides. So every
token of the text is owned exactly once, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

# What counts for nothing in a loss, as transformers and torch have it.
IGNORED = -100


@dataclass(frozen=True)
class Encodings:
    """Windows of token ids, ragged: window w is ``ids[bounds[w]:bounds[w + 1]]``.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_tokens,)
        The ids of all windows, one after another, special tokens included.
    bounds : ndarray of int64, shape (n_windows + 1,)
        Where each window begins and ends.
    owned : ndarray of int64, shape (n_windows, 2)
        First token, and one after the last, that each window owns, counted in the window.
    text_bounds : ndarray of int64, shape (n_texts + 1,)
        Windows of text t: ``text_bounds[t]`` to ``text_bounds[t + 1]``.
    offsets : ndarray of int64, shape (n_tokens, 2), or None
        Characters of the text that each token was made from; (0, 0) for special tokens.
    lost_tokens : ndarray of int64, shape (n_texts,)
        Tokens of each text that no window holds: what truncation cut off.
    segments : ndarray of int8, shape (n_tokens,), or None
        Which text of a pair each token belongs to, as the model was trained on it; None where
        the model tells no segments apart, or all are 0.
    first_pieces : ndarray of int64, shape (n_words,), or None
        Where texts are given as words: which of all owned tokens is each word's first.
    shifts : ndarray of int64, shape (n_windows,), or None
        Where contexts are read beside questions: token i of a window is token ``i + shift`` of the
        context, if it belongs to that.
    numbers : ndarray of float32, shape (n_texts, n_numbers), or None
        What stands beside each text in a table.
    """

    ids: NDArray[np.int32]
    bounds: NDArray[np.int64]
    owned: NDArray[np.int64]
    text_bounds: NDArray[np.int64]
    offsets: NDArray[np.int64] | None
    lost_tokens: NDArray[np.int64]
    segments: NDArray[np.int8] | None = None
    first_pieces: NDArray[np.int64] | None = None
    shifts: NDArray[np.int64] | None = None
    numbers: NDArray[np.float32] | None = None

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens in each window, shape (n_windows,)."""
        return np.diff(self.bounds)

    @property
    def n_owned(self) -> NDArray[np.int64]:
        """Tokens that each window owns, shape (n_windows,)."""
        return self.owned[:, 1] - self.owned[:, 0]


def concatenate(parts: Sequence[Encodings]) -> Encodings:
    """Put the encodings of chunks together."""
    if len(parts) == 1:
        return parts[0]
    owned_before = cumulative([int(part.n_owned.sum()) for part in parts])
    first_pieces = [
        None if part.first_pieces is None else part.first_pieces + before
        for part, before in zip(parts, owned_before, strict=False)
    ]
    return Encodings(
        ids=np.concatenate([part.ids for part in parts]),
        bounds=cumulative(np.concatenate([part.lengths for part in parts])),
        owned=np.concatenate([part.owned for part in parts]),
        text_bounds=cumulative(np.concatenate([np.diff(part.text_bounds) for part in parts])),
        offsets=_concatenated([part.offsets for part in parts]),
        lost_tokens=np.concatenate([part.lost_tokens for part in parts]),
        segments=_concatenated([part.segments for part in parts]),
        first_pieces=_concatenated(first_pieces),
        shifts=_concatenated([part.shifts for part in parts]),
        numbers=_concatenated([part.numbers for part in parts]),
    )


def _concatenated(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """Put arrays together, of which all or none are given."""
    given = [array for array in arrays if array is not None]
    return np.concatenate(given) if given else None


def window_spans(
    n_tokens: int, room: int, overlap: int | None, keep_end: bool = False
) -> list[tuple[int, int]]:
    """Cut ``n_tokens`` body tokens into spans; one truncated span where overlap is None."""
    last = n_tokens - room
    if last <= 0:
        return [(0, n_tokens)]
    if overlap is None:
        return [(last, n_tokens)] if keep_end else [(0, room)]
    starts = [*range(0, last, room - overlap), last]
    return [(start, start + room) for start in starts]


def owned_tokens(
    spans: list[tuple[int, int]], n_prefix: int, n_suffix: int
) -> list[tuple[int, int]]:
    """Return tokens of each window that it owns: up to the middle of each overlap."""
    borders = [(start + stop) // 2 for (_, stop), (start, _) in pairwise(spans)]
    owned = [
        (n_prefix + left - start, n_prefix + right - start)
        for (start, _), left, right in zip(
            spans, [spans[0][0], *borders], [*borders, spans[-1][1]], strict=True
        )
    ]
    owned[0] = (0, owned[0][1])
    owned[-1] = (owned[-1][0], owned[-1][1] + n_suffix)
    return owned


def cumulative(counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Return bounds of runs of these lengths, from 0 on, shape (n_runs + 1,)."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
