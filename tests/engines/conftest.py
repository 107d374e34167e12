"""What each engine is to compute, and what this process gives."""

from __future__ import annotations

import faulthandler
import io
import os
import re
import signal
import subprocess
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skbert import (
    BertClassifier,
    BertEmbedder,
    BertQuestionAnswerer,
    BertTokenClassifier,
    TruncationWarning,
)
from tests.cache.test_cache import LONG, many_texts
from tests.engines.loads import loads_of

# Seconds that a test may take, with the engine that it starts; some ten are usual.
LIMIT = 300


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[Any]:
    """Let a test that waits for ever fail, and show where it waits."""

    def stop(*_: object) -> None:
        faulthandler.dump_traceback(file=sys.__stderr__)
        raise TimeoutError(f"{item.nodeid} took more than {LIMIT} seconds")

    if not hasattr(signal, "SIGALRM"):  # Windows
        return (yield)
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LIMIT)
    try:
        return (yield)
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Fitted(NamedTuple):
    """Fitted estimators, what each reads, and its method."""

    estimator: Any
    X: Any
    method: str


@pytest.fixture(scope="session")
def fitted(tiny_bert: str) -> dict[str, Fitted]:
    """One of each kind, trained a little."""
    texts = many_texts(40, seed=3)
    short = {"min_steps": 2, "max_epochs": 1, "random_state": 0}
    y = np.arange(40) % 2
    sentences = [text.split() for text in texts]
    labels = [[("B-X", "O")[len(word) % 2] for word in words] for words in sentences]
    pairs = [("where ?", text + " .") for text in texts]
    answers = [text.split()[0] for text in texts]
    pipeline = make_pipeline(BertEmbedder(tiny_bert), LogisticRegression())
    with_long = [LONG, *texts, LONG + "a"]
    return {
        "embedder": Fitted(BertEmbedder(tiny_bert).fit(texts), with_long, "transform"),
        "pipeline": Fitted(pipeline.fit(texts, y), with_long, "predict_proba"),
        "classifier": Fitted(
            BertClassifier(tiny_bert, **short).fit(texts, y), with_long, "predict_proba"
        ),
        "tagger": Fitted(
            BertTokenClassifier(tiny_bert, **short).fit(sentences, labels), sentences, "predict"
        ),
        "reader": Fitted(
            BertQuestionAnswerer(tiny_bert, max_length=48, stride=8, **short).fit(pairs, answers),
            pairs,
            "predict",
        ),
    }


KINDS = ("pipeline", "classifier", "tagger", "reader")


def assert_equal(found: Any, expected: Any) -> None:
    """Numbers up to rounding, labels and answers exactly."""
    if np.asarray(expected).dtype == object:
        assert list(found) == list(expected)
    else:
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)


@pytest.fixture(scope="module", params=["embedder", *KINDS])
def runs(
    request: pytest.FixtureRequest, backend: Any, fitted: dict[str, Fitted]
) -> tuple[str, Seen, Seen]:
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


class Seen(NamedTuple):
    """What a call gave, and what else was seen of it."""

    found: Any
    loads: Counter[int]
    warnings: list[str]
    shown: str

    @classmethod
    def of(cls, compute: Callable[..., Any], X: Any, loads: Path) -> Seen:
        """Call a method of a fitted estimator."""
        loads_of(loads)
        shown = io.StringIO()
        with redirect_stderr(shown), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", TruncationWarning)
            found = compute(X)
        messages = [str(w.message) for w in caught if w.category is TruncationWarning]
        return cls(found, loads_of(loads), messages, shown.getvalue())


@pytest.fixture
def interrupted(tmp_path: Path) -> Callable[[str], float]:
    """Run a script that computes for long; send Ctrl-C once it does; give seconds to its end."""

    def run(script: str) -> float:
        file = tmp_path / "script.py"
        file.write_text(script)
        log = tmp_path / "log"
        root = Path(__file__).parents[2]
        with log.open("w") as stream:
            process = subprocess.Popen(
                [sys.executable, str(file)],
                stdout=stream,
                stderr=stream,
                cwd=root,
                env=os.environ | {"PYSPARK_PYTHON": sys.executable},
            )
        try:
            deadline = time.monotonic() + 200
            while not MOVING_BAR.search(log.read_text()):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            begin = time.monotonic()
            process.send_signal(signal.SIGINT)
            process.wait(timeout=80)
        finally:
            if process.poll() is None:
                process.kill()
        assert "KeyboardInterrupt" in log.read_text()
        assert "FINISHED" not in log.read_text()
        return time.monotonic() - begin

    return run


# A progress bar that shows texts as done, here or, with Spark, in a worker.
MOVING_BAR = re.compile(r" [1-9]\d*/\d+ \[\d\d:")
# So many texts that Ctrl-C comes before all are computed.
ENDLESS = """
from skbert import BertEmbedder

texts = [f"the cat sat on the mat {{number}} ." for number in range(150_000)]
embedder = BertEmbedder({model!r}, verbose=1).fit(texts[:1])
"""
