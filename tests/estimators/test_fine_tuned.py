"""Fits beside each other in threads: the weights of a fit alone, and nobody's generator changed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from skbert import BertClassifier, BertEmbedder, BertRegressor, BertTokenClassifier
from skbert._models.shared import clear_held_encoder
from skbert._models.state import weight_tensors

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["the cat sat", "a bad dog", "it is good", "we lost money"] * 4
LABELS = list("abcd") * 4
QUICK: dict[str, Any] = {
    "max_epochs": 2,
    "min_steps": 0,
    "learning_rate": 1e-3,
    "train_batch_size": 4,
    "device": "cpu",
    "random_state": 0,
}


@pytest.fixture
def generators() -> Any:
    """Fail where torch's or numpy's global generator is not as it was."""
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    yield
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def digests(estimators: list[Any]) -> list[str]:
    return [estimator._state.digest for estimator in estimators]


@pytest.mark.usefixtures("generators")
def test_cross_validation_in_threads_equals_one_after_the_other(tiny_bert):
    classifier = BertClassifier(tiny_bert, **QUICK)

    def scores(n_jobs: int) -> list[str]:
        splits = [(np.arange(i, i + 8), np.arange(8)) for i in range(4)]
        with joblib.parallel_backend("threading"):
            return digests(
                joblib.Parallel(n_jobs=n_jobs)(
                    joblib.delayed(clone(classifier).fit)(
                        [TEXTS[row] for row in train], [LABELS[row] for row in train]
                    )
                    for train, _ in splits
                )
            )

    assert scores(4) == scores(1)


@pytest.mark.usefixtures("generators")
def test_scikit_learn_in_threads_equals_one_after_the_other(tiny_bert):
    classifier = BertClassifier(tiny_bert, **QUICK)
    with joblib.parallel_backend("threading"):
        alone, beside = (
            cross_val_score(classifier, TEXTS, LABELS, cv=2, scoring="neg_log_loss", n_jobs=n_jobs)
            for n_jobs in (1, 2)
        )
        search = GridSearchCV(classifier, {"freeze": [None, 1]}, cv=2, n_jobs=4)
        searched = [
            search.set_params(n_jobs=n_jobs).fit(TEXTS, LABELS).best_estimator_._state.digest
            for n_jobs in (1, 4)
        ]
    np.testing.assert_array_equal(alone, beside)
    assert searched[0] == searched[1]


@pytest.mark.usefixtures("generators")
def test_kinds_of_estimators_fit_beside_each_other(tiny_bert):
    numbers = np.arange(len(TEXTS), dtype=float)
    words = [text.split() for text in TEXTS]
    tags = [["X" if len(word) > 2 else "O" for word in sentence] for sentence in words]
    fits = [
        lambda: BertClassifier(tiny_bert, **QUICK).fit(TEXTS, LABELS),
        lambda: BertRegressor(tiny_bert, **QUICK).fit(TEXTS, numbers),
        lambda: BertTokenClassifier(tiny_bert, **QUICK).fit(words, tags),
    ]
    alone = digests([fit() for fit in fits])
    with ThreadPoolExecutor(3) as threads:
        beside = digests([future.result() for future in [threads.submit(fit) for fit in fits]])
    assert beside == alone


def test_loading_beside_fits_ends(tiny_bert):
    """A fit holds the generator and then loads; a load must not hold what the fit waits for."""

    def embed() -> Any:
        clear_held_encoder()
        return BertEmbedder(tiny_bert, device="cpu").fit(TEXTS).transform(TEXTS)

    def fit() -> Any:
        return BertClassifier(tiny_bert, **QUICK).fit(TEXTS, LABELS)

    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(task) for task in (fit, embed, embed, fit, embed)]
        results = [future.result(timeout=60) for future in futures]
    assert np.array_equal(results[1], results[4])
    assert all(torch.isfinite(w).all() for w in weight_tensors(results[0]._state).values())
