"""Attention inside the texts of a packed row, with dropped weights: forward and backward by hand.

A training batch of random texts is many short runs. Through autograd, each of them is some twenty
small operations each way, most of them too small for a second thread. Here a run is a few matrix
products and a softmax, and all else is done for all runs at once.

Letters: T tokens in the row, Q queries (T, or one a text), A attention heads, D features a head;
in a run n texts with q queries and L keys each; W weights of all runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from skbert._kernels.dropout import LEVELS, random_bits, scaled_mask

# Texts, queries of each and keys of each, of one run.
Shape = tuple[int, int, int]


class _Run(NamedTuple):
    """Where a run lies among all queries, keys and weights, and the form of its weights."""

    queries: slice
    keys: slice
    weights: slice
    form: tuple[int, int, int]  # (A * n, q, L)


class _DroppedAttention(torch.autograd.Function):
    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.float32)
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        bias: Tensor | None,
        shapes: Sequence[Shape],
        factor: float,
        n_dropped_levels: int,
    ) -> Tensor:
        """Keep the weights before dropping and 16 random bits for each, for the way back."""
        query, key, value = (x.transpose(0, 1).contiguous() for x in (query * factor, key, value))
        runs = _runs(shapes, n_heads=len(query))
        weights = query.new_empty(runs[-1].weights.stop)
        for run in runs:
            of_run = weights[run.weights].view(run.form)
            q, k = _texts(query[:, run.queries], run.form[1]), _texts(key[:, run.keys], run.form[2])
            torch.bmm(q, k.transpose(1, 2), out=of_run)
            if bias is not None:
                _of_heads(of_run, len(query)).add_(_of_texts(bias, run))
            torch.softmax(of_run, dim=-1, out=of_run)
        bits = random_bits(len(weights))
        dropped = scaled_mask(bits, n_dropped_levels, weights.dtype).mul_(weights)
        output = torch.empty_like(query)
        for run in runs:
            v = _texts(value[:, run.keys], run.form[2])
            _put(output[:, run.queries], dropped[run.weights].view(run.form) @ v)
        ctx.runs, ctx.factor, ctx.n_dropped_levels = runs, factor, n_dropped_levels
        ctx.save_for_backward(query, key, value, bias, weights, bits)
        return output

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, bias, weights, bits = ctx.saved_tensors
        d_bias = torch.zeros_like(bias) if ctx.needs_input_grad[3] else None
        gradient = gradient.contiguous()  # (A, Q, D)
        d_query, d_key, d_value, d_weights = map(torch.empty_like, (query, key, value, weights))
        mask = scaled_mask(bits, ctx.n_dropped_levels, weights.dtype)
        dropped = mask * weights
        for run in ctx.runs:
            d_o = _texts(gradient[:, run.queries], run.form[1])
            v = _texts(value[:, run.keys], run.form[2])
            _put(d_value[:, run.keys], dropped[run.weights].view(run.form).transpose(1, 2) @ d_o)
            torch.bmm(d_o, v.transpose(1, 2), out=d_weights[run.weights].view(run.form))
        d_weights.mul_(mask)
        for run in ctx.runs:
            of_run = d_weights[run.weights].view(run.form), weights[run.weights].view(run.form)
            d_scores = torch._softmax_backward_data(*of_run, -1, weights.dtype)
            q, k = _texts(query[:, run.queries], run.form[1]), _texts(key[:, run.keys], run.form[2])
            _put(d_query[:, run.queries], d_scores @ k)
            _put(d_key[:, run.keys], d_scores.transpose(1, 2) @ q)
            if d_bias is not None:
                _of_texts(d_bias, run).add_(_of_heads(d_scores, len(query)).sum(1, keepdim=True))
        gradients = (d_query.mul_(ctx.factor), d_key, d_value)
        return *(x.transpose(0, 1) for x in gradients), d_bias, None, None, None


def dropped_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    shapes: Sequence[Shape],
    *,
    factor: float,
    dropout: float,
    bias: Tensor | None = None,
) -> Tensor:
    """Compute attention of each text's queries to its own keys, dropping some of its weights.

    Parameters
    ----------
    query : Tensor of float, shape (Q, A, D)
        On a CPU; under autocast it is computed in float32.
    key, value : Tensor of float, shape (T, A, D)
        Of the same texts in the same order.
    shapes : sequence of (int, int, int)
        Number of texts, queries of each and keys of each, for each run of equally long texts.
    factor : float
        Factor on the products of queries and keys.
    dropout : float
        Probability to drop a weight, below 1, rounded to a multiple of 1/65,536; the others are
        scaled up (see `skbert._kernels.dropout.dropout`).
    bias : Tensor of float, shape (A, L, L), default=None
        Added to the products of a text's queries and keys, as far as the longest text goes; without
        a gradient (1, L, L), too.

    Returns
    -------
    output : Tensor of float32, shape (Q, A, D)
    """
    n_dropped_levels = min(round(dropout * LEVELS), LEVELS - 1)
    # Turned here, not inside: a view that a custom function returns cannot be changed in place.
    output = _DroppedAttention.apply(query, key, value, bias, shapes, factor, n_dropped_levels)  # type: ignore[no-untyped-call]
    return output.transpose(0, 1)


def _runs(shapes: Sequence[Shape], n_heads: int) -> list[_Run]:
    """Lay the runs behind each other."""
    runs = []
    first_query = first_key = first_weight = 0
    for n_texts, n_queries, n_keys in shapes:
        last_query, last_key = first_query + n_texts * n_queries, first_key + n_texts * n_keys
        form = (n_heads * n_texts, n_queries, n_keys)
        last_weight = first_weight + form[0] * form[1] * form[2]
        runs.append(
            _Run(
                slice(first_query, last_query),
                slice(first_key, last_key),
                slice(first_weight, last_weight),
                form,
            )
        )
        first_query, first_key, first_weight = last_query, last_key, last_weight
    return runs


def _texts(block: Tensor, length: int) -> Tensor:
    """Cut a run's rows (A, n * length, D) into texts, (A * n, length, D)."""
    return block.reshape(-1, length, block.shape[-1])


def _put(block: Tensor, texts: Tensor) -> None:
    """Write texts (A * n, length, D) where the run's rows (A, n * length, D) are."""
    block.copy_(texts.view(block.shape))


def _of_heads(of_run: Tensor, n_heads: int) -> Tensor:
    """Tell heads and texts of a run's weights apart: (A * n, q, L) as (A, n, q, L)."""
    return of_run.view(n_heads, -1, *of_run.shape[1:])


def _of_texts(bias: Tensor, run: _Run) -> Tensor:
    """Return the bias of texts as long as a run's, (A, 1, q, L)."""
    _, n_queries, n_keys = run.form
    return bias[:, None, :n_queries, :n_keys]
