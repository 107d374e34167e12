"""Estimators that hold a trained model: prediction, pickling, the Hugging Face layout."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skbert._estimators.base import BertEstimator, warn_of_truncation
from skbert._exceptions import CheckpointError, InputError, ParameterError
from skbert._inference.chunks import Reading, encoded_texts
from skbert._inference.loop import Logits, Progress, start_batches
from skbert._inference.pooling import every_token
from skbert._inference.prediction import predict_in_workers
from skbert._inference.progress import progress_bar
from skbert._inference.workers import are_workers_asked
from skbert._models.checkpoint import find_checkpoint
from skbert._models.checks import check_labels
from skbert._models.device import float_dtype
from skbert._models.encoder import Encoder, make_encoder, prepare_for_inference
from skbert._models.foreign import quiet_transformers
from skbert._models.loading import load_config, load_model, model_from_weights
from skbert._models.state import ModelState, model_config, state_of, tokenizer_of, weight_tensors
from skbert._models.tokenizer import load_tokenizer
from skbert._texts.inputs import Texts, check_texts_or_pairs
from skbert._texts.windows import Encodings
from skbert._training.callbacks import history_attributes
from skbert._training.pooled_model import PooledModel, readable_part

SHORTEN = "shorten them"


class TrainedEstimator(BertEstimator):
    """Base class of the estimators that hold a trained model with a head.

    The model is kept as plain data in ``_state`` and pickled by value; ``_encoder``, made of it,
    computes predictions and is not pickled.
    """

    # Class of transformers with the head, and whether that reads only the first token of a text.
    _auto_class: ClassVar[str] = "AutoModelForSequenceClassification"
    _reads_first_tokens: ClassVar[bool] = True
    _state: ModelState
    _reads_pairs: bool | None
    max_length_: int

    @classmethod
    def from_pretrained(cls, model: str, *, revision: str | None = None, **params: Any) -> Self:
        """Return a fitted estimator from an already fine-tuned checkpoint.

        Parameters
        ----------
        model : str
            Model on the Hugging Face hub, or folder that was written by `save_pretrained` of skbert
            or transformers.
        revision : str, default=None
            Branch, tag or commit of the hub; the main branch by default.
        **params
            Other parameters of the estimator.

        Returns
        -------
        estimator : estimator of this class
            The fitted estimator.

        Raises
        ------
        CheckpointError
            If the checkpoint cannot be found or loaded, or has no trained head for this task.
        """
        estimator = cls(model, revision=revision, **params)
        estimator._check_params()
        folder, checkpoint = find_checkpoint(str(model), revision)
        config = load_config(folder)
        check_labels(config, folder)
        extras = getattr(config, "skbert", {})
        loaded, random = estimator._load_trained(folder, config, extras)
        if random:
            raise CheckpointError(
                f"{model!r} has no trained head for {cls.__name__}: {sorted(random)[0]!r} is "
                f"missing or has another shape than in config.json. Train one: "
                f"{cls.__name__}(model={model!r}).fit(X, y)."
            )
        fitted = estimator._attributes_of(config, extras)
        fitted |= estimator._attributes_of_files(folder, config)
        tokenizer = load_tokenizer(folder, config)
        readable = readable_part(loaded)
        place = torch.device("cpu"), readable.dtype
        encoder = make_encoder(readable, tokenizer, folder, *place, is_computed=False)
        estimator.max_length_ = estimator._resolve_max_length(encoder, extras.get("max_length"))
        estimator.checkpoint_ = checkpoint
        estimator._reads_pairs = extras.get("reads_pairs")
        estimator._set(_columns_of(extras))
        estimator._set(fitted)
        weights = estimator._weights_to_keep(loaded.state_dict())
        estimator._keep(state_of(loaded, tokenizer, weights), history=[])
        return estimator

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model in the Hugging Face layout: configuration, tokenizer, safetensors.

        Parameters
        ----------
        folder : str or Path
            Folder to write to. It is created if it does not exist. Existing files are replaced.
        """
        check_is_fitted(self)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        model = self._model_of(self._config_to_save(), self._weights_to_save())
        with quiet_transformers():
            self._write_model(model, folder)
        for name, content in self._state.tokenizer.items():
            (folder / name).write_text(content, encoding="utf-8")

    def _write_model(self, model: Any, folder: Path) -> None:
        """Write configuration and weights."""
        model.save_pretrained(folder)

    def _load_trained(
        self, folder: Path, config: Any, extras: Mapping[str, Any]
    ) -> tuple[Any, set[str]]:
        """Load a trained model; also the names of weights that the checkpoint does not hold."""
        return load_model(folder, "auto", auto_class=self._auto_class, config=config)

    def _model_of(self, config: Any, weights: dict[str, torch.Tensor]) -> Any:
        """Build a model with its head around weights; they are shared, not copied."""
        return model_from_weights(config, weights, self._auto_class)

    def _attributes_of(self, config: Any, extras: Mapping[str, Any]) -> dict[str, Any]:
        """Return fitted attributes, for `from_pretrained`, from a configuration."""
        raise NotImplementedError

    def _attributes_of_files(self, folder: Path, config: Any) -> dict[str, Any]:
        """Return further ones, from the checkpoint's other files."""
        return {}

    def _config_to_save(self) -> Any:
        config = model_config(self._state)
        config.skbert = self._extras()
        return config

    def _extras(self) -> dict[str, Any]:
        """Return what `save_pretrained` writes beside transformers' own settings, as JSON."""
        return {
            "max_length": self.max_length_,
            "reads_pairs": self._reads_pairs,
            "columns": list(getattr(self, "feature_names_in_", [])),
        }

    def _weights_to_keep(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Turn weights as `save_pretrained` writes them into those of the state."""
        return weights

    def _weights_to_save(self) -> dict[str, torch.Tensor]:
        return weight_tensors(self._state)

    def _set(self, attributes: Mapping[str, Any]) -> None:
        for name, value in attributes.items():
            setattr(self, name, value)

    def _keep(self, state: ModelState, history: list[dict[str, float]]) -> None:
        self._state = state
        self._set(history_attributes(history))

    def __sklearn_is_fitted__(self) -> bool:
        return "_state" in vars(self)

    def _check_X(self, X: Any, *, reset: bool) -> Any:
        """Turn X into texts or pairs: the one hook through which all input comes."""
        texts = self._read(X)
        is_pairs = texts.are_pairs
        # An empty list holds neither: engines pass parts of tables that are empty.
        if len(texts) and not reset and self._reads_pairs not in (None, is_pairs):
            kinds = ("single texts", "pairs of texts")
            raise InputError(
                f"X contains {kinds[is_pairs]}, but this {type(self).__name__} was fitted on "
                f"{kinds[not is_pairs]}. Pass what it was fitted on, or fit it again."
            )
        self._check_columns(X, reset=reset)
        return texts

    def _read(self, X: Any) -> Texts:
        """Turn X into texts or pairs."""
        return check_texts_or_pairs(X)

    def _predict_logits(self, X: Any) -> NDArray[np.float32]:
        """Compute the head's outputs for each text, (n_texts, n_outputs), chunk by chunk."""
        check_is_fitted(self)
        self._check_params()
        texts = self._check_X(X, reset=False)
        with progress_bar(len(texts) * self._reading().n_texts_a_row, "text", self.verbose) as bar:
            parts = self._computed(texts, texts.sizes, bar)
        if not parts:
            return self._no_logits()
        logits, lost = zip(*parts, strict=True)
        warn_of_truncation(np.concatenate(lost), self.max_length_, SHORTEN)
        return np.concatenate(logits)

    def _no_logits(self) -> NDArray[np.float32]:
        """Return what the head gives of no rows, (0, n_outputs)."""
        return np.empty((0, model_config(self._state).num_labels), np.float32)

    def _computed(self, rows: Any, sizes: Sequence[int], bar: Any, *options: Any) -> list[Any]:
        """Compute rows chunk by chunk, here or in workers; the parts are in the rows' order.

        No rows have no parts.
        """
        if not sizes:
            return []
        if are_workers_asked(self.n_jobs):
            return predict_in_workers(self, rows, sizes, bar, *options)
        return list(self._compute(rows, np.arange(len(sizes)), bar, *options))

    def _compute(
        self, rows: Any, positions: NDArray[np.int64], bar: Any, *options: Any
    ) -> Iterator[Any]:
        """Compute what is asked of rows, chunk by chunk."""
        encoder = self._loaded()
        for encodings in self._encodings(encoder, rows, positions):
            bar.total += len(encodings.owned) - len(encodings.lost_tokens)  # extra windows
            yield self._part(self._run(encoder, encodings, bar.update), encodings, *options)

    def _encodings(
        self, encoder: Encoder, rows: Any, positions: NDArray[np.int64]
    ) -> Iterator[Encodings]:
        """Encode rows chunk by chunk; an error names a row by its number in ``positions``."""
        return encoded_texts(encoder.tokenizer, rows, self._reading(), encoder.device, positions)

    def _part(self, logits: NDArray[np.float32], encodings: Encodings, *options: Any) -> Any:
        """Return what a prediction needs of a chunk: the logits, and what was cut off."""
        return logits, encodings.lost_tokens

    def _for_workers(self) -> Self:
        """Return what workers predict with; one with a GPU must not choose another precision."""
        _, dtype = self._placement()
        precision = str(dtype).removeprefix("torch.")
        return copy.copy(self).set_params(precision=precision, n_jobs=None, verbose=0)

    def _reading(self) -> Reading:
        """Return how texts are read."""
        return Reading(self.max_length_)

    def _run(
        self,
        encoder: Encoder,
        encodings: Encodings,
        progress: Progress = lambda n_windows: None,
    ) -> NDArray[np.float32]:
        """Return logits of windows or, where the head reads tokens, of their owned tokens."""
        one_a_window = np.ones_like(encodings.lengths)
        finish = start_batches(
            encoder,
            encodings,
            Logits(),
            every_token,
            batch_size=self._windows_per_batch,
            rows_per_window=one_a_window if self._reads_first_tokens else encodings.n_owned,
            progress=progress,
        )
        return finish()

    def _is_read_at_first_token(self, model: Any) -> bool:
        return self._reads_first_tokens and not isinstance(model, PooledModel)

    def _resolve_max_length(self, encoder: Encoder, default: int | None = None) -> int:
        default = encoder.default_max_length if default is None else default
        chosen = default if self.max_length is None else int(self.max_length)
        if chosen > encoder.longest_input:
            raise ParameterError(
                f"max_length={self.max_length} is more than the {encoder.longest_input} tokens "
                f"that {self.model!r} can read at once. Use at most that."
            )
        return chosen

    def _load_fitted(self) -> Encoder:
        """Make a model for inference from the state."""
        encoder, model = self._made_of_state(*self._placement())
        prepare_for_inference(encoder, first_tokens=self._is_read_at_first_token(model))
        encoder.model = model.to(encoder.device)
        return encoder

    def _load_plain(self) -> Encoder:
        """Make the model from the state as transformers makes it, in float32 on the CPU."""
        encoder, model = self._made_of_state(torch.device("cpu"), torch.float32)
        encoder.model = model
        return encoder

    def _made_of_state(self, device: torch.device, dtype: torch.dtype) -> tuple[Encoder, Any]:
        """Return what of the model is transformers' own, not yet laid out, and all of it."""
        model = self._model_of(model_config(self._state), weight_tensors(self._state))
        readable = readable_part(model).to(float_dtype(dtype))
        return make_encoder(readable, tokenizer_of(self._state), None, device, dtype), model


def _columns_of(extras: Mapping[str, Any]) -> dict[str, Any]:
    """Return scikit-learn's attributes for the columns that a saved estimator was fitted on."""
    names = extras.get("columns")
    if not names:
        return {}
    return {"n_features_in_": len(names), "feature_names_in_": np.array(names, dtype=object)}
