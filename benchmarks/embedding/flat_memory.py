"""Resident memory over ten fits and fifty transforms in one process, with a cache and without.

Run as a program, ``python -m embedding.flat_memory FOLDER WITH_CACHE``, this file is that process.
"""

import json
import random
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

from embedding.memory import MB, _resident
from shared import data as _data
from shared.report import print_table, verdict

BENCHMARKS = Path(__file__).resolve().parents[1]
N_FITS, TRANSFORMS_A_FIT = 10, 5
N_TEXTS = 60  # in each transform; of mixed lengths
TARGET_GROWTH_MB = 50


def measure(folder):
    """Watch both processes.

    Returns
    -------
    results : dict
        Resident MB after each transform.
    """
    results = {}
    for name, with_cache in (("no cache", ""), ("cache", "yes")):
        command = [sys.executable, "-m", "embedding.flat_memory", str(folder), with_cache]
        done = subprocess.run(
            command, cwd=BENCHMARKS, stdout=subprocess.PIPE, text=True, check=True
        )
        results[name] = json.loads(done.stdout.splitlines()[-1])
    _print(results)
    return results


def _print(results):
    rows = [
        (name, *(f"{figure:.0f}" for figure in (mb[0], mb[len(mb) // 2], mb[-1], mb[-1] - mb[0])))
        for name, mb in results.items()
    ]
    title = f"Memory: {N_FITS} fits with {TRANSFORMS_A_FIT} transforms each, resident MB"
    print_table(title, ("what", "after the first", "half way", "at the end", "growth"), rows)
    growth = worst_growth(results)
    print(verdict("MB growth after the first transform", growth, at_most=TARGET_GROWTH_MB))


def worst_growth(results):
    """Give the MB by which the process that grew more did so after its first transform."""
    return max(mb[-1] - mb[0] for mb in results.values())


def embed_again_and_again(folder, with_cache):
    """Do the work of the fresh process: other texts each time."""
    from skbert import BertEmbedder, TruncationWarning

    warnings.simplefilter("ignore", TruncationWarning)
    texts = _data.mixed(_data.read_corpus())
    draw = random.Random(_data.SEED)
    resident = []
    with tempfile.TemporaryDirectory() as place:
        cache = Path(place) / "cache.sqlite" if with_cache else None
        for _ in range(N_FITS):
            embedder = BertEmbedder(folder, device="cpu", cache=cache).fit(texts[:1])
            for _ in range(TRANSFORMS_A_FIT):
                embedder.transform(draw.sample(texts, N_TEXTS))
                resident.append(_resident() / MB)
            embedder.release()
    return resident


if __name__ == "__main__":
    print(json.dumps(embed_again_and_again(sys.argv[1], sys.argv[2])))
