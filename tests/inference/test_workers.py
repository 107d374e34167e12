"""Texts in shards: cut evenly, computed by worker processes or a Dask cluster, nothing lost."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
from dataclasses import replace
from importlib import import_module

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skbert import (
    BertEmbedder,
    CheckpointChangedError,
    EmbeddingCache,
    TextTooLongError,
    TruncationWarning,
)
from skbert._estimators import embedder as _embedder
from skbert._inference import workers as _workers
from skbert._inference.workers import are_workers_asked, cut, embed_in_workers, shard_devices
from skbert._models import shared as _shared_encoders
from tests.cache.test_cache import LONG, many_texts

pytestmark = pytest.mark.usefixtures("one_thread")


class TestCutting:
    @pytest.mark.parametrize("n_shards", [1, 2, 3, 7, 100])
    def test_every_text_once_in_order(self, n_shards):
        texts = many_texts(40)
        shards = cut(texts, n_shards)
        assert len(shards) <= n_shards
        assert [text for part in shards for text in texts[part]] == texts
        assert all(part.start < part.stop for part in shards)

    def test_about_equally_many_characters(self):
        texts = ["a" * 10] * 50 + ["b" * 100] * 50
        sizes = [sum(map(len, texts[part])) for part in cut(texts, 5)]
        assert len(sizes) == 5
        assert max(sizes) - min(sizes) <= 210

    def test_empty_texts(self):
        assert [part.stop - part.start for part in cut([""] * 8, 4)] == [2, 2, 2, 2]


class TestDevices:
    def test_one_shard_a_gpu(self):
        assert shard_devices("auto", 16, 4, 2) == ["cuda:0", "cuda:1"]
        assert shard_devices("cuda", 8, 2, 4) == ["cuda:0", "cuda:1"]

    @pytest.mark.parametrize(("device", "n_gpus"), [("auto", 0), ("auto", 1), ("cuda:1", 4)])
    def test_one_device_for_all(self, device, n_gpus):
        assert shard_devices(device, 8, 2, n_gpus) == [device] * 8

    def test_on_a_machine_with_two_gpus(self, monkeypatch):
        """Four jobs, two GPUs: two workers, each with a device of its own and half of the texts."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
        calls = []

        class Parallel:
            def __init__(self, n_jobs, **options):
                calls.append(n_jobs)

            def __call__(self, tasks):
                for _, (job, texts, positions, _), _ in tasks:
                    calls.append((job.device, len(texts), positions.tolist()))
                return []

        monkeypatch.setattr(_workers.joblib, "Parallel", Parallel)
        job = _workers.Job(None, None, "auto", "float32", None, "")
        assert list(embed_in_workers(job, ["a"] * 6, np.arange(6), None, 4)) == []
        assert calls == [2, ("cuda:0", 3, [0, 1, 2]), ("cuda:1", 3, [3, 4, 5])]


class TestWhenAsked:
    def test_only_where_there_are_several(self):
        assert not are_workers_asked(None)
        assert not are_workers_asked(1)
        assert are_workers_asked(2)

    def test_joblib_configuration_counts(self):
        with joblib.parallel_config(n_jobs=2):
            assert are_workers_asked(None)
            assert not are_workers_asked(1)
        with joblib.parallel_config(backend="sequential"):
            assert not are_workers_asked(2)


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


class TestLocalProcesses:
    @pytest.mark.parametrize("pooling", ["mean", None])
    def test_same_as_one_process(self, tiny_bert, pooling):
        X = [*many_texts(60), "", *many_texts(5)]
        settings = {"pooling": pooling, "normalize": True}
        expected = BertEmbedder(tiny_bert, **settings).fit_transform(X)
        assert_same(BertEmbedder(tiny_bert, n_jobs=2, **settings).fit_transform(X), expected)

    def test_fewer_texts_than_shards(self, tiny_bert):
        expected = BertEmbedder(tiny_bert).fit_transform(["the cat"])
        found = BertEmbedder(tiny_bert, n_jobs=2).fit_transform(["the cat"])
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_warnings_and_errors_are_those_of_one_process(self, tiny_bert, texts):
        embedder = BertEmbedder(tiny_bert, n_jobs=2).fit(texts)
        with pytest.warns(TruncationWarning, match=r"2 of 10 .* 156 of their tokens") as seen:
            embedder.transform([LONG, *texts, LONG, "a"])
        assert len(seen) == 1
        assert seen[0].filename == __file__
        embedder.set_params(overflow="error")
        with pytest.raises(TextTooLongError, match=r"X\[7\] has 142 tokens"):
            embedder.transform([*texts, LONG, LONG])

    def test_with_a_cache(self, tiny_bert, tmp_path):
        X = many_texts(60)
        cache = EmbeddingCache(tmp_path / "cache.sqlite")
        expected = BertEmbedder(tiny_bert).fit_transform(X)
        embedder = BertEmbedder(tiny_bert, n_jobs=2, cache=cache).fit(X)
        assert_same(embedder.transform(X), expected)
        assert cache.info()["entries"] == cache.info()["misses"] == len(X)
        assert_same(embedder.transform([*X[::-1], "new"])[:-1], expected[::-1])
        assert cache.info()["misses"] == len(X) + 1

    def test_weights_in_the_pickle(self, tiny_bert, tmp_path, texts):
        """They go to the workers, who find nothing on disk."""
        folder = shutil.copytree(tiny_bert, tmp_path / "carried")
        embedder = BertEmbedder(str(folder), save_weights=True, n_jobs=2).fit(texts)
        expected = clone_of_one_process(embedder).transform(texts)
        stored = pickle.dumps(embedder)
        shutil.rmtree(folder)
        assert_same(pickle.loads(stored).transform(texts), expected)

    @pytest.mark.parametrize("backend", ["loky", "threading"])
    def test_progress_counts_all_texts(self, tiny_bert, texts, capfd, backend):
        embedder = BertEmbedder(tiny_bert, n_jobs=2, verbose=1).fit(texts)
        with joblib.parallel_config(backend=backend):
            embedder.transform(texts)
        assert "7/7" in capfd.readouterr().err

    def test_no_generator_backend(self, tiny_bert, monkeypatch):
        """Ray's backend gives all results at once."""
        X = many_texts(30)
        expected = BertEmbedder(tiny_bert).fit_transform(X)
        monkeypatch.setattr(
            joblib.parallel.BACKENDS["threading"], "supports_return_generator", False
        )
        with joblib.parallel_config(backend="threading", n_jobs=2):
            assert_same(BertEmbedder(tiny_bert).fit_transform(X), expected)


def clone_of_one_process(embedder: BertEmbedder) -> BertEmbedder:
    restored = pickle.loads(pickle.dumps(embedder))
    return restored.set_params(n_jobs=None)


class TestJob:
    @pytest.fixture
    def job(self, tiny_bert) -> _workers.Job:
        embedder = BertEmbedder(tiny_bert).fit(["a"])
        return embedder._job(embedder._loaded(), embedder._settings())

    def test_is_light(self, job):
        stored = pickle.dumps(job)
        assert len(stored) < 2_000
        assert b"torch" not in stored

    def test_weights_are_loaded_once_for_many_shards(self, job, monkeypatch):
        _shared_encoders.clear_held_encoder()
        loads, load = [], _workers.load_same

        def load_as_on_a_gpu(*place):
            loads.append(load(*place))
            _shared_encoders.clear_held_encoder()  # what is loaded to a GPU is held by nobody
            return loads[-1]

        monkeypatch.setattr(_workers, "load_same", load_as_on_a_gpu)
        for first in (0, 1, 2):
            _workers._embed_shard(job, ["a"], np.array([first]), first)
        assert len(loads) == 1

    def test_other_tokenizer_on_a_worker_is_noticed(self, job):
        with pytest.raises(CheckpointChangedError, match="another tokenizer or configuration"):
            replace(job, identity="other").load()

    def test_precision_is_that_of_the_asking_process(self, tiny_bert):
        """A worker with a GPU must not choose another one for "auto"."""
        embedder = BertEmbedder(tiny_bert, precision="bfloat16").fit(["a"])
        job = embedder._job(embedder._loaded(), embedder._settings())
        assert job.precision == "bfloat16"
        assert job.load().dtype == torch.bfloat16


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    distributed = pytest.importorskip("distributed")
    import dask

    place = {"temporary-directory": str(tmp_path_factory.mktemp("dask"))}
    with (
        dask.config.set(place),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.wait_for_workers(2, timeout=60)
        yield client


class TestDask:
    """A real cluster: two worker processes on this machine."""

    def test_same_as_one_process(self, client, tiny_bert, tmp_path):
        X = many_texts(80)
        expected = BertEmbedder(tiny_bert).fit_transform(X)
        cache = EmbeddingCache(tmp_path / "cache.sqlite")
        embedder = BertEmbedder(tiny_bert, cache=cache).fit(X)
        with joblib.parallel_config(backend="dask"):
            assert_same(embedder.transform(X), expected)
            assert_same(embedder.transform(X), expected)
        assert cache.info()["misses"] == len(X)
        held = client.run(lambda: len(import_module("skbert._models.shared")._HELD))
        assert list(held.values()) == [1, 1]  # both worked, and each holds the weights once

    def test_killed_worker_loses_nothing(self, client, tiny_bert, tmp_path, monkeypatch):
        X = many_texts(200, seed=1)
        expected = BertEmbedder(tiny_bert).fit_transform(X)
        pids = list(client.run(os.getpid).values())
        write, killed = _embedder.store, []

        def kill_a_worker_first(*args, **options):
            if not killed:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)
            write(*args, **options)

        monkeypatch.setattr(_embedder, "store", kill_a_worker_first)
        cache = EmbeddingCache(tmp_path / "cache.sqlite")
        with joblib.parallel_config(backend="dask"):
            found = BertEmbedder(tiny_bert, cache=cache).fit_transform(X)
        assert_same(found, expected)
        assert killed
        assert pids[0] not in client.run(os.getpid).values()

    def test_grid_search_whose_fits_ask_for_the_same_cluster(self, client, tiny_bert):
        """Tasks that wait for tasks of their own must not wait for ever."""
        X = many_texts(24)
        y = np.arange(len(X)) % 2
        pipeline = make_pipeline(BertEmbedder(tiny_bert), LogisticRegression())
        search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1]}, cv=2)
        expected = clone(search).fit(X, y).cv_results_["mean_test_score"]
        with joblib.parallel_config(backend="dask"):
            found = search.fit(X, y).cv_results_["mean_test_score"]
        np.testing.assert_allclose(found, expected)
