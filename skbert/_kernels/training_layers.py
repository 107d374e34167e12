"""A model's layers, replaced for training on a CPU by faster ones that compute the same."""

from __future__ import annotations

import torch
from torch import nn

from skbert._kernels.dropout import FastDropout
from skbert._kernels.linear import OneDnnLinear
from skbert._kernels.prepacked import can_prepack


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
