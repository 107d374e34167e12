"""oneDNN's linear layers and their gradients are those of torch."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from skbert._kernels.linear import OneDnnLinear
from skbert._kernels.prepacked import can_prepack
from tests.kernels.conftest import randn

pytestmark = pytest.mark.usefixtures("one_thread", "fixed_seed")

needs_onednn = pytest.mark.skipif(not can_prepack(torch.float32), reason="no such kernels here")


@needs_onednn
@pytest.mark.parametrize(
    "n_in_out", [(24, 40), (40, 24), (16, 16), (1, 5), (5, 1), (384, 1536), (1536, 384)]
)
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (1, 19), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_and_its_gradients(n_in_out, shape, bias):
    linear = nn.Linear(*n_in_out, bias=bias)
    fast = OneDnnLinear(copy.deepcopy(linear))
    x, x_fast = (randn(*shape, n_in_out[0]).requires_grad_() for _ in range(2))
    upstream = randn(*shape, n_in_out[1], seed=1)
    y, y_fast = linear(x), fast(x_fast)
    assert_close(y_fast, y)
    y.backward(upstream)
    y_fast.backward(upstream)
    assert_close(x_fast.grad, x.grad)
    assert_close(fast.weight.grad, linear.weight.grad)
    if bias:
        assert_close(fast.bias.grad, linear.bias.grad)
    else:
        assert fast.bias is None


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert actual.shape == expected.shape
    actual, expected = actual.detach(), expected.detach()
    assert (actual - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


@needs_onednn
def test_linear_with_a_summed_loss():
    """The gradient of a sum is one number, shown at every place."""
    linear = nn.Linear(24, 40)
    fast = OneDnnLinear(copy.deepcopy(linear))
    x = randn(3, 5, 24)
    linear(x).sum().backward()
    fast(x).sum().backward()
    assert_close(fast.weight.grad, linear.weight.grad)
    assert_close(fast.bias.grad, linear.bias.grad)


@needs_onednn
def test_linear_of_rows_that_do_not_lie_behind_each_other():
    linear = nn.Linear(24, 40)
    fast = OneDnnLinear(copy.deepcopy(linear))
    for base, view in (
        (randn(24, 6), lambda t: t.T),
        (randn(6, 48), lambda t: t[:, ::2]),
        (randn(3, 5, 24), lambda t: t.transpose(0, 1)),
        (randn(9, 24), lambda t: t[::2]),
        (randn(1, 24), lambda t: t.expand(4, 24)),
    ):
        bases = [base.clone().requires_grad_() for _ in range(2)]
        linear.zero_grad()
        fast.zero_grad()
        for layer, leaf in zip((linear, fast), bases, strict=True):
            y = layer(view(leaf))
            # Upstream gradients, too, are views: of a transposed result.
            (y.transpose(0, 1) * randn(*y.transpose(0, 1).shape, seed=3)).sum().backward()
        assert_close(bases[1].grad, bases[0].grad)
        assert_close(fast.weight.grad, linear.weight.grad)


@needs_onednn
@pytest.mark.parametrize(
    "frozen", [("weight",), ("bias",), ("x",), ("weight", "bias"), ("x", "weight"), ("x", "bias")]
)
def test_frozen_parts_get_no_gradient(frozen):
    linear = nn.Linear(8, 6)
    fast = OneDnnLinear(copy.deepcopy(linear))
    gradients = []
    for layer in (linear, fast):
        x = randn(5, 8).requires_grad_("x" not in frozen)
        layer.weight.requires_grad_("weight" not in frozen)
        layer.bias.requires_grad_("bias" not in frozen)
        layer(x).square().sum().backward()
        gradients.append({"x": x.grad, "weight": layer.weight.grad, "bias": layer.bias.grad})
    for name, expected in gradients[0].items():
        assert (expected is None) == (name in frozen) == (gradients[1][name] is None)
        if expected is not None:
            assert_close(gradients[1][name], expected)


@needs_onednn
def test_weights_that_change_in_place_are_read_anew():
    """Nothing is laid out once and kept: the optimizer changes weights in place."""
    fast = OneDnnLinear(nn.Linear(4, 3))
    x = randn(2, 4)
    before = fast(x).detach()
    with torch.no_grad():
        fast.weight.mul_(2)
        fast.bias.mul_(2)
    torch.testing.assert_close(fast(x).detach(), 2 * before)
