"""Weights between those that a training began with and those that it ended with.

A mean of both is often better than either, and its probabilities are less sure of themselves
(WiSE-FT: Wortsman et al. 2022, "Robust Fine-tuning of Zero-shot Models",
https://arxiv.org/abs/2109.01903).
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

NUMBERS_AT_A_TIME = 2**20


@contextmanager
def mixed_with_first(model: Any, share: float) -> Iterator[None]:
    """Let the weights go that share of the way only that they go in the block.

    The first weights wait in a temporary file: beside the optimizer's numbers, a copy in memory
    would be the peak of a fit.

    Parameters
    ----------
    model : torch.nn.Module
        Its parameters of the block's beginning are there at its end.
    share : float
        1 leaves the weights as the block leaves them.
    """
    if share == 1:
        yield
        return
    with tempfile.TemporaryFile(prefix="skbert-") as file:
        for part in _parts(model):
            part.cpu().numpy().tofile(file)
        yield
        file.seek(0)
        for part in _parts(model):
            first = torch.from_numpy(np.fromfile(file, np.float32, len(part)))
            part.lerp_(first.to(part.device), 1 - share)


def _parts(model: Any) -> Iterator[Tensor]:
    """Yield the trained weights, flat, in parts that are small beside the whole."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            yield from parameter.detach().view(-1).split(NUMBERS_AT_A_TIME)
