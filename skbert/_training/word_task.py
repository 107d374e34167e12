"""Sentences with one label a word, as a `Task` of the training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax

from skbert._inference.chunks import Reading, encoded_words
from skbert._models.encoder import Encoder
from skbert._texts.entities import Scheme, word_score
from skbert._texts.windows import Encodings, concatenate, cumulative
from skbert._texts.word_labels import piece_labels
from skbert._training.losses import LabelledPieces
from skbert._training.probe import MOST_ROWS, Probe, logistic_probe, sample
from skbert._training.targets import label_config


@dataclass(frozen=True)
class WordTask:
    """Sentences with one label a word; a `Task`."""

    sentences: list[list[str]]
    labels: list[list[Any]]
    codes: list[NDArray[np.int64]]
    classes: NDArray[Any]
    weights: NDArray[np.float64]
    scheme: Scheme
    strata: None = None
    n_extra: int = 0

    @property
    def config(self) -> Mapping[str, Any]:
        """As `Task.config`."""
        return label_config(self.classes.tolist())

    def encode(self, encoder: Encoder, rows: NDArray[np.int64], reading: Reading) -> Encodings:
        """As `Task.encode`."""
        sentences = [self.sentences[row] for row in rows]
        length = reading.max_length
        return concatenate(
            list(encoded_words(encoder.tokenizer, sentences, length, encoder.device))
        )

    def rows_of_probe(self, rows: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
        """Choose sentences whose words a probe is fitted to."""
        n_words = sum(len(self.codes[row]) for row in rows)
        return sample(rows, len(rows) * MOST_ROWS // max(n_words, MOST_ROWS), seed)

    def probe(
        self,
        features: NDArray[np.float32],
        encodings: Encodings,
        rows: NDArray[np.int64],
        seed: int,
    ) -> Probe:
        """Fit a linear model to what the output layer reads of the words of some sentences."""
        codes = self._codes(rows)
        of_words = features[encodings.first_pieces]
        return logistic_probe(of_words, codes, np.ones(len(codes)), len(self.classes), seed)

    def objective(
        self, encodings: Encodings, rows: NDArray[np.int64], device: torch.device
    ) -> LabelledPieces:
        """As `Task.objective`."""
        return LabelledPieces(encodings, piece_labels(encodings, self._codes(rows)), device)

    def evaluate(
        self, logits: NDArray[np.float32], encodings: Encodings, rows: NDArray[np.int64]
    ) -> tuple[float, float]:
        """As `Task.evaluate`."""
        of_words = logits[encodings.first_pieces]
        codes = self._codes(rows)
        loss = -log_softmax(of_words, axis=1)[np.arange(len(codes)), codes].mean()
        bounds = cumulative([len(self.sentences[row]) for row in rows])
        predicted = split_sentences(self.classes[of_words.argmax(1)], bounds)
        true = [self.labels[row] for row in rows]
        score = word_score(self.classes.tolist(), self.scheme)
        return score(true, list(predicted)), float(loss)

    def _codes(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return np.concatenate([self.codes[row] for row in rows])


def split_sentences(rows: NDArray[Any], bounds: NDArray[np.int64]) -> NDArray[np.object_]:
    """Cut rows of words into one array a sentence."""
    return object_array([rows[start:stop] for start, stop in pairwise(bounds)])


def object_array(items: list[Any]) -> NDArray[np.object_]:
    """Return an array of one item a cell, even where all are equally long."""
    result = np.empty(len(items), dtype=object)
    for position, item in enumerate(items):
        result[position] = item
    return result
