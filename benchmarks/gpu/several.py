"""Workers of n_jobs, one a GPU: the same vectors as without."""

from contextlib import nullcontext

import joblib
import torch
from gpu.contenders import fitted
from gpu.correctness import TOLERANCE, difference
from gpu.record import Skipped
from shared.timing import timed

from skbert._inference.workers import shard_devices


def measure(setting, record):
    n_gpus = torch.cuda.device_count() if setting.on_gpu else 2
    if n_gpus < 2:
        raise Skipped(f"{n_gpus} GPU")
    texts = setting.texts("mixed")
    embedder = fitted(setting, precision="bfloat16")
    alone, expected = timed(lambda: embedder.transform(texts))
    # The try-out's stand-ins are in this process alone.
    workers = nullcontext() if setting.on_gpu else joblib.parallel_config("threading")
    with workers:
        embedder.set_params(n_jobs=n_gpus)
        embedder.transform(texts)  # the workers load
        together, ours = timed(lambda: embedder.transform(texts))
    record.put("devices", shard_devices("auto", 4 * n_gpus, n_gpus, n_gpus))
    record.put("seconds", {"one": alone, str(n_gpus): together})
    figures = difference(ours, expected)
    record.put("difference", figures)
    what = "relative difference from one process"
    record.goal(what, figures["relative"], at_most=TOLERANCE["bfloat16"])
