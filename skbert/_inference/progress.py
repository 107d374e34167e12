"""The progress bars that ``verbose`` shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def progress_bar(total: int, unit: str, verbose: int, n_done: int = 0) -> Any:
    """Return a tqdm bar, silent unless ``verbose``; what was done before does not count as fast."""
    from tqdm.auto import tqdm

    return tqdm(total=total, unit=unit, disable=not verbose, initial=n_done)


@contextmanager
def training_bar(total: int, verbose: int) -> Iterator[Callable[[int, float | None], None]]:
    """Return what a training tells its progress: texts read, and their loss from time to time."""
    with progress_bar(total, "text", verbose) as bar:

        def update(n_texts: int, loss: float | None) -> None:
            bar.update(n_texts)
            if loss is not None:
                bar.set_postfix(loss=f"{loss:.4f}")

        yield update
