"""The best weights of a training, for early stopping."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass
class BestWeights:
    """The best weights so far: those of the best score and, where it is equal, the lower loss."""

    rank: tuple[float, float] = (-math.inf, -math.inf)
    weights: list[Tensor] | None = None
    decay: float = 1.0
    n_epochs_no_change: float = -math.inf

    def update(
        self, entry: dict[str, float], parameters: Sequence[nn.Parameter], decay: float
    ) -> None:
        """Copy the weights if an epoch's entry of the history is the best one.

        ``decay`` is what weight decay left of the embeddings that no text uses (see `UsedRows`).
        """
        rank = (entry["validation_score"], -entry["validation_loss"])
        if rank > self.rank:
            self.rank, self.n_epochs_no_change = rank, 0
            self.weights = [p.detach().clone() for p in parameters]
            self.decay = decay
        else:
            self.n_epochs_no_change += 1

    @torch.no_grad()
    def restore(self, parameters: Sequence[nn.Parameter], decay: float) -> float:
        """Put the best weights back, where there are any, and return the decay of that epoch."""
        if self.weights is None:
            return decay
        for parameter, weight in zip(parameters, self.weights, strict=True):
            parameter.copy_(weight)
        return self.decay
