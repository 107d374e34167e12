"""Estimators with one output a text, or pair: what their head reads, and how it is kept.

By a pooled head, or the model's own; `text_estimator.py` chooses, by the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skbert._estimators.number_columns import NumberColumns
from skbert._estimators.onnx_files import check_reading, onnx_file, write_onnx
from skbert._estimators.probed_head import ProbedHead
from skbert._exceptions import ParameterError
from skbert._inference.chunks import Reading
from skbert._inference.embedding import Settings, text_vectors
from skbert._inference.loop import HiddenStates, Logits, Outputs, Progress
from skbert._inference.onnx_graph import TextGraph
from skbert._models.encoder import Encoder
from skbert._models.loading import load_encoder_model
from skbert._models.sentence_layout import (
    can_express,
    read_dense,
    read_head,
    write_head,
    write_sentence_layout,
)
from skbert._texts.windows import Encodings
from skbert._training.pooled_model import PooledModel, logits_of_vectors, pooled_from_weights

# pooling_ where the head is the model's own.
OWN_HEAD = "head"
# How pairs are read: both texts in one window, or each by itself.
CROSS_ENCODER, BI_ENCODER = "cross-encoder", "bi-encoder"


class PooledHead(ProbedHead):
    """Base class of `TextEstimator`: a fitted head.

    ``pooling_`` says what the head reads: a pooling, several, or "head" where it is the model's
    own, which reads what it likes. ``pair_mode_`` says how pairs are read; None for single texts.
    """

    _numbers: NumberColumns | None = None
    pooling_: str | tuple[str, ...]
    pair_mode_: str | None
    prompt_: str
    _include_prompt: bool
    # Parameters of the estimators.
    overflow: str
    stride: int | None
    text_columns: Any
    weight_mixing: float

    @property
    def _poolings(self) -> tuple[str, ...] | None:
        """The poolings that the head reads; None where it is the model's own."""
        if self.pooling_ == OWN_HEAD:
            return None
        return (self.pooling_,) if isinstance(self.pooling_, str) else self.pooling_

    @property
    def _reads_apart(self) -> bool:
        return getattr(self, "pair_mode_", None) == BI_ENCODER

    @property
    def _n_numbers(self) -> int:
        """Numbers beside each text that the head reads."""
        return 0 if self._numbers is None else self._numbers.n_features

    def _pooled(self, encoder: Any) -> PooledModel:
        assert self._poolings is not None
        return PooledModel(
            encoder, self._poolings, in_pairs=self._reads_apart, n_numbers=self._n_numbers
        )

    def _reading(self) -> Reading:
        return Reading(
            self.max_length_,
            self.overflow,
            None if self.stride is None else int(self.stride),
            self.prompt_,
            self._reads_apart,
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
        return logits_of_vectors(encoder.model, vectors, encodings.numbers)

    @property
    def _mixing(self) -> float:
        # An own head's layers begin at random: half of the way from them is nowhere.
        return 1.0 if self._poolings is None else float(self.weight_mixing)

    def _model_of(self, config: Any, weights: dict[str, torch.Tensor]) -> Any:
        if self._poolings is None:
            return super()._model_of(config, weights)
        return pooled_from_weights(
            config,
            weights,
            self._poolings,
            in_pairs=self._reads_apart,
            n_numbers=self._n_numbers,
        )

    def _load_trained(
        self, folder: Path, config: Any, extras: Mapping[str, Any]
    ) -> tuple[Any, set[str]]:
        pooling = extras.get("pooling", OWN_HEAD)
        self.pooling_ = pooling if isinstance(pooling, str) else tuple(pooling)
        of_pairs = CROSS_ENCODER if extras.get("reads_pairs") else None
        self.pair_mode_ = extras.get("pair_mode", of_pairs)
        self.prompt_ = extras.get("prompt", "")
        self._include_prompt = extras.get("include_prompt", True)
        self.text_columns = extras.get("text_columns", self.text_columns)
        numbers = extras.get("numbers")
        self._numbers = None if numbers is None else NumberColumns.from_json(numbers)
        if self._poolings is None:
            return super()._load_trained(folder, config, extras)
        model = self._pooled(load_encoder_model(folder, "auto", config))
        if self._is_dense_step:
            weight, bias = read_dense(folder)  # of vectors of length 1
            model.head.load_state_dict({"weight": weight / model.length, "bias": bias})
        else:
            model.head.load_state_dict(read_head(folder))
        return model, set()

    @property
    def _is_dense_step(self) -> bool:
        """Whether sentence-transformers has the pooled head, as a step behind the pooling."""
        is_known = can_express(self._poolings or ())
        return is_known and not self._reads_apart and not self._n_numbers

    def _write_model(self, model: Any, folder: Path) -> None:
        if self._poolings is None:
            super()._write_model(model, folder)
            return
        model.encoder.save_pretrained(folder)
        weight, bias = model.head.weight.detach(), model.head.bias.detach()
        if not self._is_dense_step:
            write_head(folder, weight, bias)
        if not can_express(self._poolings):
            return
        write_sentence_layout(
            folder,
            poolings=self._poolings,
            size=model.encoder.config.hidden_size,
            dense=(weight * model.length, bias) if self._is_dense_step else None,
            max_length=self.max_length_,
            prompt=self.prompt_,
            include_prompt=self._include_prompt,
        )

    def _extras(self) -> dict[str, Any]:
        return {
            **super()._extras(),
            "pooling": self.pooling_ if isinstance(self.pooling_, str) else list(self.pooling_),
            "pair_mode": self.pair_mode_,
            "prompt": self.prompt_,
            "include_prompt": self._include_prompt,
            "text_columns": _as_json(self.text_columns),
            "numbers": None if self._numbers is None else self._numbers.to_json(),
        }

    def to_onnx(self, path: str | Path) -> None:
        """Write the model with its head as an ONNX graph, for runtimes without Python or torch.

        Two files are written beside it: ``tokenizer.json``, for ``tokenizers.Tokenizer.from_file``,
        which truncates texts at `max_length_` and pads them, and ``skbert.json``, with the prompt
        to put before each text and the classes. The inputs of the graph are ``input_ids``,
        ``attention_mask`` and, if the model reads them, ``token_type_ids``, for any number of texts
        or pairs of any length. The output of a classifier is ``logits``, of shape (n_texts,
        n_classes), in the order of `classes_`. The output of a regressor is ``values``, as in
        `predict`. Needs the extra ``onnx``.

        Parameters
        ----------
        path : str or Path
            File with the extension ".onnx", in a separate folder. Existing files are replaced.

        Raises
        ------
        ParameterError
            If the estimator cannot be exported (windows, a bi-encoder, a prompt that is not pooled,
            a model whose computation depends on the length of the texts).
        MissingPackageError
            If onnx, onnxscript or onnxruntime is not installed.
        """
        check_is_fitted(self)
        self._check_params()
        file = onnx_file(path, self)
        if self._reads_apart:
            raise ParameterError(
                f"pair_mode_={self.pair_mode_!r}: an ONNX graph reads one text or pair per row, "
                f"and a {BI_ENCODER} two texts; expected pair_mode={CROSS_ENCODER!r}. Fit with "
                "that, or export a BertEmbedder and compare the vectors."
            )
        if self._n_numbers:
            raise ParameterError(
                f"text_columns={self.text_columns!r}: the head reads {self._n_numbers} numbers "
                "beside the text, and an ONNX graph reads tokens. Fit on the text alone."
            )
        check_reading(self)
        encoder = self._load_plain()
        name, steps = self._last_steps()
        outputs: Outputs = Logits()
        if self._poolings is not None:
            outputs, steps = self._settings(encoder).states, [encoder.model.logits, *steps]
        graph = TextGraph(encoder, outputs, self._poolings, steps)
        said = {"reads_pairs": self._reads_pairs, **self._onnx_settings()}
        write_onnx(self, file, graph, name, said)

    def _last_steps(self) -> tuple[str, list[Any]]:
        """Return what `to_onnx` makes of the head's outputs: its name, and the steps to it."""
        raise NotImplementedError

    def _onnx_settings(self) -> dict[str, Any]:
        """Return what a reader of the graph needs to know, as JSON."""
        return {}


def _as_json(columns: Any) -> Any:
    """Return names or positions of columns without numpy's types."""
    if isinstance(columns, list | tuple):
        return [_as_json(column) for column in columns]
    return columns if columns is None or isinstance(columns, str) else int(columns)
