"""The Python sessions of a Markdown page, run as doctests."""

from __future__ import annotations

import doctest
import re
from pathlib import Path
from typing import Any

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
BLOCK = re.compile(r"^```(?:python|pycon)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = re.compile(r"<!-- not run: .+ -->\n\Z")


def blocks(page: Path) -> list[re.Match[str]]:
    """Python blocks that are to be run: all but those below a comment that says why not."""
    text = page.read_text(encoding="utf-8")
    return [block for block in BLOCK.finditer(text) if not NOT_RUN.search(text[: block.start()])]


def sessions(page: Path) -> list[doctest.DocTest]:
    parser = doctest.DocTestParser()
    return [
        parser.get_doctest(
            block[1],
            {},
            f"block {number}",
            str(page),
            block.string[: block.start(1)].count("\n"),
        )
        for number, block in enumerate(blocks(page), start=1)
    ]


def report_of(page: Path) -> str:
    """What went otherwise than printed; a later block goes on where an earlier one stopped."""
    names: dict[str, Any] = {}
    report: list[str] = []
    for session in sessions(page):
        session.globs = names
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(session, out=report.append, clear_globs=False)
    return "".join(report)
