"""Linear layers by oneDNN's float32 kernels, forward and backward, for training on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _OneDnnLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        rows = gradient.reshape(-1, weight.shape[0])  # (T, out)
        inputs = x.reshape(-1, weight.shape[1])  # (T, in)
        return (
            _product(rows, weight.t(), None).view(x.shape) if needs_x else None,
            _weight_gradient(rows, inputs) if needs_weight else None,
            rows.sum(0) if needs_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """``x @ weight.T + bias`` by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _weight_gradient(rows: Tensor, inputs: Tensor) -> Tensor:
    # Measured: oneDNN wins where the result is wide, MKL (torch.mm) where it is high.
    if rows.shape[1] < inputs.shape[1]:
        return _product(rows.t(), inputs.t(), None)
    return rows.t() @ inputs


class OneDnnLinear(nn.Module):
    """``nn.Linear`` in float32 by oneDNN, both ways."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight, self.bias = linear.weight, linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        return _OneDnnLinear.apply(x, self.weight, self.bias)  # type: ignore[no-untyped-call]
