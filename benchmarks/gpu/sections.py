"""The sections of the proof, in their order: the one list that everything else reads."""

from typing import NamedTuple


class Section(NamedTuple):
    """Something to find out: a module of this folder, whose ``measure(setting, record)`` does it.

    ``seconds`` is how long it may take on a GPU.
    """

    description: str
    seconds: int


SECTIONS = {
    "environment": Section("the card, versions, kernels that are there, matmul rates", 50),
    "correctness": Section("poolings, layers and precisions beside the CPU in float32", 90),
    "speed": Section("the embedder beside sentence-transformers", 190),
    "overlap": Section("how busy the GPU is in transform, and what it waits for", 60),
    "training": Section("fine-tuning in bf16 beside the Trainer", 150),
    "out_of_memory": Section("out of memory, provoked", 45),
    "peak_memory": Section("peaks of transform and fit", 45),
    "release": Section("what clones leave behind", 30),
    "marked_tests": Section("the tests that are marked gpu", 75),
    "several": Section("workers on several GPUs: joblib, Dask, Ray", 180),
}
