"""What holds for each backend of joblib that runs its workers elsewhere."""

from __future__ import annotations

import os
import re
import signal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skbert import (
    BertEmbedder,
    CheckpointNotFoundError,
    InputError,
    TextTooLongError,
    embed_files,
)
from skbert._estimators import embedder as _embedder
from tests.cache.test_cache import LONG, many_texts
from tests.conftest import save_tiny_bert
from tests.engines.conftest import assert_equal
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

    @pytest.mark.parametrize("kind", ["files", "classifier"])
    def test_a_killed_worker_loses_nothing(
        self, cluster, worker_pids, tiny_bert, fitted, tmp_path, monkeypatch, kind
    ):
        X = many_texts(400, seed=2)
        killed = []

        def kill_a_worker_first():
            if not killed:
                killed.append(worker_pids()[0])
                os.kill(killed[0], signal.SIGKILL)

        if kind == "files":
            expected = BertEmbedder(tiny_bert, n_jobs=1).fit_transform(X)
            write = _embedder.store
            monkeypatch.setattr(
                _embedder, "store", lambda *a, **k: (kill_a_worker_first(), write(*a, **k))
            )
            pq.write_table(pa.table({"text": X}), tmp_path / "in.parquet")
            embedder = BertEmbedder(tiny_bert, cache=tmp_path / "cache.sqlite")
            files = {"source": tmp_path / "in.parquet", "destination": tmp_path / "out"}
            loads_of(cluster)
            done = embed_files(**files, columns="text", embedder=embedder)
            assert done.computed == len(X)
            table = pq.read_table(tmp_path / "out")
            assert table["text"].to_pylist() == X
            found = table["text_vector"].to_pylist()
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
        with pytest.raises(CheckpointNotFoundError, match=r"only-here.* to the same path"):
            embedder.transform(many_texts(10))


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
