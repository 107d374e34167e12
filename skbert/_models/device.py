"""``"auto"`` → torch.device and dtype, and what differs between devices."""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from inspect import signature
from typing import Any

import torch

from skbert._exceptions import DeviceError, ParameterError

PRECISIONS = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "int8": torch.int8,
}

# Activations of one batch beside the widest layer: on a CPU they should stay in the last-level
# cache, and below 32 MiB, where glibc's malloc begins to map fresh pages for every tensor.
CPU_ACTIVATION_BYTES = 24 * 2**20
# A GPU wants large batches; out of memory halves this (see _inference/loop.py).
GPU_TOKENS = 65_536
# So that two hundredths of the time, at most, go into `trim_heap`.
SECONDS_PER_TRIM = 0.1
_last_trim = -SECONDS_PER_TRIM
# torch's default generator is the whole process's: of two threads that set it, draw from it and put
# it back, each would draw the other's numbers.
_GENERATOR = threading.RLock()


def resolve_device(device: str) -> torch.device:
    """Return the torch device that ``device`` names.

    Parameters
    ----------
    device : str
        "auto" (CUDA where there is one, else the CPU) or a torch device such as "cuda:1".

    Raises
    ------
    DeviceError
        If the name means nothing to torch or the device is not on this machine.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(
            f"device={device!r} is not a device that torch knows. "
            'Use "auto", "cpu", "cuda", "cuda:1", "mps", ...'
        ) from error
    if not _is_available(resolved):
        raise DeviceError(
            f'device={device!r} is not available on this machine. Use device="auto" or "cpu".'
        )
    return resolved


def _is_available(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    if device.type == "cpu":
        return True
    module = getattr(torch, device.type, None)
    return bool(module is not None and module.is_available())


def resolve_precision(precision: str, device: torch.device) -> torch.dtype:
    """Return the dtype of the linear layers, and, but for int8, of all else in the forward pass.

    "auto" is float32, but bfloat16 on a CUDA device whose tensor cores compute in it
    (compute capability 8.0, Ampere, or newer).

    Raises
    ------
    DeviceError
        If the device does not compute in it.
    """
    if precision == "int8" and device.type != "cpu":
        raise DeviceError(
            f'precision="int8" is for inference on a CPU, not on {str(device)!r}. Use '
            'device="cpu", or precision="bfloat16" or "float16".'
        )
    if precision != "auto":
        return PRECISIONS[precision]
    if device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0):
        return torch.bfloat16
    return torch.float32


def has_varlen_attention(device: torch.device, dtype: torch.dtype) -> bool:
    """Return whether torch has its attention for texts of varying length there, without padding.

    That is FlashAttention (https://arxiv.org/abs/2307.08691), in half precision on a CUDA device of
    compute capability 8.0, Ampere, or newer.
    """
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return False
    if torch.cuda.get_device_capability(device) < (8, 0):
        return False
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:  # torch is older
        return False
    return "scale" in signature(varlen_attn).parameters  # not so in its first version


def float_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of weights as they are loaded, and of what lies between linear layers."""
    return torch.float32 if dtype == torch.int8 else dtype


def token_budget(
    device: torch.device, widest_layer: int, dtype: torch.dtype = torch.float32
) -> int:
    """Return how many tokens are in one batch, padding counted, for ``batch_size="auto"``.

    Parameters
    ----------
    device : torch.device
        Where the batch will run.
    widest_layer : int
        Columns of the widest activation, the feed-forward layer's.
    dtype : torch.dtype, default=torch.float32
        What `resolve_precision` gives.
    """
    if device.type != "cpu":
        return GPU_TOKENS
    # What lies between int8 layers is in float32 for the most part.
    itemsize = 2 if dtype in (torch.bfloat16, torch.float16) else 4
    return max(256, CPU_ACTIVATION_BYTES // (itemsize * widest_layer))


def computes_alone(device: torch.device) -> bool:
    """Return whether the device computes what it was told while the CPU goes on."""
    return device.type == "cuda"


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copy to the device; to CUDA from pinned memory, without waiting for the copy."""
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def all_to_device(inputs: dict[str, Any], device: torch.device) -> dict[str, Any]:
    """Copy what is a tensor to the device, as `to_device` does."""
    return {
        name: to_device(value, device) if isinstance(value, torch.Tensor) else value
        for name, value in inputs.items()
    }


def to_host(tensor: torch.Tensor) -> torch.Tensor:
    """Copy to the CPU; from CUDA into pinned memory, complete after what `mark` returns."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    host = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
    return host.copy_(tensor, non_blocking=True)


def mark(device: torch.device) -> Callable[[], Any]:
    """Return what waits until the device has done all that it was told so far, and no more."""
    if device.type != "cuda":
        return lambda: None
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(torch.cuda.current_stream(device))
    return event.synchronize


def free_cached_memory(device: torch.device) -> None:
    """Free the memory that torch, or the C library, keeps for reuse."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
    else:
        trim_heap(device, interval=0.0)


def trim_heap(device: torch.device, *, interval: float = SECONDS_PER_TRIM) -> None:
    """Let the C library give freed memory of the CPU back to the system.

    glibc keeps what lies below anything still in use, and what torch keeps of one batch lies above
    the freed activations of another: without this, resident memory grows by 100 MB and more. It
    takes about 2 ms, so nothing happens if it was done less than ``interval`` seconds ago.
    """
    global _last_trim
    trim = _malloc_trim()
    if device.type != "cpu" or trim is None or time.monotonic() - _last_trim < interval:
        return
    trim(0)
    _last_trim = time.monotonic()


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Return the function of glibc, where the process runs on it."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "malloc_trim", None)


def generator_lock() -> threading.RLock:
    """Return what `forked_generator` holds, for those who load: one at a time, in this process."""
    return _GENERATOR


@contextmanager
def forked_generator(device: torch.device | None = None) -> Iterator[None]:
    """Let torch's generators be drawn from, and put them back; one thread at a time.

    Parameters
    ----------
    device : torch.device, default=None
        A CUDA device whose generator will be drawn from beside the CPU's.
    """
    gpus = [device] if device is not None and device.type == "cuda" else []
    with _GENERATOR, torch.random.fork_rng(devices=gpus):
        yield


@contextmanager
def seeded(device: torch.device, seed: int) -> Iterator[None]:
    """Draw from torch's generators as if they began at `seed`; the caller's stay as they were.

    Other threads that want to draw wait until the end: a model trains alone.
    """
    with forked_generator(device):
        # Not torch.manual_seed: that seeds all devices, also those that are not restored.
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):  # it seeds the current one
                torch.cuda.manual_seed(seed)
        yield


def autocast(device: torch.device, dtype: torch.dtype) -> Any:
    """Compute in `dtype` what can be, with float32 weights; nothing changes for float32."""
    return torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32)


def gradient_scaler(device: torch.device, dtype: torch.dtype) -> torch.amp.GradScaler:
    """Return loss scaling, which float16 needs for its small range; does nothing otherwise."""
    return torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)


def has_fused_optimizer(device: torch.device) -> bool:
    """Return whether torch's optimizers have a fused kernel for the device."""
    return device.type in ("cpu", "cuda")


def switch_checkpointing(model: Any, *, on: bool) -> None:
    """Let a transformers model compute activations again when it needs them, or keep them.

    Raises
    ------
    ParameterError
        If models of its type cannot.
    """
    if on and not model.supports_gradient_checkpointing:
        raise ParameterError(
            "gradient_checkpointing=True: transformers' models of type "
            f"{model.config.model_type!r} cannot compute activations again. Use "
            "gradient_checkpointing=False with a smaller train_batch_size and "
            "gradient_accumulation."
        )
    if hasattr(model, "activation_checkpointing_enable"):  # the name from transformers 5.x on
        enable, disable = (
            model.activation_checkpointing_enable,
            model.activation_checkpointing_disable,
        )
    else:
        enable, disable = model.gradient_checkpointing_enable, model.gradient_checkpointing_disable
    if on:
        enable({"use_reentrant": False})
    else:
        disable()
