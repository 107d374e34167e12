"""Counts, in the worker processes of an engine, how often weights are loaded."""

from __future__ import annotations

import os
from collections import Counter
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any


def count_loads(file: str) -> None:
    """Write a line with this process's number to a file for each model that it loads."""
    shared = import_module("skbert._models.shared")
    trained = import_module("skbert._estimators.trained").TrainedEstimator
    shared._load = _noted(shared._load, file)
    trained._load_fitted = _noted(trained._load_fitted, file)


def _noted(load: Any, file: str) -> Any:
    if hasattr(load, "__wrapped__"):  # in this process already
        load = load.__wrapped__

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
