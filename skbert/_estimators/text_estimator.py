"""Estimators that give each text, or pair, one output: by a pooled head, or the model's own."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from skbert._cache.cache import EmbeddingCache
from skbert._estimators.embedder import BertEmbedder
from skbert._estimators.parameters import READING_RULES, Rule, number, one_of
from skbert._estimators.probed_head import ProbedHead
from skbert._exceptions import InputError, ParameterError, TruncationWarning
from skbert._inference.chunks import Reading
from skbert._inference.embedding import Settings, text_vectors
from skbert._inference.loop import HiddenStates, Progress
from skbert._inference.pooling import POOLINGS
from skbert._models.checkpoint import DEFAULT_MODEL, find_checkpoint
from skbert._models.encoder import Encoder
from skbert._models.loading import load_encoder_model, reset_head
from skbert._models.sentence_layout import read_dense, write_sentence_layout
from skbert._models.sentence_settings import own_prompt
from skbert._models.sentence_transformers import own_modules, own_pooling
from skbert._models.state import ModelState
from skbert._models.vector_steps import NORMALIZE
from skbert._texts.windows import Encodings
from skbert._training.pooled_model import PooledModel, logits_of_vectors, pooled_from_weights
from skbert._training.tasks import Task

# pooling_ where the head is the model's own.
OWN_HEAD = "head"


class TextEstimator(ProbedHead):
    """Base class of `BertClassifier` and `BertRegressor`.

    ``pooling_`` says what the head reads: a pooling, several, or "head" where it is the model's
    own, which reads what it likes.
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        **ProbedHead._rules,
        **READING_RULES,
        "pooling": one_of("auto", *POOLINGS, OWN_HEAD),
        "weight_mixing": number(0, 1, open_ends="least"),
        "cache": BertEmbedder._rules["cache"],
    }
    # MiniLM (384) learns texts as well at 5e-5 as at 1e-4; a model of 128 needs 2e-4.
    _size_of_usual_rate: ClassVar[int] = 384
    _continued: ClassVar[tuple[str, ...]] = ("checkpoint_", "pooling_", "prompt_")
    pooling_: str | tuple[str, ...]
    prompt_: str
    _include_prompt: bool

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        pooling: str = "auto",
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
            verbose=verbose,
        )
        self.pooling = pooling
        self.init = init
        self.cache = cache
        self.head_learning_rate = head_learning_rate
        self.weight_mixing = weight_mixing
        self.prompt = prompt
        self.overflow = overflow
        self.stride = stride

    @property
    def _poolings(self) -> tuple[str, ...] | None:
        """The poolings that the head reads; None where it is the model's own."""
        if self.pooling_ == OWN_HEAD:
            return None
        return (self.pooling_,) if isinstance(self.pooling_, str) else self.pooling_

    def _new_model(self, folder: Path, config: Any, task: Task) -> Any:
        self.pooling_ = self._resolve_pooling(folder)
        is_own_head = self._poolings is None
        self.prompt_ = self._resolve_prompt(folder)
        self._include_prompt = is_own_head or not self.prompt_ or own_pooling(folder).include_prompt
        if self._poolings is None:
            return super()._new_model(folder, config, task)
        encoder = load_encoder_model(folder, torch.float32, self._configured(config, task))
        if "pooler" in self._poolings and getattr(encoder, "pooler", None) is None:
            raise self._no_pooler()
        model = PooledModel(encoder, self._poolings)
        reset_head(model)
        return model

    def _resolve_pooling(self, folder: Path) -> str | tuple[str, ...]:
        pooling: str | tuple[str, ...] = self.pooling
        if pooling == "auto":
            is_encoder = bool(own_modules(folder))
            names = own_pooling(folder).names if is_encoder and not self._reads_pairs else ()
            pooling = OWN_HEAD if not names else names[0] if len(names) == 1 else names
        if self.overflow == "windows" and (pooling == OWN_HEAD or self._reads_pairs):
            what = (
                "pairs are read whole or cut off"
                if self._reads_pairs
                else (f"the own head of {self.model!r} reads one window")
            )
            raise ParameterError(
                f'overflow="windows": {what}. Use overflow="truncate" or, for texts, a pooling '
                'such as "mean".'
            )
        return pooling

    def _resolve_prompt(self, folder: Path) -> str:
        if self.prompt != "auto":
            return self.prompt or ""
        return "" if self._poolings is None or self._reads_pairs else own_prompt(folder).text

    def _resolve_max_length(self, encoder: Encoder, default: int | None = None) -> int:
        chosen = super()._resolve_max_length(encoder, default)
        if self.overflow == "windows":
            encoder.tokenizer.window_room(chosen, self.stride)
        return chosen

    def _earlier_state(self, task: Task) -> ModelState | None:
        earlier = super()._earlier_state(task)
        if earlier is not None and self.pooling not in ("auto", self.pooling_):
            raise InputError(
                f"warm_start=True continues a fit whose head reads pooling {self.pooling_!r}, but "
                f"pooling={self.pooling!r} was asked for. Use that one, or warm_start=False."
            )
        return earlier

    def _reading(self) -> Reading:
        return Reading(
            self.max_length_,
            self.overflow,
            None if self.stride is None else int(self.stride),
            self.prompt_,
        )

    def _settings(self, encoder: Encoder) -> Settings:
        """Return what the head reads of the encoder, as `BertEmbedder` asks for it."""
        assert self._poolings is not None
        reading = self._reading()
        return Settings(
            max_length=reading.max_length,
            overflow=reading.overflow,
            stride=reading.stride,
            states=HiddenStates((encoder.n_layers,), pooler="pooler" in self._poolings),
            pooling=self._poolings,
            normalize=False,
            batch_size=self._windows_per_batch,
            prompt=reading.prompt,
            include_prompt=self._include_prompt,
        )

    def _n_skipped(self, encoder: Encoder) -> int:
        if self._poolings is None:
            return 0
        return self._settings(encoder).n_skipped(encoder.tokenizer)

    def _run(
        self,
        encoder: Encoder,
        encodings: Encodings,
        progress: Progress = lambda n_windows: None,
    ) -> NDArray[np.float32]:
        if self._poolings is None:
            return super()._run(encoder, encodings, progress)
        vectors = text_vectors(encoder, self._settings(encoder), encodings, progress)
        return logits_of_vectors(encoder.model, vectors)

    def _features(
        self, task: Any, encoder: Encoder, encodings: Encodings, rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        if self.cache is None or self._poolings is None or task.texts.are_pairs:
            return super()._features(task, encoder, encodings, rows)
        folder, _ = find_checkpoint(str(self.model), self.revision)
        kinds = {module.kind for module in own_modules(folder)}
        # The default embedder's entries, where its vectors have the direction of the pooled ones.
        is_own = self.pooling == "auto" and kinds <= {"Transformer", "Pooling", NORMALIZE}
        names = ("auto",) if is_own else self._poolings
        texts = task.texts.take(rows).first
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TruncationWarning)  # said already
            vectors = [self._embedder(name).fit_transform(texts) for name in names]
        return logits_of_vectors(encoder.model, np.hstack(vectors))

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

    @property
    def _mixing(self) -> float:
        # An own head's layers begin at random: half of the way from them is nowhere.
        return 1.0 if self._poolings is None else float(self.weight_mixing)

    def _model_of(self, config: Any, weights: dict[str, torch.Tensor]) -> Any:
        if self._poolings is None:
            return super()._model_of(config, weights)
        return pooled_from_weights(config, weights, self._poolings)

    def _load_trained(
        self, folder: Path, config: Any, extras: Mapping[str, Any]
    ) -> tuple[Any, set[str]]:
        pooling = extras.get("pooling", OWN_HEAD)
        self.pooling_ = pooling if isinstance(pooling, str) else tuple(pooling)
        self.prompt_ = extras.get("prompt", "")
        self._include_prompt = extras.get("include_prompt", True)
        if self._poolings is None:
            return super()._load_trained(folder, config, extras)
        model = PooledModel(load_encoder_model(folder, "auto", config), self._poolings)
        weight, bias = read_dense(folder)  # of vectors of length 1
        model.head.load_state_dict({"weight": weight / model.length, "bias": bias})
        return model, set()

    def _write_model(self, model: Any, folder: Path) -> None:
        if self._poolings is None:
            super()._write_model(model, folder)
            return
        model.encoder.save_pretrained(folder)
        write_sentence_layout(
            folder,
            poolings=self._poolings,
            weight=model.head.weight.detach() * model.length,
            bias=model.head.bias.detach(),
            max_length=self.max_length_,
            prompt=self.prompt_,
            include_prompt=self._include_prompt,
        )

    def _extras(self) -> dict[str, Any]:
        return {
            **super()._extras(),
            "pooling": self.pooling_ if isinstance(self.pooling_, str) else list(self.pooling_),
            "prompt": self.prompt_,
            "include_prompt": self._include_prompt,
        }
