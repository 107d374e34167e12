"""How fast the card multiplies matrices: the yardstick of all speeds."""

import time
from statistics import median

import torch

SIDE, TINY_SIDE = 8192, 256
REPEATS = 10


def wait(setting):
    """Wait until the device has done what it was told."""
    if setting.on_gpu:
        torch.cuda.synchronize()


def matmul_rate(setting, dtype):
    """Return the operations a second of products of two square matrices of random numbers."""
    side = TINY_SIDE if setting.is_tiny or not setting.on_gpu else SIDE
    repeats = REPEATS if dtype != torch.float32 else 2
    a, b = (torch.randn(side, side, device=setting.device).to(dtype) for _ in range(2))
    product = torch.mm(a, b)
    seconds = []
    for _ in range(3):
        wait(setting)
        start = time.perf_counter()
        for _ in range(repeats):
            torch.mm(a, b, out=product)
        wait(setting)
        seconds.append((time.perf_counter() - start) / repeats)
    return 2 * side**3 / median(seconds)


def known_rate(setting, record, dtype):
    """Return what the first section measured, or measure it."""
    name = str(dtype).removeprefix("torch.")
    rates = record.content["sections"].get("environment", {}).get("matmul_tflops", {})
    return rates[name] * 1e12 if name in rates else matmul_rate(setting, dtype)
