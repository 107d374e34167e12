"""The tests that are marked gpu, by pytest where it is installed."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from gpu.record import Skipped

ROOT = Path(__file__).resolve().parents[2]
MARK = "@pytest.mark.gpu"
COUNTS = re.compile(r"(\d+) (passed|failed|error|errors|skipped)\b")
MOST_SECONDS = 70


def measure(setting, record):
    if find_spec("pytest") is None:
        raise Skipped("pytest is not installed")
    files = [
        str(path)
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if MARK in path.read_text(encoding="utf-8")
    ]
    environment = dict(os.environ)
    if "minilm" in setting.models:
        environment["SKBERT_MINILM"] = str(setting.models["minilm"])
    command = [sys.executable, "-m", "pytest", "-m", "gpu", "-rs", "-p", "no:cacheprovider", *files]
    ran = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=MOST_SECONDS
    )
    record.put("output", (ran.stdout + ran.stderr)[-4000:])
    last = ran.stdout.strip().splitlines()[-1] if ran.stdout.strip() else ""
    counts = {what: int(number) for number, what in COUNTS.findall(last)}
    record.put("counts", counts)
    record.put("notes", [last])
    if not counts:
        raise AssertionError(f"pytest told no result: {(ran.stdout + ran.stderr)[-500:]}")
    failed = sum(counts.get(what, 0) for what in ("failed", "error", "errors"))
    record.goal("tests failed", failed, at_most=0)
    if setting.on_gpu:
        record.goal("tests passed", counts.get("passed", 0), at_least=1)
