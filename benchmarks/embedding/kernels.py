"""What each file of skbert/_kernels gains: transforms and trainings with it and without it.

A file is switched off by a patch of what switches it on; what takes its place is the plain
computation, torch's or transformers'.
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch
from weakref import WeakValueDictionary

import torch
from fine_tuning.training import N_PAIRS, N_QUESTIONS, RECIPE, TASK
from shared import data, peers
from shared.checkpoints import save_random
from shared.report import print_table
from shared.timing import alternate, pairwise_median, spread
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

from skbert import _kernels
from skbert._kernels.merged_attention import _attend_runs
from skbert._kernels.packed_attention import split_runs

EVERYTHING = "everything on"
LEAST_GAIN = 1.05
COLUMNS = {
    "rounds": lambda its: len(its["seconds"]["all"]),
    "with, s": "{seconds_with[median]:.3f}",
    "without, s": "{seconds[median]:.3f}",
    "gain": "{gain:.2f}",
    "": lambda its: "" if its["gain"] >= LEAST_GAIN else f"under {LEAST_GAIN}",
}


def nothing(*args, **kwargs):
    """Stand for what changes a model in place, or returns what it changed."""


def no(*args, **kwargs):
    """Stand for what says whether a file can be used."""
    return False


def attention_by_torch(query, key, value, shapes, *, factor, dropout, bias=None):
    """Do what `dropped_attention` does by torch's attention, run by run."""
    outputs = []
    for (_, n_queries, n_keys), q, k, v in split_runs(query, key, value, shapes):
        of_run = None if bias is None else bias[None, :, :n_queries, :n_keys]
        attended = scaled_dot_product_attention(
            q, k, v, attn_mask=of_run, dropout_p=dropout, scale=factor
        )
        outputs.append(attended.transpose(1, 2).flatten(0, 1))
    return torch.cat(outputs)


class Work(NamedTuple):
    """What is timed: some rows of texts and labels, a model, and what makes a run of them.

    ``prepare`` takes the model's folder, the texts and the labels.
    """

    rows: Callable
    prepare: Callable
    precision: str = "float32"
    model: str = "MiniLM"


def _mixed():
    texts = data.mixed()
    return texts, [number % 2 for number in range(len(texts))]  # any two classes


def _questions():
    return [column[:N_QUESTIONS] for column in data.banking(a_class=None)[0]]


def _pairs():
    return [column[:N_PAIRS] for column in data.pairs()[0]]


def _transform(precision, folder, texts, labels):
    return partial(peers.skbert_embedder(folder, precision=precision), texts)


def _train(folder, texts, labels):
    return lambda: TASK.ours(folder, RECIPE).fit(texts, labels)


def _predict(folder, texts, labels):
    # How well it predicts does not matter here.
    classifier = TASK.ours(folder, RECIPE).fit(texts[:16], labels[:16])
    return partial(classifier.predict_proba, texts)


FLOAT32, BFLOAT16, INT8 = "transform, float32", "transform, bfloat16", "transform, int8"
MPNET, PREDICTION = "transform, MPNet", "prediction"
TRAINING = QUESTIONS, PAIRS = "training, questions", "training, pairs"
WORKS = {
    FLOAT32: Work(_mixed, partial(_transform, "float32")),
    BFLOAT16: Work(_mixed, partial(_transform, "bfloat16"), "bfloat16"),
    INT8: Work(_mixed, partial(_transform, "int8"), "int8"),
    MPNET: Work(_mixed, partial(_transform, "float32"), model="MPNet"),
    PREDICTION: Work(_mixed, _predict),
    QUESTIONS: Work(_questions, _train),
    PAIRS: Work(_pairs, _train),
}
# Of MiniLM's size.
MPNET_SIZES = {
    "hidden_size": 384,
    "num_hidden_layers": 6,
    "intermediate_size": 1536,
    "max_position_embeddings": 514,
}


class Switch(NamedTuple):
    """How a file is switched off, and in which works it should gain.

    ``replaced`` names a function where it is looked up, ``by`` is what takes its place. A file that
    is only there for want of another one is compared with what is left ``without`` that one.
    """

    replaced: str
    by: Callable
    works: tuple
    without: str = EVERYTHING


SWITCHES = {
    "packing": Switch("_models.encoder.can_pack", no, (FLOAT32, *TRAINING)),
    "own_attention": Switch("_models.encoder.can_pack", no, (MPNET,)),
    "prepacked": Switch("_models.encoder.prepack_linear_layers", nothing, (FLOAT32, BFLOAT16)),
    "merged_attention": Switch(
        "_models.encoder.merge_projections", nothing, (FLOAT32, BFLOAT16, INT8)
    ),
    "product_attention": Switch(
        "_kernels.merged_attention.attend_by_products", _attend_runs, (BFLOAT16, INT8)
    ),
    "static_int8": Switch("_models.rounding.has_static_products", no, (INT8,)),
    "int8": Switch("_models.encoder.round_to_int8", nothing, (INT8,), without="static_int8"),
    "dropout": Switch("_kernels.training_layers.FastDropout", nn.Dropout, TRAINING),
    "dropped_attention": Switch(
        "_kernels.packed_attention.dropped_attention", attention_by_torch, TRAINING
    ),
    "linear": Switch("_kernels.training_layers.can_prepack", no, TRAINING),
    "packed_heads": Switch(
        "_kernels.packed_heads.FirstTokenLayer.can_replace", no, (PREDICTION, *TRAINING)
    ),
    "used_rows": Switch("_training.loop._train_used_rows_only", nothing, TRAINING),
}
# What only serves others, and goes with the last of them.
SERVING = ("packable", "packed_attention", "packed_row", "training_layers")


def files():
    """Return the names of the files of skbert/_kernels."""
    (folder,) = _kernels.__path__
    return {path.stem for path in Path(folder).glob("*.py")} - {"__init__"}


def check_files():
    """Check that each file is known here, and each that is known is there.

    Raises
    ------
    ValueError
        If not.
    """
    known = {*SWITCHES, *SERVING}
    if unknown := files() - known:
        raise ValueError(f"skbert/_kernels has files without a switch: {sorted(unknown)}")
    if gone := known - files():
        raise ValueError(f"skbert/_kernels lacks files that have a switch: {sorted(gone)}")


@contextmanager
def switched_off(name):
    """Switch a file off, or nothing with `EVERYTHING`.

    Models that are loaded inside are not shared with those outside.

    Raises
    ------
    ValueError
        If no file of this name has a switch.
    AttributeError
        If what it replaces is not there.
    """
    if name not in (EVERYTHING, *SWITCHES):
        raise ValueError(f"unknown file of skbert/_kernels: {name!r}")
    with ExitStack() as patches:
        patches.enter_context(patch("skbert._models.shared._SHARED", WeakValueDictionary()))
        if name != EVERYTHING:
            switch = SWITCHES[name]
            patches.enter_context(patch(f"skbert.{switch.replaced}", switch.by))
        yield


def prepared(work, name, folder, texts, labels):
    """Load what a work needs, with a file switched off; return the work, in which it is, too."""
    with switched_off(name):
        run = WORKS[work].prepare(folder, texts, labels)

    def run_without():
        with switched_off(name):
            return run()

    return run_without


def measure(options):
    """Time each work with everything on and with each of its files off, in turn."""
    check_files()
    computed = peers.computed_precisions()
    gains = {}
    with tempfile.TemporaryDirectory() as mpnet:
        save_random(mpnet, "MPNet", options.folder, **MPNET_SIZES)
        folders = {"MiniLM": options.folder, "MPNet": mpnet}
        for name, work in WORKS.items():
            if work.precision in computed:
                gains |= _measure_work(name, folders[work.model], options)
    print_table("Kernels: time without a file over time with it", "file", COLUMNS, gains)
    small = _without_gain(gains)
    print(f"  under {LEAST_GAIN} in all that was measured: {', '.join(small) or 'none'}")
    return gains


def _measure_work(work, folder, options):
    """Return the gain of each file in this work."""
    texts, labels = (data.few(column, options.quick) for column in WORKS[work].rows())
    switches = {name: its for name, its in SWITCHES.items() if work in its.works}
    runs = {name: prepared(work, name, folder, texts, labels) for name in (EVERYTHING, *switches)}
    seconds, _ = alternate(runs, options.rounds)
    return {
        f"{name}, {work}": {
            "file": name,
            "work": work,
            "seconds": spread(seconds[name]),
            "seconds_with": spread(seconds[switch.without]),
            "gain": pairwise_median(seconds[name], seconds[switch.without]),
        }
        for name, switch in switches.items()
    }


def _without_gain(gains):
    """Return the files that gain less than `LEAST_GAIN` in each of their works."""
    best = {}
    for its in gains.values():
        best[its["file"]] = max(its["gain"], best.get(its["file"], 0))
    return [name for name, gain in best.items() if gain < LEAST_GAIN]
