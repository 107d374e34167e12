"""Weights between those that a training began with and those that it ended with.

A mean of both is often better than either, and its probabilities are less sure of themselves
(WiSE-FT: Wortsman et al. 2022, "Robust Fine-tuning of Zero-shot Models",
https://arxiv.org/abs/2109.01903).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


@torch.no_grad()
def mix_weights(model: Any, first: Mapping[str, Tensor], share: float) -> None:
    """Move a model's weights back to that share of the way from the first weights, in place.

    Parameters
    ----------
    model : torch.nn.Module
        As the training left it.
    first : mapping of str to tensor
        The weights that it began with, under the names of ``model.state_dict()``.
    share : float
        1 leaves the model as it is.
    """
    for name, weight in model.state_dict().items():
        if weight.is_floating_point():
            weight.lerp_(first[name].to(weight.device, weight.dtype), 1 - share)
