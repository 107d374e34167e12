"""Spark, with two threads of tasks on this machine, each of which has a Python worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from skbert import BertEmbedder
from tests.cache.test_cache import LONG, many_texts
from tests.conftest import save_tiny_bert
from tests.engines.conftest import ENDLESS, KINDS, assert_equal
from tests.engines.files import check_one_task_a_file
from tests.engines.loads import count_loads, loads_of
from tests.engines.recipes import of_tiny, recipe

pytestmark = [pytest.mark.engines, pytest.mark.usefixtures("one_thread")]
sql = pytest.importorskip("pyspark.sql", reason="NOT TESTED: Spark, which is not installed")


@pytest.fixture(scope="module", autouse=True)
def java():
    check = ["sh", str(Path(__file__).with_name("java.sh")), "check"]
    if subprocess.run(check).returncode:
        pytest.skip("NOT TESTED: Spark, without Java 17 or newer")


@pytest.fixture(scope="module")
def spark(java):
    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "5",
        "spark.sql.shuffle.partitions": "2",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
    }
    builder = sql.SparkSession.builder.master("local[2, 2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)  # the workers', else the first python3
        session = builder.getOrCreate()
        yield session
        session.stop()


@pytest.fixture(scope="module")
def table():
    return pd.DataFrame({"id": np.arange(40), "text": many_texts(40, seed=3)})


@pytest.fixture
def frame(spark, table):
    return spark.createDataFrame(table).repartition(4)


def in_order(frame, column="vector"):
    return frame.toPandas().sort_values("id")[column]


@pytest.mark.parametrize("word", ["mapInPandas", "pandas_udf"])
def test_the_recipes_give_equal_vectors(frame, table, tiny_bert, word):
    names = recipe(word, frame=frame, BertEmbedder=of_tiny(tiny_bert))
    expected = BertEmbedder(tiny_bert).fit_transform(table["text"])
    np.testing.assert_allclose(np.stack(in_order(names["vectors"])), expected, atol=1e-6)


def counting(estimator, method, file):
    """A function for `mapInPandas` that counts loads, and gives what the method gives as text."""
    file = str(file)

    def function(batches):
        count_loads(file)
        for batch in batches:
            found = getattr(estimator, method)(batch["text"].tolist())
            yield pd.DataFrame({"id": batch["id"], "found": [repr(list(row)) for row in found]})

    return function


def test_weights_are_loaded_once_a_worker(frame, tmp_path):
    """Four partitions, eight batches of each: two loads, by two processes."""
    model = str(save_tiny_bert(tmp_path / "other", seed=5))
    embedder = BertEmbedder(model).fit(["a"])
    file = tmp_path / "loads"
    for _ in range(2):
        frame.mapInPandas(counting(embedder, "transform", file), "id long, found string").collect()
    counts = loads_of(file)
    assert 1 <= len(counts) <= 2
    assert set(counts.values()) == {1}


@pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
@pytest.mark.parametrize("kind", KINDS)
def test_fitted_estimators_predict(spark, fitted, kind):
    estimator, X, method = fitted[kind]
    expected = getattr(estimator, method)(X)

    def function(batches):
        for batch in batches:
            rows = [X[number] for number in batch["id"]]
            found = getattr(estimator, method)(rows)
            cells = [row.tolist() if hasattr(row, "tolist") else row for row in found]
            yield pd.DataFrame({"id": batch["id"], "found": [repr(cell) for cell in cells]})

    frame = spark.range(len(X)).repartition(2).mapInPandas(function, "id long, found string")
    found = [eval(cell) for cell in in_order(frame, "found")]
    assert_equal(found, expected)


def test_a_killed_worker_loses_nothing(frame, table, tiny_bert, tmp_path):
    embedder = BertEmbedder(tiny_bert).fit(["a"])
    marker = str(tmp_path / "killed")

    def function(batches):
        for number, batch in enumerate(batches):
            if number == 1 and not Path(marker).exists():
                Path(marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield batch.assign(vector=list(embedder.transform(batch["text"])))

    vectors = frame.mapInPandas(function, "id long, text string, vector array<float>")
    found = np.stack(in_order(vectors))
    assert Path(marker).exists()
    np.testing.assert_allclose(found, embedder.transform(table["text"]), atol=1e-6)


def test_files_each_as_a_task(spark, tiny_bert, tmp_path):
    check_one_task_a_file("spark.sparkContext", tiny_bert, tmp_path, spark=spark)


@pytest.mark.parametrize(
    ("bad", "message"),
    [(None, "InputError: X has 1 missing value(s), the first at position 1")],
)
def test_bad_values_are_named_by_the_batchs_row(spark, tiny_bert, bad, message):
    table = pd.DataFrame({"id": [0, 1, 2], "text": ["a", bad, "b"]})
    frame = spark.createDataFrame(table, "id long, text string").coalesce(1)
    names = recipe("mapInPandas", frame=frame, BertEmbedder=of_tiny(tiny_bert))
    with pytest.raises(Exception, match="InputError") as error:
        names["vectors"].collect()
    assert message in str(error.value)


def test_a_worker_without_the_files_says_so_by_name(frame, tmp_path):
    folder = save_tiny_bert(tmp_path / "only-here", seed=7)
    names = recipe("mapInPandas", frame=frame, BertEmbedder=of_tiny(str(folder)))
    folder.rename(tmp_path / "away")
    with pytest.raises(Exception, match="CheckpointNotFoundError") as error:
        names["vectors"].collect()
    assert "only-here" in str(error.value)
    assert "to the same path" in str(error.value)


def test_truncation_warnings_are_given_in_the_worker(spark, tiny_bert):
    embedder = BertEmbedder(tiny_bert).fit(["a"])

    def messages(batches):
        for batch in batches:
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                embedder.transform(batch["text"])
            yield pd.DataFrame({"message": [str(warning.message) for warning in seen]})

    frame = spark.createDataFrame(pd.DataFrame({"text": ["a", LONG]})).coalesce(1)
    (row,) = frame.mapInPandas(messages, "message string").collect()
    assert row.message.startswith("1 of 2 texts are longer than max_length=64")


def test_ctrl_c_ends_it(interrupted, tiny_bert):
    script = (
        ENDLESS.format(model=tiny_bert)
        + """
import pandas as pd
from pyspark.sql import SparkSession

builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
spark = builder.config("spark.driver.host", "127.0.0.1").getOrCreate()

def with_vectors(batches):
    for batch in batches:
        yield batch.assign(vector=list(embedder.transform(batch["text"])))

frame = spark.createDataFrame(pd.DataFrame({"text": texts}))
frame.mapInPandas(with_vectors, "text string, vector array<float>").toPandas()
print("FINISHED")
"""
    )
    assert interrupted(script) < 60
