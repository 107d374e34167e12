"""Memory of embedding, in fresh processes: the peak of many texts, the growth over many fits."""

import random
import tempfile
import time
import warnings
from pathlib import Path

import torch
from shared import data
from shared.peers import computed_precisions
from shared.process import MB, in_fresh_process, peak_mb, resident_mb
from shared.report import print_table, print_verdict, summary_line

from skbert import BertEmbedder, TruncationWarning
from skbert._models.device import free_cached_memory

TARGET_MB = 500
N_FITS, TRANSFORMS_A_FIT = 10, 5
N_TEXTS = 60  # in each transform; of mixed lengths
TARGET_GROWTH_MB = 50
ROWS = {
    "before_mb": "before: model loaded, texts in a list",
    "peak_mb": "peak",
    "growth_mb": "peak minus before",
    "output_mb": "the result itself",
    "beyond_output_mb": "beyond the result",
}


def measure(options):
    """Embed many short texts in a fresh process; compare its peak with the size of the result."""
    results = in_fresh_process(embed_many, str(options.folder), options.memory_texts)
    results["growth_mb"] = results["peak_mb"] - results["before_mb"]
    results["beyond_output_mb"] = results["growth_mb"] - results["output_mb"]
    title = f"Memory: {results['n_texts']:,} short texts, {results['seconds']:.0f} s"
    rows = {name: results[key] for key, name in ROWS.items()}
    print_table(title, "resident memory", {"MB": "{:.0f}"}, rows)
    print_verdict("MB beyond result and model", results["beyond_output_mb"], at_most=TARGET_MB)
    return results


def embed_many(folder, n_texts):
    """Do the work of the fresh process."""
    texts = data.distinct_short(n_texts)
    embedder = BertEmbedder(folder, normalize=True, device="cpu").fit(texts[:1])
    embedder.transform(texts[:8])
    before = {"before_mb": resident_mb(), "peak_before_mb": peak_mb()}
    start = time.perf_counter()
    vectors = embedder.transform(texts)
    return {
        "n_texts": n_texts,
        "seconds": time.perf_counter() - start,
        **before,
        "peak_mb": peak_mb(),
        "output_mb": vectors.nbytes / MB,
    }


def measure_flat(options):
    """Watch ten fits and fifty transforms in one process: each precision, cache or none."""
    results = {
        f"{precision}, {name}": in_fresh_process(
            embed_again_and_again, str(options.folder), precision, with_cache
        )
        for precision in computed_precisions()
        for name, with_cache in (("no cache", False), ("cache", True))
    }
    columns = {
        "after the first": "{0[0]:.0f}",
        "half way": lambda mb: f"{mb[len(mb) // 2]:.0f}",
        "at the end": lambda mb: f"{mb[-1]:.0f}",
        "growth": lambda mb: f"{mb[-1] - mb[0]:.0f}",
    }
    title = f"Memory: {N_FITS} fits with {TRANSFORMS_A_FIT} transforms each, resident MB"
    print_table(title, "what", columns, results)
    growth = _worst_growth(results)
    print_verdict("MB growth after the first transform", growth, at_most=TARGET_GROWTH_MB)
    return results


def embed_again_and_again(folder, precision, with_cache):
    """Do the work of the fresh process: other texts each time."""
    warnings.simplefilter("ignore", TruncationWarning)
    texts = data.mixed()
    draw = random.Random(data.SEED)
    resident = []
    with tempfile.TemporaryDirectory() as place:
        cache = Path(place) / "cache.sqlite" if with_cache else None
        for _ in range(N_FITS):
            embedder = BertEmbedder(folder, device="cpu", precision=precision, cache=cache)
            embedder.fit(texts[:1])
            for _ in range(TRANSFORMS_A_FIT):
                embedder.transform(draw.sample(texts, N_TEXTS))
                # What was freed in this transform is given back by a later one, as by this.
                free_cached_memory(torch.device("cpu"))
                resident.append(resident_mb())
            embedder.release()
    return resident


def _worst_growth(results):
    """Return the MB by which the process that grew more did so after its first transform."""
    return max(mb[-1] - mb[0] for mb in results.values())


def summarize(results):
    what = f"memory of {results['n_texts']:,} texts beside their vectors, MB"
    yield summary_line(what, results["beyond_output_mb"])


def summarize_flat(results):
    yield summary_line("memory, growth over 50 transforms, MB", _worst_growth(results))
