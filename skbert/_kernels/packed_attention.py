"""Attention that keeps the texts of a packed row apart, without a mask.

On a CPU it is computed for each run of equally long texts at once, on a GPU for all texts at once
by torch's kernel for texts of varying length
(https://docs.pytorch.org/docs/stable/nn.attention.varlen.html).

Letters: T tokens in the row, A attention heads, D features a head, L tokens of a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from skbert._kernels.dropped_attention import Shape, dropped_attention

# Runs of equal length: [(number of texts, their length), ...], in the order of the row.
Runs = list[tuple[int, int]]


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    runs: Runs,
    text_bounds: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Compute attention inside each text of a packed row.

    Parameters
    ----------
    module, attention_mask, kwargs
        Part of transformers' attention interface; not used.
    query : Tensor, shape (1, A, T, D), or (1, A, n_texts, D) for the texts' first tokens only
        As the model projects it.
    key, value : Tensor, shape (1, A, T, D)
        As the model projects them; of fewer heads where several heads share one.
    runs : list of (int, int)
        Number of texts and their length, for each run of equally long texts.
    text_bounds : Tensor of int32, shape (n_texts + 1,), default=None
        Where each text begins, and the end of the last; if given, the kernel for texts of varying
        length is used, which has no dropout and no bias.
    scaling : float, default=None
        Factor on the products of queries and keys; ``D ** -0.5`` by default.
    dropout : float, default=0.0
        Probability to drop an attention weight, in training.
    sliding_window : int, default=None
        Tokens see each other that are fewer than so many tokens apart; all by default.
    bias : Tensor, shape (A, L, L), default=None
        Added to the products of a text's queries and keys, as far as the longest text goes.

    Returns
    -------
    output : Tensor, shape (1, T, A, D), or (1, n_texts, A, D) as `query` has
    weights : None
    """
    n_shared = query.shape[1] // key.shape[1]
    key, value = (x.repeat_interleave(n_shared, 1) if n_shared > 1 else x for x in (key, value))
    queries, keys, values = (x[0].transpose(0, 1) for x in (query, key, value))  # (T, A, D)
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    longest = max(length for _, length in runs)
    if sliding_window is not None and longest <= sliding_window:
        sliding_window = None
    if text_bounds is not None:
        options: dict[str, Any] = {"scale": factor}
        if sliding_window is not None:
            options["window_size"] = (sliding_window - 1, sliding_window - 1)
        attended = _attend_varlen(queries, keys, values, text_bounds, longest, options)
        return attended.unsqueeze(0), None
    all_tokens = len(queries) == len(keys)
    shapes = [(n_texts, length if all_tokens else 1, length) for n_texts, length in runs]
    if not dropout:
        attended = attend_runs(
            queries, keys, values, shapes, factor, bias=bias, window=sliding_window
        )
        return attended.unsqueeze(0), None
    if sliding_window is not None:
        places = torch.arange(longest)
        bias = window_bias(places, places, sliding_window).unsqueeze(0)
    attended = dropped_attention(
        queries, keys, values, shapes, factor=factor, dropout=dropout, bias=bias
    )
    return attended.unsqueeze(0), None


def attend_runs(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    shapes: Sequence[Shape],
    factor: float,
    *,
    bias: Tensor | None,
    window: int | None,
) -> Tensor:
    """Compute attention of each text's queries to its own keys, (Q, A, D), without a mask."""
    outputs = []
    for (_, n_queries, n_keys), q, k, v in split_runs(queries, keys, values, shapes):
        if window is not None and n_keys > window:
            attended = _attend_nearby(q, k, v, window, factor)
        else:
            of_run = None if bias is None else bias[None, :, :n_queries, :n_keys].to(q.dtype)
            attended = scaled_dot_product_attention(q, k, v, attn_mask=of_run, scale=factor)
        outputs.append(attended.transpose(1, 2).flatten(0, 1))  # (n_queries, A, D)
    return torch.cat(outputs)


def _attend_nearby(q: Tensor, k: Tensor, v: Tensor, window: int, factor: float) -> Tensor:
    """Compute attention to tokens fewer than `window` apart, piece by piece, (n_texts, A, L, D).

    Far tokens are not looked at: 4,000 tokens of ModernBERT take a sixteenth of the time so.
    """
    outputs = []
    size = 2 * window
    for start in range(0, q.shape[2], size):
        stop = min(start + size, q.shape[2])
        seen = slice(max(0, start - window + 1), min(stop + window - 1, k.shape[2]))
        places = torch.arange(start, stop), torch.arange(seen.start, seen.stop)
        attended = scaled_dot_product_attention(
            q[:, :, start:stop],
            k[:, :, seen],
            v[:, :, seen],
            attn_mask=window_bias(*places, window).to(q.dtype),
            scale=factor,
        )
        outputs.append(attended)
    return torch.cat(outputs, dim=2)


def window_bias(queries: Tensor, keys: Tensor, window: int) -> Tensor:
    """Return what keeps tokens at these places of a text apart that are not near, (q, k)."""
    is_far = (keys - queries[:, None]).abs() >= window
    return torch.zeros(is_far.shape).masked_fill_(is_far, -torch.inf)


def split_runs(
    queries: Tensor, keys: Tensor, values: Tensor, shapes: Sequence[Shape]
) -> Iterator[tuple[Shape, Tensor, Tensor, Tensor]]:
    """Return each run's shape, queries, keys and values (n_texts, A, L, D), of rows (T, A, D)."""
    # Split, not sliced: the gradient of each slice would be as large as the whole row.
    n_queries = [n_texts * n_queries for n_texts, n_queries, _ in shapes]
    n_keys = [n_texts * n_keys for n_texts, _, n_keys in shapes]
    parts = zip(
        torch.split(queries, n_queries),
        torch.split(keys, n_keys),
        torch.split(values, n_keys),
        strict=True,
    )
    for shape, (q, k, v) in zip(shapes, parts, strict=True):
        n_texts, _, _ = shape
        q, k, v = (x.reshape(n_texts, -1, *x.shape[1:]).transpose(1, 2) for x in (q, k, v))
        yield shape, q, k, v


def _attend_varlen(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    text_bounds: Tensor,
    longest: int,
    options: dict[str, Any],
) -> Tensor:
    """Do what `attend_runs` does, in one kernel for all texts; on CUDA, in half precision."""
    from torch.nn.attention.varlen import varlen_attn

    query_bounds, most_queries = text_bounds, longest
    if len(queries) < len(keys):  # one a text
        query_bounds = torch.arange(len(queries) + 1, dtype=torch.int32, device=queries.device)
        most_queries = 1
    return varlen_attn(  # type: ignore[return-value]  # the weights are not asked for
        queries.contiguous(),
        keys.contiguous(),
        values.contiguous(),
        query_bounds,
        text_bounds,
        most_queries,
        longest,
        **options,
    )


def split_heads(x: Tensor, head_size: int) -> Tensor:
    """Turn (1, T, A * D) into (1, A, T, D)."""
    return x.view(*x.shape[:-1], -1, head_size).transpose(1, 2)


def lengths_of_texts(runs: Runs) -> NDArray[np.int64]:
    """Return the number of tokens of each text of a packed row, (n_texts,)."""
    n_texts, lengths = np.array(runs, np.int64).T
    return np.repeat(lengths, n_texts)


def bounds_of_texts(runs: Runs) -> Tensor:
    """Return where each text begins in a packed row, and the last's end: int32, (n_texts + 1,)."""
    ends = np.cumsum(lengths_of_texts(runs), dtype=np.int32)
    return torch.from_numpy(np.concatenate([np.zeros(1, np.int32), ends]))


def first_tokens(runs: Runs, text_bounds: Tensor | None = None) -> Tensor:
    """Place of each text's first token in a packed row, shape (n_texts,)."""
    return (bounds_of_texts(runs) if text_bounds is None else text_bounds)[:-1]
