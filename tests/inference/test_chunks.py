"""Chunks are tokenized ahead of a GPU, in order, and nothing is lost."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from skbert._inference.chunks import finished, prefetch

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.mark.parametrize("device", [CPU, CUDA], ids=str)
@pytest.mark.parametrize("n_items", [0, 1, 2, 3, 10])
def test_work_ahead_is_a_map(device, n_items):
    assert list(prefetch(lambda x: x * x, range(n_items), device=device)) == [
        x * x for x in range(n_items)
    ]


def test_work_runs_ahead_of_a_gpu():
    """While the caller holds item 0, item 1 is worked on, in another thread; item 3 is not yet."""
    started = [threading.Event() for _ in range(4)]
    threads = []

    def work(item: int) -> int:
        threads.append(threading.get_ident())
        started[item].set()
        return item

    results = prefetch(work, range(4), device=CUDA)
    assert next(results) == 0
    assert started[1].wait(timeout=10)
    time.sleep(0.02)
    assert not started[3].is_set()
    assert list(results) == [1, 2, 3]
    assert threading.get_ident() not in threads


def test_work_is_not_ahead_on_a_cpu():
    seen = []
    results = prefetch(lambda item: seen.append(item) or item, range(3), device=CPU)
    assert next(results) == 0
    assert seen == [0]
    assert threading.active_count() >= 1
    assert list(results) == [1, 2]


@pytest.mark.parametrize("device", [CPU, CUDA], ids=str)
def test_error_in_the_work_reaches_the_caller_in_its_turn(device):
    def work(item: int) -> int:
        if item == 2:
            raise KeyError("item 2")
        return item

    results = prefetch(work, range(5), device=device)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(KeyError, match="item 2"):
        next(results)


def test_no_thread_is_left_behind():
    before = threading.active_count()
    results = prefetch(lambda item: item, range(5), device=CUDA)
    next(results)
    results.close()
    list(prefetch(lambda item: item, range(5), device=CUDA))
    assert threading.active_count() == before


@pytest.mark.parametrize("device", [CPU, CUDA], ids=str)
@pytest.mark.parametrize("n_items", [0, 1, 2, 5])
def test_what_was_started_is_finished_in_order(device, n_items):
    """A GPU has the next item to compute before the last one is finished; a CPU has not."""
    events = []

    def start(item: int):
        events.append(f"start {item}")

        def finish() -> int:
            events.append(f"finish {item}")
            return item

        return finish

    assert list(finished(map(start, range(n_items)), device=device)) == [*range(n_items)]
    assert sorted(events) == sorted(
        f"{what} {i}" for what in ("start", "finish") for i in range(n_items)
    )
    for item in range(1, n_items):
        is_ahead = events.index(f"start {item}") < events.index(f"finish {item - 1}")
        assert is_ahead is (device == CUDA)
        assert item == 1 or events.index(f"finish {item - 2}") < events.index(f"start {item}")
