"""Temperatures, on logits whose probabilities are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.metrics import log_loss
from torch import nn

from skbert._training.calibration import best_temperature, soften


def drawn(n: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and classes that have their probabilities."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2, size=(n, n_classes)).astype(np.float32)
    classes = [rng.choice(n_classes, p=row) for row in softmax(logits.astype(float), axis=1)]
    return logits, np.array(classes)


@pytest.mark.parametrize("factor", [2.0, 6.0])
def test_too_sure_logits_are_softened_to_what_they_were(factor):
    logits, classes = drawn(4000, 3)
    found = best_temperature(lambda z: log_loss(classes, softmax(z, axis=1)), factor * logits)
    assert found == pytest.approx(factor, rel=0.08)


def test_logits_are_never_made_surer():
    logits, classes = drawn(4000, 3)
    assert best_temperature(
        lambda z: log_loss(classes, softmax(z, axis=1)), logits / 3
    ) == pytest.approx(1, abs=1e-3)
    right = np.eye(3, dtype=np.float32)
    assert best_temperature(lambda z: log_loss([0, 1, 2], softmax(z, axis=1)), right) == (
        pytest.approx(1, abs=1e-3)
    )


def test_a_softened_layer_gives_divided_outputs():
    layer, x = nn.Linear(4, 3), torch.ones(2, 4)
    before = layer(x)
    soften(layer, 2.5)
    torch.testing.assert_close(layer(x), before / 2.5)
