"""What there is to learn: rows → encodings, a loss, and how good predictions are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from skbert._inference.chunks import Reading, encoded_texts
from skbert._models.encoder import Encoder
from skbert._texts.inputs import Texts
from skbert._texts.windows import Encodings, concatenate
from skbert._training.losses import WeightedRows
from skbert._training.probe import MOST_ROWS, Probe, sample
from skbert._training.protocols import Objective
from skbert._training.targets import Targets


class Task(Protocol):
    """What an estimator's `fit` makes of X and y."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Settings of the transformers configuration: the outputs and their names."""

    @property
    def weights(self) -> NDArray[np.float64]:
        """Weights of the rows of X."""

    @property
    def strata(self) -> NDArray[np.int64] | None:
        """What a held-out part keeps the shares of."""

    @property
    def n_extra(self) -> int:
        """How many of the last rows are none of X's, and so never held out."""

    def encode(self, encoder: Encoder, rows: NDArray[np.int64], reading: Reading) -> Encodings:
        """Tokenize some rows."""

    def objective(
        self, encodings: Encodings, rows: NDArray[np.int64], device: torch.device
    ) -> Objective:
        """Return the loss of these encodings of some rows."""

    def evaluate(
        self, logits: NDArray[np.float32], encodings: Encodings, rows: NDArray[np.int64]
    ) -> tuple[float, float]:
        """Score (greater is better) and loss of predictions for some rows."""


@dataclass(frozen=True)
class TextTask:
    """Texts or pairs with one target each; a `Task`."""

    texts: Texts
    targets: Targets
    weights: NDArray[np.float64]
    n_extra: int = 0

    @property
    def config(self) -> Mapping[str, Any]:
        """As `Task.config`."""
        return self.targets.config

    @property
    def strata(self) -> NDArray[np.int64] | None:
        """As `Task.strata`."""
        return self.targets.strata

    def encode(self, encoder: Encoder, rows: NDArray[np.int64], reading: Reading) -> Encodings:
        """As `Task.encode`."""
        texts = self.texts.take(rows)
        parts = encoded_texts(encoder.tokenizer, texts, reading, encoder.device, rows)
        return concatenate(list(parts))

    def rows_of_probe(self, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        """Choose rows that a probe is fitted to; those that are none of X's always."""
        n_own = len(rows) - self.n_extra
        return np.concatenate([sample(rows[:n_own], MOST_ROWS, seed), rows[n_own:]])

    def probe(
        self,
        features: NDArray[np.float32],
        encodings: Encodings,
        rows: NDArray[np.int64],
        seed: int,
    ) -> Probe:
        """Fit a linear model to what the output layer reads of some rows."""
        targets, n_outputs = self.targets, len(self.config["id2label"])
        return targets.fit_probe(
            features, targets.values[rows], self.weights[rows], n_outputs, seed
        )

    def objective(
        self, encodings: Encodings, rows: NDArray[np.int64], device: torch.device
    ) -> WeightedRows:
        """As `Task.objective`."""
        targets = self.targets
        return WeightedRows(targets.row_loss, targets.values[rows], self.weights[rows], device)

    def evaluate(
        self, logits: NDArray[np.float32], encodings: Encodings, rows: NDArray[np.int64]
    ) -> tuple[float, float]:
        """As `Task.evaluate`."""
        objective = self.objective(encodings, rows, torch.device("cpu"))
        score = self.targets.score(logits, self.targets.values[rows], self.weights[rows])
        return score, objective.mean(logits, np.arange(len(rows)))
