"""Prove skbert on a GPU: one command, no network, no set-up, one JSON file.

``make gpu-proof``, or ``python benchmarks/gpu_proof.py --help``. One process watches, a second
measures. A section that fails, hangs or takes CUDA down ends alone: what it had found stays in the
file, and the next sections run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parent
ROOT = BENCHMARKS.parent
MINILM = BENCHMARKS / "gpu" / "minilm"
# What nothing runs without, and what only some sections need.
NEEDED = ("torch", "transformers", "sklearn", "numpy", "joblib", "safetensors", "tokenizers")
USEFUL = ("sentence_transformers", "accelerate", "pytest", "tqdm")


def parse_options():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add(
        "--cpu", action="store_true", help="try the kit without a GPU, with stand-ins for its calls"
    )
    add("--tiny", action="store_true", help="a tiny model and few texts: a minute")
    add("--only", nargs="+", metavar="SECTION", help="these sections alone")
    add("--minilm", type=Path, default=MINILM, help="folder that --prepare-minilm wrote")
    add("--prepare-minilm", action="store_true", help="write that folder (45 MB) and end")
    add("--output", type=Path, help="the JSON file")
    add("--seconds", type=float, default=520.0, help="for everything together (default 520)")
    add("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.output = options.output or default_output(is_try_out=options.cpu or options.tiny)
    return options


def default_output(*, is_try_out):
    """Return a file in $OUT, where such a folder is given, else beside the kit."""
    name = "results-try-out.json" if is_try_out else "results.json"
    return Path(os.environ.get("OUT", BENCHMARKS / "gpu")) / name


def use_python_with_torch():
    """Go on in a Python that has torch, if this one has none."""
    if find_spec("torch") is None:
        for python in other_pythons():
            command = [python, "-c", "import torch, transformers"]
            if subprocess.run(command, capture_output=True).returncode == 0:
                print(f"gpu-proof: {sys.executable} has no torch; going on in {python}", flush=True)
                os.execv(python, [python, *sys.argv])


def say_what_is_missing(options):
    """Print a line; end where nothing can be measured."""
    for names, what in ((NEEDED, "nothing can run without"), (USEFUL, "left out without")):
        missing = [name for name in names if find_spec(name) is None]
        if missing:
            print(f"gpu-proof: missing in {sys.executable}: {', '.join(missing)} ({what})")
            if names is NEEDED:
                sys.exit(1)
    if not (options.cpu or options.prepare_minilm):
        import torch

        if not torch.cuda.is_available():
            sys.exit("gpu-proof: torch sees no GPU; --cpu --tiny tries the kit without one")


def other_pythons():
    places = [ROOT / ".venv/bin/python", *Path("/opt").glob("*/.venv/bin/python3")]
    places += [found for name in ("python3", "python") if (found := shutil.which(name))]
    return [str(place) for place in places if Path(place).exists()]


def main():
    options = parse_options()
    use_python_with_torch()
    if not options.worker:
        say_what_is_missing(options)
    # skbert, and the benchmarks' own folders, wherever the command was started.
    sys.path[:0] = [str(BENCHMARKS), str(ROOT)]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="error")
    from gpu import watch, work

    if options.prepare_minilm:
        from gpu.material import save_half_minilm

        save_half_minilm(options.minilm)
    elif options.worker:
        work.run(options, *options.worker)
    else:
        with tempfile.TemporaryDirectory(prefix="gpu-proof-") as folder:
            sys.exit(watch.run(options, Path(folder), __file__))


if __name__ == "__main__":
    main()
