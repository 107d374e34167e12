"""Random numbers that are the same in each run, and what this machine computes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from skbert._exceptions import DeviceError
from skbert._kernels.int8 import check_int8
from skbert._kernels.static_int8 import has_static_products


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def has_int8() -> bool:
    try:
        check_int8()
    except DeviceError:
        return False
    return True


needs_int8 = pytest.mark.skipif(not has_int8(), reason="this CPU or its torch has no VNNI")
needs_static_int8 = pytest.mark.skipif(
    not (has_int8() and has_static_products()),
    reason="this CPU has no VNNI, or its torch no int8 products with fixed scales",
)


@pytest.fixture
def fixed_seed() -> Iterator[None]:
    """Seed torch's generator, which dropout draws from, and put it back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
