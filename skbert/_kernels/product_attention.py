"""Attention in bfloat16 by plain products, for inference on a CPU whose products are fast in it.

torch's own kernel computes short texts in bfloat16 no faster than in float32. Here scores, weights
and sums are two products and an exponential, for all texts of about one length at once:

    exp(Q K') [V 1] = [unscaled output, sum of the weights]

Softmax's usual subtraction of the largest score only keeps the exponential in range. So it is left
out, and where a sum comes near the ends of the range, torch's kernel computes those texts instead.

Letters: T tokens in the row, A attention heads, D features a head; n texts of L tokens in a run; N
texts in a group, filled up to S tokens each.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from skbert._kernels.packed_attention import Runs

# Sizes that texts are filled up to. oneDNN makes a kernel for each form of a product, which takes
# 1 ms and 0.5 MB: there must be few.
SIZES = (16, 32, 48, 64, 96, 128, 160, 192, 224, 256, 320, 384, 448, 512)
# For the same reason, so many texts are computed at once; long ones one by one.
TEXTS_AT_ONCE = (64, 16, 4)
LONGEST_TOGETHER = 64
# Sums of exponentials between these have lost nothing, and leave room for values they weigh.
SMALLEST_SUM, LARGEST_SUM = 1e-30, 1e30

_KEPT = threading.local()  # threads may share a model


def attend_by_products(merged: Tensor, runs: Runs, bias: Tensor | None = None) -> Tensor:
    """Compute attention inside each text of a packed row.

    Parameters
    ----------
    merged : Tensor, shape (T, 3, A, D)
        Queries, already scaled, keys and values.
    runs : list of (int, int)
        Number of texts and their length, for each run of equally long texts.
    bias : Tensor, shape (A, L, L), default=None
        Added to the products of queries and keys; L is the length of the longest text.

    Returns
    -------
    output : Tensor, shape (T, A, D)
    """
    output = merged.new_empty(merged.shape[0], *merged.shape[2:])
    for group in _groups_of(runs, merged):
        is_in_range = group.size is not None and _mix(merged, group, bias)
        for run in group.runs:
            own = output[run.tokens].view(*run.shape, *output.shape[1:])
            if is_in_range:
                torch.div(run.mixed, run.sums, out=own)
            else:
                own.copy_(attend(merged[run.tokens].view(*run.shape, *merged.shape[1:]), bias))
    return output


class _Run(NamedTuple):
    """Where a run lies in the row, and where its part of its group's tensors is."""

    tokens: slice
    shape: tuple[int, int]  # n, L
    q_and_k: Tensor  # (2, n, A, L, D)
    values: Tensor  # (n, A, L, D)
    mixed: Tensor  # (n, L, A, D)
    sums: Tensor  # (n, L, A, 1)


class _Part(NamedTuple):
    """Texts of a group that are computed at once, with their heads: (N * A, S, ...)."""

    queries: Tensor
    keys: Tensor  # (N * A, D, S)
    values: Tensor  # and a column of ones
    mixed: Tensor


class _Group(NamedTuple):
    """Runs of about one length. What is filled up has keys and values of zero: it adds nothing."""

    size: int | None  # None if longer than all sizes
    runs: list[_Run]
    parts: list[_Part]
    sums: Tensor


def forget_groups() -> None:
    """Free the tensors that are kept from layer to layer of a model."""
    _KEPT.groups = None


def _groups_of(runs: Runs, merged: Tensor) -> list[_Group]:
    """Return groups. They are kept: each layer that reads the row has the same."""
    kept = getattr(_KEPT, "groups", None)
    form = merged.shape, merged.dtype
    if kept is None or kept[0] is not runs or kept[1] != form:
        by_size: dict[int | None, list[tuple[int, int, int]]] = {}
        start = 0
        for n_texts, length in runs:
            size = next((size for size in SIZES if size >= length), None)
            by_size.setdefault(size, []).append((start, n_texts, length))
            start += n_texts * length
        groups = [_group(size, members, merged) for size, members in by_size.items()]
        kept = _KEPT.groups = runs, form, groups
    return kept[2]


def _group(size: int | None, members: Sequence[tuple[int, int, int]], merged: Tensor) -> _Group:
    """Lay out tensors for runs, each given by its first token, its number of texts and length."""
    _, _, n_heads, n_features = merged.shape
    n_texts = sum(n for _, n, _ in members)
    n_filled, width = _filled_up(n_texts, size or 0), size or 0
    q_and_k = merged.new_zeros(2, n_filled, n_heads, width, n_features)
    values = merged.new_zeros(n_filled, n_heads, width, n_features + 1)
    mixed = torch.empty_like(values)
    runs, place = [], 0
    for start, n, length in members:
        texts = slice(place, place + n)
        values[texts, :, :length, -1] = 1
        of_run = mixed[texts, :, :length].transpose(1, 2)
        runs.append(
            _Run(
                slice(start, start + n * length),
                (n, length),
                q_and_k[:, texts, :, :length],
                values[texts, :, :length, :-1],
                of_run[..., :-1],
                of_run[..., -1:],
            )
        )
        place += n
    parts = [
        _Part(
            q_and_k[0, part].flatten(0, 1),
            q_and_k[1, part].flatten(0, 1).transpose(1, 2),
            values[part].flatten(0, 1),
            mixed[part].flatten(0, 1),
        )
        for part in _parts(n_filled, width)
    ]
    return _Group(size, runs, parts, mixed[:n_texts, ..., -1])


def _filled_up(n_texts: int, size: int) -> int:
    """Return the number of texts, with empty ones, that `_parts` divides without a rest."""
    few = 1 if size > LONGEST_TOGETHER else TEXTS_AT_ONCE[-1]
    return -(-n_texts // few) * few


def _parts(n_texts: int, size: int) -> Iterator[slice]:
    """Cut texts into parts of few different numbers: 24 into 16, 4 and 4."""
    start = 0
    for n_at_once in (1,) if size > LONGEST_TOGETHER else TEXTS_AT_ONCE:
        while n_texts - start >= n_at_once:
            yield slice(start, start + n_at_once)
            start += n_at_once


def _mix(merged: Tensor, group: _Group, bias: Tensor | None) -> bool:
    """Compute a group's unscaled outputs and sums; return whether all sums are in range."""
    for run in group.runs:
        texts = merged[run.tokens].view(*run.shape, *merged.shape[1:])  # (n, L, 3, A, D)
        run.q_and_k.copy_(texts[:, :, :2].permute(2, 0, 3, 1, 4))
        run.values.copy_(texts[:, :, 2].transpose(1, 2))
    for part in group.parts:
        weights = torch.bmm(part.queries, part.keys)
        if bias is not None:
            longest = min(weights.shape[-1], bias.shape[-1])
            of_heads = weights.view(-1, *bias.shape[:1], *weights.shape[1:])
            of_heads[..., :longest, :longest] += bias[:, :longest, :longest]
        torch.bmm(weights.exp_(), part.values, out=part.mixed)
    smallest, largest = torch.aminmax(group.sums)
    return float(smallest) > SMALLEST_SUM and float(largest) < LARGEST_SUM


def attend(texts: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute attention by torch's kernel: equally long texts (n, L, 3, A, D) to (n, L, A, D)."""
    q, k, v = texts.permute(2, 0, 3, 1, 4)  # (n, A, L, D) each
    mask = None if bias is None else bias[:, : q.shape[2], : q.shape[2]]
    return scaled_dot_product_attention(q, k, v, mask, scale=1.0).transpose(1, 2)
