"""Dask: a cluster of two processes on this machine."""

from __future__ import annotations

import os
from contextlib import contextmanager

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skbert import BertEmbedder, InputError
from skbert._inference.workers import compute_in_shards
from tests.cache.test_cache import many_texts
from tests.engines.clusters import OnACluster
from tests.engines.conftest import ENDLESS
from tests.engines.files import check_one_task_a_file
from tests.engines.loads import counted_in_workers
from tests.engines.recipes import of_tiny, recipe
from tests.engines.where import Where

pytestmark = [pytest.mark.engines, pytest.mark.usefixtures("one_thread")]
distributed = pytest.importorskip("distributed", reason="NOT TESTED: Dask, which is not installed")
dd = pytest.importorskip("dask.dataframe")


def local_cluster(**options):
    return distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, **options
    )


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    place = str(tmp_path_factory.mktemp("dask"))
    with local_cluster(local_directory=place) as cluster, distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=60)
        yield client


@pytest.fixture(scope="module")
def loads(tmp_path_factory):
    return tmp_path_factory.mktemp("loads") / "loads"


@pytest.fixture(scope="module")
def backend(client, loads):
    @contextmanager
    def dask():
        client.wait_for_workers(2, timeout=60)  # one may have been killed by the test before
        with joblib.parallel_config(backend="dask"), counted_in_workers(loads):
            yield loads

    return dask


@pytest.fixture
def worker_pids(cluster, client):
    pids = list(client.run(os.getpid).values())
    return lambda: pids


class TestDask(OnACluster):
    """What holds for all, and what is Dask's own."""

    def test_the_recipe(self, client, tiny_bert):
        texts = many_texts(20)
        expected = BertEmbedder(tiny_bert).fit_transform(texts)
        names = recipe(
            'backend="dask"', client=client, texts=texts, BertEmbedder=of_tiny(tiny_bert)
        )
        np.testing.assert_allclose(names["vectors"], expected, atol=1e-6)

    def test_large_arguments_are_not_on_one_worker_alone(self, cluster, client, tiny_bert):
        """joblib scatters arrays above 1 kB to one worker, with which they would be lost."""
        texts = many_texts(3_000)
        scattered = []
        scatter = client.scatter

        def noted(data, **options):
            scattered.append(options)
            return scatter(data, **options)

        client.scatter = noted
        try:
            BertEmbedder(tiny_bert).fit_transform(texts)
        finally:
            del client.scatter
        assert all(options.get("broadcast") for options in scattered)

    def test_grid_search_whose_fits_ask_for_the_same_cluster(self, cluster, tiny_bert):
        """Tasks that wait for tasks of their own must not wait for ever."""
        X = many_texts(24)
        y = np.arange(len(X)) % 2
        pipeline = make_pipeline(BertEmbedder(tiny_bert), LogisticRegression())
        search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1]}, cv=2)
        found = search.fit(X, y).cv_results_["mean_test_score"]
        with joblib.parallel_config(backend="sequential"):
            expected = clone(search).fit(X, y).cv_results_["mean_test_score"]
        np.testing.assert_allclose(found, expected)

    def test_ctrl_c_ends_it(self, interrupted, tiny_bert):
        script = (
            ENDLESS.format(model=tiny_bert)
            + """
import joblib
from dask.distributed import Client, LocalCluster

if __name__ == "__main__":
    options = dict(n_workers=2, threads_per_worker=1, dashboard_address=None)
    with LocalCluster(**options) as cluster, Client(cluster):
        with joblib.parallel_config(backend="dask"):
            embedder.transform(texts)
            print("FINISHED")
"""
        )
        assert interrupted(script) < 60


def test_files_each_as_a_task(client, tiny_bert, tmp_path):
    check_one_task_a_file("client.map", tiny_bert, tmp_path, client=client)


class TestDataFrames:
    @pytest.fixture
    def frame(self):
        table = pd.DataFrame({"text": many_texts(30), "part": np.arange(30) // 10})
        return table, dd.from_pandas(table, npartitions=3)

    def test_the_recipe(self, client, tiny_bert, frame, fitted):
        table, parts = frame
        parts = parts[parts["part"] != 1]  # an empty partition
        table = table[table["part"] != 1]
        classifier = fitted["classifier"].estimator
        names = recipe(
            "map_partitions",
            frame=parts,
            BertEmbedder=of_tiny(tiny_bert),
            classifier=classifier,
        )
        vectors = names["vectors"].compute()
        expected = names["embedder"].transform(table["text"])
        pd.testing.assert_frame_equal(vectors, expected, atol=1e-6)
        assert names["vectors"].columns.tolist() == expected.columns.tolist()
        labels = names["labels"].compute()
        assert labels.index.tolist() == table.index.tolist()
        assert labels.tolist() == classifier.predict(table["text"]).tolist()

    @pytest.mark.parametrize("bad", [None, 7])
    def test_bad_values_are_named_by_the_partitions_row(self, client, tiny_bert, bad):
        table = pd.DataFrame({"text": pd.Series(many_texts(30), dtype=object)})
        table.loc[13, "text"] = bad
        embedder = BertEmbedder(tiny_bert).set_output(transform="pandas").fit(["a"])
        with pytest.raises(InputError) as alone:
            embedder.transform(table["text"][10:20])
        parts = [client.submit(embedder.transform, table["text"][i : i + 10]) for i in (0, 10, 20)]
        with pytest.raises(InputError) as error:
            client.gather(parts)
        assert str(error.value) == str(alone.value)
        assert "3" in str(error.value)


def test_one_worker_a_gpu(tiny_bert, monkeypatch):
    """As LocalCUDACluster starts them: each process sees another device first."""
    gpus = [
        {"cls": distributed.Nanny, "options": {"nthreads": 1, "env": {"CUDA_VISIBLE_DEVICES": n}}}
        for n in ("0", "1")
    ]
    scheduler = {"cls": distributed.Scheduler, "options": {"dashboard_address": ":0"}}
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    workers = dict(enumerate(gpus))
    with (
        distributed.SpecCluster(workers=workers, scheduler=scheduler) as cluster,
        distributed.Client(cluster) as client,
        joblib.parallel_config(backend="dask"),
    ):
        client.wait_for_workers(2, timeout=60)
        places = list(compute_in_shards(Where("auto"), lambda part: (part.start,), [1] * 16, None))
    assert {device for device, _ in places} == {"auto"}  # none is told one of this machine's
    assert {visible for _, visible in places} == {"0", "1"}
