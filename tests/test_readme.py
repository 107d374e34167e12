"""README.md: its sessions can be pasted and run, its links work here and on PyPI."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

from tests._sessions import examples, report_of, sessions

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
SOURCES = (".md", ".svg")


@pytest.mark.minilm
@pytest.mark.usefixtures("minilm")
def test_sessions_give_the_printed_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a session writes a folder
    report = report_of(README)
    assert not report, report


def test_sessions_can_be_pasted_and_each_promises_a_result() -> None:
    blocks = sessions(README)
    assert len(blocks) >= 3
    for block in blocks:
        assert ">>>" not in (block.docstring or "")
        assert any(example.want for example in block.examples)


def test_a_wrong_promise_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1  # not a promise\nx + 1  # 2\nx + 1\nx  # 3\n```\n")
    assert [example.want for example in examples("y = 1  # 2\ny  # 1\n")] == ["", "1\n"]
    report = report_of(page)
    assert "Expected:\n    3\nGot:\n    1" in report
    assert report.count("Failed example") == 1


def test_is_short_and_begins_with_title_and_claim() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 120
    assert lines[0] == "# skbert"
    assert lines[2].startswith("**BERT as scikit-learn estimators")


def test_linked_files_are_there() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8"))
    missing = [link for link in links if not (ROOT / link).exists()]
    assert links
    assert not missing


def test_on_pypi_all_links_lead_to_the_documentation() -> None:
    """As hatchling makes the metadata of the package."""
    metadata = ProjectMetadata(str(ROOT), PluginManager()).core
    address = metadata.urls["Documentation"]
    links = re.findall(r"\]\(([^)]+)\)", metadata.readme)
    assert all(link.startswith("https://") for link in links)
    of_pages = [link.removeprefix(f"{address}/") for link in links if link.startswith(address)]
    assert len(of_pages) > 5
    for page in of_pages:
        source = Path(page.partition("#")[0])
        if source.parts[0] != "auto_examples":  # made by the build
            assert any((ROOT / "docs" / source).with_suffix(kind).is_file() for kind in SOURCES)


def test_one_line_sets_the_address_of_the_documentation() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    address = tomllib.loads(text)["project"]["urls"]["Documentation"]
    assert text.count(address) == 1
    assert address not in README.read_text(encoding="utf-8")
