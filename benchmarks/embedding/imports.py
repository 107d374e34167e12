"""Time of ``import skbert`` beyond what torch and scikit-learn take, in fresh processes."""

import subprocess
import sys
from statistics import median

from shared.report import pass_or_fail, print_table, print_verdict
from shared.timing import TIMES, spread

TARGET_SECONDS = 0.15
DEPENDENCIES = "torch, sklearn.base, sklearn.utils.validation, sklearn.utils.metaestimators"
PROGRAM = """
import time
{before}
start = time.perf_counter()
import {modules}
print(time.perf_counter() - start)
import sys
print("transformers" in sys.modules)
"""
# What is imported, after what.
IMPORTS = {
    "torch and scikit-learn": (DEPENDENCIES, ""),
    "skbert, with both": ("skbert", ""),
    "skbert, after both": ("skbert", f"import {DEPENDENCIES}"),
}
KEYS = ("torch_and_sklearn_seconds", "skbert_seconds", "after_both_seconds")


def measure(options):
    """Import skbert and its dependencies in turn, each in a fresh process."""
    seconds = {name: [] for name in IMPORTS}
    _import("skbert")  # brings the files into the system's cache
    for _ in range(options.rounds):
        for name, (modules, before) in IMPORTS.items():
            took, eager = _import(modules, before)
            seconds[name].append(took)
    base, ours, after = seconds.values()
    results = {
        **{key: spread(times) for key, times in zip(KEYS, seconds.values(), strict=True)},
        "beyond_seconds": median(ours) - median(base),
        "beyond_seconds_pairwise": median(a - b for a, b in zip(ours, base, strict=True)),
        "imports_transformers": eager,
    }
    print_table("Import", "import", TIMES, {n: {"seconds": spread(s)} for n, s in seconds.items()})
    beyond = results["beyond_seconds_pairwise"]
    print_verdict("s more than both (pairwise)", beyond, at_most=TARGET_SECONDS)
    print_verdict("s after both", median(after), at_most=TARGET_SECONDS)
    print(f"  {pass_or_fail(not eager)}  transformers {'is' if eager else 'is not'} imported by it")
    return results


def _import(modules, before=""):
    """Return seconds of an import in a fresh process, and whether it brought transformers."""
    program = PROGRAM.format(modules=modules, before=before)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, has_transformers = done.stdout.split()
    return float(seconds), has_transformers == "True"
