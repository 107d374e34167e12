"""Rows to train on → logits with gradients: of windows by the model's own head, or of whole texts.

The loop cuts rows into batches by their lengths and asks for their logits; it never learns what a
row is.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skbert._inference.batching import PaddedBatch, pack_batch, pad_batch
from skbert._inference.loop import (
    HiddenStates,
    TokenPlaces,
    first_places,
    forward_blocks,
    logits_of,
    run_model,
)
from skbert._inference.pooling import POOLINGS, merge_windows, pool_with
from skbert._models import device as _device
from skbert._models.encoder import Encoder
from skbert._texts.windows import Encodings, cumulative
from skbert._training.frozen_layers import FrozenLayers
from skbert._training.pooled_model import PooledModel


class Reader(Protocol):
    """What gives logits for rows."""

    lengths: NDArray[np.int64]
    """Tokens of each row."""
    frozen: FrozenLayers
    """What is kept of layers that are not trained."""

    def logits(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the logits of some rows, one row, or one row a token, after another."""


def n_rows(encoder: Encoder, encodings: Encodings) -> int:
    """Return the number of rows that a reader has."""
    if isinstance(encoder.model, PooledModel):
        return len(encodings.lost_tokens) // _n_texts_a_row(encoder.model)
    return len(encodings.lengths)


def _n_texts_a_row(model: PooledModel) -> int:
    return 2 if model.in_pairs else 1


def make_reader(encoder: Encoder, encodings: Encodings, n_skipped: int = 0) -> Reader:
    """Return the reader that a model needs: a pooled head reads whole texts."""
    if isinstance(encoder.model, PooledModel):
        return TextReader(encoder, encodings, n_skipped)
    return WindowReader(encoder, encodings)


class WindowReader:
    """Rows are windows, and the head is the model's own."""

    def __init__(self, encoder: Encoder, encodings: Encodings) -> None:
        self.encoder, self.encodings = encoder, encodings
        self.lengths = encodings.lengths
        self.frozen = FrozenLayers(encoder, encodings)

    def logits(self, rows: NDArray[np.int64]) -> Tensor:
        """As `Reader.logits`; in several passes for a model that must not see padding."""
        parts = passes(self.encoder, self.lengths[rows], rows)
        return torch.cat([self._pass(part) for part in parts])

    def _pass(self, rows: NDArray[np.int64]) -> Tensor:
        encoder, encodings = self.encoder, self.encodings
        batch = (
            pack_batch(encodings, rows)
            if encoder.packed
            else pad_batch(encodings, rows, encoder.tokenizer.pad_id)
        )
        with _device.autocast(encoder.device, encoder.dtype), self.frozen.reading(rows):
            logits = logits_of(run_model(encoder, batch))
        if logits.ndim == 2:
            return logits
        rows_of_tokens = logits.flatten(0, -2)
        if not isinstance(batch, PaddedBatch) or batch.mask is None:
            return rows_of_tokens
        # Found on the CPU, which would have to wait for the GPU's answer.
        tokens = batch.mask.flatten().nonzero().squeeze(1)
        return rows_of_tokens.index_select(0, _device.to_device(tokens, encoder.device))


class TextReader:
    """Rows are texts of one window or several, or pairs; the head reads their pooled vectors."""

    def __init__(self, encoder: Encoder, encodings: Encodings, n_skipped: int) -> None:
        self.encoder, self.encodings, self.n_skipped = encoder, encodings, n_skipped
        self.frozen = FrozenLayers(encoder, encodings)
        # Windows of row r: row_bounds[r] to row_bounds[r + 1].
        self.n_texts_a_row = _n_texts_a_row(encoder.model)
        self.row_bounds = encodings.text_bounds[:: self.n_texts_a_row]
        self.lengths = np.add.reduceat(encodings.lengths, self.row_bounds[:-1])
        self.states = HiddenStates((encoder.n_layers,), pooler="pooler" in encoder.model.poolings)
        self.poolings = [POOLINGS[name] for name in encoder.model.poolings]
        self.places = TokenPlaces(encodings.owned, first_places(encodings), n_skipped)

    def logits(self, rows: NDArray[np.int64]) -> Tensor:
        """As `Reader.logits`."""
        numbers = self.encodings.numbers
        beside = None if numbers is None else torch.from_numpy(numbers[rows])
        if beside is not None:
            beside = _device.to_device(beside, self.encoder.device)
        with _device.autocast(self.encoder.device, self.encoder.dtype):
            return self.encoder.model.logits(self._vectors(rows), beside).float()

    def _vectors(self, rows: NDArray[np.int64]) -> Tensor:
        """Return the pooled vectors of the texts of some rows, (n, F)."""
        encoder, encodings, bounds = self.encoder, self.encodings, self.encodings.text_bounds
        texts = (rows[:, None] * self.n_texts_a_row + np.arange(self.n_texts_a_row)).ravel()
        windows = np.concatenate([np.arange(bounds[text], bounds[text + 1]) for text in texts])
        lengths = encodings.lengths[windows]
        order = np.argsort(-lengths, kind="stable")  # equal lengths side by side
        pool = pool_with(self.poolings)
        vectors: list[Tensor] = []
        for part in passes(encoder, lengths[order], windows[order]):
            with self.frozen.reading(part):
                blocks = forward_blocks(encoder, encodings, part, self.states, self.places)
                vectors += [pool(hidden, mask) for hidden, mask in blocks]
        back = _device.to_device(torch.from_numpy(np.argsort(order)), encoder.device)
        of_text = cumulative(bounds[texts + 1] - bounds[texts])
        n_owned = encodings.n_owned[windows]
        return merge_windows(
            self.poolings, torch.cat(vectors)[back], of_text, n_owned, self.n_skipped
        )


def passes(
    encoder: Encoder, lengths: NDArray[np.int64], rows: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """Cut windows, longest first, into those that the model may read together."""
    if encoder.packed or encoder.can_pad:
        return [rows]
    return np.split(rows, np.flatnonzero(np.diff(lengths)) + 1)
