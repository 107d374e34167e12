"""Linear probes: a head's weights as the linear model of what the frozen encoder gives.

Fine-tuning that begins there changes the encoder's features less than with a random head, and
begins where frozen vectors with a logistic regression end (Kumar et al. 2022, "Fine-Tuning can
Distort Pretrained Features and Underperform Out-of-Distribution", https://arxiv.org/abs/2202.10054;
for language models https://arxiv.org/abs/2405.16747).

Letters: n rows, F features, K outputs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits
from torch import nn

from skbert._exceptions import stacklevel_of_caller
from skbert._training.calibration import best_factor

# Inverse strengths of the penalty that are tried, for features that are about as large as 1.
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
# Where no class has two rows there is nothing to compare them on.
DEFAULT_STRENGTH = 0.3
N_FOLDS = 3
# The strength is chosen on at most so many rows; it hardly changes with their number.
MOST_ROWS_OF_CHOICE = 1_500
# A probe is fitted to at most so many rows, or words.
MOST_ROWS = 20_000
MOST_ITERATIONS, MOST_ITERATIONS_OF_CHOICE = 1_000, 100
RIDGE_STRENGTHS = np.logspace(-1, 5, 13)


class Probe(NamedTuple):
    """A linear model."""

    weight: NDArray[np.float64]
    """(K, F)"""
    bias: NDArray[np.float64]
    """(K,)"""
    sharpening: NDArray[np.float64]
    """(K,), what to multiply the outputs by for the best probabilities"""

    def sharpened(self) -> Probe:
        """Return the model with the best probabilities."""
        factors = self.sharpening
        return Probe(self.weight * factors[:, None], self.bias * factors, np.ones(len(factors)))


# (features (n, F), targets, weights (n,), K, seed) → the probe.
FitProbe = Callable[[NDArray[np.float32], NDArray[Any], NDArray[np.float64], int, int], Probe]


def logistic_probe(
    features: NDArray[np.float32],
    codes: NDArray[np.int64],
    weights: NDArray[np.float64],
    n_classes: int,
    seed: int,
) -> Probe:
    """Fit a logistic regression, its penalty chosen by cross-validated log loss.

    A strong penalty often ranks the classes of a few rows best but leaves their probabilities too
    even; so the loss that is compared is that of the sharpened logits. The probe returned is not
    sharpened: from even probabilities the training has more to learn.
    A class without rows gets a weight of 0 and the least of the biases.

    Warns
    -----
    ConvergenceWarning
        If the solver stopped early; said once.
    """
    present, codes = np.unique(codes, return_inverse=True)
    n_features = features.shape[1]
    whole = Probe(np.zeros((n_classes, n_features)), np.zeros(n_classes), np.ones(n_classes))
    if len(present) < 2:
        return whole
    weights = weights * (len(weights) / weights.sum())
    # Threads that wait for each other made these small products seven times slower.
    with threadpool_limits(1, user_api="blas"):
        strength, sharpening = _best_strength(features, codes, weights, seed)
        weight, bias = _fit_logistic(
            features, codes, weights, strength, len(present), MOST_ITERATIONS
        )
    whole.weight[present], whole.bias[:], whole.sharpening[:] = weight, bias.min(), sharpening
    whole.bias[present] = bias
    return whole


def multilabel_probe(
    features: NDArray[np.float32],
    is_label: NDArray[np.float32],
    weights: NDArray[np.float64],
    n_labels: int,
    seed: int,
) -> Probe:
    """Fit one logistic regression a label, one against the rest."""
    pairs = [
        logistic_probe(features, column.astype(np.int64), weights, 2, seed) for column in is_label.T
    ]
    weight = np.stack([pair.weight[1] - pair.weight[0] for pair in pairs])
    bias = np.array([pair.bias[1] - pair.bias[0] for pair in pairs])
    # A label that all rows have, or none: its share, with one row of the other kind.
    share = (weights @ is_label + 0.5) / (weights.sum() + 1)
    constant = (is_label == is_label[0]).all(0)
    bias[constant] = np.log(share / (1 - share))[constant]
    return Probe(weight, bias, np.array([pair.sharpening[0] for pair in pairs]))


def ridge_probe(
    features: NDArray[np.float32],
    values: NDArray[np.float32],
    weights: NDArray[np.float64],
    n_outputs: int,
    seed: int,
) -> Probe:
    """Fit a ridge regression, its penalty chosen by generalised cross-validation."""
    if len(features) < 2:
        nothing = np.zeros((n_outputs, features.shape[1]))
        return Probe(nothing, values.mean(0), np.ones(n_outputs))
    weights = weights * (len(weights) / weights.sum())
    ridge = RidgeCV(RIDGE_STRENGTHS).fit(
        features.astype(np.float64), values.astype(np.float64), sample_weight=weights
    )
    return Probe(np.atleast_2d(ridge.coef_), np.atleast_1d(ridge.intercept_), np.ones(n_outputs))


def _best_strength(
    features: NDArray[np.float32],
    codes: NDArray[np.int64],
    weights: NDArray[np.float64],
    seed: int,
) -> tuple[float, float]:
    """Return the strength, and what to multiply logits by, of the least cross-validated log loss.

    The losses of rising strengths fall, then rise.
    """
    rows = sample(np.arange(len(codes)), MOST_ROWS_OF_CHOICE, seed)
    features, codes, weights = features[rows], codes[rows], weights[rows]
    most = np.bincount(codes).max()
    if most < 2:
        return DEFAULT_STRENGTH, 1.0
    folds = list(_folds(codes, min(N_FOLDS, int(most)), seed))
    best, least = (DEFAULT_STRENGTH, 1.0), np.inf
    for strength in STRENGTHS:
        parts = [
            _held_out_logits(features, codes, weights, strength, train, test)
            for train, test in folds
        ]
        sharpening, loss = _best_sharpening([part for part in parts if len(part.codes)])
        if loss >= least:
            break
        best, least = (strength, sharpening), loss
    return best


class _HeldOut(NamedTuple):
    """Predictions of one fold."""

    logits: NDArray[np.float64]
    """(n, classes that the other folds have)"""
    codes: NDArray[np.int64]
    """(n,), places among these classes"""
    weights: NDArray[np.float64]
    """(n,)"""


def _best_sharpening(parts: list[_HeldOut]) -> tuple[float, float]:
    """Return the factor of at least 1 that suits all logits best, and their log loss with it.

    As if there were one row more, of all classes alike: or else a few rows that are all right would
    be sharpened without end.
    """
    even = 1 / max(1, sum(len(part.codes) for part in parts))

    return best_factor(lambda factor: sum(_log_loss(part, factor, even) for part in parts))


def _log_loss(part: _HeldOut, factor: float, even: float) -> float:
    """Return the weighted sum of the rows' losses, each with so much of all classes alike."""
    logarithms = log_softmax(part.logits * factor, axis=1)
    of_class = logarithms[np.arange(len(part.codes)), part.codes]
    return -float((of_class + even * logarithms.mean(1)) @ part.weights)


def _folds(
    codes: NDArray[np.int64], n_folds: int, seed: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():  # classes with fewer rows than folds are expected
        warnings.simplefilter("ignore", UserWarning)
        yield from folds.split(codes, codes)


def _held_out_logits(
    features: NDArray[np.float32],
    codes: NDArray[np.int64],
    weights: NDArray[np.float64],
    strength: float,
    train: NDArray[np.int64],
    test: NDArray[np.int64],
) -> _HeldOut:
    """Return the logits of the rows in ``test`` whose class is in ``train``."""
    known, local = np.unique(codes[train], return_inverse=True)
    test = test[np.isin(codes[test], known)]
    if len(known) < 2 or not len(test):
        return _HeldOut(np.empty((0, len(known))), test[:0], weights[:0])
    weight, bias = _fit_logistic(
        features[train], local, weights[train], strength, len(known), MOST_ITERATIONS_OF_CHOICE
    )
    logits = features[test] @ weight.T + bias
    return _HeldOut(logits, np.searchsorted(known, codes[test]), weights[test])


def _fit_logistic(
    features: NDArray[np.float32],
    codes: NDArray[np.int64],
    weights: NDArray[np.float64],
    strength: float,
    n_classes: int,
    most_iterations: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weight and bias of classes 0 to K - 1, all of which have rows."""
    model = LogisticRegression(C=strength, max_iter=most_iterations)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore", UserWarning)  # of as many classes as rows
        warnings.simplefilter("always", ConvergenceWarning)
        model.fit(features, codes, sample_weight=weights)
    if caught and most_iterations == MOST_ITERATIONS:
        warnings.warn(
            f"The linear probe for the initial weights of the head did not converge in "
            f"{most_iterations} iterations. Training continues with its last weights.",
            ConvergenceWarning,
            stacklevel=stacklevel_of_caller(),
        )
    weight, bias = model.coef_, model.intercept_
    if n_classes == 2:  # one row, the second class against the first
        return np.vstack([-weight, weight]) / 2, np.array([-bias[0], bias[0]]) / 2
    return weight, bias


def sample(rows: NDArray[np.int64], most: int, seed: int) -> NDArray[np.int64]:
    """Return at most so many of some rows, drawn by chance, in their order."""
    if len(rows) <= most:
        return rows
    return rows[np.sort(np.random.default_rng(seed).permutation(len(rows))[:most])]


def output_layer(model: Any, n_outputs: int) -> tuple[nn.Module, str] | None:
    """Return the last linear layer of a model's head, as its parent and its name there."""
    inside = model.base_model_prefix + "."
    found = None
    for path, module in model.named_modules():
        is_linear = isinstance(module, nn.Linear) and module.out_features == n_outputs
        if is_linear and not (path + ".").startswith(inside):
            found = path
    if found is None:
        return None
    parent, _, name = found.rpartition(".")
    return model.get_submodule(parent), name


@contextmanager
def without_output_layer(parent: nn.Module, name: str) -> Iterator[None]:
    """Let a model give what its last layer reads."""
    layer = getattr(parent, name)
    setattr(parent, name, nn.Identity())
    try:
        yield
    finally:
        setattr(parent, name, layer)


@torch.no_grad()
def begin_with(layer: nn.Linear, probe: Probe) -> None:
    """Give a linear layer the weights of a probe."""
    layer.weight.copy_(torch.from_numpy(probe.weight))
    if layer.bias is not None:
        layer.bias.copy_(torch.from_numpy(probe.bias))
