"""Alternating runs in one process, and what is said about them."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Contender:
    """Something to time.

    Attributes
    ----------
    name : str
        Its name in the table.
    run : callable
        What is timed, without arguments.
    rounds : int
        In how many rounds, counted from the first, it runs.
    """

    name: str
    run: Callable[[], Any]
    rounds: int


def alternate(contenders):
    """Run A B C A B C ..., after one warm-up each.

    Returns
    -------
    seconds : dict of str to list of float
        Time of each round, so that entry i of two contenders was measured side by side.
    outputs : dict of str to object
        What each gave in the warm-up.
    """
    outputs = {contender.name: contender.run() for contender in contenders}
    seconds = {contender.name: [] for contender in contenders}
    for number in range(max(contender.rounds for contender in contenders)):
        for contender in contenders:
            if number < contender.rounds:
                seconds[contender.name].append(timed(contender.run))
    return seconds, outputs


def spread(values):
    """Median, smallest and largest, and the values themselves."""
    return {"median": median(values), "min": min(values), "max": max(values), "all": values}


def pairwise_median(numerators, denominators):
    """Median of the ratios inside each round: drift of the machine's speed cancels out."""
    # The shorter list is of a contender that sat out the later rounds.
    return median(a / b for a, b in zip(numerators, denominators, strict=False))


def timed(run):
    """Give the seconds that a run takes."""
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
