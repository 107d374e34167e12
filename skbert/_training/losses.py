"""Losses from logits, and where class and sample weights live."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from skbert._inference.batching import gather_tokens
from skbert._models.device import to_device
from skbert._texts.windows import IGNORED, Encodings

# (logits (n, K), targets) → one loss a row, (n,).
RowLoss = Callable[[Tensor, Tensor], Tensor]


def cross_entropy(logits: Tensor, classes: Tensor) -> Tensor:
    """Return the losses of one of K classes; `classes` (n,) int64."""
    return functional.cross_entropy(logits, classes, reduction="none")


def binary_cross_entropy(logits: Tensor, is_label: Tensor) -> Tensor:
    """Return the losses of each of K labels or not, `is_label` (n, K); the mean over the labels."""
    losses = functional.binary_cross_entropy_with_logits(logits, is_label, reduction="none")
    return losses.mean(1)


def squared_error(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the losses of K numbers, `targets` (n, K); the mean over the outputs."""
    return (logits - targets).square().mean(1)


class WeightedRows:
    """The weighted mean of a loss over rows: an `Objective` of the training.

    Parameters
    ----------
    row_loss : callable
        One of the above.
    targets : ndarray, shape (n,) or (n, K)
        Of all rows.
    weights : ndarray of float64, shape (n,)
        Of all rows; only their relation matters.
    device : torch.device
        Where the logits are.
    """

    def __init__(
        self,
        row_loss: RowLoss,
        targets: NDArray[Any],
        weights: NDArray[np.float64],
        device: torch.device,
    ) -> None:
        self.row_loss = row_loss
        self.targets = torch.from_numpy(targets).to(device)
        # Of mean 1: then a batch's mean is an estimate of the weighted mean over all rows.
        relative = weights * (len(weights) / weights.sum())
        self.weights = torch.from_numpy(relative.astype(np.float32)).to(device)

    def loss(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Return weighted losses of some rows, summed."""
        chosen = to_device(torch.from_numpy(rows), logits.device)
        return (self.row_loss(logits, self.targets[chosen]) * self.weights[chosen]).sum()

    def divisor(self, rows: NDArray[np.int64]) -> float:
        """Return the number of rows, whatever their weights."""
        return len(rows)

    def mean(self, logits: NDArray[np.float32], rows: NDArray[np.int64]) -> float:
        """Return weighted mean loss of predictions for some rows."""
        loss = self.loss(torch.from_numpy(logits).to(self.weights.device), rows)
        return float(loss / self.weights[torch.from_numpy(rows)].sum())


class LabelledPieces:
    """The mean cross entropy of labelled words: an `Objective` of the training.

    Parameters
    ----------
    encodings : Encodings
        Windows of word pieces.
    labels : ndarray of int64, shape (n_tokens,)
        Class of each piece; negative where it counts for nothing.
    device : torch.device
        Where the logits are.
    """

    def __init__(
        self, encodings: Encodings, labels: NDArray[np.int64], device: torch.device
    ) -> None:
        self.bounds, self.labels, self.device = encodings.bounds, labels, device

    def loss(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Return losses of the labelled pieces of some windows, summed; logits (T, K)."""
        labels = torch.from_numpy(gather_tokens(self.labels, self.bounds, rows))
        labels = to_device(labels, self.device)
        return functional.cross_entropy(logits, labels, reduction="sum")

    def divisor(self, rows: NDArray[np.int64]) -> float:
        """Return the number of labelled pieces in some windows."""
        return int((gather_tokens(self.labels, self.bounds, rows) >= 0).sum())


class SpanPositions:
    """The mean cross entropy of where answers begin and end: an `Objective` of the training.

    Parameters
    ----------
    lengths : ndarray of int64, shape (n_windows,)
        Tokens of each window of a question and its context that have logits.
    positions : ndarray of int64, shape (n_windows, 2)
        First and last token of the answer in each window; (0, 0), the first token, for none;
        IGNORED where a window counts for nothing.
    device : torch.device
        Where the logits are.
    """

    def __init__(
        self, lengths: NDArray[np.int64], positions: NDArray[np.int64], device: torch.device
    ) -> None:
        self.lengths, self.positions, self.device = lengths, positions, device

    def loss(self, logits: Tensor, rows: NDArray[np.int64]) -> Tensor:
        """Return losses of some windows, summed; logits (T, 2)."""
        of_window = torch.split(logits, self.lengths[rows].tolist())
        low = torch.finfo(logits.dtype).min
        padded = pad_sequence(list(of_window), batch_first=True, padding_value=low)  # (n, L, 2)
        positions = to_device(torch.from_numpy(self.positions[rows]), self.device)
        return functional.cross_entropy(padded, positions, reduction="sum") / 2

    def divisor(self, rows: NDArray[np.int64]) -> float:
        """Return the number of windows that count."""
        return int((self.positions[rows, 0] != IGNORED).sum())

    def mean(self, logits: Tensor) -> float:
        """Return mean loss of all windows."""
        rows = np.arange(len(self.lengths))
        return float(self.loss(logits, rows) / max(1, self.divisor(rows)))
