"""Workers of n_jobs, one a GPU, of joblib, Dask and Ray: the same results as without."""

from contextlib import nullcontext

import torch
from gpu import material
from gpu.contenders import fitted
from gpu.correctness import TOLERANCE, difference
from gpu.engines import ENGINES, why_left_out
from gpu.record import Skipped
from gpu.stand_ins import padded_only
from shared.timing import timed

from skbert import BertClassifier
from skbert._inference.workers import shard_devices

PRECISION = "bfloat16"
N_TRAINING = 64


def measure(setting, record):
    n_gpus = torch.cuda.device_count() if setting.on_gpu else 2
    if n_gpus < 2:
        raise Skipped(f"{n_gpus} GPU")
    record.put("devices", shard_devices("auto", 4 * n_gpus, n_gpus, n_gpus))
    texts = setting.texts("mixed")
    calls = {
        "embedder": fitted(setting, precision=PRECISION).transform,
        "classifier": _classifier(setting).predict_proba,
    }
    alone = {kind: timed(lambda call=call: call(texts)) for kind, call in calls.items()}
    seconds = {"one process": {kind: its for kind, (its, _) in alone.items()}}
    differences, left_out = {}, {}
    for name, workers in ENGINES.items():
        if reason := why_left_out(name, on_gpu=setting.on_gpu):
            left_out[name] = reason
            continue
        with workers(n_gpus, on_gpu=setting.on_gpu):
            for kind, call in calls.items():
                call(texts)  # the workers load
                its, ours = timed(lambda call=call: call(texts))
                seconds.setdefault(name, {})[kind] = its
                differences[f"{name}, {kind}"] = figures = difference(ours, alone[kind][1])
                record.put("seconds", seconds)
                record.put("difference", differences)
                what = f"relative difference from one process, {name}, {kind}"
                record.goal(what, figures["relative"], at_most=TOLERANCE[PRECISION])
    record.put("left_out", left_out)
    record.put("notes", [f"{name} left out: {reason}" for name, reason in left_out.items()])


def _classifier(setting):
    """Return one trained a little; its weights go to the workers."""
    words = material.whole_words(setting.models["base"])
    texts, labels = material.labelled(setting.texts("short")[:N_TRAINING], words)
    classifier = BertClassifier(
        str(setting.models["base"]),
        device=setting.device,
        precision=PRECISION,
        max_epochs=1,
        min_steps=2,
        random_state=0,
    )
    # A GPU trains on padded batches.
    with nullcontext() if setting.on_gpu else padded_only():
        return classifier.fit(texts, labels)
