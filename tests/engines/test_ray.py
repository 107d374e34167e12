"""Ray, on two CPUs of this machine."""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest

from skbert import BertEmbedder, InputError
from skbert._inference.workers import compute_in_shards
from tests.cache.test_cache import many_texts
from tests.engines.clusters import OnACluster
from tests.engines.conftest import ENDLESS
from tests.engines.files import check_one_task_a_file
from tests.engines.loads import CountedEmbedder, counted_in_workers, loads_of
from tests.engines.recipes import of_tiny, recipe
from tests.engines.where import Where

pytestmark = [pytest.mark.engines, pytest.mark.usefixtures("one_thread")]
ray = pytest.importorskip("ray", reason="NOT TESTED: Ray, which is not installed")
register_ray = pytest.importorskip("ray.util.joblib").register_ray


@pytest.fixture(scope="module")
def loads(tmp_path_factory):
    return tmp_path_factory.mktemp("loads") / "loads"


@pytest.fixture(scope="module")
def engine():
    """Two CPUs, and two GPUs that are only declared."""
    with pytest.MonkeyPatch.context() as patch:
        # Ray's workers give way to all other processes: where these are many, tests take minutes.
        patch.setenv("RAY_worker_niceness", "0")
        ray.init(
            num_cpus=2,
            num_gpus=2,
            object_store_memory=150_000_000,
            include_dashboard=False,
            log_to_driver=False,
        )
        register_ray()
        yield ray
        ray.shutdown()


@pytest.fixture(scope="module")
def backend(engine, loads):
    @contextmanager
    def with_ray():
        restart = {"max_restarts": 3, "max_task_retries": 3}
        config = joblib.parallel_config(backend="ray", ray_remote_args=restart)
        with config, counted_in_workers(loads):
            yield loads

    return with_ray


@pytest.fixture
def worker_pids(loads):
    return lambda: list(map(int, loads.read_text().split()))


class TestRay(OnACluster):
    """What holds for all, and what is Ray's own."""

    def test_the_recipe(self, engine, tiny_bert):
        texts = many_texts(20)
        expected = BertEmbedder(tiny_bert).fit_transform(texts)
        names = recipe('backend="ray"', texts=texts, BertEmbedder=of_tiny(tiny_bert))
        np.testing.assert_allclose(names["vectors"], expected, atol=1e-6)

    def test_it_starts_by_itself_and_ctrl_c_ends_it(self, interrupted, tiny_bert):
        script = (
            ENDLESS.format(model=tiny_bert)
            + """
import joblib
from ray.util.joblib import register_ray

register_ray()
with joblib.parallel_config(backend="ray"):
    embedder.transform(texts)
    print("FINISHED")
"""
        )
        assert interrupted(script) < 60

    def test_one_actor_a_gpu(self, engine):
        """Declared GPUs: Ray gives each actor one, and nobody tells it one of the driver's."""
        options = {"num_gpus": 1}
        with joblib.parallel_config(backend="ray", n_jobs=2, ray_remote_args=options):
            shards = compute_in_shards(Where("auto"), lambda part: (part.start,), [1] * 16, None)
            places = list(shards)
        assert {device for device, _ in places} == {"auto"}
        assert {visible for _, visible in places} == {"0", "1"}


def test_files_each_as_a_task(engine, tiny_bert, tmp_path):
    check_one_task_a_file("ray.remote", tiny_bert, tmp_path, ray=ray)


class TestData:
    def test_the_recipe(self, engine, tiny_bert, loads, tmp_path, monkeypatch):
        table = pd.DataFrame({"text": many_texts(40), "id": range(40)})
        monkeypatch.setattr(CountedEmbedder, "file", str(loads), raising=False)
        loads_of(loads)
        for part in range(4):
            table[part::4].to_parquet(tmp_path / f"{part}.parquet")
        dataset = ray.data.read_parquet(str(tmp_path))
        counted = partial(CountedEmbedder, tiny_bert)
        names = recipe("map_batches", dataset=dataset, BertEmbedder=counted)
        found = names["vectors"].to_pandas().sort_values("id")
        expected = BertEmbedder(tiny_bert).fit_transform(table["text"])
        np.testing.assert_allclose(np.stack(found["vector"]), expected, atol=1e-6)
        counts = loads_of(loads)
        assert 1 <= len(counts) <= 2
        assert set(counts.values()) == {1}
        assert os.getpid() not in counts

    def test_bad_values_are_named_by_the_batchs_row(self, engine, tiny_bert):
        table = pd.DataFrame({"text": ["a", "b", None, "c"]})
        embedder = BertEmbedder(tiny_bert).fit(["any text"])
        with pytest.raises(InputError, match="first at position 2"):
            ray.get(ray.remote(lambda: embedder.transform(table["text"])).remote())
