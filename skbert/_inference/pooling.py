"""Token vectors → one vector a text.

Shapes: n windows in the batch, L tokens, H features, W windows of one text.

A text longer than the model's window is pooled window by window and the windows' vectors are
merged. The mask marks the tokens that a window *owns*: each token of a text is owned by exactly
one window, so the merged mean is the mean over every token, each counted once. It is 0 for tokens
that do not count, and for the others their place in the whole text, from 1 on. In two windows of
``[CLS] a b c d [SEP]``, of which the second repeats ``b``::

    [CLS] a b [SEP]        1 2 3 0
    [CLS] b c d [SEP]      0 0 4 5 6

(Where nobody asks for places, a mask of True and False does as well.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def _n_tokens(starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
    return stops - starts


def _sum_of_places(starts: NDArray[np.int64], stops: NDArray[np.int64]) -> NDArray[np.int64]:
    # Places count from 1 in the weights: starts + 1 to stops.
    return (stops * (stops + 1) - starts * (starts + 1)) // 2


class Pooling(NamedTuple):
    """How to pool the tokens of a window, and how to merge the windows of a text."""

    pool: Callable[[Tensor, Tensor | None], Tensor]
    """(hidden (n, L, H), mask (n, L) or None for all tokens) → (n, H)"""
    merge: Callable[[Tensor, Tensor], Tensor]
    """(window vectors (W, H), what each window counts (W,)) → (H,)"""
    weigh: Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.int64]] = _n_tokens
    """(places of each window's first token and after its last one, from 0 on) → what it counts"""


def mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean of the token vectors."""
    if mask is None:
        return hidden.mean(1)
    return _masked_sum(hidden, mask > 0) / _n_counted(mask)


def mean_sqrt_len(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Sum of the token vectors over the square root of their number."""
    if mask is None:
        return hidden.sum(1) / hidden.shape[1] ** 0.5
    return _masked_sum(hidden, mask > 0) / _n_counted(mask).sqrt()


def weighted_mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return the mean of the token vectors, each with its place in the text as its weight."""
    places = torch.arange(1, hidden.shape[1] + 1, device=hidden.device)
    if mask is None:
        weights = places.expand(hidden.shape[:2])
    else:
        weights = places * mask if mask.dtype == torch.bool else mask
    weights = weights.to(hidden.dtype)
    return _masked_sum(hidden, weights) / weights.sum(1, keepdim=True).clamp(min=1)


def maximum(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return the largest value of each feature over the tokens."""
    if mask is None:
        return hidden.amax(1)
    counts = (mask > 0).unsqueeze(-1)
    largest = hidden.masked_fill(~counts, -torch.inf).amax(1)
    return largest.where(counts.any(1), 0)


def cls(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return the vector of the first token that counts, ``[CLS]`` where there is no prompt.

    A later window's ``[CLS]`` stands for that window although it does not own it.
    """
    if mask is None or mask.dtype == torch.bool:
        return hidden[:, 0].clone()  # a view would keep all tokens' vectors in memory
    first = (mask > 0).int().argmax(1)
    begins_the_text = mask.gather(1, first.unsqueeze(1)).squeeze(1) == first + 1
    return _pick(hidden, first.where(begins_the_text, 0))


def last(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return the vector of the last token."""
    if mask is None:
        return hidden[:, -1].clone()
    counts = mask > 0
    places = torch.arange(hidden.shape[1], device=hidden.device)
    vectors = _pick(hidden, (places * counts).amax(1))
    return vectors.where(counts.any(1, keepdim=True), 0)


def _pick(hidden: Tensor, tokens: Tensor) -> Tensor:
    """Return one token of each window: (n, L, H) and (n,) → (n, H)."""
    return hidden[torch.arange(hidden.shape[0], device=hidden.device), tokens]


def _n_counted(mask: Tensor) -> Tensor:
    """Return the number of tokens that count, (n, 1); 1 where there is none: their sum is 0."""
    return (mask > 0).sum(1, keepdim=True).clamp(min=1)


def _masked_sum(hidden: Tensor, mask: Tensor) -> Tensor:
    # A matrix product: (n, 1, L) @ (n, L, H). where(), not *, would be needed for NaN padding,
    # but attention never writes NaN into padded positions.
    return torch.bmm(mask.to(hidden.dtype).unsqueeze(1), hidden).squeeze(1)


def _merge_mean(vectors: Tensor, counts: Tensor) -> Tensor:
    if not counts.any():
        return vectors[0]
    weights = counts.to(vectors.dtype) / counts.sum()
    return weights @ vectors


def _merge_mean_sqrt_len(vectors: Tensor, counts: Tensor) -> Tensor:
    # A window holds sum / sqrt(count): undo it, add up, divide by the root of the whole length.
    roots = counts.to(vectors.dtype).sqrt()
    return roots @ vectors / counts.sum().clamp(min=1).sqrt()


def _merge_max(vectors: Tensor, counts: Tensor) -> Tensor:
    return vectors[counts > 0].amax(0) if counts.any() else vectors[0]


def _merge_last(vectors: Tensor, counts: Tensor) -> Tensor:
    return vectors[-1]


def _merge_equal(vectors: Tensor, counts: Tensor) -> Tensor:
    # [CLS] stands for its whole window, however few tokens the window owns.
    return vectors.mean(0)


POOLINGS = {
    "mean": Pooling(mean, _merge_mean),
    "mean_sqrt_len": Pooling(mean_sqrt_len, _merge_mean_sqrt_len),
    "weighted_mean": Pooling(weighted_mean, _merge_mean, _sum_of_places),
    "max": Pooling(maximum, _merge_max),
    "cls": Pooling(cls, _merge_equal),
    "last": Pooling(last, _merge_last),
    # The caller passes the pooler's output as one "token" a window: (n, 1, H).
    "pooler": Pooling(cls, _merge_equal),
}


def pool_with(poolings: Sequence[Pooling]) -> Callable[[Tensor, Tensor | None], Tensor]:
    """Return what pools windows in one way, or in several, whose vectors are put together."""
    if len(poolings) == 1:
        return poolings[0].pool
    return lambda hidden, mask: torch.cat([p.pool(hidden, mask) for p in poolings], dim=-1)


def merge_windows(
    poolings: Sequence[Pooling],
    windows: Tensor,
    text_bounds: NDArray[np.int64],
    n_owned: NDArray[np.int64],
    n_skipped: int = 0,
) -> Tensor:
    """Turn the vectors of windows (n_windows, F) into those of their texts (n_texts, F).

    Parameters
    ----------
    poolings : sequence of Pooling
        What made the windows' vectors; each made an equal part of the features.
    windows : Tensor of float32, shape (n_windows, F)
        One vector a window.
    text_bounds : ndarray of int64, shape (n_texts + 1,)
        Windows of text t: ``text_bounds[t]`` to ``text_bounds[t + 1]``.
    n_owned : ndarray of int64, shape (n_windows,)
        Tokens that each window owns.
    n_skipped : int, default=0
        Tokens at the beginning of each text, those of a prompt, that did not count.

    Returns
    -------
    vectors : Tensor of float32, shape (n_texts, F)
        The gradient reaches the windows.
    """
    if len(windows) == len(text_bounds) - 1:
        return windows
    vectors = windows[torch.from_numpy(text_bounds[:-1]).to(windows.device)]
    size = vectors.shape[1] // len(poolings)
    for text in np.flatnonzero(np.diff(text_bounds) > 1):
        part = slice(text_bounds[text], text_bounds[text + 1])
        bounds = np.maximum(np.concatenate([[0], np.cumsum(n_owned[part])]), n_skipped)
        for number, pooling in enumerate(poolings):
            features = slice(number * size, (number + 1) * size)
            counts = torch.from_numpy(pooling.weigh(bounds[:-1], bounds[1:])).to(windows.device)
            vectors[text, features] = pooling.merge(windows[part, features], counts)
    return vectors


def every_token(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Return the vectors of the tokens that count, (m, H): no pooling."""
    return hidden.flatten(0, 1) if mask is None else hidden[mask > 0]


def l2_normalize(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to Euclidean length 1; rows of zeros stay as they are."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    length[length == 0] = 1
    return vectors / length
