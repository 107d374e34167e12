"""The process that measures: section after section, until one takes CUDA down."""

import gc
import sys
import traceback
import warnings
from importlib import import_module
from pathlib import Path

from gpu import stand_ins
from gpu.record import Record, Skipped
from gpu.sections import SECTIONS
from gpu.setting import Setting
from transformers.utils import logging

from skbert import TruncationWarning

# After such an error every further call of CUDA in the process fails, too.
POISONED = ("illegal memory access", "device-side assert", "misaligned address", "launch failure")


def run(options, folder, names, output):
    """Run the sections that are named, with commas between."""
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    warnings.simplefilter("ignore", TruncationWarning)
    record, setting = Record(output), Setting.made(Path(folder), options)
    with stand_ins.for_gpu(active=options.cpu):
        for name in names.split(","):
            _run_section(name, setting, record)


def _run_section(name, setting, record):
    print(f"\n{name}: {SECTIONS[name].description}", flush=True)
    record.begin(name)
    try:
        section = import_module(f"gpu.{name}")
        gc.freeze()  # modules and the like: a collection before each timed run looks at the rest
        section.measure(setting, record)
    except Skipped as reason:
        record.end("skipped", str(reason))
        print(f"  skipped: {reason}")
    except Exception as error:
        record.put("traceback", traceback.format_exc())
        record.end("failed", f"{type(error).__name__}: {error}")
        print(traceback.format_exc(limit=-4))
        if any(words in str(error) for words in POISONED):
            sys.exit(3)  # the other sections need a new process
    else:
        record.end("done")
    finally:
        setting.clean()
