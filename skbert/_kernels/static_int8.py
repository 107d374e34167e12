"""Linear layers that multiply 8-bit integers, their inputs rounded by scales that are fixed before.

int8.py finds each token's scale when it is there, which takes more time than the products. Here the
scales come from what the layers see in a few texts (post-training static quantization). A text's
vector then depends on that text alone, as it should, and a layer is one call of oneDNN that rounds,
adds the bias and computes GELU on the way out.

Fixed scales lose more than a token's own, for two reasons, and each has its remedy:

- Some features are always larger than the others. An input's features are divided by numbers that
  its weights are multiplied with (SmoothQuant, https://arxiv.org/abs/2211.10438).
- Behind GELU, which nothing can be moved through, a few features are larger still. These go their
  own way, in float (LLM.int8(), https://arxiv.org/abs/2208.07339).

Letters: n rows, K input features, N output features.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from skbert._kernels.int8 import (
    LARGEST_LEVEL,
    SMALLEST_SCALE,
    linear_layers_of_stack,
    stacks_of,
)

LARGEST_INPUT_LEVEL = 255  # uint8
# How much of a feature's size goes over into the weights.
SMOOTHING = 0.6
# Ranges reach beyond what was seen by this factor; what lies outside becomes the last level.
MARGIN = 1.1
# One in so many features behind GELU stays in float.
FEATURES_TO_ONE_APART = 48
ROWS_HINT = 1024
# Added to a number from 0 to 255, it leaves that number, rounded, in the lowest byte of a float32.
ROUNDING = 2.0**23

_ops = torch.ops.onednn


def has_static_products() -> bool:
    """Return whether this torch has the products."""
    names = ("qlinear_prepack", "qlinear_pointwise")
    return all(hasattr(_ops, name) for name in names)


class Range(NamedTuple):
    """Smallest and largest value of each input feature of a layer, (K,)."""

    low: Tensor
    high: Tensor

    @property
    def largest(self) -> Tensor:
        """Largest magnitude of each feature."""
        return torch.maximum(-self.low, self.high).clamp_min(SMALLEST_SCALE**0.5)

    def joined(self, rows: Tensor) -> Range:
        """Return the range that holds the values of more rows (n, K), too."""
        low, high = torch.aminmax(rows.float(), dim=0)
        return Range(torch.minimum(self.low, low), torch.maximum(self.high, high))


def empty_range(n_features: int) -> Range:
    """Return the range of no values."""
    return Range(torch.full((n_features,), torch.inf), torch.full((n_features,), -torch.inf))


class _Levels(NamedTuple):
    """What 0 to 255 stand for: ``(level - zero) * step``."""

    step: float
    zero: int


def _levels(low: Tensor, high: Tensor) -> _Levels:
    """Return levels for values from ``low`` to ``high``, and 0, with a margin."""
    lowest, highest = min(MARGIN * float(low.min()), 0.0), max(MARGIN * float(high.max()), 0.0)
    step = max((highest - lowest) / LARGEST_INPUT_LEVEL, SMALLEST_SCALE)
    return _Levels(step, round(-lowest / step))


class _Weights(NamedTuple):
    """Rounded weights of a linear layer, as oneDNN takes them."""

    packed: Tensor
    steps: Tensor  # float32 (N,): of the weights times that of the inputs
    zeros: Tensor  # int32 (N,)
    bias: Tensor | None


def _round_weights(weight: Tensor, bias: Tensor | None, input_step: float) -> _Weights:
    """Round weights (N, K) with a step for each output."""
    steps = (weight.abs().amax(1) / LARGEST_LEVEL).clamp_min(SMALLEST_SCALE)
    rounded = (weight / steps.unsqueeze(1)).round_().to(torch.int8)
    packed = _ops.qlinear_prepack(rounded, [ROWS_HINT, weight.shape[1]])
    return _Weights(packed, steps * input_step, torch.zeros(len(steps), dtype=torch.int32), bias)


def _product(
    rows: Tensor, zero: int, weights: _Weights, dtype: torch.dtype, *, gelu: bool = False
) -> Tensor:
    """Multiply uint8 rows (n, K), and apply GELU to the result."""
    name, algorithm = ("gelu", "none") if gelu else ("none", "")
    return _ops.qlinear_pointwise(rows, 1.0, zero, *weights, 1.0, 0, dtype, name, [], algorithm)


class _RoundedInput(nn.Module):
    """Rounds a layer's input, its features smoothed."""

    def __init__(self, weight: Tensor, seen: Range) -> None:
        super().__init__()
        largest_weight = weight.abs().amax(0).clamp_min(SMALLEST_SCALE**0.5)
        self.factors = seen.largest**SMOOTHING / largest_weight ** (1 - SMOOTHING)
        self.levels = _levels(seen.low / self.factors, seen.high / self.factors)
        self.inverse = 1 / (self.factors * self.levels.step)
        self.zero = torch.full_like(self.factors, self.levels.zero + ROUNDING)

    def forward(self, rows: Tensor) -> Tensor:
        """Map (n, K) to uint8."""
        # To convert to an integer type straight away would take several times as long.
        scaled = torch.addcmul(self.zero, rows.float(), self.inverse)
        return scaled.clamp_(ROUNDING, ROUNDING + 255).view(torch.int32).to(torch.uint8)


class StaticInt8Linear(nn.Module):
    """A linear layer whose weights, and inputs by fixed scales, are rounded to 8 bits.

    Parameters
    ----------
    linear : nn.Linear
        The layer to replace; it is not changed.
    seen : Range
        Of its inputs.
    """

    def __init__(self, linear: nn.Linear, seen: Range) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        weight = linear.weight.detach().float()
        self.dtype = linear.weight.dtype  # of the outputs
        self.round = _RoundedInput(weight, seen)
        self.weights = _round_weights(
            weight * self.round.factors, _bias_of(linear), self.round.levels.step
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        rows = self.round(x.reshape(-1, self.in_features))
        result = _product(rows, self.round.levels.zero, self.weights, self.dtype)
        return result.view(*x.shape[:-1], self.out_features)


class StaticInt8FeedForward(nn.Module):
    """Two linear layers with GELU between them, rounded to 8 bits, but for the largest features.

    Parameters
    ----------
    first, second : nn.Linear
        The layers to replace; they are not changed.
    seen, seen_between : Range
        Of the inputs of the one and of the other.
    """

    def __init__(
        self, first: nn.Linear, second: nn.Linear, seen: Range, seen_between: Range
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = first.in_features, second.out_features
        width = first.out_features
        order = seen_between.largest.argsort(descending=True)
        apart, others = order.tensor_split([max(1, width // FEATURES_TO_ONE_APART)])
        weight, bias = first.weight.detach().float(), _bias_of(first)
        self.round = _RoundedInput(weight, seen)
        self.to_apart, self.to_others = (
            _round_weights(
                weight[rows] * self.round.factors,
                None if bias is None else bias[rows],
                self.round.levels.step,
            )
            for rows in (apart, others)
        )
        self.between = _levels(seen_between.low[others], seen_between.high[others])
        weight = second.weight.detach().float()
        self.from_others = _round_weights(weight[:, others], None, self.between.step)
        self.from_apart = nn.Linear(len(apart), second.out_features)
        with torch.no_grad():
            self.from_apart.weight.copy_(weight[:, apart])
            self.from_apart.bias.copy_(torch.zeros(()) if second.bias is None else second.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to float32 (..., out_features)."""
        rows, zero = self.round(x.reshape(-1, self.in_features)), self.round.levels.zero
        apart = _product(rows, zero, self.to_apart, torch.float32, gelu=True)
        step, between_zero = self.between
        others = _ops.qlinear_pointwise(
            rows, 1.0, zero, *self.to_others, step, between_zero, torch.uint8, "gelu", [], "none"
        )
        result = _ops.qlinear_pointwise.binary(
            others, 1.0, between_zero, *self.from_others[:3], self.from_apart(apart), None,
            1.0, 0, torch.float32, 1.0, 0, "sum", 1.0, "none", [], "",
        )  # fmt: skip
        return result.view(*x.shape[:-1], self.out_features)


def _bias_of(linear: nn.Linear) -> Tensor | None:
    return None if linear.bias is None else linear.bias.detach().float()


# Where the two layers of a feed-forward block are, and the GELU between them: BERT's family and
# MPNet; DistilBERT; ALBERT.
FEED_FORWARDS = (
    ("intermediate.dense", "intermediate.intermediate_act_fn", "output.dense"),
    ("ffn.lin1", "ffn.activation", "ffn.lin2"),
    ("ffn", "activation", "ffn_output"),
)


@contextmanager
def inputs_observed(model: nn.Module) -> Iterator[dict[nn.Linear, Range]]:
    """Note the range of what each linear layer of a model's stack of layers is given."""
    seen: dict[nn.Linear, Range] = {}

    def note(linear: Any, inputs: tuple[Tensor, ...]) -> None:
        rows = inputs[0].reshape(-1, linear.in_features)
        seen[linear] = seen.get(linear, empty_range(linear.in_features)).joined(rows)

    handles = [
        getattr(module, name).register_forward_pre_hook(note)
        for module, name in linear_layers_of_stack(model)
    ]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def use_static_int8_layers(model: nn.Module, seen: Mapping[nn.Linear, Range]) -> None:
    """Replace the linear layers of a model's stack of layers, in place.

    Parameters
    ----------
    model : nn.Module
        The model can then only be used for inference.
    seen : mapping of nn.Linear to Range
        What `inputs_observed` noted; layers without a range stay as they are.
    """
    for block in {part for stack in stacks_of(model) for part in stack.modules()}:
        for names in FEED_FORWARDS:
            _replace_feed_forward(block, names, seen)
    for module, name in linear_layers_of_stack(model):
        linear = getattr(module, name)
        if linear in seen:
            setattr(module, name, StaticInt8Linear(linear, seen[linear]))


def _replace_feed_forward(
    block: nn.Module, names: tuple[str, str, str], seen: Mapping[nn.Linear, Range]
) -> None:
    """Put both layers where the first is, and nothing where GELU and the second are."""
    from transformers.activations import GELUActivation

    try:
        first, activation, second = (block.get_submodule(name) for name in names)
    except AttributeError:
        return
    if type(activation) is not GELUActivation:
        return
    if (
        isinstance(first, nn.Linear)
        and isinstance(second, nn.Linear)
        and {first, second} <= set(seen)
    ):
        both = StaticInt8FeedForward(first, second, seen[first], seen[second])
        for name, module in zip(names, (both, nn.Identity(), nn.Identity()), strict=True):
            block.set_submodule(name, module)
