"""The machine: the card, versions, kernels that are there, matmul rates."""

import subprocess
from importlib.util import find_spec

import torch
from gpu import contenders
from gpu.rates import matmul_rate
from shared.report import machine

from skbert._models.device import has_varlen_attention

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
QUERY = "name,driver_version,memory.total,clocks.max.sm,power.limit"


def measure(setting, record):
    record.put("machine", machine())
    record.put("gpu", _gpu(setting))
    record.put(
        "kernels",
        {
            "torch_varlen": has_varlen_attention(torch.device(setting.device), torch.bfloat16),
            "flash_attn": contenders.has_flash_attention(),
            "kernels": find_spec("kernels") is not None,
            "allow_tf32": torch.backends.cuda.matmul.allow_tf32,
        },
    )
    rates = {}
    for dtype in DTYPES:
        rates[str(dtype).removeprefix("torch.")] = matmul_rate(setting, dtype) / 1e12
        record.put("matmul_tflops", rates)
    gpu = record.content["sections"]["environment"]["gpu"]
    said = ", ".join(f"{name} {rate:.3g}" for name, rate in rates.items())
    record.put("notes", [f"{gpu.get('name', 'no GPU')}; matmul TFLOP/s: {said}"])


def _gpu(setting):
    if not setting.on_gpu:
        return {}
    properties = torch.cuda.get_device_properties(0)
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):
        listed = ""
    return {
        "name": properties.name,
        "n_gpus": torch.cuda.device_count(),
        "capability": list(torch.cuda.get_device_capability(0)),
        "memory_gb": properties.total_memory / 2**30,
        "multiprocessors": properties.multi_processor_count,
        "cuda": torch.version.cuda,
        "nvidia_smi": dict(zip(QUERY.split(","), listed.strip().split(", "), strict=False)),
    }
