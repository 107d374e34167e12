"""Linear layers that multiply 8-bit integers, for inference on a CPU with VNNI instructions.

Weights are rounded once, with one scale for each output (a row of the weight matrix); a layer's
inputs at each call, with one scale for each token, as ZeroQuant does
(https://arxiv.org/abs/2206.01861). A scale for the whole batch would be faster still, but then a
text's vector would depend on the texts beside it, and one large value would cost all tokens their
precision. Scales of the tokens themselves need no sample texts either.

A token's levels lie around the center of its own range. Most ranges are lopsided, by an outlier or
because GELU ends at -0.17: levels around 0 would leave many of them unused. With MiniLM, texts of
one or two words have a mean cosine to float32 of 0.996, with levels around 0 of 0.990.

The products are exact: torch's int8 product gives int32. All else, from the bias on, is float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from skbert._exceptions import DeviceError
from skbert._kernels.prepacked import can_prepack, reads_weight

# -127 to 127: a scale reaches equally far on both sides, and -128 stays unused.
LARGEST_LEVEL = 127
SMALLEST_SCALE = torch.finfo(torch.float32).tiny


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
        scales = scale_of(weight.abs().amax(1, keepdim=True))
        self.weight = quantize(weight, 0.0, scales).t().contiguous()  # (in, out)
        self.weight_scales = scales.squeeze(1)  # (out,)
        self.weight_sums = self.weight.sum(0) * self.weight_scales  # (out,), of rounded weights
        bias = torch.zeros(self.out_features) if linear.bias is None else linear.bias.detach()
        self.bias = bias.float()

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        rows = x.reshape(-1, self.in_features)
        centers, scales = centers_and_scales(rows)
        products = torch._int_mm(quantize(rows, centers, scales), self.weight)
        # W x = W (x - m) + m W 1, for an x around m.
        result = products.float().mul_(self.weight_scales).mul_(scales)
        result = result.addcmul_(centers, self.weight_sums).add_(self.bias)
        return result.view(*x.shape[:-1], self.out_features)


def centers_and_scales(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return each row's center, and the scale with which its ends become -127 and 127: (n, 1)."""
    low, high = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
    centers = (low + high).div_(2)
    return centers, scale_of(torch.maximum(high - centers, centers - low))


def scale_of(largest: Tensor) -> Tensor:
    """Scale with which a value becomes 127."""
    # A row of equal values has a scale, too.
    return (largest / LARGEST_LEVEL).clamp_min_(SMALLEST_SCALE)


def quantize(rows: Tensor, centers: Tensor | float, scales: Tensor) -> Tensor:
    """Round rows (n, K) to int8 multiples of their scales, counted from their centers, (n, 1)."""
    # To divide would take half as long again.
    return (rows - centers).mul_(scales.reciprocal()).round_().to(torch.int8)


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
    weight = torch.full((256, 16), -LARGEST_LEVEL, dtype=torch.int8)
    weight[:, ::2] = LARGEST_LEVEL
    for n_rows in (1, 64):
        rows = torch.full((n_rows, 256), LARGEST_LEVEL, dtype=torch.int8)
        if not torch.equal(torch._int_mm(rows, weight).long(), rows.long() @ weight.long()):
            return False
    return True


def use_int8_layers(model: nn.Module) -> None:
    """Replace the linear layers of a model's stack of layers, in place.

    Raises
    ------
    DeviceError
        If the model has no such layers.
    """
    layers = list(linear_layers_of_stack(model))
    for module, name in layers:
        setattr(module, name, Int8Linear(getattr(module, name)))
    if not layers:
        raise DeviceError(
            f'precision="int8": {type(model).__name__} has no linear layers that could be rounded, '
            'only convolutions or layers of its own. Use precision="float32" or "bfloat16".'
        )


def stacks_of(model: nn.Module) -> list[nn.ModuleList]:
    """Return a model's stacks of layers."""
    return [module for module in model.modules() if isinstance(module, nn.ModuleList)]


def linear_layers_of_stack(model: nn.Module) -> list[tuple[nn.Module, str]]:
    """Return the linear layers in a model's stack of layers, each as a module and its name there.

    Those outside it (the pooler, a task's head) are left out: they work on one token a text, so
    there is no time to win, and their rounding would go straight into the result. So are layers
    whose weights the model reads itself, as T5's.
    """
    return [
        (module, name)
        for module in {part for stack in stacks_of(model) for part in stack.modules()}
        for name, child in list(module.named_children())
        if type(child) is nn.Linear and not reads_weight(module, name)
    ]
