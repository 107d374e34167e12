"""The examples run, from any folder, and print what they promise."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBER = r"-?\d+\.\d+"


@pytest.fixture(scope="module")
def quickstart(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What examples/quickstart.py prints for a few rows."""
    finished = subprocess.run(
        [sys.executable, str(EXAMPLES / "quickstart.py"), "--rows", "60"],
        cwd=tmp_path_factory.mktemp("elsewhere"),
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.minilm
@pytest.mark.parametrize("contender", ["no text", "TF-IDF", "BERT"])
def test_quickstart_prints_a_result_for_each(quickstart: str, contender: str):
    line = rf"^{contender} +{NUMBER} ± {NUMBER} +{NUMBER} s$"
    assert re.search(line, quickstart, re.MULTILINE), quickstart


@pytest.mark.minilm
def test_quickstart_names_the_one_with_the_best_mean(quickstart: str):
    means = {
        name.strip(): float(mean)
        for name, mean in re.findall(rf"^(.{{8}}) +({NUMBER}) ± ", quickstart, re.MULTILINE)
    }
    winner = re.search(r"^Best on this table: (.+)\.$", quickstart, re.MULTILINE)
    assert winner is not None
    assert len(means) == 3
    assert means[winner[1]] == max(means.values())


def test_shipped_data_come_with_their_notice():
    notice = (EXAMPLES / "data" / "README.md").read_text(encoding="utf-8")
    for file in (EXAMPLES / "data").glob("*.csv"):
        assert file.name in notice
    assert "modeldata authors" in notice
    assert "Permission is hereby granted" in notice
