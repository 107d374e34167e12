"""Linear probes, compared with scikit-learn's own models."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from torch import nn

from skbert._training import probe as probe_module
from skbert._training.probe import (
    STRENGTHS,
    logistic_probe,
    multilabel_probe,
    output_layer,
    ridge_probe,
)


def data(n: int = 90, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    codes = np.arange(n) % n_classes
    centres = rng.normal(size=(n_classes, 8))
    return (centres[codes] + rng.normal(size=(n, 8))).astype(np.float32), codes


@pytest.mark.parametrize("n_classes", [2, 3])
def test_it_is_a_logistic_regression_of_one_of_the_strengths(n_classes):
    features, codes = data(n_classes=n_classes)
    found = logistic_probe(features, codes, np.ones(len(codes)), n_classes, 0)
    logits = features @ found.weight.T + found.bias
    fitted = [LogisticRegression(C=C, max_iter=1000).fit(features, codes) for C in STRENGTHS]
    between = logits - logits.mean(1, keepdims=True)
    ratios = []
    for model in fitted:
        scores = model.decision_function(features)
        scores = np.stack([-scores, scores], 1) / 2 if n_classes == 2 else scores
        ratios.append(between / scores)
    spread, factor = min((np.ptp(ratio), np.median(ratio)) for ratio in ratios)
    assert spread < 1e-2
    assert factor == pytest.approx(1, abs=1e-3)


def test_few_rows_of_many_classes_are_sharpened():
    rng = np.random.default_rng(0)
    codes = np.arange(120) % 40
    centres = rng.normal(size=(40, 30))
    features = (centres[codes] + 0.9 * rng.normal(size=(120, 30))).astype(np.float32)
    unseen = (centres[codes] + 0.9 * rng.normal(size=(120, 30))).astype(np.float32)
    probe = logistic_probe(features, codes, np.ones(120), 40, 0)
    assert (probe.sharpening > 1).all()
    found = probe.sharpened()
    loss = log_loss(codes, softmax(unseen @ found.weight.T + found.bias, axis=1))
    plain = [LogisticRegression(C=C, max_iter=1000).fit(features, codes) for C in STRENGTHS]
    # As good as the best strength, whatever that is, without a look at the unseen rows.
    assert loss < min(log_loss(codes, model.predict_proba(unseen)) for model in plain) + 0.02


def test_only_the_relation_of_weights_matters_and_they_count():
    features, codes = data()
    weights = np.random.default_rng(1).uniform(0.5, 2, len(codes))
    one = logistic_probe(features, codes, weights, 3, 0)
    many = logistic_probe(features, codes, 100 * weights, 3, 0)
    np.testing.assert_allclose(one.weight, many.weight, atol=1e-6)
    unweighted = logistic_probe(features, codes, np.ones(len(codes)), 3, 0)
    assert np.abs(one.weight - unweighted.weight).max() > 1e-3


def test_a_class_without_rows_gets_no_weight_and_the_least_bias():
    features, codes = data()
    found = logistic_probe(features, np.where(codes == 1, 3, codes), np.ones(90), 4, 0)
    assert not found.weight[1].any()
    assert found.bias[1] == found.bias.min()
    alone = logistic_probe(features, np.zeros(90, np.int64), np.ones(90), 2, 0)
    assert not alone.weight.any()


def test_labels_one_against_the_rest():
    features, codes = data()
    is_label = np.stack([codes == 0, codes > 0, np.ones(90)], axis=1).astype(np.float32)
    found = multilabel_probe(features, is_label, np.ones(90), 3, 0)
    np.testing.assert_allclose(found.weight[0], -found.weight[1], atol=1e-4)
    assert found.bias[2] > 3
    assert not found.weight[2].any()


def test_numbers_are_a_ridge_regression():
    features, _ = data()
    values = (features @ np.arange(16).reshape(8, 2)).astype(np.float32)
    found = ridge_probe(features, values, np.ones(90), 2, 0)
    np.testing.assert_allclose(features @ found.weight.T + found.bias, values, atol=1)


def test_a_solver_that_stops_early_is_said_once(monkeypatch):
    monkeypatch.setattr(probe_module, "MOST_ITERATIONS", 1)
    features, codes = data()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        logistic_probe(features, codes, np.ones(90), 3, 0)
    assert [w.category for w in caught] == [ConvergenceWarning]


def test_one_row_a_class_is_no_failure():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        logistic_probe(np.eye(30, dtype=np.float32), np.arange(30), np.ones(30), 30, 0)


def test_output_layer_is_the_last_of_the_head():
    class Model(nn.Module):
        base_model_prefix = "bert"

        def __init__(self):
            super().__init__()
            self.bert = nn.Linear(4, 3)
            self.dense = nn.Linear(4, 4)
            self.classifier = nn.Linear(4, 3)

    model = Model()
    assert output_layer(model, 3) == (model, "classifier")
    assert output_layer(model, 7) is None
