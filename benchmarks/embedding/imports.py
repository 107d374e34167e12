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
TITLES = {
    "torch_and_sklearn_seconds": "torch and scikit-learn",
    "skbert_seconds": "skbert, with both",
    "after_both_seconds": "skbert, after both",
}


def measure(options):
    """Import skbert and its dependencies in turn, each in a fresh process.

    Returns
    -------
    results : dict
    """
    _import("skbert")  # brings the files into the system's cache
    base, ours, after, eager = [], [], [], False
    for _ in range(options.rounds):
        base.append(_import(DEPENDENCIES)[0])
        seconds, eager = _import("skbert")
        ours.append(seconds)
        after.append(_import("skbert", before=f"import {DEPENDENCIES}")[0])
    beyond = [a - b for a, b in zip(ours, base, strict=True)]
    results = {
        **{name: spread(s) for name, s in zip(TITLES, (base, ours, after), strict=True)},
        "beyond_seconds": median(ours) - median(base),
        "beyond_seconds_pairwise": median(beyond),
        "imports_transformers": eager,
    }
    _print(results)
    return results


def _import(modules, before=""):
    """Return seconds of an import in a fresh process, and whether it brought transformers."""
    program = PROGRAM.format(modules=modules, before=before)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    seconds, has_transformers = done.stdout.split()
    return float(seconds), has_transformers == "True"


def _print(results):
    rows = {title: {"seconds": results[name]} for name, title in TITLES.items()}
    print_table("Import", "import", TIMES, rows)
    beyond = results["beyond_seconds_pairwise"]
    print_verdict("s more than both (pairwise)", beyond, at_most=TARGET_SECONDS)
    after = results["after_both_seconds"]["median"]
    print_verdict("s after both", after, at_most=TARGET_SECONDS)
    eager = results["imports_transformers"]
    print(f"  {pass_or_fail(not eager)}  transformers {'is' if eager else 'is not'} imported by it")
