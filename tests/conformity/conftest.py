"""Tiny checkpoints, each made once in a session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from skbert._models.foreign import quiet_transformers
from tests.conformity.checkpoints import FAMILIES, save_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return the folder of a family's checkpoint."""

    @cache
    def folder_of(name: str) -> Path:
        with quiet_transformers():
            return save_checkpoint(tmp_path_factory.mktemp("family") / "model", FAMILIES[name])

    return folder_of
