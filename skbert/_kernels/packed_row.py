"""What packed row a model is reading: kept beside the model's call.

transformers' models hand the runs of a row down to their attention, but for the heads of MPNet and
DeBERTa, which do not hand on what they do not know.
"""

from __future__ import annotations

import threading
from typing import Any

from torch import Tensor

from skbert._kernels.packed_attention import Runs

_READING = threading.local()  # threads may share a model


def row_that_is_read() -> tuple[Runs, Tensor | None]:
    """Return the runs of the row that a model in this thread was last called with, and bounds.

    They are still there after the call: gradient checkpointing computes layers again.
    """
    return _READING.row


def note_rows(model: Any) -> None:
    """Let `row_that_is_read` know what a model is called with."""
    model.register_forward_pre_hook(_note, with_kwargs=True)


def _note(model: Any, args: Any, kwargs: dict[str, Any]) -> None:
    if "runs" in kwargs:  # not so where a GPU was found to lack the kernel
        _READING.row = kwargs["runs"], kwargs.get("text_bounds")
