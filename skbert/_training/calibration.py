"""Logits times one factor: probabilities as sure as they are right, on rows that were held out.

Guo et al. 2017, "On Calibration of Modern Neural Networks", https://arxiv.org/abs/1706.04599.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from torch import nn

# Factors, or temperatures, that are tried.
MOST = 20.0


def best_factor(loss: Callable[[float], float]) -> tuple[float, float]:
    """Return the factor, from 1 to `MOST`, of the least loss, and that loss."""
    found = minimize_scalar(
        lambda logarithm: loss(float(np.exp(logarithm))),
        bounds=(0.0, np.log(MOST)),
        method="bounded",
    )
    return float(np.exp(found.x)), float(found.fun)


def best_temperature(
    loss: Callable[[NDArray[np.float32]], float], logits: NDArray[np.float32]
) -> float:
    """Return what to divide logits by, at least 1, for the least ``loss`` of the logits.

    Training makes a model too sure, so it is only ever softened: a few held-out rows that happen to
    be right would make it surer yet.
    """

    def at(temperature: float) -> float:
        return loss((logits / temperature).astype(np.float32))

    temperature, least = best_factor(at)
    return temperature if least < at(1.0) else 1.0


@torch.no_grad()
def soften(layer: nn.Linear, temperature: float) -> None:
    """Divide what a linear layer gives."""
    for parameter in layer.parameters():
        parameter.div_(temperature)
