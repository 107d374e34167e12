"""Tables, verdicts, and the description of the machine."""

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "skbert", "torch", "transformers", "sentence-transformers", "scikit-learn", "numpy", "skrub",
    "accelerate",
)  # fmt: skip


def print_table(title, headers, rows):
    """Print aligned columns, the first to the left and the others to the right."""
    cells = [headers, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(headers))]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        pairs = list(zip(row, widths, strict=True))
        line = [pairs[0][0].ljust(pairs[0][1]), *(cell.rjust(width) for cell, width in pairs[1:])]
        print("  " + "  ".join(line).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


def verdict(what, value, *, at_least=None, at_most=None):
    """Give a line that says whether a figure reaches its target."""
    if at_least is not None:
        passed, target = value >= at_least, f"at least {at_least}"
    else:
        passed, target = value <= at_most, f"at most {at_most}"
    return f"  {'PASS' if passed else 'FAIL'}  {value:.3g} {what} (target: {target})"


def machine():
    """Describe the machine and the versions."""
    import torch

    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "torch_threads": torch.get_num_threads(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
    }


def print_machine(description):
    """Print what `machine` gives."""
    print(f"{description['cpu']}, {description['cores']} cores, {description['system']}")
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
