"""The pages' sessions give what is printed, their figures are those that were measured."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

import skbert
from tests._sessions import report_of, sessions

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
WITH_SESSIONS = [page for page in PAGES if sessions(page)]
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#[^)]*)?\)")
MADE_BY_THE_BUILD = ("generated/", "auto_examples/")
# Figures of another kind: docs/changelog.md tells versions, docs/scale.md has its own script.
WITHOUT_MEASURED = ("changelog",)


def load(script: str) -> ModuleType:
    """A script of docs/, which may import those beside it."""
    if str(DOCS) not in sys.path:
        sys.path.append(str(DOCS))
    spec = importlib.util.spec_from_file_location(script, DOCS / f"{script}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
def test_code_has_at_most_80_columns(page: Path) -> None:
    blocks = re.findall(r"^```\w+\n(.*?)^```$", page.read_text(encoding="utf-8"), FLAGS)
    assert not [line for block in blocks for line in block.splitlines() if len(line) > 80]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_linked_pages_and_pictures_are_there(page: Path) -> None:
    links = {link for link in LINK.findall(page.read_text(encoding="utf-8")) if link}
    pictures = load("figures").FIGURES
    for link in links:
        if link.startswith("generated/"):
            assert Path(link).stem in pictures, link
        elif link.startswith("auto_examples/"):
            script = ROOT / "examples" / Path(link).relative_to("auto_examples")
            assert script.with_suffix(".py").is_file(), link
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


MEASURED = load("measured")
FLAGS = re.MULTILINE | re.DOTALL
# A figure that was measured: a time, a share, a factor, a score. Not one in code.
FIGURE = re.compile(
    r"\b\d+\.\d+ times\b|\b\d+(?:\.\d+)? (?:seconds|ms\b|MB(?!\))|points|texts (?:per|a) second)"
    r"|(?<![\w.])[01]\.\d{2,}\b(?!\.\d| \$)|\d\.\d %"
)
CODE = re.compile(r"^```.*?^```$|`[^`\n]+`|\]\([^)]*\)", FLAGS)


@pytest.mark.parametrize("page", MEASURED.PAGES, ids=lambda page: page.stem)
def test_measured_figures_are_those_of_the_results(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert MEASURED.filled(page) == text, "run: python docs/measured.py"


def test_every_block_of_figures_is_used_and_known() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in MEASURED.PAGES)
    assert set(re.findall(r"<!-- ([\w-]+): python docs/measured\.py -->", text)) == set(
        MEASURED.BLOCKS
    )


@pytest.mark.parametrize("page", MEASURED.PAGES, ids=lambda page: page.stem)
def test_no_measured_figure_is_written_by_hand(page: Path) -> None:
    if page.stem in WITHOUT_MEASURED:
        return
    prose = CODE.sub("", load("blocks").without_blocks(page.read_text(encoding="utf-8")))
    assert not [match[0] for match in FIGURE.finditer(prose)], "a block of docs/measured.py"


def test_claims_are_computed_from_the_results(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = MEASURED.results()
    changed["cpu-peers"]["contenders"]["skbert, float32"]["times_st"] = 9.87
    changed["accuracy"]["BANKING77, 10 a class"]["unset"]["score"][0] = 12.3
    monkeypatch.setattr(MEASURED, "results", lambda: changed)
    assert "9.9 times as fast" in MEASURED.claims()
    assert "accuracy of 12.3 %" in MEASURED.claims()


def test_pictures_show_the_results() -> None:
    for name, svg in load("picture").drawn().items():
        assert (DOCS / "_static" / name).read_text(encoding="utf-8") == svg, (
            "run: python docs/picture.py"
        )
    for name, speed in MEASURED.speeds(MEASURED.results()["cpu-peers"]).items():
        drawn = (DOCS / "_static" / "overview.svg").read_text(encoding="utf-8")
        assert f">{name}</text>" in drawn
        assert f">{speed:,.0f}</text>" in drawn


def test_docstrings_of_every_public_name_are_checked() -> None:
    pytest.importorskip("numpydoc")
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
