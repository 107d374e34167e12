"""No number that is not finite leaves transform or predict, or enters a cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from skbert import (
    BertClassifier,
    BertEmbedder,
    BertQuestionAnswerer,
    BertRegressor,
    BertTokenClassifier,
    CheckpointError,
    DeviceError,
    EmbeddingCache,
    TrainingError,
)
from skbert._kernels.int8 import _products_are_exact
from skbert._models.state import new_state
from tests.models.test_sentence_transformers import write_dense, write_modules

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["the cat sat on the mat .", "a dog", "it is good"]
QUICK: dict[str, Any] = {"max_epochs": 1, "min_steps": 0, "device": "cpu", "random_state": 0}


def change_weights(folder: Path, name: str, change: Any) -> str:
    weights = load_file(folder / "model.safetensors")
    change(weights[name])
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)


@pytest.fixture
def damaged(folder: Path) -> str:
    """A checkpoint with one NaN among its weights."""
    name = "encoder.layer.1.output.dense.weight"
    return change_weights(folder, name, lambda weights: weights[3, 5].fill_(torch.nan))


@pytest.fixture
def huge(folder: Path) -> str:
    """A checkpoint whose values overflow in float16 only."""

    def change(weights: torch.Tensor) -> None:
        weights.mul_(1e5)

    return change_weights(folder, "encoder.layer.0.intermediate.dense.weight", change)


def test_nan_in_the_weights_is_named(damaged):
    embedder = BertEmbedder(damaged, device="cpu").fit(TEXTS)
    with pytest.raises(CheckpointError, match=r'"float32".*encoder\.layer\.1\.output\.dense'):
        embedder.transform(TEXTS)


@pytest.mark.parametrize("params", [{"pooling": None}, {"layers": 2}, {"pooling": "max"}])
def test_every_kind_of_vector_is_looked_at(damaged, params):
    with pytest.raises(CheckpointError, match="NaN"):
        BertEmbedder(damaged, device="cpu", **params).fit(TEXTS).transform(TEXTS)


def test_layers_below_the_damage_are_read(damaged):
    vectors = BertEmbedder(damaged, device="cpu", layers=1).fit(TEXTS).transform(TEXTS)
    assert np.isfinite(vectors).all()


@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_nan_is_named_in_every_precision(damaged, precision, monkeypatch):
    if precision == "int8" and not _products_are_exact():
        pytest.skip("torch's int8 products are wrong on this CPU")
    monkeypatch.setattr("skbert._models.rounding.check_int8", lambda: None)
    with pytest.raises(CheckpointError, match=rf'"{precision}".*encoder\.layer\.1'):
        BertEmbedder(damaged, device="cpu", precision=precision).fit(TEXTS).transform(TEXTS)


def test_overflow_of_float16_names_the_precision(huge):
    assert np.isfinite(BertEmbedder(huge, device="cpu").fit(TEXTS).transform(TEXTS)).all()
    with pytest.raises(DeviceError, match=r'"float16".*65,504.*"bfloat16" or "float32"'):
        BertEmbedder(huge, device="cpu", precision="float16").fit(TEXTS).transform(TEXTS)


def test_nothing_of_it_enters_the_cache(damaged, tmp_path):
    cache = EmbeddingCache(tmp_path / "vectors.db")
    embedder = BertEmbedder(damaged, device="cpu", cache=cache).fit(TEXTS)
    with pytest.raises(CheckpointError, match="NaN"):
        embedder.transform(TEXTS)
    assert len(cache) == 0


FITTED = {
    "classifier": lambda model: BertClassifier(model, **QUICK).fit(TEXTS, list("aba")),
    "regressor": lambda model: BertRegressor(model, **QUICK).fit(TEXTS, [1.0, 2.0, 3.0]),
    "tagger": lambda model: BertTokenClassifier(model, **QUICK).fit([["a", "cat"]], [["O", "X"]]),
    "answerer": lambda model: BertQuestionAnswerer(model, max_length=30, stride=5, **QUICK).fit(
        [("where ?", "on the mat")], ["mat"]
    ),
}
READ = {"tagger": [["a", "cat"]], "answerer": [("where ?", "on the mat")]}


@pytest.mark.parametrize("kind", FITTED)
def test_predictions_of_damaged_heads_are_refused(kind, tiny_bert):
    estimator: Any = FITTED[kind](tiny_bert)
    state = estimator._state
    name = next(name for name in state.weights if name.endswith("layer.0.output.dense.bias"))
    broken = {**state.weights, name: np.full_like(state.weights[name], np.nan)}
    estimator._state = new_state(state.config, state.tokenizer, broken, state.bfloat16)
    estimator.release()
    with pytest.raises(CheckpointError, match=r"encoder\.layer\.0\.output\.dense"):
        estimator.predict(READ.get(kind, TEXTS))


@pytest.mark.parametrize("params", [{}, {"early_stopping": True, "validation_fraction": 0.4}])
def test_weights_of_the_last_update_are_looked_at(tiny_bert, params, monkeypatch):
    def step(self: Any, *args: Any, **kwargs: Any) -> None:
        self.param_groups[0]["params"][0].data.fill_(torch.nan)

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    texts, labels = TEXTS * 2, list("ababab")
    classifier = BertClassifier(tiny_bert, train_batch_size=8, **{**QUICK, **params})
    with pytest.raises(TrainingError, match="became NaN or infinite"):
        classifier.fit(texts, labels)


def test_nan_in_the_checkpoints_own_steps_is_named(folder):
    write_modules(folder, "Dense")
    write_dense(folder / "2_Dense")
    file = folder / "2_Dense" / "model.safetensors"
    weights = load_file(file)
    weights["linear.weight"][0, 0] = torch.nan
    save_file(weights, file)
    with pytest.raises(CheckpointError, match=r"NaN or infinite.*'linear.weight' are"):
        BertEmbedder(str(folder)).fit_transform(TEXTS)
