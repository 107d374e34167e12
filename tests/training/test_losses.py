"""Losses by hand, and the weights of their rows."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss

from skbert._training.losses import (
    LabelledPieces,
    SpanPositions,
    WeightedRows,
    binary_cross_entropy,
    cross_entropy,
    squared_error,
)

CPU = torch.device("cpu")
ALL = np.arange(4)
LOGITS = np.array([[2.0, 0.0], [0.0, 0.0], [-1.0, 1.0], [3.0, 1.0]], np.float32)
CODES = np.array([0, 1, 1, 1], np.int64)
# -log of the probability of the right class.
BY_HAND = [math.log1p(math.exp(-2)), math.log(2), math.log1p(math.exp(-2)), math.log1p(math.exp(2))]


def objective(weights: list[float] | np.ndarray) -> WeightedRows:
    return WeightedRows(cross_entropy, CODES, np.asarray(weights, np.float64), CPU)


def tensor(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(values)


def test_cross_entropy():
    losses = cross_entropy(tensor(LOGITS), tensor(CODES))
    np.testing.assert_allclose(losses, BY_HAND, rtol=1e-6)


def test_cross_entropy_is_that_of_scikit_learn():
    logits = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    codes = np.arange(9) % 4
    expected = log_loss(codes, torch.softmax(tensor(logits).double(), 1).numpy())
    assert cross_entropy(tensor(logits), tensor(codes)).mean() == pytest.approx(expected, rel=1e-6)


def test_binary_cross_entropy_is_the_mean_over_the_labels():
    logits = torch.tensor([[0.0, 2.0, -1.0], [5.0, 0.0, 0.0]])
    is_label = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]])
    first = (math.log(2) + math.log1p(math.exp(2)) + math.log1p(math.exp(-1))) / 3
    second = (math.log1p(math.exp(-5)) + 2 * math.log(2)) / 3
    losses = binary_cross_entropy(logits, is_label)
    np.testing.assert_allclose(losses, [first, second], rtol=1e-6)


def test_squared_error_is_the_mean_over_the_outputs():
    logits, targets = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [3.0, 0.0]])
    np.testing.assert_allclose(squared_error(logits, targets), [2.5, 4.5])


def test_large_logits_do_not_overflow():
    logits = torch.tensor([[1e4, -1e4]])
    assert cross_entropy(logits, torch.tensor([1])).item() == pytest.approx(2e4)
    assert binary_cross_entropy(logits, torch.tensor([[0.0, 1.0]])).item() == pytest.approx(1e4)


# Weights ----------------------------------------------------------------------------------------


def test_sum_of_weighted_losses_divided_by_rows_is_the_weighted_mean():
    weights = [1.0, 2.0, 0.5, 4.0]
    weighted = objective(weights)
    loss = weighted.loss(tensor(LOGITS), ALL) / weighted.divisor(ALL)
    assert loss.item() == pytest.approx(np.average(BY_HAND, weights=weights), rel=1e-6)
    assert weighted.mean(LOGITS, ALL) == pytest.approx(np.average(BY_HAND, weights=weights))


def test_weights_of_a_batch_are_relative_to_all_rows():
    """Rows 1 and 3 have 2 of 4 mean-one units: their sum is not divided by their own weights."""
    weighted = objective([1.0, 2.0, 3.0, 2.0])
    rows = np.array([3, 1])
    loss = weighted.loss(tensor(LOGITS[rows]), rows)
    assert loss.item() == pytest.approx(BY_HAND[3] + BY_HAND[1], rel=1e-6)
    assert weighted.divisor(rows) == 2
    weighted = objective([1.0, 2.0, 3.0, 10.0])
    loss = weighted.loss(tensor(LOGITS[rows]), rows)
    assert loss.item() == pytest.approx((10 * BY_HAND[3] + 2 * BY_HAND[1]) / 4, rel=1e-6)


def test_mean_of_some_rows_is_by_their_own_weights():
    weighted = objective([1.0, 2.0, 3.0, 10.0])
    rows = np.array([1, 3])
    expected = (2 * BY_HAND[1] + 10 * BY_HAND[3]) / 12
    assert weighted.mean(LOGITS[rows], rows) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("weight", [1.0, 3.0, 0.1, 1e-8, 7e9])
def test_equal_weights_are_no_weights_bit_for_bit(weight):
    loss = objective(np.full(4, weight)).loss(tensor(LOGITS), ALL)
    assert torch.equal(loss, cross_entropy(tensor(LOGITS), tensor(CODES)).sum())


@pytest.mark.parametrize("n", [3, 7, 10, 49, 1000])
def test_unit_weights_are_exactly_one(n):
    weighted = WeightedRows(cross_entropy, np.zeros(n, np.int64), np.ones(n), CPU)
    assert torch.equal(weighted.weights, torch.ones(n))


def test_only_the_relation_of_weights_matters():
    losses = [
        objective(np.array([1.0, 2.0, 3.0, 4.0]) * factor).loss(tensor(LOGITS), ALL)
        for factor in (1, 2, 1024)
    ]
    assert torch.equal(losses[0], losses[1])
    assert torch.equal(losses[0], losses[2])


def test_weight_is_repetition():
    repeated = np.array([0, 1, 1, 2, 2, 2, 3])
    weighted = objective([1.0, 2.0, 3.0, 1.0])
    plain = WeightedRows(cross_entropy, CODES[repeated], np.ones(7), CPU)
    loss = weighted.loss(tensor(LOGITS), ALL) / weighted.divisor(ALL)
    expected = plain.loss(tensor(LOGITS[repeated]), np.arange(7)) / 7
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_row_of_weight_zero_has_no_gradient():
    logits = tensor(LOGITS.copy()).requires_grad_()
    objective([1.0, 0.0, 2.0, 1.0]).loss(logits, ALL).backward()
    assert not logits.grad[1].any()
    assert logits.grad[[0, 2, 3]].abs().min() > 0


def test_targets_of_the_asked_rows():
    """Logits come in the order of the batch, targets in that of the data."""
    rows = np.array([3, 0])
    loss = objective(np.ones(4)).loss(tensor(LOGITS[rows]), rows)
    assert loss.item() == pytest.approx(BY_HAND[3] + BY_HAND[0], rel=1e-6)


def test_nothing_waits_for_a_gpu_to_copy_a_batch(monkeypatch):
    """All that a batch needs goes through `to_device`, which does not wait as `Tensor.to` does."""
    encodings = SimpleNamespace(bounds=np.array([0, 1, 3]))
    objectives = [
        (objective(np.ones(4)), torch.zeros(2, 2)),
        (LabelledPieces(encodings, np.array([0, 1, 1]), CPU), torch.zeros(3, 2)),
        (SpanPositions(np.array([1, 2]), np.array([[0, 0], [0, 1]]), CPU), torch.zeros(3, 2)),
    ]
    copied = []
    monkeypatch.setattr(
        "skbert._training.losses.to_device",
        lambda tensor, device: copied.append(tensor.tolist()) or tensor,
    )
    monkeypatch.setattr(torch.Tensor, "to", None)
    for each, logits in objectives:
        assert float(each.loss(logits, np.array([1, 0]))) > 0
    assert copied == [[1, 0], [1, 1, 0], [[0, 1], [0, 0]]]
