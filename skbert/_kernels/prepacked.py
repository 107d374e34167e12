"""Linear layers with weights laid out once as oneDNN's kernels read them, for CPU inference.

torch's inductor does the same when it freezes a model; here without a compiler. Measured on an
AVX-512 machine (MiniLM's shapes, float32): 10-15 % more operations a second than ``nn.Linear``,
and GELU, otherwise a fifth of a feed-forward layer's time, fused into the product almost free.
"""

from __future__ import annotations

import inspect
import platform
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

# (linear layer, activation after it) inside a feed-forward block: BERT's family; DistilBERT.
FEED_FORWARD_NAMES = (("dense", "intermediate_act_fn"), ("lin1", "activation"))
# oneDNN picks the layout for about this many rows.
ROWS_HINT = 1024


class PrepackedLinear(nn.Module):
    """A linear layer, and GELU if asked, in one oneDNN call.

    Parameters
    ----------
    linear : nn.Linear
        The layer to replace; it is not changed.
    gelu : bool, default=False
        Apply the exact (erf) GELU to the result.
    """

    def __init__(self, linear: nn.Linear, *, gelu: bool = False) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS_HINT)
        self.activation = ("gelu", "none") if gelu else ("none", "")

    @property
    def weight(self) -> Tensor:
        """Return a copy of the weights as they were, for code that reads them."""
        return self.packed.to_dense()

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        name, algorithm = self.activation
        return torch.ops.mkldnn._linear_pointwise(x, self.packed, self.bias, name, [], algorithm)


def can_prepack(dtype: torch.dtype) -> bool:
    """Return whether this machine's torch has the prepacked kernels for the dtype."""
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    # is_available() says what torch was built with; enabled() what the user has switched off.
    mkldnn: Any = torch.backends.mkldnn
    if not mkldnn.is_available() or not torch._C._get_mkldnn_enabled():
        return False
    operators = torch.ops.mkldnn
    has_operators = hasattr(operators, "_linear_pointwise") and hasattr(
        operators, "_reorder_linear_weight"
    )
    if dtype == torch.bfloat16:
        return has_operators and bool(operators._is_mkldnn_bf16_supported())
    return has_operators and dtype == torch.float32


def computes_in_bfloat16() -> bool:
    """Return whether this CPU has instructions for products in bfloat16."""
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, lambda: False)() for name in names)


def prepack_linear_layers(model: nn.Module) -> None:
    """Replace every ``nn.Linear`` of a model, in place, by a prepacked one.

    The model can then only be used for inference. Layers whose weights the model reads at each call
    stay as they are.
    """
    _fuse_gelu(model)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child) is nn.Linear and not reads_weight(module, name):
                setattr(module, name, PrepackedLinear(child))


def reads_weight(module: nn.Module, name: str) -> bool:
    """Return whether a module reads the weights of a layer itself, as T5 asks for their type."""
    return f"self.{name}.weight" in _forward_source(type(module).forward)


@cache
def _forward_source(forward: Any) -> str:
    try:
        return inspect.getsource(forward)
    except (OSError, TypeError):  # made without a file
        return ""


def _fuse_gelu(model: nn.Module) -> None:
    from transformers.activations import GELUActivation

    for module in list(model.modules()):
        for linear_name, activation_name in FEED_FORWARD_NAMES:
            linear = getattr(module, linear_name, None)
            activation = getattr(module, activation_name, None)
            if type(linear) is nn.Linear and type(activation) is GELUActivation:
                setattr(module, linear_name, PrepackedLinear(linear, gelu=True))
                setattr(module, activation_name, nn.Identity())
