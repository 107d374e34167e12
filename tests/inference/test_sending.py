"""What workers compute with: it reaches each of them once, and is unpacked once."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import joblib
import numpy as np
import pytest
from joblib._parallel_backends import LokyBackend
from joblib.parallel import ThreadingBackend

from skbert._inference import sending as _sending
from skbert._inference.sending import SMALL, received, send_once


class Job:
    """Counts how often it is unpickled; unpickling needs no weights."""

    n_unpickled = 0

    def __init__(self, size, device="auto"):
        self.content, self.device = bytes(size), device

    def on(self, device):
        return self if device == self.device else Job(len(self.content), device)

    def __setstate__(self, state):
        type(self).n_unpickled += 1
        vars(self).update(state)


@pytest.fixture(autouse=True)
def nothing_received(monkeypatch):
    monkeypatch.setattr(_sending, "_RECEIVED", {})
    monkeypatch.setattr(Job, "n_unpickled", 0)


def test_threads_share_the_job():
    job = Job(10)
    assert received(send_once(ThreadingBackend(), job), "auto") is job
    assert received(send_once(ThreadingBackend(), job), "cuda:1").device == "cuda:1"


def test_processes_unpack_it_once_for_each_device():
    sent = send_once(LokyBackend(), Job(10))
    first = received(sent, "auto")
    assert received(sent, "auto") is first
    assert Job.n_unpickled == 1
    assert received(sent, "cuda:1").device == "cuda:1"
    assert len(_sending._RECEIVED) == 1  # not two at once


def test_an_equal_job_of_a_later_call_is_the_same():
    first = received(send_once(LokyBackend(), Job(10)), "auto")
    assert received(send_once(LokyBackend(), Job(10)), "auto") is first
    assert received(send_once(LokyBackend(), Job(11)), "auto") is not first


def test_dask_gets_a_large_one_on_all_workers():
    """What its backend scatters by itself is on one worker, and lost with it."""
    calls = []

    def scatter(array, **options):
        calls.append((len(array), options))
        return "future"

    backend = type("DaskDistributedBackend", (), {})()
    backend.client = SimpleNamespace(scatter=scatter)
    sent = send_once(backend, Job(2 * SMALL))
    assert type(sent) is tuple
    assert sent[1] == "future"
    ((size, options),) = calls
    assert size > 2 * SMALL
    assert options == {"broadcast": True, "hash": False}
    assert type(send_once(backend, Job(10))) is tuple
    assert len(calls) == 1


def test_ray_gets_a_large_one_into_its_store(monkeypatch):
    store = {}
    ray = ModuleType("ray")
    ray.put = lambda array: store.setdefault("reference", array) is None or "reference"
    ray.get = lambda reference: store[reference]
    monkeypatch.setitem(sys.modules, "ray", ray)
    backend = type("RayBackend", (), {"__module__": "ray.util.joblib.ray_backend"})()
    sent = send_once(backend, Job(2 * SMALL))
    assert sent[1] == "reference"
    assert len(received(sent, "auto").content) == 2 * SMALL
    del store["reference"]
    assert len(received(sent, "auto").content) == 2 * SMALL  # not asked for again


def test_processes_of_this_machine_map_one_file():
    sent = send_once(LokyBackend(), Job(2_000_000))
    kinds = joblib.Parallel(2, batch_size=1)(joblib.delayed(_kind)(sent) for _ in range(4))
    assert set(kinds) == {"memmap"}


def _kind(sent):
    array = sent[1]
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return type(array).__name__
