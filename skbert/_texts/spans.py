"""Answers as characters ↔ token positions in windows; the best spans over all windows.

Letters: C context tokens of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skbert._exceptions import InputError
from skbert._texts.windows import IGNORED, Encodings


class Span(NamedTuple):
    """Characters ``context[start:end]`` and their score, the sum of two logits."""

    start: int
    end: int
    score: float


def answer_positions(
    encodings: Encodings,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    rows: Sequence[int] | NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Return first and last token of each answer in each window.

    An answer's tokens are all that share a character with it. A window that does not hold them all
    has (0, 0), the first token; where no window holds them all, the question's windows have
    (IGNORED, IGNORED), so that "no answer" is never learned where there is one.

    Parameters
    ----------
    encodings : Encodings
        Of `encode_questions`.
    starts, ends : ndarray of int64, shape (n_questions,)
        Characters of the answers; negative for questions without an answer.
    rows : sequence of int, default=None
        Numbers of the questions in the caller's X, for error messages; from 0 on by default.

    Returns
    -------
    positions : ndarray of int64, shape (n_windows, 2)

    Raises
    ------
    InputError
        If the tokenizer makes no token of an answer.
    """
    assert encodings.offsets is not None
    assert encodings.shifts is not None
    positions = np.zeros((len(encodings.owned), 2), np.int64)
    for row, (first, stop) in enumerate(pairwise(encodings.text_bounds.tolist())):
        if starts[row] < 0 or ends[row] == 0:
            continue
        found = {
            window: tokens
            for window in range(first, stop)
            if len(tokens := _tokens_of(encodings, window, starts[row], ends[row]))
        }
        if not found:
            raise InputError(_no_token(row if rows is None else int(rows[row])))
        shifts = encodings.shifts
        # Numbers in the whole context, so that a part of an answer is known as such.
        begin = min(tokens[0] + shifts[window] for window, tokens in found.items())
        end = max(tokens[-1] + shifts[window] for window, tokens in found.items())
        places = {
            window: (tokens[0], tokens[-1])
            for window, tokens in found.items()
            if (tokens[0] + shifts[window], tokens[-1] + shifts[window]) == (begin, end)
        }
        if not places:
            positions[first:stop] = IGNORED
        for window, place in places.items():
            positions[window] = place
    return positions


def _tokens_of(encodings: Encodings, window: int, start: int, end: int) -> NDArray[np.int64]:
    """Return the tokens of a window that share a character with a slice of the context."""
    assert encodings.offsets is not None
    offsets = encodings.offsets[slice(*encodings.bounds[window : window + 2])]
    has_text = offsets[:, 1] > offsets[:, 0]
    return np.flatnonzero(has_text & (offsets[:, 0] < end) & (offsets[:, 1] > start))


def _no_token(row: int) -> str:
    return (
        f"The tokenizer makes no token of the answer y[{row}], so it cannot be learned. Give an "
        "answer with visible characters, or None where the context holds none."
    )


def best_spans(
    logits: NDArray[np.float32],
    offsets: NDArray[np.int64],
    *,
    n_best: int,
    max_length: int,
) -> tuple[list[Span], float]:
    """Return the best spans of a window, of distinct characters, and the log of all spans' sum.

    Parameters
    ----------
    logits : ndarray of float32, shape (C, 2)
        How well an answer begins, and ends, at each context token.
    offsets : ndarray of int64, shape (C, 2)
        The tokens' characters.
    n_best : int
        Most spans.
    max_length : int
        Most tokens in a span.

    Returns
    -------
    spans : list of Span
        Best first.
    log_sum : float
        Log of the sum of the exponentials of all valid spans' scores.
    """
    n = len(logits)
    if not n:
        return [], -np.inf
    ends = np.arange(n)[:, None] + np.arange(max_length)  # (C, max_length)
    valid = ends < n
    reached = np.where(valid, ends, n - 1)
    # A token without characters (part of one that an earlier token holds) begins and ends nothing.
    has_text = offsets[:, 1] > offsets[:, 0]
    valid &= has_text[:, None] & has_text[reached]
    scores = np.where(valid, logits[:, :1] + logits[reached, 1], -np.inf).astype(np.float64)
    flat = scores.ravel()
    n_valid = int(valid.sum())
    if not n_valid:
        return [], -np.inf
    fetched = min(n_valid, 4 * n_best)
    while True:
        order = np.argpartition(-flat, fetched - 1)[:fetched]
        order = order[np.lexsort((order, -flat[order]))]
        spans: dict[tuple[int, int], Span] = {}
        for place in order.tolist():
            start, length = divmod(place, max_length)
            characters = int(offsets[start, 0]), int(offsets[start + length, 1])
            spans.setdefault(characters, Span(*characters, float(flat[place])))
        if len(spans) >= n_best or fetched == n_valid:
            break
        fetched = min(n_valid, 4 * fetched)
    highest = flat.max()
    log_sum = float(highest + np.log(np.exp(flat - highest).sum()))
    return list(spans.values())[:n_best], log_sum


def merged_spans(windows: Sequence[list[Span]], n_best: int) -> list[Span]:
    """Return the best spans over all windows of a context, each of distinct characters."""
    best: dict[tuple[int, int], Span] = {}
    for span in sorted(chain.from_iterable(windows), key=lambda span: -span.score):
        best.setdefault((span.start, span.end), span)
    return list(best.values())[:n_best]
