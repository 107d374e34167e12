"""Tables, verdicts, lines of the summary, and the description of the machine."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

PACKAGES = (
    "skbert", "torch", "transformers", "sentence-transformers", "scikit-learn", "numpy", "skrub",
    "accelerate", "openvino", "nncf", "onnxruntime",
)  # fmt: skip
# Instructions for products of few bits, and torch's function that knows them.
PRODUCTS = {
    "avx512_bf16": "_is_avx512_bf16_supported",
    "vnni": "_is_vnni_supported",
    "amx": "_is_amx_tile_supported",
}


def print_table(title, first, columns, results):
    """Print a row for each entry of the results, a dict; ``first`` is the header of its keys.

    ``columns`` has for each header a format of the entry's figures, such as
    ``"{seconds[median]:.3f}"``, or a function of them.
    """
    rows = [
        (name, *(_cell(column, figures) for column in columns.values()))
        for name, figures in results.items()
    ]
    print_rows(title, (first, *columns), rows)


def print_rows(title, headers, rows):
    """Print aligned columns, the first to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    # Kernels, and so all ratios, depend on the instruction set: it stands with every figure.
    print(f"\n{title} [{instruction_set()}]")
    for cells in (headers, ["-" * width for width in widths], *rows):
        pairs = zip(cells[1:], widths[1:], strict=True)
        line = [cells[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in pairs)]
        print("  " + "  ".join(line).rstrip())


def _cell(column, figures):
    if callable(column):
        return str(column(figures))
    return column.format(**figures) if isinstance(figures, dict) else column.format(figures)


def print_verdict(what, value, *, at_least=None, at_most=None):
    """Print whether a figure reaches its target."""
    if at_least is not None:
        passed, target = value >= at_least, f"at least {at_least}"
    else:
        passed, target = value <= at_most, f"at most {at_most}"
    print(f"  {pass_or_fail(passed)}  {value:.3g} {what} (target: {target})")


def pass_or_fail(passed):
    return "PASS" if passed else "FAIL"


def summary_line(what, ours, peer="", theirs=None, ratio=None):
    """Return the cells of one comparison in the summary."""
    return (
        what,
        f"{ours:,.1f}",
        peer,
        "" if theirs is None else f"{theirs:,.1f}",
        "" if ratio is None else f"{ratio:.2f}",
    )


def instruction_set():
    """Return the widest vector instructions that torch's kernels use, and those for products.

    oneDNN uses these, unless ONEDNN_MAX_CPU_ISA forbids it.
    """
    there = [name for name, has in PRODUCTS.items() if getattr(torch.cpu, has, bool)()]
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    limits = [f"ONEDNN_MAX_CPU_ISA={limit}"] if limit else []
    return ", ".join([torch.backends.cpu.get_cpu_capability(), *there, *limits])


def machine():
    """Describe the machine and the versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "instruction_set": instruction_set(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def print_machine(description):
    """Print what `machine` returns."""
    print("{cpu} ({instruction_set}), {cores} cores, {system}".format(**description))
    versions = [f"{name} {found}" for name, found in description["versions"].items() if found]
    print(f"Python {description['python']}, {', '.join(versions)}")


def _cpu_model():
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None
