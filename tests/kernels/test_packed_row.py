"""The row that a model is reading, as its attention and its head learn of it."""

from __future__ import annotations

import threading

import pytest
import torch

from skbert._kernels.packed_row import note_rows, row_that_is_read


class Model(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        note_rows(self)

    def forward(self, barrier: threading.Barrier | None = None, **kwargs: object) -> object:
        if barrier is not None:
            barrier.wait(timeout=10)  # both threads have begun
        return row_that_is_read()


def test_runs_and_bounds_are_those_of_the_call() -> None:
    model, bounds = Model(), torch.tensor([0, 4, 6])
    assert model(runs=[(2, 3)]) == ([(2, 3)], None)
    runs, found = model(runs=[(1, 4), (1, 2)], text_bounds=bounds)
    assert runs == [(1, 4), (1, 2)]
    assert found is bounds


def test_they_stay_for_what_is_computed_again() -> None:
    Model()(runs=[(2, 3)])
    assert row_that_is_read() == ([(2, 3)], None)


def test_padded_batch_is_no_row() -> None:
    Model()(runs=[(2, 3)])
    assert Model()(attention_mask=torch.ones(1, 2)) == ([(2, 3)], None)


@pytest.mark.parametrize("n_threads", [2, 5])
def test_threads_that_share_a_model_read_rows_of_their_own(n_threads: int) -> None:
    model, barrier, found = Model(), threading.Barrier(n_threads), {}

    def read(n: int) -> None:
        found[n] = model(runs=[(1, n)], barrier=barrier)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(1, n_threads + 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {n: ([(1, n)], None) for n in range(1, n_threads + 1)}
