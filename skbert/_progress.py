"""The progress bar that ``verbose`` shows."""

from __future__ import annotations

from typing import Any


def progress_bar(total: int, unit: str, verbose: int) -> Any:
    """Give a tqdm bar (it comes with transformers), silent unless ``verbose``."""
    from tqdm.auto import tqdm

    return tqdm(total=total, unit=unit, disable=not verbose)
