"""Dropout on a CPU: the same distribution as torch's, in a fraction of its time.

torch's own spends more time than the matrix products beside it: its mask is drawn one number at a
time and then multiplied as bool by float, which torch does not vectorise.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

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
