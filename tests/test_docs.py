"""The pages' sessions give what is printed, their figures are those that were measured."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import skbert
from tests._sessions import report_of, sessions

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WITH_SESSIONS = [page for page in PAGES if sessions(page)]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#[^)]*)?\)")
MADE_BY_THE_BUILD = ("generated/", "auto_examples/")


def load(script: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script, DOCS / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def results() -> Any:
    return json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))


@pytest.mark.minilm
@pytest.mark.usefixtures("minilm")
@pytest.mark.parametrize("page", WITH_SESSIONS, ids=lambda page: page.stem)
def test_sessions_give_the_printed_output(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # some sessions write files
    report = report_of(page)
    assert not report, report


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_run_or_says_why_not(page: Path) -> None:
    assert all(session.examples for session in sessions(page)), (
        "write >>> before each statement, or <!-- not run: the reason --> above the block"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_linked_pages_and_pictures_are_there(page: Path) -> None:
    links = {link for link in LINK.findall(page.read_text(encoding="utf-8")) if link}
    pictures = load("figures").FIGURES
    for link in links:
        if link.startswith("generated/"):
            assert Path(link).stem in pictures, link
        elif link.startswith("auto_examples/"):
            assert (ROOT / "examples" / Path(link).name).with_suffix(".py").is_file(), link
        else:
            assert (DOCS / link).exists(), link


def test_every_page_is_in_a_table_of_contents() -> None:
    trees = "".join(
        (DOCS / name).read_text(encoding="utf-8") for name in ("index.md", "user-guide.md")
    )
    listed = set(re.findall(r"^([\w-]+)$", trees, re.MULTILINE))
    assert {page.stem for page in PAGES} - {"index"} <= listed


def test_every_public_name_has_a_page() -> None:
    page = (DOCS / "api.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   (\w+)$", page, re.MULTILINE)
    listed += re.findall(r"^.. autodata:: (\w+)$", page, re.MULTILINE)
    expected = {*skbert.__all__, *skbert.display.__all__} - {"display"}
    assert sorted(listed) == sorted(expected)


@pytest.mark.parametrize(
    ("row", "task"), [("BANKING77", "BANKING77"), ("does the", "question-sentence pairs")]
)
def test_measured_accuracies_are_those_of_the_results(row: str, task: str) -> None:
    page = (DOCS / "choose.md").read_text(encoding="utf-8")
    cells = re.search(rf"^\| {row}.*?\| (.+) \|$", page, re.MULTILINE)
    assert cells is not None
    of_task = results()["fine-tuning-quality"][task]
    tuned = of_task["BertClassifier"]
    mean = sum(tuned) / len(tuned)
    assert cells[1].split(" | ") == [
        str(of_task["n_train"]),
        f"{of_task['frozen']:.3f}",
        f"{mean:.3f} ({min(tuned):.3f} to {max(tuned):.3f})",
        f"{of_task['tfidf']:.3f}",
    ]


def test_the_picture_of_the_readme_shows_the_results() -> None:
    drawn = (DOCS / "images" / "speed.svg").read_text(encoding="utf-8")
    labels = re.findall(r"<text [^>]*>([^<]+)</text>", drawn)
    for contender, speed in load("figures").read_speeds().items():
        assert contender in labels, "run: python docs/figures.py"
        assert f"{speed:.0f}" in labels, "run: python docs/figures.py"


def test_docstrings_of_every_public_name_are_checked() -> None:
    checked = set(load("check_docstrings").public_names())
    public = {name for name in skbert.__all__ if callable(getattr(skbert, name))}
    assert {f"skbert.{name}" for name in public} <= checked
    assert {f"skbert.display.{name}" for name in skbert.display.__all__} <= checked
    assert "skbert.BertRegressor.from_pretrained" in checked
    assert not [name for name in checked if "_request" in name or "set_output" in name]


def test_costs_are_reckoned_from_what_was_measured() -> None:
    costs = load("costs")
    figures = costs.read_figures()
    assert costs.PAGE.read_text(encoding="utf-8") == costs.page(figures), (
        "run: python docs/costs.py"
    )
    # By hand: 30 billion tokens at 10,000 a second.
    assert costs.core_hours(10_000) == pytest.approx(833.33, abs=0.01)
    speed = figures["n_tokens"] / sorted(figures["seconds"]["float32"])[figures["rounds"] // 2]
    assert f"| float32 | {speed:,.0f} |" in costs.page(figures)
