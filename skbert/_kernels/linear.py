"""Linear layers by oneDNN's float32 kernels, forward and backward, for training on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _OneDnnLinear(torch.autograd.Function):
    """Rows (T, in) to (T, out).

    Two-dimensional, because oneDNN returns a view of more dimensions, and torch refuses to change a
    custom function's view in place, as DeBERTa and Longformer do.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return _product(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        needs_rows, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            _product(gradient, weight.t(), None) if needs_rows else None,
            _weight_gradient(gradient, rows) if needs_weight else None,
            gradient.sum(0) if needs_bias else None,
        )


def _product(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Return ``x @ weight.T + bias`` by oneDNN."""
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")


def _weight_gradient(rows: Tensor, inputs: Tensor) -> Tensor:
    # Measured: with AVX-512 oneDNN takes half of MKL's time (torch.mm) on an AMD EPYC; with AVX2 it
    # wins where the result is wide, MKL where it is high.
    is_wide = rows.shape[1] < inputs.shape[1]
    if is_wide or torch.backends.cpu.get_cpu_capability() == "AVX512":
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
        rows = x.reshape(-1, self.in_features)
        result = _OneDnnLinear.apply(rows, self.weight, self.bias)  # type: ignore[no-untyped-call]
        return result.view(*x.shape[:-1], self.out_features)
