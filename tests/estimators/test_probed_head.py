"""Heads that begin as a probe: mixed weights, calibrated probabilities, taggers."""

from __future__ import annotations

from itertools import chain
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from skbert import BertClassifier, BertRegressor, BertTokenClassifier, ParameterError
from skbert._models.state import weight_tensors

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["a good film", "a bad film", "the cat sat", "the dog sat on the mat"] * 10
LABELS = ["film", "film", "animal", "animal"] * 10
DISTINCT = [f"{a} {b}" for a in "cat dog mat film good".split() for b in "a the sat on bad".split()]
SENTENCES = [text.split() for text in TEXTS]
TAGS = [["noun" if len(word) == 3 else "other" for word in words] for words in SENTENCES]
QUICK = {"max_epochs": 2, "min_steps": 0, "learning_rate": 1e-3, "random_state": 0}
ESTIMATORS = [
    pytest.param(BertClassifier, {"pooling": "mean"}, TEXTS, LABELS, id="pooled"),
    pytest.param(BertRegressor, {"pooling": "mean"}, TEXTS, np.arange(40.0), id="numbers"),
    pytest.param(BertClassifier, {"pooling": "cls"}, TEXTS, LABELS, id="first token"),
]


def weights(model) -> dict[str, torch.Tensor]:
    return {name: tensor.float() for name, tensor in weight_tensors(model._state).items()}


@pytest.mark.parametrize(("estimator", "options", "X", "y"), ESTIMATORS)
class TestMixing:
    def test_all_weights_are_kept_that_part_of_the_way(self, tiny_bert, estimator, options, X, y):
        whole, half, quarter = (
            weights(estimator(tiny_bert, weight_mixing=share, **options, **QUICK).fit(X, y))
            for share in (1.0, 0.5, 0.25)
        )
        moved = 0.0
        for name, end in whole.items():
            torch.testing.assert_close(
                quarter[name], end + 1.5 * (half[name] - end), atol=1e-5, rtol=1e-4
            )
            moved += float((half[name] - end).abs().sum())
        assert moved > 0.1

    def test_a_random_head_is_not_mixed(self, tiny_bert, estimator, options, X, y):
        one, other = (
            weights(
                estimator(tiny_bert, init="random", weight_mixing=share, **options, **QUICK).fit(
                    X, y
                )
            )
            for share in (1.0, 0.5)
        )
        for name, tensor in one.items():
            torch.testing.assert_close(tensor, other[name], rtol=0, atol=0)

    def test_a_warm_start_goes_on_from_what_was_kept(self, tiny_bert, estimator, options, X, y):
        model = estimator(tiny_bert, warm_start=True, **options, **QUICK).fit(X, y)
        before = weights(model)
        model.set_params(learning_rate=1e-9).fit(X, y)
        for name, tensor in weights(model).items():
            torch.testing.assert_close(tensor, before[name], atol=1e-4, rtol=1e-4)


def test_an_own_head_is_not_mixed(tiny_bert):
    one, other = (
        weights(BertClassifier(tiny_bert, weight_mixing=share, **QUICK).fit(TEXTS, LABELS))
        for share in (1.0, 0.5)
    )
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, other[name], rtol=0, atol=0)


def test_the_encoder_moves_back_to_the_checkpoint(tiny_bert):
    from transformers import AutoModel

    first = AutoModel.from_pretrained(tiny_bert).state_dict()
    options = {"pooling": "mean", **QUICK}
    end = weights(BertClassifier(tiny_bert, weight_mixing=1.0, **options).fit(TEXTS, LABELS))
    kept = weights(BertClassifier(tiny_bert, weight_mixing=0.3, **options).fit(TEXTS, LABELS))
    name = "encoder.layer.0.output.dense.weight"
    expected = first[name] + 0.3 * (end["encoder." + name] - first[name])
    torch.testing.assert_close(kept["encoder." + name], expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("share", [0, -0.1, 1.1, "half", None])
def test_a_share_that_is_none(tiny_bert, share):
    with pytest.raises(ParameterError, match="weight_mixing"):
        BertClassifier(tiny_bert, weight_mixing=share).fit(TEXTS, LABELS)


@pytest.mark.parametrize("kind", ["classes", "labels", "words"])
def test_held_out_rows_calibrate(tiny_bert, kind):
    """Of labels drawn by chance no probability is sure after the training, but before it is."""
    rng = np.random.default_rng(0)
    texts = DISTINCT * 8
    y = rng.integers(0, 2, len(texts))
    options = {"early_stopping": True, "validation_fraction": 0.4, **QUICK, "max_epochs": 12}
    options["n_epochs_no_change"] = 12
    if kind == "words":
        words = [text.split() for text in texts]
        tags = [[str(code), "x"] for code in y]
        model = BertTokenClassifier(tiny_bert, **options).fit(words, tags)
        sure = np.stack([row[0] for row in model.predict_proba(words)])
        assert sure.max(1).mean() < 0.8
        return
    targets = y if kind == "classes" else np.stack([y, 1 - y], axis=1)
    model = BertClassifier(tiny_bert, pooling="mean", **options).fit(texts, targets)
    probabilities = model.predict_proba(texts)
    assert np.abs(probabilities - 0.5).mean() < 0.3
    if kind == "classes":
        assert log_loss(y, probabilities) < 0.75


def test_a_regression_is_not_calibrated(tiny_bert):
    options = {"pooling": "mean", "early_stopping": True, **QUICK}
    model = BertRegressor(tiny_bert, **options).fit(TEXTS, [1000.0, 1001.0, 1003.0, 1004.0] * 10)
    assert 990 < model.predict(TEXTS).mean() < 1010


@pytest.mark.parametrize("init", ["probe", "random"])
def test_more_classes_than_updates_and_classes_of_one_text(tiny_bert, init):
    labels = [f"class {n}" for n in range(len(DISTINCT))]
    options = {**QUICK, "max_epochs": 1, "train_batch_size": 25}
    model = BertClassifier(tiny_bert, init=init, pooling="mean", **options).fit(DISTINCT, labels)
    assert model.predict_proba(DISTINCT).shape == (25, 25)
    assert model.score(DISTINCT, labels) > (0.8 if init == "probe" else 0)


@pytest.mark.parametrize(
    ("estimator", "size", "rate"),
    [
        (BertTokenClassifier, 768, 5e-5),
        (BertTokenClassifier, 512, 1.125e-4),
        (BertTokenClassifier, 384, 2e-4),
        (BertTokenClassifier, 1024, 5e-5),
        (BertClassifier, 768, 5e-5),
        (BertClassifier, 384, 5e-5),
        (BertRegressor, 384, 2e-4),
        (BertClassifier, 256, 1.125e-4),
        (BertRegressor, 32, 2e-4),
    ],
)
def test_auto_is_a_rate_for_the_models_size(estimator, size, rate):
    encoder = SimpleNamespace(hidden_size=size)
    assert estimator()._resolve_learning_rate(encoder) == pytest.approx(rate)
    assert estimator(learning_rate=1e-3)._resolve_learning_rate(encoder) == 1e-3


def test_the_rate_is_used_and_in_the_history(tiny_bert):
    options = {**QUICK, "max_epochs": 4, "warmup_fraction": 0.0, "train_batch_size": 10}
    del options["learning_rate"]
    model = BertClassifier(tiny_bert, **options).fit(TEXTS, LABELS)
    assert 0.7 * 2e-4 < model.history_[0]["learning_rate"] < 2e-4


class TestTagger:
    def test_with_no_epoch_it_is_the_probe(self, tiny_bert):
        model = BertTokenClassifier(tiny_bert, max_epochs=0, random_state=0).fit(SENTENCES, TAGS)
        assert model.n_iter_ == 0
        assert model.score(SENTENCES, TAGS) > 0.9
        again = BertTokenClassifier(tiny_bert, max_epochs=0, random_state=0).fit(SENTENCES, TAGS)
        np.testing.assert_array_equal(
            np.vstack(model.predict_proba(SENTENCES)), np.vstack(again.predict_proba(SENTENCES))
        )

    def test_no_epoch_of_a_random_head(self):
        """Said before a model is looked for."""
        with pytest.raises(ParameterError, match='init="random" results in a random head'):
            BertTokenClassifier("nowhere", init="random", max_epochs=0).fit(SENTENCES, TAGS)

    def test_of_many_words_some_are_enough(self, tiny_bert, monkeypatch):
        monkeypatch.setattr("skbert._training.word_task.MOST_ROWS", 60)
        model = BertTokenClassifier(tiny_bert, max_epochs=0, random_state=0).fit(SENTENCES, TAGS)
        assert model.score(SENTENCES, TAGS) > 0.8

    def test_sentences_longer_than_the_window(self, tiny_bert):
        X, y = ([[*chain(*rows)], *rows] for rows in (SENTENCES, TAGS))
        model = BertTokenClassifier(tiny_bert, max_epochs=0, max_length=16, random_state=0)
        assert model.fit(X, y).score(X, y) > 0.8
