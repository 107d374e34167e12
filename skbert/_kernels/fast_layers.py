"""Layers that compute what torch's do, faster, while a model is trained.

- `FastDropout`: on a CPU, torch's own spends more time than the matrix products beside it: its
  mask is drawn one number at a time and then multiplied as bool by float, which torch does not
  vectorise.
- `OneDnnLinear`: oneDNN's float32 products beat those behind ``nn.Linear`` where x86 has AVX-512.
- `UsedRows`: a training set uses a few thousand of an embedding table's 30,000 rows. The others
  would get a gradient of zero, two moments and an update at every step all the same.

Each takes over the parameters of the layer that it replaces, under the same names.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skbert._kernels.prepacked import can_prepack

# Dropout's random numbers have 16 bits: its rate is a multiple of 1 / LEVELS.
LEVELS = 2**16


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, n_dropped_levels: int) -> Tensor:
        """Draw a mask from torch's generator; keep its 16 bits a value for the way back."""
        bits = random_bits(x.numel()).view(x.shape)
        ctx.n_dropped_levels = n_dropped_levels
        ctx.save_for_backward(bits)
        return scaled_mask(bits, n_dropped_levels, x.dtype).mul_(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (bits,) = ctx.saved_tensors
        return scaled_mask(bits, ctx.n_dropped_levels, gradient.dtype).mul_(gradient), None


def random_bits(n: int) -> Tensor:
    """Draw `n` times 16 bits from torch's default generator, as int16."""
    words = torch.empty((n + 3) // 4, dtype=torch.int64).random_(-(2**63), None)
    return words.view(torch.int16)[:n]


def scaled_mask(bits: Tensor, n_dropped_levels: int, dtype: torch.dtype) -> Tensor:
    """Return 0 where a value is dropped, else what keeps the mean as it was."""
    lowest_kept = n_dropped_levels - LEVELS // 2  # int16 begins at -32,768
    # Compared straight into the values' type: a bool mask would be slow to multiply with.
    mask = torch.ge(bits, lowest_kept, out=torch.empty(bits.shape, dtype=dtype))
    return mask.mul_(LEVELS / (LEVELS - n_dropped_levels))


def dropout(x: Tensor, p: float) -> Tensor:
    """Zero values with probability `p` and scale the others by ``1 / (1 - p)``.

    As `torch.nn.functional.dropout` in training, from torch's default generator; the rate is
    rounded to a multiple of 1/65,536, and the scale is that of the rounded rate.
    """
    n_dropped_levels = round(p * LEVELS)
    if x.device.type != "cpu" or n_dropped_levels == LEVELS:
        return nn.functional.dropout(x, p)
    return _Dropout.apply(x, n_dropped_levels) if n_dropped_levels else x  # type: ignore[no-untyped-call]


class FastDropout(nn.Module):
    """``nn.Dropout`` by `dropout`."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """Drop values in training; give x back otherwise."""
        return dropout(x, self.p) if self.training else x


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


class UsedRows(nn.Module):
    """The rows of an embedding table that some texts use; ids stay what they are.

    Parameters
    ----------
    table : nn.Embedding
        The whole table; it is not changed until `put_back`.
    used : Tensor of int64
        Sorted ids that will be looked up.
    """

    def __init__(self, table: nn.Embedding, used: Tensor) -> None:
        super().__init__()
        device = table.weight.device
        # Other ids would be looked up beyond the end, which is an error.
        row_of_id = torch.full((table.num_embeddings,), len(used), device=device)
        row_of_id[used] = torch.arange(len(used), device=device)
        self.register_buffer("row_of_id", row_of_id, persistent=False)
        self.register_buffer("used", used, persistent=False)
        self.weight = nn.Parameter(
            table.weight.detach()[used].clone(), requires_grad=table.weight.requires_grad
        )
        padding = table.padding_idx
        is_used = padding is not None and bool((used == padding).any())
        self.padding_row = int(row_of_id[padding]) if is_used else None
        self.table = [table]  # in a list: no submodule, so no parameter and not trained

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids."""
        return nn.functional.embedding(self.row_of_id[ids], self.weight, self.padding_row)  # type: ignore[index]

    @torch.no_grad()
    def whole(self, decay: float) -> Tensor:
        """Return a whole table's weights: trained rows, and others times what weight decay left."""
        weight = self.table[0].weight * decay
        weight[self.used] = self.weight  # type: ignore[index]
        return weight

    def put_back(self, decay: float) -> nn.Embedding:
        """Return the table itself, with the weights that `whole` gives."""
        (table,) = self.table
        table.weight.data = self.whole(decay)
        return table


def use_fast_layers(model: nn.Module, *, float32: bool) -> None:
    """Replace a model's dropout and linear layers, in place, for training on a CPU.

    Parameters
    ----------
    model : nn.Module
        On a CPU.
    float32 : bool
        Whether it computes in float32; under autocast, linear layers stay torch's.
    """
    fast_linear = float32 and can_prepack(torch.float32)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Dropout:
                setattr(module, name, FastDropout(child.p))
            elif type(child) is nn.Linear and fast_linear:
                setattr(module, name, OneDnnLinear(child))
