"""What holds for each backend of joblib that runs its workers elsewhere."""

from __future__ import annotations

import io
import os
import re
import signal
import warnings
from collections import Counter
from contextlib import redirect_stderr
from typing import Any, NamedTuple

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

    Its fixture ``backend`` gives a context manager, in which the engine computes and whose value is
    the file of `count_loads`; ``worker_pids`` a function that gives the numbers of the worker
    processes once they compute.
    """

    @pytest.fixture
    def cluster(self, backend):
        with backend() as loads:
            yield loads

    @pytest.fixture(scope="module", params=["embedder", *KINDS])
    def runs(self, request, backend, fitted):
        """One call of a fitted estimator here, and one on the engine, for several tests.

        Engines take seconds to start workers, so what there is to see of a call is seen in one.
        """
        estimator, X, method = fitted[request.param]
        inner = estimator[0] if request.param == "pipeline" else estimator
        compute = getattr(estimator, method)
        with backend() as loads:
            inner.set_params(n_jobs=1, verbose=0)
            alone = Seen.of(compute, X, loads)
            inner.set_params(n_jobs=None, verbose=1)
            spread = Seen.of(compute, X, loads)
            inner.set_params(verbose=0)
        return request.param, alone, spread

    def test_equal_to_one_process(self, runs):
        _, alone, spread = runs
        assert_equal(spread.found, alone.found)

    def test_weights_are_loaded_once_a_worker(self, runs):
        kind, _, spread = runs
        assert os.getpid() not in spread.loads
        assert set(spread.loads.values()) <= {1}
        # A worker of Dask's may still have the weights that it loaded for the embedder.
        assert len(spread.loads) <= 2
        assert spread.loads or kind == "pipeline"

    def test_truncation_warnings_come_back(self, runs):
        kind, alone, spread = runs
        assert spread.warnings == alone.warnings
        if kind in ("embedder", "pipeline", "classifier"):
            (warning,) = spread.warnings
            assert warning.startswith("2 of 42 texts are longer")

    def test_progress_is_shown(self, runs):
        _, alone, spread = runs
        assert alone.shown == ""
        last = spread.shown.rpartition("\r")[2]
        assert "100%" in last
        assert re.search(r"(\d+)/\1 ", last)

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

    def test_a_worker_without_the_files_says_so_by_name(self, cluster, tmp_path):
        folder = save_tiny_bert(tmp_path / "only-here", seed=7)
        embedder = BertEmbedder(str(folder)).fit(["a"])
        folder.rename(tmp_path / "away")
        with pytest.raises(CheckpointNotFoundError, match=r"only-here.* at the same path"):
            embedder.transform(many_texts(10))


class Seen(NamedTuple):
    """What a call gave, and what else was seen of it."""

    found: Any
    loads: Counter[int]
    warnings: list[str]
    shown: str

    @classmethod
    def of(cls, compute, X, loads):
        """Call a method of a fitted estimator."""
        loads_of(loads)
        shown = io.StringIO()
        with redirect_stderr(shown), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", TruncationWarning)
            found = compute(X)
        messages = [str(w.message) for w in caught if w.category is TruncationWarning]
        return cls(found, loads_of(loads), messages, shown.getvalue())


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
