"""Texts in shards: cut evenly, computed by worker processes, nothing lost.

Real clusters are in tests/engines.
"""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace

import joblib
import numpy as np
import pytest
import torch
from joblib.parallel import ThreadingBackend

from skbert import (
    BertEmbedder,
    CheckpointChangedError,
    EmbeddingCache,
    TextTooLongError,
    TruncationWarning,
)
from skbert._estimators import embedder as _embedder
from skbert._inference import workers as _workers
from skbert._inference.progress import progress_bar
from skbert._inference.workers import are_workers_asked, cut, embed_in_workers, shard_devices
from skbert._models import shared as _shared_encoders
from skbert._texts.distinct import Embedded
from tests.cache.test_cache import LONG, many_texts

pytestmark = pytest.mark.usefixtures("one_thread")


class TestCutting:
    @pytest.mark.parametrize("n_shards", [1, 2, 3, 7, 100])
    def test_every_text_once_in_order(self, n_shards):
        texts = many_texts(40)
        shards = cut(list(map(len, texts)), n_shards)
        assert len(shards) <= n_shards
        assert [text for part in shards for text in texts[part]] == texts
        assert all(part.start < part.stop for part in shards)

    def test_about_equally_many_characters(self):
        texts = ["a" * 10] * 50 + ["b" * 100] * 50
        sizes = [sum(map(len, texts[part])) for part in cut(list(map(len, texts)), 5)]
        assert len(sizes) == 5
        assert max(sizes) - min(sizes) <= 210

    def test_empty_texts(self):
        assert [part.stop - part.start for part in cut([0] * 8, 4)] == [2, 2, 2, 2]


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

            def __enter__(self):
                return self

            def __exit__(self, *error):
                pass

            def __call__(self, tasks):
                for _, (_, device, (texts, positions, _)), _ in tasks:
                    calls.append((device, len(texts), positions.tolist()))
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

    def test_a_cluster_is_asked_by_name_alone(self, cluster):
        assert are_workers_asked(None)
        assert are_workers_asked(2)
        assert not are_workers_asked(1)

    def test_a_cluster_is_not_asked_where_joblib_is_told_one_job(self, cluster):
        with joblib.parallel_config(backend="late", n_jobs=1):
            assert not are_workers_asked(None)
            assert are_workers_asked(2)


class LateBackend(ThreadingBackend):
    """Like Ray's: derived from one of joblib's own; its size is unknown before it starts."""

    is_started = False
    supports_return_generator = False

    def configure(self, n_jobs=1, parallel=None, **options):
        self.is_started = True
        return super().configure(2 if n_jobs == -1 else n_jobs, parallel, **options)

    def effective_n_jobs(self, n_jobs):
        if not self.is_started:
            raise RuntimeError("not started yet")
        return 2 if n_jobs == -1 else super().effective_n_jobs(n_jobs)


@pytest.fixture
def cluster():
    joblib.register_parallel_backend("late", LateBackend)
    with joblib.parallel_config(backend="late"):
        yield
    del joblib.parallel.BACKENDS["late"]


class TestClusters:
    """Of a backend that is none of joblib's own, whatever it is derived from."""

    def test_its_size_is_asked_when_it_has_started(self, cluster, tiny_bert):
        X = many_texts(40)
        with joblib.parallel_config(backend="sequential"):
            expected = BertEmbedder(tiny_bert).fit_transform(X)
        assert_same(BertEmbedder(tiny_bert).fit_transform(X), expected)

    def test_its_workers_choose_their_devices(self, cluster, monkeypatch):
        """They are not pinned to the GPUs of the process that asks."""
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
        devices = []

        class Job:
            device = "auto"

            def on(self, device):
                devices.append(device)
                return self

            def compute(self, texts, positions, first_row):
                return Embedded(np.arange(len(texts)), None, None)

        bar = progress_bar(6, "text", 0)
        list(embed_in_workers(Job(), ["a"] * 6, np.arange(6), bar, None))
        assert devices == ["auto"] * 6

    def test_it_gives_results_in_rounds(self, cluster, tiny_bert, tmp_path, monkeypatch):
        """So there is progress, and a cache is written before the end."""
        sizes, write = [], _embedder.store

        def count_too(path, keys, part, **options):
            sizes.append((len(part.rows), len(EmbeddingCache(path))))
            write(path, keys, part, **options)

        monkeypatch.setattr(_embedder, "store", count_too)
        BertEmbedder(tiny_bert, cache=tmp_path / "c.sqlite").fit_transform(many_texts(80))
        assert len(sizes) == 8
        computed, written = [], []
        for n_rows, n_written in sizes:
            written.append(n_written == sum(computed))
            computed.append(n_rows)
        assert all(written)


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
            job.compute(["a"], np.array([first]), first)
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
