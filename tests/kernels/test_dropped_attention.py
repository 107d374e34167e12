"""Attention with dropped weights, beside the same written out for autograd."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from skbert._kernels.dropout import LEVELS, random_bits, scaled_mask
from skbert._kernels.dropped_attention import dropped_attention
from skbert._kernels.packed_attention import window_bias

HEADS, FEATURES = 3, 4
FACTOR = 0.7
# (texts, queries, keys): runs of several texts and of one; then only first tokens asked.
ALL_TOKENS = [(2, 5, 5), (1, 3, 3), (3, 1, 1)]
FIRST_TOKENS = [(2, 1, 5), (1, 1, 3), (3, 1, 1)]


def rows(
    shapes: Sequence[tuple[int, int, int]], dtype: torch.dtype = torch.float64
) -> list[Tensor]:
    """Query, key and value, as a model projects them: (rows, heads, features)."""
    generator = torch.Generator().manual_seed(0)
    n_queries = sum(n * queries for n, queries, _ in shapes)
    n_keys = sum(n * keys for n, _, keys in shapes)
    return [
        torch.randn(n, HEADS, FEATURES, generator=generator, dtype=dtype).requires_grad_()
        for n in (n_queries, n_keys, n_keys)
    ]


def written_out(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    shapes: Sequence[tuple[int, int, int]],
    p: float,
    bias: Tensor | None = None,
):
    """Text by text, with the bits in the order that they are drawn: run, head, text, weight."""
    n_weights = sum(n * HEADS * queries * keys for n, queries, keys in shapes)
    mask = scaled_mask(random_bits(n_weights), round(p * LEVELS), q.dtype)
    outputs = []
    first_query = first_key = first_bit = 0
    for n, queries, keys in shapes:
        of_run = mask[first_bit : first_bit + n * HEADS * queries * keys]
        of_run = of_run.view(HEADS, n, queries, keys)
        for text in range(n):
            a, b = first_query + text * queries, first_key + text * keys
            scores = torch.einsum("qad,kad->aqk", q[a : a + queries], k[b : b + keys]) * FACTOR
            if bias is not None:
                scores = scores + bias[:, :queries, :keys]
            weights = scores.softmax(-1) * of_run[:, text]
            outputs.append(torch.einsum("aqk,kad->qad", weights, v[b : b + keys]))
        first_query, first_key = first_query + n * queries, first_key + n * keys
        first_bit += of_run.numel()
    return torch.cat(outputs)


@pytest.mark.parametrize("shapes", [ALL_TOKENS, FIRST_TOKENS])
def test_output_and_gradients_are_those_written_out(shapes):
    found, expected = rows(shapes), rows(shapes)
    torch.manual_seed(1)
    output = dropped_attention(*found, shapes, factor=FACTOR, dropout=0.4)
    torch.manual_seed(1)
    reference = written_out(*expected, shapes, 0.4)
    torch.testing.assert_close(output, reference, rtol=0, atol=1e-12)
    direction = torch.randn_like(reference)
    output.backward(direction)
    reference.backward(direction)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shapes", [ALL_TOKENS, FIRST_TOKENS])
def test_bias_and_its_gradient_are_those_written_out(shapes):
    found, expected = rows(shapes), rows(shapes)
    generator = torch.Generator().manual_seed(1)
    bias = torch.randn(HEADS, 5, 5, generator=generator, dtype=torch.float64)
    ours, theirs = bias.clone().requires_grad_(), bias.clone().requires_grad_()
    torch.manual_seed(1)
    output = dropped_attention(*found, shapes, factor=FACTOR, dropout=0.4, bias=ours)
    torch.manual_seed(1)
    reference = written_out(*expected, shapes, 0.4, theirs)
    torch.testing.assert_close(output, reference, rtol=0, atol=1e-12)
    direction = torch.randn_like(reference)
    output.backward(direction)
    reference.backward(direction)
    for one, other in zip([*found, ours], [*expected, theirs], strict=True):
        assert other.grad is not None
        assert one.grad is not None
        assert other.grad.abs().max() > 1e-3
        torch.testing.assert_close(one.grad, other.grad, rtol=0, atol=1e-12)


def test_tokens_apart_see_nothing_of_each_other():
    """A bias of all heads in common that is infinite, as a window's."""
    bias = window_bias(torch.arange(5), torch.arange(5), 2).double().unsqueeze(0)
    found, expected = rows(ALL_TOKENS), rows(ALL_TOKENS)
    torch.manual_seed(1)
    output = dropped_attention(*found, ALL_TOKENS, factor=FACTOR, dropout=0.4, bias=bias)
    torch.manual_seed(1)
    reference = written_out(*expected, ALL_TOKENS, 0.4, bias)
    torch.testing.assert_close(output, reference, rtol=0, atol=1e-12)
    direction = torch.randn_like(reference)
    output.backward(direction)
    reference.backward(direction)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=0, atol=1e-12)


def test_rows_that_do_not_lie_behind_each_other():
    found = rows(ALL_TOKENS)
    views = [x.detach().transpose(0, 1).contiguous().transpose(0, 1) for x in found]
    torch.manual_seed(2)
    expected = dropped_attention(*found, ALL_TOKENS, factor=FACTOR, dropout=0.2)
    torch.manual_seed(2)
    output = dropped_attention(*views, ALL_TOKENS, factor=FACTOR, dropout=0.2)
    torch.testing.assert_close(output, expected, rtol=0, atol=0)


def test_rate_of_dropped_weights():
    q, k = torch.zeros(400, 1, 1), torch.zeros(400, 1, 1)  # all weights are equal
    output = dropped_attention(q, k, torch.ones_like(k), [(1, 400, 400)], factor=1.0, dropout=0.3)
    # The mean of 160,000 kept or dropped weights, scaled to mean 1.
    assert output.mean().item() == pytest.approx(1.0, abs=0.01)
    kept = output * 0.7
    assert kept.mean().item() == pytest.approx(0.7, abs=0.007)
    assert output.std().item() == pytest.approx((0.3 / 0.7 / 400) ** 0.5, rel=0.2)


def test_rate_that_rounds_to_one_drops_all_but_finite():
    q, k, v = rows(ALL_TOKENS)
    output = dropped_attention(q, k, v, ALL_TOKENS, factor=FACTOR, dropout=1 - 1e-9)
    assert torch.isfinite(output).all()


def test_autocast_computes_in_float32():
    found = rows(ALL_TOKENS, torch.bfloat16)
    exact = [x.detach().float() for x in found]
    torch.manual_seed(3)
    expected = dropped_attention(*exact, ALL_TOKENS, factor=FACTOR, dropout=0.2)
    torch.manual_seed(3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = dropped_attention(*found, ALL_TOKENS, factor=FACTOR, dropout=0.2)
    torch.testing.assert_close(output, expected, rtol=0, atol=0)
    output.sum().backward()
    assert all(x.grad is not None and x.grad.dtype == torch.bfloat16 for x in found)
