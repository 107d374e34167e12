"""Frozen layers that are computed once give the same training."""

from __future__ import annotations

import numpy as np
import pytest

from skbert import BertClassifier, BertTokenClassifier
from skbert._training import frozen_layers as module
from skbert._training.frozen_layers import FrozenLayers
from tests.conformity.checkpoints import FAMILIES, save_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ["a good film", "a bad film", "the cat sat", "the dog sat on the mat", "it was good"] * 4
LABELS = ["film", "film", "animal", "animal", "film"] * 4
RECIPE = {
    "max_epochs": 3, "min_steps": 0, "learning_rate": 1e-2, "train_batch_size": 4,
    "dropout": 0.0, "random_state": 0,
}  # fmt: skip


@pytest.fixture
def calls(monkeypatch):
    """Count how often frozen layers are computed while texts are trained on."""
    counted = {"computed": 0, "skipped": 0}
    last = FrozenLayers._last

    def count(self, own, hidden, *args, **kwargs):
        if self.rows is not None:
            counted["skipped" if self._is_skipped else "computed"] += 1
        return last(self, own, hidden, *args, **kwargs)

    monkeypatch.setattr(FrozenLayers, "_last", count)
    return counted


@pytest.mark.parametrize("in_file", [False, True], ids=["memory", "file"])
@pytest.mark.parametrize("freeze", [1, 2, "encoder"])
@pytest.mark.parametrize("pooling", ["mean", "max", "head"])
def test_weights_are_those_of_computing_them_each_time(
    tiny_bert, monkeypatch, calls, pooling, freeze, in_file
):
    if in_file:
        monkeypatch.setattr(module, "MOST_BYTES_IN_MEMORY", 0)
    model = BertClassifier(tiny_bert, pooling=pooling, freeze=freeze, **RECIPE)
    kept = model.fit(TEXTS, LABELS)._state
    assert calls == {"computed": 5, "skipped": 10}
    with monkeypatch.context() as patched:
        patched.setattr(module, "frozen_layers", lambda encoder: [])
        plain = model.fit(TEXTS, LABELS)._state
    for name, weight in plain.weights.items():
        np.testing.assert_allclose(kept.weights[name], weight, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("freeze", [None, 0, "embeddings"])
def test_nothing_is_kept_where_all_layers_are_trained(tiny_bert, calls, freeze):
    BertClassifier(tiny_bert, pooling="mean", freeze=freeze, **RECIPE).fit(TEXTS, LABELS)
    assert calls == {"computed": 0, "skipped": 0}


def test_windows_early_stopping_and_dropout_above(tiny_bert, calls):
    """Held-out texts are computed as ever; dropout in the upper layers goes on."""
    recipe = RECIPE | {"dropout": 0.2, "max_length": 8, "overflow": "windows"}
    model = BertClassifier(tiny_bert, pooling="mean", freeze=1, early_stopping=True, **recipe)
    model.fit([" ".join(TEXTS[:4]), *TEXTS[1:]], LABELS)
    assert calls["skipped"] > 0
    assert model.predict(TEXTS).shape == (20,)


def test_words(tiny_bert, calls):
    words = [text.split() for text in TEXTS]
    tags = [[word[0] for word in sentence] for sentence in words]
    BertTokenClassifier(tiny_bert, freeze=1, **RECIPE).fit(words, tags)
    assert calls == {"computed": 5, "skipped": 10}


@pytest.mark.parametrize(
    "name", ["electra", "mpnet", "modernbert", "deberta-v2", "eurobert", "nomic_bert"]
)
def test_layers_of_every_kind(name, tmp_path, monkeypatch, calls):
    """Narrow embeddings: ELECTRA; layers that return tuples: MPNet; no `embeddings`: EuroBERT."""
    folder = str(save_checkpoint(tmp_path, FAMILIES[name]))
    model = BertClassifier(folder, pooling="mean", freeze=1, **RECIPE)
    kept = model.fit(TEXTS, LABELS)._state
    assert calls == {"computed": 5, "skipped": 10}
    monkeypatch.setattr(module, "frozen_layers", lambda encoder: [])
    plain = model.fit(TEXTS, LABELS)._state
    for key, weight in plain.weights.items():
        np.testing.assert_allclose(kept.weights[key], weight, atol=1e-5, err_msg=key)
