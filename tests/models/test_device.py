"""Devices, precisions, batch sizes and memory."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from skbert import BertEmbedder, DeviceError
from skbert._models import device as _device
from skbert._models.device import (
    has_varlen_attention,
    resolve_device,
    resolve_precision,
    token_budget,
)
from tests.conftest import stand_in_for_varlen

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def fake_gpus(monkeypatch) -> Callable[..., None]:
    """Make torch say that there are so many GPUs of this compute capability."""

    def set_up(n_gpus: int, capability: tuple[int, int] = (9, 0)) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: n_gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: n_gpus)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)

    return set_up


@pytest.mark.parametrize(
    ("device", "dtype", "capability", "expected"),
    [
        ("cuda", torch.bfloat16, (8, 0), True),
        ("cuda:0", torch.float16, (9, 0), True),
        ("cuda", torch.float32, (9, 0), False),
        ("cuda", torch.float16, (7, 5), False),  # Turing
        ("cpu", torch.bfloat16, (9, 0), False),
        ("mps", torch.float16, (9, 0), False),
    ],
)
def test_attention_without_padding_is_for_new_gpus_in_half_precision(
    device, dtype, capability, expected, fake_gpus
):
    if expected:
        pytest.importorskip("torch.nn.attention.varlen")
    fake_gpus(1, capability)
    assert has_varlen_attention(torch.device(device), dtype) is expected


def test_torch_without_that_attention_or_with_its_first_version(fake_gpus, monkeypatch):
    fake_gpus(1)
    stand_in_for_varlen(monkeypatch, lambda query, key, value: query)
    assert not has_varlen_attention(CUDA, torch.bfloat16)
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", None)
    assert not has_varlen_attention(CUDA, torch.bfloat16)


def test_auto_device_is_the_gpu_where_there_is_one(fake_gpus):
    fake_gpus(0)
    assert resolve_device("auto") == CPU
    fake_gpus(2)
    assert resolve_device("auto").type == "cuda"


def test_named_devices(fake_gpus):
    fake_gpus(2)
    assert resolve_device("cpu") == CPU
    assert resolve_device("cuda").type == "cuda"
    assert resolve_device("cuda:1") == torch.device("cuda", 1)


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "cuda:-1", "cpu ", "CPU", "tpu:0", "0", ":"])
def test_name_that_torch_does_not_know_is_refused(name):
    with pytest.raises(DeviceError, match=rf"device='{name}' .*torch knows.*\"auto\""):
        resolve_device(name)


def test_device_that_is_not_here_is_refused(fake_gpus, monkeypatch):
    fake_gpus(2)
    with pytest.raises(DeviceError, match=r"device='cuda:2' is not available.*\"cpu\""):
        resolve_device("cuda:2")
    fake_gpus(0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    for name in ("cuda", "cuda:0", "mps", "mtia", "hpu", "vulkan", "xla", "ipu", "fpga", "maia"):
        with pytest.raises(DeviceError, match=f"device='{name}' is not available"):
            resolve_device(name)


def test_meta_device_is_refused():
    with pytest.raises(DeviceError, match="device='meta'"):
        resolve_device("meta")


def test_device_is_checked_in_fit_and_transform(tiny_bert, fake_gpus):
    fake_gpus(0)
    with pytest.raises(DeviceError, match="device='cuda'"):
        BertEmbedder(tiny_bert, device="cuda").fit(["a"])
    with pytest.raises(DeviceError, match="device='cuda'"):
        BertEmbedder(tiny_bert, device="cpu").fit(["a"]).set_params(device="cuda").transform(["a"])


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ((7, 0), torch.float32),
        ((7, 5), torch.float32),
        ((8, 0), torch.bfloat16),
        ((8, 9), torch.bfloat16),
        ((10, 0), torch.bfloat16),
    ],
)
def test_auto_precision_on_a_gpu_is_what_its_tensor_cores_compute(fake_gpus, capability, expected):
    fake_gpus(1, capability)
    assert resolve_precision("auto", CUDA) is expected


def test_auto_precision_elsewhere_is_float32():
    assert resolve_precision("auto", CPU) is torch.float32
    assert resolve_precision("auto", torch.device("mps")) is torch.float32


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_asked_precision_is_used(name):
    assert resolve_precision(name, CPU) is getattr(torch, name)
    assert resolve_precision(name, CUDA) is getattr(torch, name)


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_half_precision_on_a_cpu_is_near_float32(tiny_bert, texts, name):
    exact = BertEmbedder(tiny_bert, device="cpu", normalize=True).fit_transform(texts)
    half = BertEmbedder(tiny_bert, device="cpu", precision=name, normalize=True).fit(texts)
    vectors = half.transform(texts)
    assert half._loaded().dtype is getattr(torch, name)
    assert vectors.dtype == np.float32
    assert 0 < np.abs(vectors - exact).max() < 0.05


def test_token_budget_keeps_activations_small_on_a_cpu_and_batches_large_on_a_gpu():
    widths = [32, 1536, 3072, 4096, 16_384]
    budgets = [token_budget(CPU, width) for width in widths]
    assert budgets == sorted(budgets, reverse=True)
    assert all(
        4 * width * budget <= 32 * 2**20 for width, budget in zip(widths, budgets, strict=True)
    )
    assert min(budgets) >= 256
    assert token_budget(CUDA, 3072) > 4 * token_budget(CPU, 3072)


@pytest.fixture
def trims(monkeypatch):
    """Calls of glibc's malloc_trim, which is replaced; nothing was trimmed before."""
    calls: list[int] = []
    monkeypatch.setattr(_device, "_malloc_trim", lambda: calls.append)
    monkeypatch.setattr(_device, "_last_trim", -float("inf"))
    return calls


def test_heap_is_trimmed_again_only_after_a_while(trims, monkeypatch):
    now = 100.0
    monkeypatch.setattr(_device, "time", SimpleNamespace(monotonic=lambda: now))
    _device.trim_heap(CPU)
    now = 100.09
    _device.trim_heap(CPU)
    assert trims == [0]
    now = 100.11
    _device.trim_heap(CPU)
    assert trims == [0, 0]


def test_release_trims_the_heap_at_once(trims):
    _device.trim_heap(CPU)
    _device.free_cached_memory(CPU)
    assert trims == [0, 0]


def test_heap_is_trimmed_after_a_transform_and_not_for_a_gpu(trims, tiny_bert, texts):
    _device.trim_heap(CUDA)
    assert trims == []
    BertEmbedder(str(tiny_bert), device="cpu").fit_transform(texts)
    assert trims == [0]


def test_no_glibc_is_no_error(monkeypatch):
    monkeypatch.setattr(_device, "sys", SimpleNamespace(platform="win32"))
    assert _device._malloc_trim.__wrapped__() is None
    monkeypatch.setattr(_device, "_malloc_trim", lambda: None)
    _device.free_cached_memory(CPU)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="no glibc")
def test_glibc_gives_memory_back():
    assert _device._malloc_trim()(0) in (0, 1)


@pytest.fixture
def second_gpu(monkeypatch) -> list[tuple[str, object]]:
    """Pretend that there are two GPUs, the first the current one; return what they are told."""
    told: list[tuple[str, object]] = []
    current = [torch.device("cuda", 0)]

    class AsCurrent:
        def __init__(self, device):
            self.device = device

        def __enter__(self):
            current.append(self.device)

        def __exit__(self, *error):
            current.pop()

    class Event:
        def record(self, stream):
            told.append(("record", stream))

        def synchronize(self):
            told.append(("synchronize", None))

    monkeypatch.setattr(torch.cuda, "device", AsCurrent)
    monkeypatch.setattr(torch.cuda, "manual_seed", lambda seed: told.append((seed, current[-1])))
    monkeypatch.setattr(torch.random, "fork_rng", lambda devices: nullcontext(devices))
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: f"stream of {device}")
    return told


def test_training_seeds_the_gpu_that_it_runs_on(second_gpu):
    before = torch.get_rng_state()
    with _device.seeded(torch.device("cuda", 1), 3):
        pass
    torch.set_rng_state(before)
    assert second_gpu == [(3, torch.device("cuda", 1))]


def test_mark_waits_for_the_work_of_its_own_gpu_up_to_there(second_gpu):
    wait = _device.mark(torch.device("cuda", 1))
    assert second_gpu == [("record", "stream of cuda:1")]
    wait()
    assert second_gpu[1:] == [("synchronize", None)]
    _device.mark(CPU)()
    assert len(second_gpu) == 2
