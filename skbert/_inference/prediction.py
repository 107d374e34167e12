"""Predictions of a trained model in joblib's workers."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skbert._inference.progress import progress_bar
from skbert._inference.workers import compute_in_shards


@dataclass(frozen=True, eq=False)
class Prediction:
    """A fitted estimator, whose weights go to the workers with it.

    Attributes
    ----------
    estimator : TrainedEstimator
        It computes rows, and knows what of it is sent.
    """

    estimator: Any

    @property
    def device(self) -> str:
        """The estimator's parameter."""
        return str(self.estimator.device)

    def __getstate__(self) -> dict[str, Any]:
        return {"estimator": self.estimator._for_workers()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        object.__setattr__(self, "estimator", state["estimator"])

    def on(self, device: str) -> Prediction:
        """Return the prediction for a device; the weights' arrays are shared."""
        if device == self.device:
            return self
        return Prediction(copy.copy(self.estimator).set_params(device=device))

    def compute(
        self, rows: Any, positions: NDArray[np.int64], options: tuple[Any, ...]
    ) -> tuple[int, int, list[Any]]:
        """Compute one shard; return its first row, the number of rows, and its parts."""
        bar = progress_bar(len(positions), "row", 0)
        parts = list(self.estimator._compute(rows, positions, bar, *options))
        return int(positions[0]), len(positions), parts


def predict_in_workers(
    estimator: Any, rows: Any, sizes: Sequence[int], bar: Any, *options: Any
) -> list[Any]:
    """Compute rows shard by shard, in joblib's active backend.

    Parameters
    ----------
    estimator : TrainedEstimator
        A fitted one.
    rows : Texts or list of list of str
        What its ``_compute`` takes.
    sizes : sequence of int
        Characters of each row.
    bar : tqdm bar
        Counts the texts.
    *options
        Further arguments of ``_compute``.

    Returns
    -------
    parts : list
        What ``_compute`` yields, in the order of the rows.
    """
    n_rows = len(sizes)
    take = getattr(rows, "take", None) or rows.__getitem__

    def shard(part: slice) -> tuple[Any, ...]:
        return take(part), np.arange(part.start, part.stop), options

    done = {}
    job = Prediction(estimator)
    with closing(compute_in_shards(job, shard, sizes, estimator.n_jobs)) as results:
        for first, n_done, parts in results:
            bar.update(n_done * (bar.total // n_rows))  # two texts a row for pairs read apart
            done[first] = parts
    return [part for first in sorted(done) for part in done[first]]
