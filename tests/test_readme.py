"""The sessions in README.md give the output that is printed there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests._sessions import report_of, sessions

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.minilm
@pytest.mark.usefixtures("minilm")
def test_sessions_give_the_printed_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a session writes a folder
    report = report_of(README)
    assert not report, report


def test_every_block_is_a_session_with_output_somewhere():
    blocks = sessions(README)
    assert blocks
    assert all(block.examples for block in blocks), "a block without >>> would not be tested"
    assert any(example.want for block in blocks for example in block.examples)


def test_is_short_and_opens_with_one_sentence():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 120
    first = text.split("\n\n")[0]
    assert first.endswith(".")
    assert ". " not in first.replace("\n", " ")


def test_linked_files_are_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8"))
    missing = [link for link in links if not (README.parent / link).exists()]
    assert links
    assert not missing
