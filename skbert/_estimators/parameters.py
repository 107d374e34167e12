"""What values parameters take: a test and the words for the error message of each."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from skbert._models.device import PRECISIONS


class Rule(NamedTuple):
    """What values a parameter takes: a test, and the words for the error message."""

    accepts: Callable[[Any], bool]
    expected: str


def one_of(*values: Any) -> Rule:
    """Accept exactly these values."""
    return Rule(
        lambda value: any(value is v or (type(value) is type(v) and value == v) for v in values),
        "one of " + ", ".join(repr(value) for value in values),
    )


def whole_number(least: int, *, or_else: Any) -> Rule:
    """Accept integers from ``least`` on, and one value that is none."""
    return Rule(
        lambda value: one_of(or_else).accepts(value) or is_integer(value, least),
        f"{or_else!r} or an integer of at least {least}",
    )


def is_integer(value: Any, least: int | None = None) -> bool:
    """Return whether a value is an integer, numpy's too, no bool, and not below ``least``."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        return False
    return least is None or int(value) >= least


N_JOBS = Rule(
    lambda value: value is None or (is_integer(value) and value != 0),
    "None, or an integer that is not 0",
)


A_STRING = Rule(lambda value: isinstance(value, str) and value != "", "a non-empty str")


def number(least: float, most: float = math.inf, *, open_ends: str = "", or_else: Any = 0) -> Rule:
    """Accept finite real numbers from ``least`` to ``most``, and one value that is none.

    ``open_ends`` names the ends that are not included: "least", "most" or "both".
    """
    has_other = not isinstance(or_else, numbers.Real)
    with_least, with_most = open_ends not in ("least", "both"), open_ends not in ("most", "both")

    def accepts(value: Any) -> bool:
        if has_other and one_of(or_else).accepts(value):
            return True
        if not isinstance(value, numbers.Real) or isinstance(value, bool):
            return False
        size = float(value)
        above = size >= least if with_least else size > least
        below = size <= most if with_most else size < most
        return above and below and math.isfinite(size)

    span = f"a number {'from' if with_least else 'above'} {least}"
    if most < math.inf:
        span += f" {'to' if with_most else 'to below'} {most}"
    return Rule(accepts, f"{or_else!r} or {span}" if has_other else span)


TRUE_OR_FALSE = Rule(lambda value: isinstance(value, bool | np.bool_), "True or False")


SHARED_RULES: Mapping[str, Rule] = {
    "model": Rule(
        lambda value: A_STRING.accepts(value) or isinstance(value, Path),
        "a hub id or a folder, as str",
    ),
    "revision": Rule(
        lambda value: value is None or A_STRING.accepts(value),
        "None, or a branch, tag or commit as str",
    ),
    "max_length": whole_number(1, or_else=None),
    "batch_size": whole_number(1, or_else="auto"),
    "device": A_STRING,
    "precision": one_of("auto", *PRECISIONS),
    "n_jobs": N_JOBS,
    "verbose": Rule(
        lambda value: isinstance(value, bool) or is_integer(value, 0),
        "an integer of at least 0",
    ),
}


# Of the estimators that read single texts whole.
READING_RULES: Mapping[str, Rule] = {
    "prompt": Rule(lambda value: value is None or isinstance(value, str), "a str or None"),
    "overflow": one_of("truncate", "windows", "error"),
    "stride": whole_number(0, or_else=None),
}


TRAINING_RULES: Mapping[str, Rule] = {
    "max_epochs": whole_number(1, or_else=1),
    "min_steps": whole_number(0, or_else=0),
    "learning_rate": number(0, open_ends="least"),
    "weight_decay": number(0),
    "warmup_fraction": number(0, 1),
    "layer_decay": number(0, 1, open_ends="least"),
    "train_batch_size": whole_number(1, or_else=1),
    "gradient_accumulation": whole_number(1, or_else=1),
    "max_grad_norm": number(0, open_ends="least", or_else=None),
    "dropout": number(0, 1, open_ends="most", or_else=None),
    "freeze": Rule(
        lambda value: value in (None, "embeddings", "encoder") or is_integer(value, 0),
        'None, "embeddings", "encoder", or the number of layers to freeze',
    ),
    "gradient_checkpointing": TRUE_OR_FALSE,
    "early_stopping": TRUE_OR_FALSE,
    "validation_fraction": number(0, 1, open_ends="both"),
    "n_epochs_no_change": whole_number(1, or_else=1),
    "warm_start": TRUE_OR_FALSE,
    "random_state": Rule(
        lambda value: (
            value is None
            or isinstance(value, np.random.RandomState)
            or (isinstance(value, numbers.Integral) and 0 <= int(value) < 2**32)
        ),
        "None, an integer from 0, or a numpy.random.RandomState",
    ),
}
