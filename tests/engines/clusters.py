"""What holds for each backend of joblib that runs its workers elsewhere."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from skbert import (
    BertEmbedder,
    CheckpointNotFoundError,
    EmbeddingCache,
    InputError,
    TextTooLongError,
    TruncationWarning,
)
from skbert._estimators import embedder as _embedder
from tests.cache.test_cache import LONG, many_texts
from tests.conftest import save_tiny_bert
from tests.engines.conftest import KINDS, assert_equal
from tests.engines.loads import loads_of


class OnACluster:
    """Tests of any engine, in each of which joblib's active backend is the engine's.

    Its fixture ``cluster`` gives the file of `count_loads`, ``worker_pids`` a function that gives
    the numbers of the worker processes once they compute.
    """

    def test_vectors_are_equal_and_weights_loaded_once_a_worker(self, cluster, tiny_bert):
        X = many_texts(80, seed=1)
        expected = BertEmbedder(tiny_bert, n_jobs=1).fit_transform(X)
        loads_of(cluster)
        np.testing.assert_allclose(BertEmbedder(tiny_bert).fit_transform(X), expected, atol=1e-6)
        counts = loads_of(cluster)
        counts.pop(os.getpid(), None)
        assert list(counts.values()) == [1] * len(counts)
        assert 1 <= len(counts) <= 2

    @pytest.mark.parametrize("kind", KINDS)
    def test_fitted_estimators_predict(self, cluster, fitted, kind):
        estimator, X, method = fitted[kind]
        is_pipeline = kind == "pipeline"
        name = "bertembedder__n_jobs" if is_pipeline else "n_jobs"
        expected = getattr(estimator.set_params(**{name: 1}), method)(X)
        estimator.set_params(**{name: None})
        loads_of(cluster)
        assert_equal(getattr(estimator, method)(X), expected)
        counts = loads_of(cluster)
        assert os.getpid() not in counts
        assert all(n == 1 for n in counts.values())
        assert is_pipeline or counts

    @pytest.mark.parametrize("kind", ["embedder", "classifier"])
    def test_a_killed_worker_loses_nothing(
        self, cluster, worker_pids, tiny_bert, fitted, tmp_path, monkeypatch, kind
    ):
        X = many_texts(400, seed=2)
        killed = []

        def kill_a_worker_first():
            if not killed:
                killed.append(worker_pids()[0])
                os.kill(killed[0], signal.SIGKILL)

        if kind == "embedder":
            expected = BertEmbedder(tiny_bert, n_jobs=1).fit_transform(X)
            write = _embedder.store
            monkeypatch.setattr(
                _embedder, "store", lambda *a, **k: (kill_a_worker_first(), write(*a, **k))
            )
            cache = EmbeddingCache(tmp_path / "cache.sqlite")
            loads_of(cluster)
            found = BertEmbedder(tiny_bert, cache=cache).fit_transform(X)
        else:
            estimator = fitted["classifier"].estimator
            expected = estimator.set_params(n_jobs=1).predict_proba(X)
            estimator.set_params(n_jobs=None)
            loads_of(cluster)
            monkeypatch.setattr(
                "skbert._estimators.trained.progress_bar",
                lambda total, *_: _Bar(total, kill_a_worker_first),
            )
            found = estimator.predict_proba(X)
        assert killed
        np.testing.assert_allclose(found, expected, atol=1e-5)

    def test_errors_come_back(self, cluster, tiny_bert):
        texts = many_texts(30)
        embedder = BertEmbedder(tiny_bert, overflow="error").fit(texts)
        with pytest.raises(TextTooLongError, match=r"X\[30\] has 142 tokens"):
            embedder.transform([*texts, LONG])
        with pytest.raises(InputError, match=r"X\[1\] is 3 \(int\)"):
            embedder.transform(["a", 3])

    def test_truncation_warnings_come_back(self, cluster, tiny_bert, fitted):
        X = [LONG, *many_texts(20), LONG + "a"]
        for estimator in (BertEmbedder(tiny_bert).fit(X), fitted["classifier"].estimator):
            method = "transform" if isinstance(estimator, BertEmbedder) else "predict"
            with pytest.warns(TruncationWarning, match="2 of 22 texts are longer") as seen:
                getattr(estimator, method)(X)
            assert len(seen) == 1

    def test_a_worker_without_the_files_says_so_by_name(self, cluster, tmp_path):
        folder = save_tiny_bert(tmp_path / "only-here", seed=7)
        embedder = BertEmbedder(str(folder)).fit(["a"])
        folder.rename(tmp_path / "away")
        with pytest.raises(CheckpointNotFoundError, match=r"only-here.* at the same path"):
            embedder.transform(many_texts(10))

    def test_progress_is_shown(self, cluster, tiny_bert, fitted, capfd):
        embedder = BertEmbedder(tiny_bert, verbose=1).fit(["a"])
        embedder.transform([*map(str, range(64))])
        seen = capfd.readouterr().err
        assert "64/64" in seen
        classifier = fitted["classifier"].estimator.set_params(verbose=1)
        classifier.predict([*map(str, range(64))])
        classifier.set_params(verbose=0)
        assert "64/64" in capfd.readouterr().err


class _Bar:
    """A bar that calls a function at each update."""

    def __init__(self, total, function=lambda: None):
        self.total, self.function = total, function

    def update(self, n):
        self.function()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass
