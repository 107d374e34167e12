"""Faster layers for training, compared with torch's own: values, gradients and statistics."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from skbert._kernels.dropout import LEVELS, FastDropout, dropout
from skbert._kernels.prepacked import can_prepack
from tests.kernels.conftest import randn

pytestmark = pytest.mark.usefixtures("one_thread", "fixed_seed")

needs_onednn = pytest.mark.skipif(not can_prepack(torch.float32), reason="no such kernels here")
RATES = [0.0001, 0.001, 0.1, 0.25, 0.5, 0.9, 0.999]


# Dropout ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", RATES)
def test_rate_and_scale(p):
    """The share of zeros is p, within five standard errors, and the mean stays what it was."""
    n = 1_000_003
    dropped = dropout(torch.ones(n), p)
    rate = (dropped == 0).double().mean().item()
    error = math.sqrt(p * (1 - p) / n)
    assert abs(rate - p) < 5 * error + 0.5 / LEVELS
    kept = dropped[dropped != 0]
    assert (kept == kept[0]).all()
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=1 / LEVELS / (1 - p))
    assert abs(dropped.double().mean().item() - 1) < 5 * error / (1 - p)


@pytest.mark.parametrize("p", [1 / LEVELS, 100 / LEVELS, 0.5, 1 - 1 / LEVELS])
def test_scale_is_exactly_that_of_the_rate(p):
    """The mean is kept exactly: a rate that is a multiple of 1/65,536 is not rounded."""
    dropped = dropout(torch.ones(3_000_000), p)
    assert dropped.max().item() == pytest.approx(1 / (1 - p), rel=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_each_of_four_lanes_is_dropped_at_the_rate(p):
    """One 64-bit random number serves four values: all of its bits must be random."""
    lanes = (dropout(torch.ones(400_000, 4), p) == 0).double()
    error = math.sqrt(p * (1 - p) / len(lanes))
    assert (lanes.mean(0) - p).abs().max() < 5 * error
    correlation = torch.corrcoef(lanes.T) - torch.eye(4)
    assert correlation.abs().max() < 5 / math.sqrt(len(lanes))


def test_neighbours_in_a_lane_are_independent():
    zeros = (dropout(torch.ones(1_000_000), 0.3) == 0).double()
    for lag in (1, 2, 3, 4, 5, 8, 64, 384):
        pair = torch.stack([zeros[:-lag], zeros[lag:]])
        assert abs(torch.corrcoef(pair)[0, 1]) < 5 / math.sqrt(len(zeros)), lag


def test_statistics_are_those_of_torch():
    x = randn(1000, 500)
    ours, theirs = dropout(x, 0.1), nn.functional.dropout(x, 0.1)
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.01)
    assert ours.mean().item() == pytest.approx(theirs.mean().item(), abs=0.01)


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (5,), (1, 1), (7, 3), (2, 3, 5), (2, 4, 9, 9)])
def test_any_shape_and_the_gradient_uses_the_same_mask(shape):
    x = (randn(*shape).abs() + 1).requires_grad_()
    upstream = randn(*shape, seed=1)
    y = dropout(x, 0.5)
    assert y.shape == x.shape
    y.backward(upstream)
    scale = y.detach() / x.detach()
    assert set(scale.flatten().round(decimals=4).tolist()) <= {0.0, 2.0}
    torch.testing.assert_close(x.grad, upstream * scale)


def test_empty_values():
    assert dropout(torch.ones(0, 3), 0.5).shape == (0, 3)


def test_values_that_do_not_lie_behind_each_other():
    for x in (
        torch.ones(300, 500).T,
        torch.ones(300, 1000)[:, ::2],
        torch.ones(1, 500).expand(300, 500),
    ):
        assert not x.is_contiguous()
        y = dropout(x, 0.25)
        assert y.shape == x.shape
        assert (y == 0).double().mean().item() == pytest.approx(0.25, abs=0.01)
        assert (x == 1).all()  # not changed in place


def test_gradient_that_does_not_lie_behind_each_other():
    x = torch.ones(40, 60, requires_grad=True)
    y = dropout(x, 0.5)
    y.T.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_type_is_kept(dtype):
    x = torch.ones(100_000, dtype=dtype, requires_grad=True)
    y = dropout(x, 0.1)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == dtype
    assert torch.equal(x.grad, y.detach())
    assert y.detach().double().mean().item() == pytest.approx(1, abs=0.01)


def test_seed_gives_the_same_mask_and_each_call_another():
    x = torch.ones(1000)
    draws = []
    for _ in range(2):
        torch.manual_seed(5)
        draws.append((dropout(x, 0.5), dropout(x, 0.5)))
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])
    agree = (draws[0][0] == draws[0][1]).double().mean().item()
    assert agree == pytest.approx(0.5, abs=0.1)
    torch.manual_seed(6)
    assert not torch.equal(dropout(x, 0.5), draws[0][0])


def test_global_generator_advances_as_little_as_needed():
    """Nothing is drawn where nothing is dropped: then two runs stay in step."""
    before = torch.get_rng_state()
    x = torch.ones(10)
    assert dropout(x, 0.0) is x
    assert dropout(x, 0.1 / LEVELS) is x  # rounded to no drop at all
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("p", [1 - 0.1 / LEVELS, 1.0])
def test_rate_that_rounds_to_one_drops_as_torch_does(p):
    x = torch.ones(1000, requires_grad=True)
    y = dropout(x, p)
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert (y == 0).double().mean() > 0.99
    assert torch.equal(x.grad, y.detach())


def test_module_drops_in_training_only():
    layer = FastDropout(0.5)
    x = torch.ones(1000)
    assert (layer(x) == 0).any()
    assert layer.eval()(x) is x
    assert FastDropout(0.0)(x) is x


def test_one_mask_is_kept_for_each_call():
    """Two uses of a layer in one graph each keep their own mask."""
    layer = FastDropout(0.5)
    x = torch.ones(1000, requires_grad=True)
    y, z = layer(x), layer(x)
    (y + 10 * z).sum().backward()
    torch.testing.assert_close(x.grad, y.detach() + 10 * z.detach())


# Linear layers ----------------------------------------------------------------------------------


# Used rows --------------------------------------------------------------------------------------


# In a model -------------------------------------------------------------------------------------
