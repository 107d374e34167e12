"""Answers as characters ↔ token positions in windows; the best spans over all windows.

Letters: C context tokens of a window.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skbert._exceptions import ParameterError
from skbert._texts.encoding import TextTokenizer
from skbert._texts.pairs import pair_template
from skbert._texts.windows import Encodings, cumulative, window_spans


class Span(NamedTuple):
    """Characters ``context[start:end]`` and their score, the sum of two logits."""

    start: int
    end: int
    score: float


def encode_questions(
    tokenizer: TextTokenizer,
    questions: Sequence[str],
    contexts: Sequence[str],
    *,
    max_length: int,
    stride: int,
) -> Encodings:
    """Tokenize questions with their contexts, long contexts in overlapping windows.

    Each window is ``[CLS] question [SEP] part of the context [SEP]``. What a window "owns" is all
    up to its last context token, so that the logits of [CLS] and of the context are given; offsets
    are those of the context's tokens, and (0, 0) for all others. A question takes half of a window
    at most; what is cut off is counted in ``lost_tokens``.

    Raises
    ------
    ParameterError
        If windows cannot move forward.
    """
    template = pair_template(tokenizer)
    room = max_length - template.n_special_tokens
    if room < 2:
        raise ParameterError(
            f"max_length={max_length} leaves no room for a question and its context. Use at least "
            f"{template.n_special_tokens + 2}."
        )
    asked = tokenizer.tokenize(questions, special_tokens=False)
    distinct = list(dict.fromkeys(contexts))  # many questions may share a context
    tokenized = tokenizer.tokenize(distinct, with_offsets=True, special_tokens=False)
    read = dict(zip(distinct, tokenized, strict=True))
    windows: list[list[int]] = []
    segments: list[list[int]] = []
    offsets: list[list[tuple[int, int]]] = []
    owned, n_windows, lost = [], [], []
    for question, context in zip(asked, map(read.__getitem__, contexts), strict=True):
        kept = question.ids[: room // 2]
        lost.append(len(question.ids) - len(kept))
        context_room = room - len(kept)
        if stride >= context_room:
            raise ParameterError(
                f"stride={stride} must be smaller than the {context_room} tokens of context beside "
                f"a question in a window of max_length={max_length}: windows must move forward."
            )
        before = [*template.before, *kept, *template.between]
        spans = window_spans(len(context.ids), context_room, stride)
        n_windows.append(len(spans))
        for start, stop in spans:
            windows.append([*before, *context.ids[start:stop], *template.after])
            segments.append(template.segments_of(len(kept), stop - start))
            none_before, none_after = [(0, 0)] * len(before), [(0, 0)] * len(template.after)
            offsets.append([*none_before, *context.offsets[start:stop], *none_after])
            owned.append((0, len(before) + stop - start))
    lengths = [len(window) for window in windows]
    n_tokens = sum(lengths)
    return Encodings(
        ids=np.fromiter(chain.from_iterable(windows), np.int32, n_tokens),
        bounds=cumulative(lengths),
        owned=np.array(owned, np.int64).reshape(-1, 2),
        text_bounds=cumulative(n_windows),
        offsets=np.array(list(chain.from_iterable(offsets)), np.int64).reshape(-1, 2),
        lost_tokens=np.array(lost, np.int64),
        segments=np.fromiter(chain.from_iterable(segments), np.int8, n_tokens)
        if tokenizer.has_segments
        else None,
    )


def answer_positions(
    encodings: Encodings, starts: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return first and last token of each answer in each window, (0, 0) where it is not whole.

    Parameters
    ----------
    encodings : Encodings
        Of `encode_questions`.
    starts, ends : ndarray of int64, shape (n_questions,)
        Characters of the answers; negative for questions without an answer.

    Returns
    -------
    positions : ndarray of int64, shape (n_windows, 2)
    """
    assert encodings.offsets is not None
    positions = np.zeros((len(encodings.owned), 2), np.int64)
    for row, (first, stop) in enumerate(pairwise(encodings.text_bounds.tolist())):
        if starts[row] < 0:
            continue
        for window in range(first, stop):
            begin, end = encodings.bounds[window : window + 2]
            offsets = encodings.offsets[begin:end]
            is_text = offsets[:, 1] > offsets[:, 0]
            inside = np.flatnonzero(
                is_text & (offsets[:, 0] < ends[row]) & (offsets[:, 1] > starts[row])
            )
            whole = len(inside) and (
                offsets[inside[0], 0] <= starts[row] and offsets[inside[-1], 1] >= ends[row]
            )
            if whole:
                positions[window] = inside[0], inside[-1]
    return positions


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
