"""Estimators whose new head begins as a linear model of what the frozen encoder gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from skbert._estimators.fine_tuned import FineTunedEstimator
from skbert._estimators.parameters import Rule, number, one_of, whole_number
from skbert._exceptions import ParameterError
from skbert._models.device import autocast
from skbert._models.encoder import Encoder
from skbert._texts.windows import Encodings
from skbert._training.calibration import best_temperature, soften
from skbert._training.optimization import Recipe
from skbert._training.probe import Probe, begin_with, output_layer, without_output_layer
from skbert._training.tasks import Task
from skbert._training.weight_mixing import mixed_with_first

# That of BERT-base (Devlin et al. 2019), and the most that "auto" makes of it for small models.
USUAL_RATE, HIGHEST_RATE = 5e-5, 2e-4


class ProbedHead(FineTunedEstimator):
    """Base class of the estimators with `init`, `head_learning_rate` and a rate that is "auto"."""

    _rules: ClassVar[Mapping[str, Rule]] = {
        **FineTunedEstimator._rules,
        "max_epochs": whole_number(0, or_else=0),
        "init": one_of("probe", "random"),
        "learning_rate": number(0, open_ends="least", or_else="auto"),
        "head_learning_rate": number(0, open_ends="least", or_else=None),
    }
    # The hidden size from which on the usual rate is high enough.
    _size_of_usual_rate: ClassVar[int]
    init: str
    head_learning_rate: float | None

    def _check_params(self) -> None:
        super()._check_params()
        if self.max_epochs == 0 and self.init == "random":
            raise ParameterError(
                'max_epochs=0 with init="random" results in a random head. Use init="probe", or '
                "max_epochs of at least 1."
            )

    @contextmanager
    def _begun_head(
        self,
        task: Any,
        encoder: Encoder,
        encodings: Encodings,
        rows: NDArray[np.int64],
        seed: int,
    ) -> Iterator[None]:
        place = output_layer(encoder.model, len(task.config["id2label"]))
        probe = None
        if self.init == "probe" and place is not None:
            probe = self._probe(task, encoder, encodings, rows, seed, place)
        if place is None or probe is None:
            yield
            return
        layer = getattr(*place)
        begin_with(layer, probe.sharpened())
        if self.max_epochs == 0:
            yield
            return
        with mixed_with_first(encoder.model, self._mixing):
            begin_with(layer, probe)
            yield

    @property
    def _mixing(self) -> float:
        """How far the weights go from the probe's to where the training takes them."""
        return 1.0

    def _probe(
        self,
        task: Any,
        encoder: Encoder,
        encodings: Encodings,
        rows: NDArray[np.int64],
        seed: int,
        place: tuple[nn.Module, str],
    ) -> Probe | None:
        """Fit a probe; None where what the output layer reads is not one vector a row."""
        chosen = task.rows_of_probe(rows, seed)
        if len(chosen) < len(rows):
            encodings = task.encode(encoder, chosen, self._reading())
        with without_output_layer(*place), autocast(encoder.device, encoder.dtype):
            features = self._features(task, encoder, encodings, chosen)
        if features.shape[1] != getattr(*place).in_features:
            return None
        return task.probe(features, encodings, chosen, seed)

    def _features(
        self, task: Any, encoder: Encoder, encodings: Encodings, rows: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Return what the output layer reads of some rows; the layer itself is gone."""
        return self._run(encoder, encodings)

    def _calibrate(
        self, task: Task, encoder: Encoder, unseen: Encodings, held_out: NDArray[np.int64]
    ) -> None:
        place = output_layer(encoder.model, len(task.config["id2label"]))
        if place is None or task.config.get("problem_type") == "regression":
            return
        with autocast(encoder.device, encoder.dtype):
            logits = self._run(encoder, unseen)
        temperature = best_temperature(
            lambda softened: task.evaluate(softened, unseen, held_out)[1], logits
        )
        soften(getattr(*place), temperature)

    def _resolve_learning_rate(self, encoder: Encoder) -> float:
        if self.learning_rate != "auto":
            return float(self.learning_rate)
        ratio = max(1.0, self._size_of_usual_rate / encoder.hidden_size)
        return min(HIGHEST_RATE, USUAL_RATE * ratio**2)

    def _recipe(self, seed: int, encoder: Encoder) -> Recipe:
        rate = self.head_learning_rate
        rate = None if rate is None else float(rate)
        return replace(super()._recipe(seed, encoder), head_learning_rate=rate)
