"""Ray, on two CPUs of this machine."""

from __future__ import annotations

import os
from contextlib import contextmanager

import joblib
import numpy as np
import pandas as pd
import pytest

from skbert import BertEmbedder, InputError
from skbert._inference.workers import compute_in_shards
from tests.cache.test_cache import many_texts
from tests.engines.clusters import OnACluster
from tests.engines.conftest import ENDLESS
from tests.engines.loads import count_loads
from tests.engines.recipes import of_tiny, recipe
from tests.engines.where import Where

pytestmark = [pytest.mark.engines, pytest.mark.usefixtures("one_thread")]
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def loads(tmp_path_factory):
    return tmp_path_factory.mktemp("loads") / "loads"


@pytest.fixture(scope="module")
def engine(loads):
    """Two CPUs, and two GPUs that are only declared."""
    file = str(loads)
    ray.init(
        num_cpus=2,
        num_gpus=2,
        object_store_memory=150_000_000,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": lambda: count_loads(file)},
    )
    from ray.util.joblib import register_ray

    register_ray()
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def backend(engine, loads):
    @contextmanager
    def with_ray():
        restart = {"max_restarts": 3, "max_task_retries": 3}
        with joblib.parallel_config(backend="ray", ray_remote_args=restart):
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
            ENDLESS.format(model=tiny_bert, seconds=9)
            + """
import joblib
from ray.util.joblib import register_ray

register_ray()
with joblib.parallel_config(backend="ray"):
    embedder.transform(texts)
    print("FINISHED")
"""
        )
        assert interrupted(script) < 30

    def test_one_actor_a_gpu(self, engine):
        """Declared GPUs: Ray gives each actor one, and nobody tells it one of the driver's."""
        options = {"num_gpus": 1}
        with joblib.parallel_config(backend="ray", n_jobs=2, ray_remote_args=options):
            shards = compute_in_shards(Where("auto"), lambda part: (part.start,), [1] * 16, None)
            places = list(shards)
        assert {device for device, _ in places} == {"auto"}
        assert {visible for _, visible in places} == {"0", "1"}


class TestData:
    def test_the_recipe(self, engine, tiny_bert, loads, tmp_path):
        table = pd.DataFrame({"text": many_texts(40), "id": range(40)})
        embedder = BertEmbedder(tiny_bert).fit(["any text"])
        loads.unlink(missing_ok=True)
        for part in range(4):
            table[part::4].to_parquet(tmp_path / f"{part}.parquet")
        dataset = ray.data.read_parquet(str(tmp_path))
        names = recipe("map_batches", dataset=dataset, BertEmbedder=of_tiny(tiny_bert))
        found = names["vectors"].to_pandas().sort_values("id")
        expected = embedder.transform(table["text"])
        np.testing.assert_allclose(np.stack(found["vector"]), expected, atol=1e-6)
        pids = [pid for pid in loads.read_text().split() if int(pid) != os.getpid()]
        assert 1 <= len(pids) <= 2
        assert len(set(pids)) == len(pids)

    def test_bad_values_are_named_by_the_batchs_row(self, engine, tiny_bert):
        table = pd.DataFrame({"text": ["a", "b", None, "c"]})
        embedder = BertEmbedder(tiny_bert).fit(["any text"])
        with pytest.raises(InputError, match="first at position 2"):
            ray.get(ray.remote(lambda: embedder.transform(table["text"])).remote())
