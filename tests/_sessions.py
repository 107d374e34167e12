"""The Python sessions of a Markdown page, run as doctests.

A session has ``>>>`` before its statements. A block without is one to be pasted: the value of an
expression stands in a comment behind it, ``model.predict(X)  # array([1])``.
"""

from __future__ import annotations

import ast
import doctest
import io
import re
import tokenize
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
    return [
        doctest.DocTest(
            examples(block[1]),
            {},
            f"block {number}",
            str(page),
            block.string[: block.start(1)].count("\n"),
            block[1],
        )
        for number, block in enumerate(blocks(page), start=1)
    ]


def examples(source: str) -> list[doctest.Example]:
    """Statements of a block, each with the output that is promised."""
    if ">>>" in source:
        return doctest.DocTestParser().get_examples(source)
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT and not token.line.lstrip().startswith("#")
    }
    found = []
    for statement in ast.parse(source).body:
        code = ast.get_source_segment(source, statement)
        assert code is not None
        want = ""
        if isinstance(statement, ast.Expr):
            want = comments.get(statement.end_lineno or 0, "")
            code = code if want else f"_ = {code}"  # a value that is not promised
        found.append(doctest.Example(code, want, lineno=statement.lineno - 1))
    return found


def report_of(page: Path) -> str:
    """What went otherwise than printed; a later block goes on where an earlier one stopped."""
    names: dict[str, Any] = {}
    report: list[str] = []
    for session in sessions(page):
        session.globs = names
        runner = doctest.DocTestRunner(optionflags=FLAGS)
        runner.run(session, out=report.append, clear_globs=False)
    return "".join(report)
