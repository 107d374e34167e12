"""Classes of a classifier as JSON and back: numbers, words, dates, with their numpy type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Kinds of numpy types whose elements JSON has, and those that are counts of a unit of time.
PLAIN_KINDS, TIME_KINDS, BYTES_KIND = "Uiufb", "mM", "S"
JSON_TYPES = (str, bool, int, float)


def saved_classes(classes: NDArray[Any]) -> dict[str, Any]:
    """Return classes as JSON; nothing for those that JSON cannot hold."""
    kind = classes.dtype.kind
    if kind in PLAIN_KINDS:
        return {"classes": classes.tolist(), "classes_dtype": classes.dtype.str}
    if kind in TIME_KINDS:
        return {"classes": classes.view(np.int64).tolist(), "classes_dtype": classes.dtype.str}
    if kind == BYTES_KIND:
        texts = [label.decode("latin-1") for label in classes.tolist()]
        return {"classes": texts, "classes_dtype": classes.dtype.str}
    if all(type(label) in JSON_TYPES for label in classes.tolist()):
        return {"classes": classes.tolist(), "classes_dtype": "O"}
    return {}


def restored_classes(extras: Mapping[str, Any]) -> NDArray[Any] | None:
    """Return the classes that `saved_classes` made JSON of, or None."""
    if "classes" not in extras:
        return None
    dtype = np.dtype(extras["classes_dtype"])
    if dtype.kind in TIME_KINDS:
        return np.array(extras["classes"], np.int64).view(dtype)
    if dtype.kind == BYTES_KIND:
        return np.array([label.encode("latin-1") for label in extras["classes"]], dtype)
    return np.array(extras["classes"], dtype=dtype)
