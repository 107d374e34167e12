"""Linear layers for training, where a model changes their result in place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skbert._kernels.dropout import dropout
from skbert._kernels.dropped_attention import dropped_attention
from skbert._kernels.linear import OneDnnLinear
from skbert._kernels.prepacked import can_prepack

needs_onednn = pytest.mark.skipif(not can_prepack(torch.float32), reason="torch has no such layers")


def gradients(layer: nn.Module, shape: tuple[int, ...]) -> list[torch.Tensor]:
    """Let a result and its view be changed in place, as DeBERTa and Longformer do."""
    x = torch.randn(*shape, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    result = layer(x)
    result /= 2.0
    view = result.view(-1, 3, 4)
    view += 1.0
    view.sin().sum().backward()
    linear = layer
    assert x.grad is not None
    return [result.detach(), x.grad, linear.weight.grad, linear.bias.grad]  # type: ignore[list-item]


@needs_onednn
@pytest.mark.parametrize("shape", [(), (5,), (2, 5), (2, 3, 5)], ids=str)
def test_result_can_be_changed_in_place(shape):
    plain = nn.Linear(8, 12)
    fast = OneDnnLinear(plain)
    computed = [tensor.clone() for tensor in gradients(fast, shape)]
    plain.zero_grad()
    for tensor, expected in zip(computed, gradients(plain, shape), strict=True):
        torch.testing.assert_close(tensor, expected, rtol=1e-5, atol=1e-5)


def test_result_of_dropout_can_be_changed_in_place():
    x = torch.ones(4, 6, requires_grad=True)
    dropped = dropout(x, 0.5)
    dropped.view(2, 12).add_(1.0)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach() - 1)


def test_result_of_attention_can_be_changed_in_place():
    query, key, value = torch.randn(3, 6, 2, 4).unbind()
    output = dropped_attention(
        query, key, value.requires_grad_(), [(2, 3, 3)], factor=0.5, dropout=0.1
    )
    output += 1.0
    output.sum().backward()
    assert value.grad is not None


@needs_onednn
@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
@pytest.mark.parametrize(("n_inputs", "n_outputs"), [(8, 24), (24, 8)], ids=["high", "wide"])
def test_gradient_of_weights_is_torchs_on_any_cpu(monkeypatch, capability, n_inputs, n_outputs):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    plain = nn.Linear(n_inputs, n_outputs)
    fast, x = OneDnnLinear(plain), torch.randn(5, n_inputs)
    fast(x).sin().sum().backward()
    computed = plain.weight.grad.clone()
    plain.zero_grad()
    plain(x).sin().sum().backward()
    torch.testing.assert_close(computed, plain.weight.grad)
