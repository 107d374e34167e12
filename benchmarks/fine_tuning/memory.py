"""Peak memory of a fit beside the Trainer's, each in a fresh process; and of ten fits in a row.

Run as a program, ``python -m fine_tuning.memory WHAT FOLDER``, this file is that process.
"""

import json
import subprocess
import sys
from pathlib import Path

from embedding.memory import MB, _peak, _resident
from fine_tuning import data as _fine_tuning_data
from shared.report import print_table, verdict

BENCHMARKS = Path(__file__).resolve().parents[1]
N_PAIRS = 160
TARGET_GROWTH_MB = 50


def measure(folder):
    """Run each fit in its own process."""
    results = {}
    for what in ("skbert", "trainer", "ten"):
        command = [sys.executable, "-m", "fine_tuning.memory", what, str(folder)]
        done = subprocess.run(
            command, cwd=BENCHMARKS, stdout=subprocess.PIPE, text=True, check=True
        )
        results[what] = json.loads(done.stdout.splitlines()[-1])
    _print(results)
    return results


def _print(results):
    ours, peer, ten = (results[what] for what in ("skbert", "trainer", "ten"))
    rows = [
        ("peak of a process with one fit", f"{ours['peak_mb']:.0f}"),
        ("the same with Trainer.train", f"{peer['peak_mb']:.0f}"),
        ("ten fits: resident after the second", f"{ten['resident_mb'][1]:.0f}"),
        ("ten fits: resident after the tenth", f"{ten['resident_mb'][-1]:.0f}"),
    ]
    print_table(f"Memory: one epoch on {N_PAIRS} pairs", ("what", "MB"), rows)
    print(verdict("of the Trainer's peak", ours["peak_mb"] / peer["peak_mb"], at_most=1.0))
    growth = ten["resident_mb"][-1] - ten["resident_mb"][1]
    print(verdict("MB growth from fit 2 to fit 10", growth, at_most=TARGET_GROWTH_MB))


def work(what, folder):
    """Do the work of the fresh process."""
    from fine_tuning.speed import train_with_skbert
    from shared.trainer import train_with_trainer

    (texts, labels), _ = _fine_tuning_data.pairs()
    texts, labels = texts[:N_PAIRS], labels[:N_PAIRS]
    if what == "trainer":
        codes = _fine_tuning_data.codes_of(labels)
        train_with_trainer(folder, texts, codes, dropout=0.1, epochs=1, learning_rate=5e-5, seed=0)
        return {"peak_mb": _peak() / MB}
    resident = []
    for _ in range(10 if what == "ten" else 1):
        train_with_skbert(folder, texts, labels, 0.1)
        resident.append(_resident() / MB)
    return {"peak_mb": _peak() / MB, "resident_mb": resident}


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], sys.argv[2])))
