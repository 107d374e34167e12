"""Peak memory of embedding many short texts, in a fresh process.

Run as a program, ``python -m embedding.memory FOLDER N_TEXTS``, this file is that process.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from shared import data as _data
from shared.report import print_table, verdict

BENCHMARKS = Path(__file__).resolve().parents[1]
TARGET_MB = 500
MB = 2**20


def measure(folder, *, n_texts):
    """Embed in a fresh process and compare its peak with the size of the result.

    Returns
    -------
    results : dict
        Sizes in MB (2**20 bytes).
    """
    command = [sys.executable, "-m", "embedding.memory", str(folder), str(n_texts)]
    done = subprocess.run(command, cwd=BENCHMARKS, stdout=subprocess.PIPE, text=True, check=True)
    results = json.loads(done.stdout)
    results["growth_mb"] = results["peak_mb"] - results["before_mb"]
    results["beyond_output_mb"] = results["growth_mb"] - results["output_mb"]
    _print(results)
    return results


def _print(results):
    rows = [
        ("before: model loaded, texts in a list", f"{results['before_mb']:.0f}"),
        ("peak", f"{results['peak_mb']:.0f}"),
        ("peak minus before", f"{results['growth_mb']:.0f}"),
        ("the result itself", f"{results['output_mb']:.0f}"),
        ("beyond the result", f"{results['beyond_output_mb']:.0f}"),
    ]
    title = f"Memory: {results['n_texts']:,} short texts, {results['seconds']:.0f} s"
    print_table(title, ("resident memory", "MB"), rows)
    print(verdict("MB beyond result and model", results["beyond_output_mb"], at_most=TARGET_MB))


def embed_and_watch(folder, n_texts):
    """Do the work of the fresh process."""
    from skbert import BertEmbedder

    texts = _data.distinct_short(_data.read_corpus(), n_texts)
    embedder = BertEmbedder(folder, normalize=True, device="cpu").fit(texts[:1])
    embedder.transform(texts[:8])
    before, peak_before = _resident(), _peak()
    start = time.perf_counter()
    vectors = embedder.transform(texts)
    seconds = time.perf_counter() - start
    return {
        "n_texts": n_texts,
        "seconds": seconds,
        "before_mb": before / MB,
        "peak_before_mb": peak_before / MB,
        "peak_mb": _peak() / MB,
        "output_mb": vectors.nbytes / MB,
    }


def _resident():
    """Bytes of memory that this process holds now, or its peak where the system does not say."""
    status = _status("VmRSS")
    return _peak() if status is None else status


def _peak():
    """Most bytes that this process held at once."""
    # On Linux ru_maxrss is inherited from the parent, here a large one; VmHWM is not.
    status = _status("VmHWM")
    if status is not None:
        return status
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _status(key):
    """Bytes that Linux states for this process, or None."""
    path = Path("/proc/self/status")
    if not path.exists():
        return None
    lines = [line for line in path.read_text().splitlines() if line.startswith(key + ":")]
    return int(lines[0].split()[1]) * 1024


if __name__ == "__main__":
    print(json.dumps(embed_and_watch(sys.argv[1], int(sys.argv[2]))))
