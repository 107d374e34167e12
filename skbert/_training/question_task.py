"""Questions on contexts, as a `Task` of the training."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skbert._exceptions import TruncationWarning, stacklevel_of_caller
from skbert._inference.chunks import Reading, encoded_questions
from skbert._models.encoder import Encoder
from skbert._texts.answers import candidates, ranked
from skbert._texts.inputs import Texts
from skbert._texts.questions import Gold
from skbert._texts.spans import answer_positions
from skbert._texts.squad import f1_score
from skbert._texts.windows import IGNORED, Encodings, concatenate
from skbert._training.losses import SpanPositions
from skbert._training.targets import label_config


@dataclass(frozen=True)
class QuestionTask:
    """Questions, contexts and acceptable answers; a `Task`."""

    pairs: Texts
    golds: list[Gold]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    weights: NDArray[np.float64]
    settings: Any
    n_extra: int = 0

    @property
    def config(self) -> Mapping[str, Any]:
        """As `Task.config`."""
        return label_config(["LABEL_0", "LABEL_1"])  # transformers' own: begin and end

    @property
    def strata(self) -> NDArray[np.int64] | None:
        """As `Task.strata`: questions with and without an answer."""
        answered = (self.starts >= 0).astype(np.int64)
        of_each = np.bincount(answered[self.weights > 0], minlength=2)
        return answered if of_each.min() > 1 else None

    def encode(self, encoder: Encoder, rows: NDArray[np.int64], reading: Reading) -> Encodings:
        """As `Task.encode`."""
        parts = encoded_questions(
            encoder.tokenizer,
            self.pairs.take(rows),
            reading.max_length,
            self.settings.stride,
            encoder.device,
        )
        return concatenate(list(parts))

    def objective(
        self, encodings: Encodings, rows: NDArray[np.int64], device: torch.device
    ) -> SpanPositions:
        """As `Task.objective`.

        Warns
        -----
        TruncationWarning
            If no window holds some answers whole.
        """
        positions = self._positions(encodings, rows)
        _warn_of_cut_answers(positions, encodings, self.settings.stride)
        return SpanPositions(encodings.lengths, positions, device)

    def evaluate(
        self, logits: NDArray[np.float32], encodings: Encodings, rows: NDArray[np.int64]
    ) -> tuple[float, float]:
        """As `Task.evaluate`: F1 of the best answers, and the loss on what windows own."""
        settings = self.settings
        scores = []
        for row, found in zip(
            rows, candidates(logits, encodings, 1, settings.max_answer_length), strict=True
        ):
            context = self.pairs.second[row] if self.pairs.second else ""
            answer, *_ = ranked(
                found, context, 1, settings.handle_impossible, settings.null_threshold
            )
            scores.append(f1_score(answer.text, self.golds[row].texts or [""]))
        # All but the last separator, which is no place for an answer.
        loss = SpanPositions(
            encodings.n_owned, self._positions(encodings, rows), torch.device("cpu")
        ).mean(torch.from_numpy(logits))
        return float(np.mean(scores)), loss

    def _positions(self, encodings: Encodings, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return answer_positions(encodings, self.starts[rows], self.ends[rows], rows)


def _warn_of_cut_answers(positions: NDArray[np.int64], encodings: Encodings, stride: int) -> None:
    is_cut = positions[encodings.text_bounds[:-1], 0] == IGNORED
    if is_cut.any():
        warnings.warn(
            f"{is_cut.sum()} of {len(is_cut)} answers are in no window completely and are not used "
            f"for training: they are longer than the overlap of windows, stride={stride} tokens. "
            "Use a stride of at least the number of tokens of the longest answer, or a larger "
            "max_length.",
            TruncationWarning,
            stacklevel=stacklevel_of_caller(),
        )
