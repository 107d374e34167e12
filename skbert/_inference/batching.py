"""Ragged windows → batches of about equal cost. The only place that pads.

Windows are sorted by their true token length, longest first, so that a batch holds windows of
about the same length and memory runs out, if at all, at the first batch. Order is restored by the
caller, who gets the batches' rows in the sorted order.

Letters: n windows in a batch, L tokens in its longest window, T tokens in all of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skbert._kernels.packed_attention import Runs
from skbert._texts.windows import Encodings

# Lengths of filled rows: from 64 tokens on, powers of two and what lies half way between them.
ROW_LENGTHS = (0, 16, 32, 48, *(n * 2**power for power in range(5, 31) for n in (2, 3)))
# What may be filled up without a second row: so many tokens, or this part of the row.
FEW_FILLERS, FILLED_PART = 32, 8


@dataclass(frozen=True)
class PaddedBatch:
    """Windows below each other, shorter ones filled up.

    Attributes
    ----------
    ids : Tensor of int64, shape (n, L)
        Token ids.
    mask : Tensor of int64, shape (n, L), or None
        1 for tokens, 0 for padding; None where nothing is padded: attention is faster so.
    segments : Tensor of int64, shape (n, L), or None
        Which text of a pair each token belongs to; None where the model is not told.
    """

    ids: Tensor
    mask: Tensor | None
    segments: Tensor | None = None


@dataclass(frozen=True)
class PackedBatch:
    """Windows behind each other in one row.

    Attributes
    ----------
    ids : Tensor of int64, shape (1, T)
        Token ids.
    runs : list of (int, int)
        Number of windows and their length, for each run of equally long ones.
    segments : Tensor of int64, shape (1, T), or None
        Which text of a pair each token belongs to; None where the model is not told.
    n_filler : int
        How many of the last "windows" are no window of the caller's, but one token each that fills
        the row up.
    """

    ids: Tensor
    runs: Runs
    segments: Tensor | None = None
    n_filler: int = 0

    @property
    def own_runs(self) -> Runs:
        """The runs of the caller's windows."""
        return self.runs[:-1] if self.n_filler else self.runs


def length_order(encodings: Encodings) -> NDArray[np.int64]:
    """Return order of the windows, longest first.

    Equally long windows are ordered by their content, not by their place: then the batches, and
    the last bits of the results, are the same in whatever order the texts come. (Windows of equal
    ids but other segments may change places; both come from pairs cut at another place.)
    """
    ids, bounds = encodings.ids, encodings.bounds
    content = [crc32(ids[start:stop].data) for start, stop in pairwise(bounds.tolist())]
    return np.lexsort(np.stack([np.array(content, np.int64), -encodings.lengths]))


def batch_stop(
    lengths: NDArray[np.int64],
    start: int,
    *,
    max_tokens: int,
    max_windows: int | None = None,
    pad: bool = False,
    equal: bool = False,
    fill: bool = False,
) -> int:
    """Return where the batch that begins at ``start`` ends.

    Parameters
    ----------
    lengths : ndarray of int64, shape (n_windows,)
        Lengths in the order of `length_order`, so never increasing.
    start : int
        First window of the batch.
    max_tokens : int
        Most tokens in a batch (padding counted where ``pad``); one window may exceed it.
    max_windows : int, default=None
        If given, exactly this many windows instead, as far as there are any.
    pad : bool, default=False
        The batch will be padded. Then, once it is half full, it ends where the next window is
        shorter: a batch of equal lengths needs no mask.
    equal : bool, default=False
        The batch must not be padded: it ends where the next window is shorter.
    fill : bool, default=False
        The batch will be filled up to a `round_length`. Then the last windows may be two batches:
        one that hardly needs to be filled, and the rest.
    """
    longest = int(lengths[start])
    if equal:
        lengths = lengths[: np.searchsorted(-lengths, -longest, side="right")]
    if max_windows is not None:
        return min(start + max_windows, len(lengths))
    if not pad:
        filled = np.cumsum(lengths[start : start + max_tokens])
        if fill and filled[-1] <= max_tokens:
            max_tokens = _tokens_at_once(int(filled[-1]), max_tokens)
        return start + max(1, int(np.searchsorted(filled, max_tokens, side="right")))
    most = min(start + max(1, max_tokens // longest), len(lengths))
    shorter = np.flatnonzero(lengths[start:most] < longest)
    if len(shorter) and shorter[0] * longest >= max_tokens // 2:
        return start + int(shorter[0])
    return most


def pad_batch(encodings: Encodings, rows: NDArray[np.int64], pad_id: int) -> PaddedBatch:
    """Put windows below each other, filled up with ``pad_id`` on the right."""
    lengths = encodings.lengths[rows]
    longest = int(lengths.max())
    is_token = np.arange(longest) < lengths[:, None]
    ids = np.full((len(rows), longest), pad_id, np.int64)
    ids[is_token] = gather_tokens(encodings.ids, encodings.bounds, rows)
    mask = None if is_token.all() else torch.from_numpy(is_token.astype(np.int64))
    segments = None
    if encodings.segments is not None:
        filled = np.zeros_like(ids)
        filled[is_token] = gather_tokens(encodings.segments, encodings.bounds, rows)
        segments = torch.from_numpy(filled)
    return PaddedBatch(torch.from_numpy(ids), mask, segments)


def pack_batch(encodings: Encodings, rows: NDArray[np.int64], *, fill_to: int = 0) -> PackedBatch:
    """Put windows behind each other; filled up to a `round_length`, but not beyond ``fill_to``."""
    ids = gather_tokens(encodings.ids, encodings.bounds, rows)
    lengths = encodings.lengths[rows].tolist()
    runs = [(len(list(group)), length) for length, group in groupby(lengths)]
    n_filler = max(0, min(round_length(len(ids)), fill_to) - len(ids))
    if n_filler:
        runs.append((n_filler, 1))
        # Any token that all models know, but the padding: RoBERTa's positions skip that.
        ids = np.pad(ids, (0, n_filler), constant_values=ids[0])
    segments = None
    if encodings.segments is not None:
        joined = gather_tokens(encodings.segments, encodings.bounds, rows)
        segments = torch.from_numpy(np.pad(joined, (0, n_filler))).unsqueeze(0)
    return PackedBatch(torch.from_numpy(ids).unsqueeze(0), runs, segments, n_filler)


def parts_of_like_lengths(lengths: NDArray[np.int64]) -> list[slice]:
    """Cut windows, longest first, into parts that padding would not double.

    A part ends before the first window that is half as long as the part's first, or shorter.
    """
    parts, start = [], 0
    while start < len(lengths):
        shorter = np.flatnonzero(lengths[start:] <= lengths[start] // 2)
        stop = start + int(shorter[0]) if len(shorter) else len(lengths)
        parts.append(slice(start, stop))
        start = stop
    return parts


def padded_places(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Place in a packed row of each window's tokens, (n, L); beyond its end its last token's.

    With it the row of results becomes windows below each other.
    """
    starts = np.cumsum(lengths) - lengths
    within = np.minimum(np.arange(lengths.max()), lengths[:, None] - 1)
    return starts[:, None] + within


def round_length(n_tokens: int) -> int:
    """Return the next of the few lengths that filled rows have.

    oneDNN makes its kernels anew for each number of tokens, which takes 8 ms for MiniLM, and torch
    keeps them, 1 MB each: there should not be thousands of these numbers. Up to 4,096 there are 16
    rounded ones.
    """
    return ROW_LENGTHS[bisect_left(ROW_LENGTHS, n_tokens)]


def _tokens_at_once(n_tokens: int, max_tokens: int) -> int:
    """Return all tokens, or, where filling them up would cost too much, the next shorter row's."""
    n_fillers = min(round_length(n_tokens), max_tokens) - n_tokens
    if n_fillers <= max(FEW_FILLERS, n_tokens // FILLED_PART):
        return n_tokens
    return ROW_LENGTHS[bisect_right(ROW_LENGTHS, n_tokens) - 1]


def gather_tokens(
    values: NDArray[Any], bounds: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return values of the tokens of some windows, one window after another."""
    starts, lengths = bounds[rows], bounds[rows + 1] - bounds[rows]
    # The j-th token of a window lies j behind its start: no loop over thousands of short windows.
    before = np.cumsum(lengths) - lengths
    return values[np.arange(lengths.sum()) + np.repeat(starts - before, lengths)].astype(np.int64)
