"""The sessions in README.md give the output that is printed there."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).parents[1] / "README.md"
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
BLOCK = re.compile(r"^```(?:python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sessions() -> list[doctest.DocTest]:
    text = README.read_text(encoding="utf-8")
    parser = doctest.DocTestParser()
    return [
        parser.get_doctest(
            block[1], {}, f"block {number}", str(README), text[: block.start(1)].count("\n")
        )
        for number, block in enumerate(BLOCK.finditer(text), start=1)
    ]


@pytest.mark.minilm
@pytest.mark.usefixtures("minilm")
def test_sessions_give_the_printed_output(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a session writes a folder
    names: dict[str, Any] = {}  # a later block goes on where an earlier one stopped
    report: list[str] = []
    for session in sessions():
        session.globs = names
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(session, out=report.append, clear_globs=False)
    assert not report, "".join(report)


def test_every_block_is_a_session_with_output_somewhere():
    blocks = sessions()
    assert blocks
    assert all(block.examples for block in blocks), "a block without >>> would not be tested"
    assert any(example.want for block in blocks for example in block.examples)


def test_is_short_and_opens_with_one_sentence():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    first = text.split("\n\n")[0]
    assert first.endswith(".")
    assert ". " not in first.replace("\n", " ")


def test_linked_files_are_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README.read_text(encoding="utf-8"))
    missing = [link for link in links if not (README.parent / link).exists()]
    assert links
    assert not missing
