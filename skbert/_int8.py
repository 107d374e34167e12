"""Linear layers that multiply 8-bit integers, for inference on a CPU with VNNI instructions.

Weights are rounded once, with one step for each output (a row of the weight matrix); a layer's
inputs at each call, with one step for each token, as ZeroQuant does (https://arxiv.org/abs/2206.01861).
A step for the whole batch would be faster still, but then a text's vector would depend on the texts
beside it, and one large value would cost all tokens their precision. Steps of the tokens themselves
need no sample texts either. Measured with MiniLM: mean cosine to float32 0.998; with one step a
batch 0.994, with one step for all weights, too, 0.93.

The products are exact: torch's int8 product gives int32. All else, from the bias on, is float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skbert._exceptions import DeviceError
from skbert._prepack import can_prepack

# -127 to 127: a step reaches equally far on both sides, and -128 stays unused.
LEVELS = 127
SMALLEST_STEP = torch.finfo(torch.float32).tiny


class Int8Linear(nn.Module):
    """A linear layer whose weights and inputs are rounded to 8 bits.

    Parameters
    ----------
    linear : nn.Linear
        The layer to replace; it is not changed.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        steps = step_of_rows(weight)
        self.weight = to_levels(weight, steps).t().contiguous()  # (in, out)
        self.weight_steps = steps.squeeze(1)  # (out,)
        bias = torch.zeros(self.out_features) if linear.bias is None else linear.bias.detach()
        self.bias = bias.float()

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        rows = x.reshape(-1, self.in_features)
        steps = step_of_rows(rows)
        products = torch._int_mm(to_levels(rows, steps), self.weight)
        result = products.float().mul_(self.weight_steps).mul_(steps).add_(self.bias)
        return result.view(*x.shape[:-1], self.out_features)


def step_of_rows(rows: Tensor) -> Tensor:
    """Step with which a row's largest value, positive or negative, becomes 127: (n, 1)."""
    # Not abs(): it would write all values once more.
    largest = torch.maximum(rows.amax(1, keepdim=True), rows.amin(1, keepdim=True).neg_())
    return largest.div_(LEVELS).clamp_min_(SMALLEST_STEP)  # a row of zeros has a step, too


def to_levels(rows: Tensor, steps: Tensor) -> Tensor:
    """Round rows (n, K) to int8 multiples of their steps (n, 1)."""
    return (rows * steps.reciprocal()).round_().to(torch.int8)  # to divide takes half as long again


def check_int8() -> None:
    """Check that this machine computes int8 products, fast and exactly.

    Raises
    ------
    DeviceError
        If it does not.
    """
    instead = 'Use precision="float32" or, where the CPU computes in it, "bfloat16".'
    has_vnni = getattr(torch.cpu, "_is_vnni_supported", lambda: False)
    if not (can_prepack(torch.float32) and has_vnni() and hasattr(torch, "_int_mm")):
        raise DeviceError(
            'precision="int8" needs an x86 CPU with AVX512-VNNI instructions, and torch with '
            f"oneDNN switched on; this machine or its torch lacks them. {instead}"
        )
    if not _products_are_exact():
        raise DeviceError(
            f'precision="int8": torch {torch.__version__} computes wrong int8 products on this '
            f"CPU. {instead}"
        )


def _products_are_exact() -> bool:
    """Try the largest values, at which kernels for CPUs without VNNI run over."""
    weight = torch.full((256, 16), -LEVELS, dtype=torch.int8)
    weight[:, ::2] = LEVELS
    for n_rows in (1, 64):
        rows = torch.full((n_rows, 256), LEVELS, dtype=torch.int8)
        if not torch.equal(torch._int_mm(rows, weight).long(), rows.long() @ weight.long()):
            return False
    return True


def use_int8_layers(model: nn.Module) -> None:
    """Replace the linear layers of a model's stack of layers, in place.

    Those outside it (the pooler, a task's head) stay as they are: they work on one token a text, so
    there is no time to win, and their rounding would go straight into the result.
    """
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    for module in {part for stack in stacks for part in stack.modules()}:
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear:
                setattr(module, name, Int8Linear(child))
