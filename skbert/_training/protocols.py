"""What the training loop asks of a task, a callback and a validation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


class Objective(Protocol):
    """What is minimised."""

    def loss(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Return weighted losses of some windows, summed, a scalar.

        The logits have one row a window or, where the head reads tokens, one a token.
        """

    def divisor(self, rows: NDArray[np.int64]) -> float:
        """Return by how much to divide the summed losses of some windows."""


class Callback(Protocol):
    """Who is told about epochs."""

    def on_epoch_begin(self) -> None:
        """Be told that an epoch begins."""

    def on_epoch_end(
        self, entry: dict[str, float], weights: Callable[[], dict[str, Tensor]]
    ) -> bool:
        """Return whether to stop; `weights` copies the model's weights as they are now."""


class Validation(Protocol):
    """How good the weights are now."""

    def __call__(self) -> tuple[float, float]:
        """Score (greater is better) and loss on held-out data."""
