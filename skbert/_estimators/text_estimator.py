"""Estimators that give each text, or pair, one output: parameters → what the head reads."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from skbert._cache.cache import EmbeddingCache
from skbert._estimators.embedder import BertEmbedder
from skbert._estimators.number_columns import NumberColumns
from skbert._estimators.parameters import READING_RULES, Rule, is_integer, number, one_of
from skbert._estimators.pooled_head import BI_ENCODER, CROSS_ENCODER, OWN_HEAD, PooledHead
from skbert._exceptions import InputError, ParameterError, TruncationWarning
from skbert._inference.pooling import POOLINGS
from skbert._models.checkpoint import DEFAULT_MODEL, find_checkpoint
from skbert._models.encoder import Encoder
from skbert._models.loading import load_encoder_model, reset_head
from skbert._models.sentence_settings import own_prompt
from skbert._models.sentence_transformers import own_modules, own_pooling
from skbert._models.state import ModelState
from skbert._models.vector_steps import NORMALIZE
from skbert._texts.inputs import Texts
from skbert._texts.tables import check_table
from skbert._texts.windows import Encodings
from skbert._training.pooled_model import logits_of_vectors
from skbert._training.tasks import Task

# Up to so many pairs, what a sentence encoder knows of each text is worth more than what it can
# learn of reading both together.
MOST_PAIRS_APART = 500
# Part of the usual learning rate that suits a bi-encoder: it has its probe's knowledge to lose.
RATE_APART = 0.4


def _are_columns(value: Any) -> bool:
    columns = value if isinstance(value, list | tuple) else [value]
    is_column = (isinstance(column, str) or is_integer(column, 0) for column in columns)
    return value is None or (len(columns) > 0 and all(is_column))


class TextEstimator(PooledHead):
    """Base class of `BertClassifier` and `BertRegressor`: their parameters, and what these mean."""

    _rules: ClassVar[Mapping[str, Rule]] = {
        **PooledHead._rules,
        **READING_RULES,
        "pooling": one_of("auto", *POOLINGS, OWN_HEAD),
        "pair_mode": one_of("auto", CROSS_ENCODER, BI_ENCODER),
        "text_columns": Rule(
            _are_columns, "None, the name or position of a column, or a non-empty list of these"
        ),
        "weight_mixing": number(0, 1, open_ends="least"),
        "cache": BertEmbedder._rules["cache"],
    }
    # MiniLM (384) learns texts as well at 5e-5 as at 1e-4; a model of 128 needs 2e-4.
    _size_of_usual_rate: ClassVar[int] = 384
    _continued: ClassVar[tuple[str, ...]] = ("checkpoint_", "pooling_", "pair_mode_", "prompt_")

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        pooling: str = "auto",
        pair_mode: str = "auto",
        text_columns: Any = None,
        init: str = "probe",
        cache: str | Path | EmbeddingCache | None = None,
        prompt: str | None = "auto",
        max_length: int | None = None,
        overflow: str = "truncate",
        stride: int | None = None,
        max_epochs: int = 3,
        min_steps: int = 200,
        learning_rate: float | str = "auto",
        head_learning_rate: float | None = None,
        weight_mixing: float = 0.7,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.1,
        layer_decay: float = 1.0,
        train_batch_size: int = 16,
        gradient_accumulation: int = 1,
        max_grad_norm: float | None = 1.0,
        dropout: float | None = None,
        freeze: str | int | None = None,
        gradient_checkpointing: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_epochs_no_change: int = 2,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        batch_size: int | str = "auto",
        device: str = "auto",
        precision: str = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            model,
            revision=revision,
            max_length=max_length,
            max_epochs=max_epochs,
            min_steps=min_steps,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            warmup_fraction=warmup_fraction,
            layer_decay=layer_decay,
            train_batch_size=train_batch_size,
            gradient_accumulation=gradient_accumulation,
            max_grad_norm=max_grad_norm,
            dropout=dropout,
            freeze=freeze,
            gradient_checkpointing=gradient_checkpointing,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_epochs_no_change=n_epochs_no_change,
            warm_start=warm_start,
            random_state=random_state,
            batch_size=batch_size,
            device=device,
            precision=precision,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.pooling = pooling
        self.pair_mode = pair_mode
        self.text_columns = text_columns
        self.init = init
        self.cache = cache
        self.head_learning_rate = head_learning_rate
        self.weight_mixing = weight_mixing
        self.prompt = prompt
        self.overflow = overflow
        self.stride = stride

    def _read(self, X: Any) -> Texts:
        return super()._read(X) if self.text_columns is None else check_table(X, self.text_columns)

    def _check_X(self, X: Any, *, reset: bool) -> Any:
        texts = super()._check_X(X, reset=reset)
        if reset or self._numbers is None:
            return texts
        return replace(texts, numbers=self._numbers.features(texts.numbers))

    def _standardised(
        self, texts: Texts, weights: NDArray[np.float64]
    ) -> tuple[Texts, NumberColumns | None]:
        """Return texts with standardised numbers, and what standardises them, in `fit`.

        A warm start keeps the units that the model knows.
        """
        if texts.numbers is None:
            return texts, None
        columns = self._numbers if self.warm_start and hasattr(self, "_state") else None
        if columns is None or len(columns.mean) != texts.numbers.shape[1]:
            columns = NumberColumns.fitted(texts.numbers, weights)
        return replace(texts, numbers=columns.features(texts.numbers)), columns

    def _new_model(self, folder: Path, config: Any, task: Task) -> Any:
        self.pair_mode_ = self._resolve_pair_mode(folder, len(task.weights))
        self.pooling_ = self._resolve_pooling(folder)
        is_own_head = self._poolings is None
        self.prompt_ = self._resolve_prompt(folder)
        self._include_prompt = is_own_head or not self.prompt_ or own_pooling(folder).include_prompt
        if self._poolings is None:
            return super()._new_model(folder, config, task)
        encoder = load_encoder_model(folder, torch.float32, self._configured(config, task))
        if "pooler" in self._poolings and getattr(encoder, "pooler", None) is None:
            raise self._no_pooler()
        model = self._pooled(encoder)
        reset_head(model)
        return model

    def _resolve_pair_mode(self, folder: Path, n_rows: int) -> str | None:
        if not self._reads_pairs:
            return None
        if self.pair_mode == BI_ENCODER and self.pooling == OWN_HEAD:
            raise ParameterError(
                f"pair_mode={BI_ENCODER!r} reads each text of a pair separately, and "
                f"pooling={OWN_HEAD!r} is a head for both. Use a pooling such as "
                f'"mean", or pair_mode={CROSS_ENCODER!r}.'
            )
        if self.pair_mode != "auto":
            return self.pair_mode
        # Windows, too, are of single texts.
        is_apart = self.overflow == "windows" or n_rows <= MOST_PAIRS_APART
        is_encoder = self.pooling == "auto" and bool(own_modules(folder))
        return BI_ENCODER if is_apart and is_encoder else CROSS_ENCODER

    def _resolve_pooling(self, folder: Path) -> str | tuple[str, ...]:
        pooling: str | tuple[str, ...] = self.pooling
        is_cross = self.pair_mode_ == CROSS_ENCODER
        if pooling == OWN_HEAD and self._n_numbers:
            raise ParameterError(
                f"pooling={OWN_HEAD!r}: the classification head of a model reads no numbers, which "
                f'text_columns={self.text_columns!r} leaves. Use pooling="auto" or "mean".'
            )
        if pooling == "auto":
            # A pooling is needed where the head reads more than one text.
            is_encoder = bool(own_modules(folder)) or self._reads_apart or self._n_numbers > 0
            names = own_pooling(folder).names if is_encoder and not is_cross else ()
            pooling = OWN_HEAD if not names else names[0] if len(names) == 1 else names
        if self.overflow == "windows" and (pooling == OWN_HEAD or is_cross):
            what, remedy = f"the own head of {self.model!r} reads one window", 'pooling="mean"'
            if is_cross:
                what = "a cross-encoder reads pairs whole or cut off"
                remedy = f"pair_mode={BI_ENCODER!r}"
            raise ParameterError(
                f'overflow="windows": {what}. Use overflow="truncate", or {remedy}.'
            )
        return pooling

    def _resolve_learning_rate(self, encoder: Encoder) -> float:
        rate = super()._resolve_learning_rate(encoder)
        return rate * RATE_APART if self._reads_apart and self.learning_rate == "auto" else rate

    def _resolve_prompt(self, folder: Path) -> str:
        if self.prompt != "auto":
            return self.prompt or ""
        is_cross = self.pair_mode_ == CROSS_ENCODER
        return "" if self._poolings is None or is_cross else own_prompt(folder).text

    def _resolve_max_length(self, encoder: Encoder, default: int | None = None) -> int:
        chosen = super()._resolve_max_length(encoder, default)
        if self.overflow == "windows":
            encoder.tokenizer.window_room(chosen, self.stride)
        return chosen

    def _earlier_state(self, task: Any) -> ModelState | None:
        earlier = super()._earlier_state(task)
        if earlier is not None and self.pooling not in ("auto", self.pooling_):
            raise InputError(
                f"warm_start=True continues a fit whose head reads pooling {self.pooling_!r}, but "
                f"pooling={self.pooling!r} is set. Use that one, or warm_start=False."
            )
        if earlier is not None and self.pair_mode not in ("auto", self.pair_mode_ or "auto"):
            raise InputError(
                f"warm_start=True continues the fit of a {self.pair_mode_}, but "
                f"pair_mode={self.pair_mode!r} is set. Use that one, or warm_start=False."
            )
        numbers = task.texts.numbers
        n_beside = 0 if numbers is None else numbers.shape[1]
        if earlier is not None and n_beside != self._n_numbers:
            raise InputError(
                f"warm_start=True continues a fit with {self._n_numbers} numbers beside each text, "
                f"but X now has {n_beside}. Pass the same columns, or use warm_start=False."
            )
        return earlier

    def _features(
        self, task: Any, encoder: Encoder, encodings: Encodings, rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        is_cross = self.pair_mode_ == CROSS_ENCODER
        if self.cache is None or self._poolings is None or is_cross:
            return super()._features(task, encoder, encodings, rows)
        folder, _ = find_checkpoint(str(self.model), self.revision)
        kinds = {module.kind for module in own_modules(folder)}
        # The default embedder's entries, where its vectors have the direction of the pooled ones.
        is_own = self.pooling == "auto" and kinds <= {"Transformer", "Pooling", NORMALIZE}
        names = ("auto",) if is_own else self._poolings
        rows_read = task.texts.take(rows)
        texts = rows_read.apart().first if self._reads_apart else rows_read.first
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)  # said already
            vectors = [self._embedder(name).fit_transform(texts) for name in names]
        return logits_of_vectors(encoder.model, np.hstack(vectors), rows_read.numbers)

    def _embedder(self, pooling: str) -> BertEmbedder:
        """Return an embedder that reads as the head does, and the cache."""
        return BertEmbedder(
            self.model,
            revision=self.revision,
            pooling=pooling,
            prompt=self.prompt_,
            max_length=self.max_length_,
            overflow=self.overflow,
            stride=self.stride,
            batch_size=self.batch_size,
            device=self.device,
            precision=self.precision,
            cache=self.cache,
        )
