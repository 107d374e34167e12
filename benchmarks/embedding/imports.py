"""Time of ``import skbert`` beyond what torch and scikit-learn take, in fresh processes."""

import subprocess
import sys
from statistics import median

from shared.report import print_table, verdict
from shared.timing import spread

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


def measure(*, rounds):
    """Import skbert and its dependencies in turn, each in a fresh process.

    Returns
    -------
    results : dict
    """
    _import("skbert")  # brings the files into the system's cache
    base, ours, after, eager = [], [], [], False
    for _ in range(rounds):
        base.append(_import(DEPENDENCIES)[0])
        seconds, eager = _import("skbert")
        ours.append(seconds)
        after.append(_import("skbert", before=f"import {DEPENDENCIES}")[0])
    beyond = [a - b for a, b in zip(ours, base, strict=True)]
    results = {
        "torch_and_sklearn_seconds": spread(base),
        "skbert_seconds": spread(ours),
        "after_both_seconds": spread(after),
        "beyond_seconds": median(ours) - median(base),
        "beyond_seconds_pairwise": median(beyond),
        "imports_transformers": eager,
    }
    _print(results)
    return results


def _import(modules, before=""):
    """Seconds of an import in a fresh process, and whether it brought transformers along."""
    program = PROGRAM.format(modules=modules, before=before)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    seconds, has_transformers = done.stdout.split()
    return float(seconds), has_transformers == "True"


def _print(results):
    rows = [
        (name, *(f"{results[key][figure]:.3f}" for figure in ("median", "min", "max")))
        for name, key in (
            ("torch and scikit-learn", "torch_and_sklearn_seconds"),
            ("skbert, with both", "skbert_seconds"),
            ("skbert, after both", "after_both_seconds"),
        )
    ]
    print_table("Import", ("import", "median s", "min s", "max s"), rows)
    beyond = results["beyond_seconds_pairwise"]
    print(verdict("s more than both (pairwise)", beyond, at_most=TARGET_SECONDS))
    after = results["after_both_seconds"]["median"]
    print(verdict("s after both", after, at_most=TARGET_SECONDS))
    verb = "is" if results["imports_transformers"] else "is not"
    word = "FAIL" if results["imports_transformers"] else "PASS"
    print(f"  {word}  transformers {verb} imported by it")
