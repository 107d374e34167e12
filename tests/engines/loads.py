"""Counts, in the worker processes of an engine, how often weights are loaded."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial, wraps
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from skbert import BertEmbedder
from skbert._inference import workers

COMPUTE_SHARD = workers._compute_shard


@contextmanager
def counted_in_workers(file: Path) -> Iterator[None]:
    """Let joblib's workers count."""
    # Not Ray's hook for all its processes: those that only wait for work would import torch, too.
    with patch.object(workers, "_compute_shard", partial(compute_counted, str(file))):
        yield


def compute_counted(file: str, *arguments: Any) -> Any:
    """Compute a shard: what a worker does."""
    count_loads(file)
    return COMPUTE_SHARD(*arguments)


class CountedEmbedder(BertEmbedder):
    """Counts where it is unpickled."""

    file: ClassVar[str]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"_counted_in": self.file}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        count_loads(state["_counted_in"])


def count_loads(file: str) -> None:
    """Write a line with this process's number to a file for each model that it loads."""
    trained = import_module("skbert._estimators.trained").TrainedEstimator
    for place, name in (
        (import_module("skbert._models.shared"), "_load"),
        (trained, "_load_fitted"),
    ):
        load = getattr(place, name)
        setattr(place, name, _noted(getattr(load, "__wrapped__", load), file))


def _noted(load: Any, file: str) -> Any:
    @wraps(load)
    def noted(*args: Any) -> Any:
        with Path(file).open("a") as stream:  # small appends of several processes do not mix
            stream.write(f"{os.getpid()}\n")
        return load(*args)

    return noted


def loads_of(file: Path) -> Counter[int]:
    """How often each process has loaded a model, and forget it."""
    counts = Counter(map(int, file.read_text().split())) if file.exists() else Counter()
    file.unlink(missing_ok=True)
    return counts
