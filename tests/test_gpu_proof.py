"""`make gpu-proof` runs through without a GPU, every section of it, and goes on where one fails."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PROGRAM = ROOT / "benchmarks" / "gpu_proof.py"
# What each section must have found out, and its goals.
FIGURES = {
    "environment": ("machine", "kernels", "matmul_tflops"),
    "correctness": ("comparisons",),
    "speed": ("cases",),
    "overlap": ("texts",),
    "training": ("cases", "default_fit"),
    "out_of_memory": ("texts", "tokens", "training_says"),
    "peak_memory": ("peaks",),
    "release": ("held_mb",),
    "several": ("devices", "difference"),
}


def prove(output: Path, *options: str) -> tuple[int, str, dict[str, Any]]:
    """Run the command; return its status, what it printed, and the sections of its file."""
    command = [sys.executable, str(PROGRAM), "--tiny", "--output", str(output), *options]
    ran = subprocess.run(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
        cwd=output.parent,
    )
    return ran.returncode, ran.stdout, json.loads(output.read_text())["sections"]


@pytest.fixture(scope="module")
def proof(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str, dict[str, Any]]:
    pytest.importorskip("sentence_transformers")
    output = tmp_path_factory.mktemp("proof") / "proof.json"
    return prove(output, "--cpu", "--only", *FIGURES)  # not the marked tests: tests in tests


def test_every_section_writes_its_figures(proof):
    status, printed, sections = proof
    assert {name: its["state"] for name, its in sections.items()} == dict.fromkeys(FIGURES, "done")
    assert status == 0, printed
    for name, keys in FIGURES.items():
        assert all(sections[name][key] for key in keys), name


def test_goals_that_no_gpu_is_needed_for_are_reached(proof):
    """Right vectors, on the way that a GPU takes, and after memory ran out; nothing left behind."""
    _, printed, sections = proof
    for name in ("correctness", "out_of_memory", "release", "several"):
        assert sections[name]["goals"], name
        assert all(goal["reached"] for goal in sections[name]["goals"]), sections[name]["goals"]
    assert len(sections["correctness"]["comparisons"]) > 90
    assert all(sections["correctness"]["packs"][f"bfloat16, {how}"] is (how == "packed")
               for how in ("packed", "padded"))  # fmt: skip
    for case in sections["speed"]["cases"].values():
        assert case["least_cosine_to_it"] > 0.99
        assert case["tokens_per_second"] > 0
    assert 0 < sections["overlap"]["texts"]["mixed"]["busy_share"] <= 1
    summary = printed.rpartition("\nSummary\n")[2]
    assert len(summary.splitlines()) <= 60
    assert "times sentence-transformers' best, base, mixed (goal: at least 1.5)" in summary


def test_without_a_gpu_nothing_is_measured_and_earlier_figures_stay(tmp_path):
    output = tmp_path / "proof.json"
    output.write_text("{}")
    ran = subprocess.run(
        [sys.executable, str(PROGRAM), "--output", str(output)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 1
    assert "torch sees no GPU" in ran.stderr
    assert output.read_text() == "{}"


def test_a_section_that_takes_the_process_down_or_hangs_does_not_stop_the_others(tmp_path):
    """The kit is copied, and two of its sections are replaced by worse ones."""
    kit = tmp_path / "benchmarks"
    for file in (ROOT / "benchmarks").rglob("*.py"):
        target = kit / file.relative_to(ROOT / "benchmarks")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(file.read_bytes())
    begin = "def measure(setting, record):\n    record.put('found', 1)\n"
    (kit / "gpu" / "speed.py").write_text(f"import os\n{begin}    os._exit(9)\n")
    (kit / "gpu" / "overlap.py").write_text(f"import time\n{begin}    time.sleep(99)\n")
    sections = (kit / "gpu" / "sections.py").read_text()
    shortened = sections.replace('what it waits for", 60)', 'what it waits for", 1)')
    assert shortened != sections
    (kit / "gpu" / "sections.py").write_text(shortened)
    output = tmp_path / "proof.json"
    command = [sys.executable, str(kit / "gpu_proof.py"), "--cpu", "--tiny", "--output", output]
    only = ("speed", "environment", "overlap")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    ran = subprocess.run(
        [*command, "--only", *only],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=200,
    )
    found = json.loads(output.read_text())["sections"]
    assert {name: its["state"] for name, its in found.items()} == {
        "speed": "failed",
        "environment": "done",
        "overlap": "cut off",
    }
    assert found["speed"]["found"] == found["overlap"]["found"] == 1
    assert "ended with 9" in found["speed"]["reason"]
    assert ran.returncode == 1
