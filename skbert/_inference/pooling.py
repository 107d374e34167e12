"""Token vectors → one vector a text.

Shapes: n windows in the batch, L tokens, H features, W windows of one text.

A text longer than the model's window is pooled window by window and the windows' vectors are
merged. The mask marks the tokens that a window *owns*: each token of a text is owned by exactly
one window, so the merged mean is the mean over every token, each counted once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Pooling(NamedTuple):
    """How to pool the tokens of a window, and how to merge the windows of a text."""

    pool: Callable[[Tensor, Tensor | None], Tensor]
    """(hidden (n, L, H), mask (n, L) or None for all tokens) → (n, H)"""
    merge: Callable[[NDArray[np.float32], NDArray[np.int64]], NDArray[np.float32]]
    """(window vectors (W, H), tokens owned (W,)) → (H,)"""


def mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Mean of the token vectors."""
    if mask is None:
        return hidden.mean(1)
    return _masked_sum(hidden, mask) / mask.sum(1, keepdim=True)


def mean_sqrt_len(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Sum of the token vectors over the square root of their number."""
    if mask is None:
        return hidden.sum(1) / hidden.shape[1] ** 0.5
    return _masked_sum(hidden, mask) / mask.sum(1, keepdim=True).sqrt()


def maximum(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Largest value of each feature over the tokens."""
    if mask is not None:
        hidden = hidden.masked_fill(~mask.unsqueeze(-1), -torch.inf)
    return hidden.amax(1)


def cls(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Vector of the first token, ``[CLS]``."""
    return hidden[:, 0].clone()  # a view would keep all tokens' vectors in memory


def _masked_sum(hidden: Tensor, mask: Tensor) -> Tensor:
    # A matrix product: (n, 1, L) @ (n, L, H). where(), not *, would be needed for NaN padding,
    # but attention never writes NaN into padded positions.
    return torch.bmm(mask.to(hidden.dtype).unsqueeze(1), hidden).squeeze(1)


def _merge_mean(vectors: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    return np.average(vectors, axis=0, weights=counts)


def _merge_mean_sqrt_len(
    vectors: NDArray[np.float32], counts: NDArray[np.int64]
) -> NDArray[np.float32]:
    # A window holds sum / sqrt(count): undo it, add up, divide by the root of the whole length.
    return (vectors * np.sqrt(counts)[:, None]).sum(0) / np.sqrt(counts.sum())


def _merge_max(vectors: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    return vectors.max(0)


def _merge_equal(vectors: NDArray[np.float32], counts: NDArray[np.int64]) -> NDArray[np.float32]:
    # [CLS] stands for its whole window, however few tokens the window owns.
    return vectors.mean(0)


POOLINGS = {
    "mean": Pooling(mean, _merge_mean),
    "mean_sqrt_len": Pooling(mean_sqrt_len, _merge_mean_sqrt_len),
    "max": Pooling(maximum, _merge_max),
    "cls": Pooling(cls, _merge_equal),
    # The caller passes the pooler's output as one "token" a window: (n, 1, H).
    "pooler": Pooling(cls, _merge_equal),
}


def merge_windows(
    pooling: Pooling,
    windows: NDArray[np.float32],
    text_bounds: NDArray[np.int64],
    n_owned: NDArray[np.int64],
) -> NDArray[np.float32]:
    """Turn the vectors of windows (n_windows, H) into those of their texts (n_texts, H).

    Parameters
    ----------
    pooling : Pooling
        What made the windows' vectors.
    windows : ndarray of float32, shape (n_windows, H)
        One vector a window.
    text_bounds : ndarray of int64, shape (n_texts + 1,)
        Windows of text t: ``text_bounds[t]`` to ``text_bounds[t + 1]``.
    n_owned : ndarray of int64, shape (n_windows,)
        Tokens that each window owns.
    """
    vectors = windows[text_bounds[:-1]]
    for text in np.flatnonzero(np.diff(text_bounds) > 1):
        part = slice(text_bounds[text], text_bounds[text + 1])
        vectors[text] = pooling.merge(windows[part], n_owned[part])
    return vectors


def every_token(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """No pooling: (n, L, H) and mask (n, L) → the vectors of the tokens that count, (m, H)."""
    return hidden.flatten(0, 1) if mask is None else hidden[mask]


def l2_normalize(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale rows to Euclidean length 1; rows of zeros stay as they are."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    length[length == 0] = 1
    return vectors / length
