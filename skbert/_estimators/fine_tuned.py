"""Estimators that train a whole model: their parameters, and the way from texts to weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from skbert._estimators.base import warn_of_truncation
from skbert._estimators.parameters import (
    SHARED_RULES,
    TRAINING_RULES,
    Rule,
)
from skbert._estimators.trained import SHORTEN, TrainedEstimator
from skbert._exceptions import InputError, ParameterError
from skbert._inference.progress import training_bar
from skbert._models import device as _device
from skbert._models.checkpoint import DEFAULT_MODEL, find_checkpoint
from skbert._models.encoder import Encoder, make_encoder, read_packed
from skbert._models.loading import load_config, load_model, reset_head
from skbert._models.state import ModelState, model_config, state_of, tokenizer_of, weight_tensors
from skbert._models.tokenizer import load_tokenizer
from skbert._texts.windows import Encodings
from skbert._training.callbacks import CallbackSupportMixin, FitCallbacks
from skbert._training.freezing import freeze_parameters
from skbert._training.loop import train
from skbert._training.optimization import Recipe
from skbert._training.pooled_model import readable_part
from skbert._training.readers import n_rows
from skbert._training.tasks import Task


class FineTunedEstimator(CallbackSupportMixin, TrainedEstimator):
    """Base class of the estimators whose `fit` trains a whole model; never learns the task."""

    _rules: ClassVar[Mapping[str, Rule]] = {**SHARED_RULES, **TRAINING_RULES}
    # Fitted attributes that a warm start keeps.
    _continued: ClassVar[tuple[str, ...]] = ("checkpoint_",)

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        max_length: int | None = None,
        max_epochs: int = 3,
        min_steps: int = 200,
        learning_rate: float | str = 5e-5,
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
        self.model = model
        self.revision = revision
        self.max_length = max_length
        self.max_epochs = max_epochs
        self.min_steps = min_steps
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.warmup_fraction = warmup_fraction
        self.layer_decay = layer_decay
        self.train_batch_size = train_batch_size
        self.gradient_accumulation = gradient_accumulation
        self.max_grad_norm = max_grad_norm
        self.dropout = dropout
        self.freeze = freeze
        self.gradient_checkpointing = gradient_checkpointing
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_epochs_no_change = n_epochs_no_change
        self.warm_start = warm_start
        self.random_state = random_state
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.n_jobs = n_jobs
        self.verbose = verbose

    def _fit_task(self, task: Task, fitted: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        """Train a model and keep it.

        Parameters
        ----------
        task : Task
            What to learn.
        fitted : mapping
            Attributes of the fitted estimator that are known before the training.
        data : mapping
            What callbacks may see: X, y and metadata.
        """
        self._refuse_int8()
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        rows, held_out = self._hold_out(task, seed)
        earlier = self._earlier_state(task)
        kept = {} if earlier is None else {name: getattr(self, name) for name in self._continued}
        earlier_length = None if earlier is None else self.max_length_
        self._reset()
        self._set({**kept, **fitted})
        device, dtype = self._placement()
        with _device.seeded(device, seed):
            encoder, tokenizer = self._load_trainable(task, earlier, device, dtype)
            is_new = earlier is None
            del earlier
            self.max_length_ = self._resolve_max_length(encoder, earlier_length)
            encodings, unseen = self._encode_rows(task, encoder, rows, held_out)
            validate = (
                None if unseen is None else partial(self._validate, encoder, task, unseen, held_out)
            )
            recipe = self._recipe(seed, encoder)
            n_read = n_rows(encoder, encodings)
            n_epochs = recipe.n_epochs(n_read)
            begun = self._begun_head(task, encoder, encodings, rows, seed)
            attributes = partial(_attributes, encoder, tokenizer)
            with begun if is_new else nullcontext():
                callbacks = FitCallbacks(self, n_epochs, attributes, data)
                with callbacks, training_bar(n_epochs * n_read, self.verbose) as progress:
                    history = train(
                        encoder,
                        encodings,
                        task.objective(encodings, rows, device),
                        recipe,
                        validate=validate,
                        unseen=unseen,
                        n_skipped=self._n_skipped(encoder),
                        callback=callbacks,
                        progress=progress,
                    )
            if unseen is not None:
                self._calibrate(task, encoder, unseen, held_out)
        self._keep(state_of(encoder.model, tokenizer), history)
        del encoder  # the trained model, before one for inference is made
        _device.free_cached_memory(device)
        self._encoder = self._load_fitted()
        callbacks.on_fit_end()

    def _begun_head(
        self,
        task: Any,
        encoder: Encoder,
        encodings: Encodings,
        rows: NDArray[np.int64],
        seed: int,
    ) -> AbstractContextManager[None]:
        """Begin a new head, for the training in the block, better than at random, where it can."""
        return nullcontext()

    def _calibrate(
        self, task: Task, encoder: Encoder, unseen: Encodings, held_out: NDArray[np.int64]
    ) -> None:
        """Make probabilities right on the rows that were held out, where the estimator has any."""

    def _n_skipped(self, encoder: Encoder) -> int:
        """Return the number of tokens at the beginning of each text that the head leaves out."""
        return 0

    def _refuse_int8(self) -> None:
        if self.precision == "int8":
            raise ParameterError(
                'precision="int8" is for prediction: weights cannot be trained in it. Fit with '
                'another precision, then set_params(precision="int8") before predict.'
            )

    def _encode_rows(
        self,
        task: Task,
        encoder: Encoder,
        rows: NDArray[np.int64],
        held_out: NDArray[np.int64],
    ) -> tuple[Encodings, Encodings | None]:
        """Tokenize the rows to train on and, where there are any, those to validate on."""
        encodings = task.encode(encoder, rows, self._reading())
        if not len(held_out):
            warn_of_truncation(encodings.lost_tokens, self.max_length_, SHORTEN)
            return encodings, None
        unseen = task.encode(encoder, held_out, self._reading())
        lost = np.concatenate([encodings.lost_tokens, unseen.lost_tokens])
        warn_of_truncation(lost, self.max_length_, SHORTEN)
        return encodings, unseen

    def _hold_out(self, task: Task, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows to train on and rows to validate on; those of weight zero are in neither."""
        rows = np.flatnonzero(task.weights)
        if not self.early_stopping:
            return rows, rows[:0]
        is_extra = rows >= len(task.weights) - task.n_extra
        rows, extra = rows[~is_extra], rows[is_extra]
        strata = None if task.strata is None else task.strata[rows]
        try:
            train_rows, held_out = train_test_split(
                rows, test_size=self.validation_fraction, random_state=seed, stratify=strata
            )
        except ValueError as error:
            raise InputError(
                f"early_stopping=True cannot hold out validation_fraction="
                f"{self.validation_fraction} of {len(rows)} texts: {error} Use a larger "
                "validation_fraction, more texts of each class, or early_stopping=False."
            ) from error
        return np.concatenate([train_rows, extra]), held_out

    def _earlier_state(self, task: Task) -> ModelState | None:
        """Return the state that a warm start continues from."""
        if not (self.warm_start and hasattr(self, "_state")):
            return None
        labels = list(model_config(self._state).id2label.values())
        if labels != list(task.config["id2label"].values()):
            raise InputError(
                f"warm_start=True continues a fit with the labels {_shown(labels)}, but y now has "
                f"{_shown(list(task.config['id2label'].values()))}. Pass the same labels, or "
                "use warm_start=False."
            )
        return self._state

    def _head_columns(self, names: list[str]) -> NDArray[np.int64] | None:
        """Return where each sorted label stands in the head that a warm start continues.

        None where the head has their order, as it always has but in checkpoints made elsewhere.
        """
        if not (self.warm_start and hasattr(self, "_state")):
            return None
        earlier = list(model_config(self._state).id2label.values())
        if sorted(earlier) != sorted(names) or earlier == names:
            return None
        return np.array([earlier.index(name) for name in names])

    def _load_trainable(
        self,
        task: Task,
        earlier: ModelState | None,
        device: torch.device,
        dtype: torch.dtype,
    ) -> tuple[Encoder, Any]:
        """Load a model to train, with a new head or as an earlier fit left it."""
        if earlier is not None:
            folder = None
            tokenizer = tokenizer_of(earlier)
            config = self._configured(model_config(earlier), task)
            # Copies in float32: the training changes them.
            weights = {
                name: tensor.to(torch.float32 if tensor.is_floating_point() else None, copy=True)
                for name, tensor in weight_tensors(earlier).items()
            }
            model = self._model_of(config, weights)
        else:
            folder, self.checkpoint_ = find_checkpoint(str(self.model), self.revision)
            config = load_config(folder)
            tokenizer = load_tokenizer(folder, config)
            model = self._new_model(folder, config, task)
        freeze_parameters(model, self.freeze)
        encoder = make_encoder(readable_part(model), tokenizer, folder, device, dtype)
        read_packed(encoder, first_tokens=self._is_read_at_first_token(model))
        encoder.model = model.to(device)
        return encoder, tokenizer

    def _new_model(self, folder: Path, config: Any, task: Task) -> Any:
        """Load a checkpoint, with a new head."""
        config = self._configured(config, task)
        model, _ = load_model(folder, torch.float32, auto_class=self._auto_class, config=config)
        reset_head(model)
        return model

    def _configured(self, config: Any, task: Task) -> Any:
        for name, value in task.config.items():
            setattr(config, name, value)
        if self.dropout is not None:
            for name, value in config.to_dict().items():
                if "dropout" in name and (value is None or isinstance(value, int | float)):
                    setattr(config, name, float(self.dropout))
        return config

    def _resolve_learning_rate(self, encoder: Encoder) -> float:
        return float(self.learning_rate)

    def _recipe(self, seed: int, encoder: Encoder) -> Recipe:
        return Recipe(
            max_epochs=int(self.max_epochs),
            min_steps=int(self.min_steps),
            learning_rate=self._resolve_learning_rate(encoder),
            weight_decay=float(self.weight_decay),
            warmup_fraction=float(self.warmup_fraction),
            layer_decay=float(self.layer_decay),
            batch_size=int(self.train_batch_size),
            accumulation=int(self.gradient_accumulation),
            max_grad_norm=None if self.max_grad_norm is None else float(self.max_grad_norm),
            patience=int(self.n_epochs_no_change),
            gradient_checkpointing=bool(self.gradient_checkpointing),
            seed=seed,
        )

    def _validate(
        self, encoder: Encoder, task: Task, encodings: Encodings, rows: NDArray[np.int64]
    ) -> tuple[float, float]:
        """Score and loss on held-out rows, with the weights of the moment."""
        return task.evaluate(self._run(encoder, encodings), encodings, rows)


def _attributes(encoder: Encoder, tokenizer: Any, weights: dict[str, torch.Tensor]) -> Any:
    """Return attributes of an estimator that predicts with the weights of the moment."""
    return {"_state": state_of(encoder.model, tokenizer, weights)}


def _shown(labels: Sequence[Any]) -> str:
    """Return a list of labels, shortened."""
    shown = ", ".join(map(repr, labels[:5]))
    return f"[{shown}, ... {len(labels)} in all]" if len(labels) > 5 else f"[{shown}]"
