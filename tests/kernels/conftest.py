"""Random numbers that are the same in each run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def fixed_seed() -> Iterator[None]:
    """Seed torch's generator, which dropout draws from, and put it back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
