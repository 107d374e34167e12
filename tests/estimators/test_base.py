"""One estimator in many threads, as a web service has it: loaded once, equal results, no growth."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from sklearn.base import clone

from skbert import BertClassifier, BertEmbedder
from skbert._models import shared as _shared
from skbert._models.device import forked_generator, generator_lock

pytestmark = pytest.mark.usefixtures("one_thread")

N_THREADS = 8


def at_once(function: Callable[[int], object]) -> list[object]:
    """Call it in eight threads that begin at the same moment."""
    gate = threading.Barrier(N_THREADS, timeout=60)

    def call(number: int) -> object:
        gate.wait()
        return function(number)

    with ThreadPoolExecutor(N_THREADS) as threads:
        return list(threads.map(call, range(N_THREADS)))


@pytest.fixture
def nothing_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a new process."""
    monkeypatch.setattr(_shared, "_SHARED", type(_shared._SHARED)())
    monkeypatch.setattr(_shared, "_HELD", [])


def counted(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[None]:
    """Count the calls of a function."""
    calls, function = [], getattr(owner, name)

    def counting(*arguments: object, **options: object) -> object:
        calls.append(None)
        return function(*arguments, **options)

    monkeypatch.setattr(owner, name, counting)
    return calls


@pytest.mark.usefixtures("nothing_shared")
@pytest.mark.parametrize("save_weights", [False, True])
def test_first_calls_load_an_embedder_once(tiny_bert, texts, monkeypatch, save_weights):
    """With saved weights each loading would unpack them into a folder of its own."""
    fitted = BertEmbedder(tiny_bert, save_weights=save_weights).fit(texts)
    expected = fitted.transform(texts)
    stored = pickle.dumps(fitted)
    fitted.release()
    del fitted
    restored = pickle.loads(stored)
    loads = counted(monkeypatch, _shared, "_load")
    asked = counted(monkeypatch, BertEmbedder, "_load_fitted")
    for vectors in at_once(lambda _: restored.transform(texts)):
        np.testing.assert_array_equal(vectors, expected)
    assert (len(loads), len(asked)) == (1, 1)


def test_first_calls_load_a_classifier_once(film_classifier, texts, monkeypatch):
    expected = film_classifier.predict_proba(texts)
    restored = pickle.loads(pickle.dumps(film_classifier))
    loads = counted(monkeypatch, BertClassifier, "_load_fitted")
    for probabilities in at_once(lambda _: restored.predict_proba(texts)):
        np.testing.assert_array_equal(probabilities, expected)
    assert len(loads) == 1


@pytest.mark.usefixtures("nothing_shared")
def test_steps_of_several_estimators_are_read_once(tiny_bert, texts, monkeypatch):
    reads = counted(monkeypatch, _shared, "read_sentence_steps")
    at_once(lambda _: BertEmbedder(tiny_bert).fit(texts))
    assert len(reads) == 1


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_different_texts_at_once_do_not_mix(tiny_bert, precision):
    embedder = BertEmbedder(tiny_bert, precision=precision).fit(["a"])
    batches = [
        [f"{'the cat ' * (n % 9)} {word}" for word in "abcdefgh"[: 1 + n % 8]] for n in range(64)
    ]
    expected = [embedder.transform(batch) for batch in batches]

    def many(number: int) -> list[np.ndarray]:
        return [embedder.transform(batch) for batch in batches[number:] + batches[:number]]

    for number, found in enumerate(at_once(many)):
        for vectors, right in zip(found, expected[number:] + expected[:number], strict=True):
            np.testing.assert_array_equal(vectors, right)


def test_a_thread_that_fits_and_one_that_loads_do_not_wait_for_each_other(tiny_bert, texts):
    """A fit holds torch's generator when it loads; loading takes that lock first, too."""
    fitted = BertEmbedder(tiny_bert).fit(texts)
    fits, waits = threading.Event(), threading.Event()

    def fit() -> None:
        with forked_generator():
            fits.set()
            waits.wait(0.3)  # the other thread has asked for its weights by now
            pickle.loads(stored).transform(texts)

    stored = pickle.dumps(fitted)
    restored = pickle.loads(stored)
    one = threading.Thread(target=fit, daemon=True)
    one.start()
    assert fits.wait(10)
    two = threading.Thread(target=restored.transform, args=[texts], daemon=True)
    two.start()
    for thread in (one, two):
        thread.join(30)
        assert not thread.is_alive()


def test_no_lock_in_clones_and_pickles(tiny_bert, texts):
    fitted = BertEmbedder(tiny_bert).fit(texts)
    fitted.transform(texts)
    pickle.loads(pickle.dumps(clone(fitted)))
    assert not [value for value in vars(fitted).values() if type(value) is type(generator_lock())]


def resident() -> float:
    """Resident memory in MB."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096 / 1e6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thousand_requests_in_threads_do_not_grow(tiny_bert):
    embedder = BertEmbedder(tiny_bert).fit(["a"])

    def request(number: int) -> None:
        embedder.transform([f"{'the cat sat ' * (number % 12)} {number}"] * (1 + number % 5))

    with ThreadPoolExecutor(N_THREADS) as threads:
        list(threads.map(request, range(300)))
        before = resident()
        list(threads.map(request, range(1000)))
        assert resident() - before < 20
    for number in range(40):  # each request in a thread of its own
        thread = threading.Thread(target=request, args=[number])
        thread.start()
        thread.join()
    assert resident() - before < 30
