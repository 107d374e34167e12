"""Blocks of Markdown pages that a script writes, and that a test compares with what it would write.

``<!-- NAME: python docs/SCRIPT.py -->`` begins a block, ``<!-- end -->`` ends it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping


def fill(text: str, script: str, functions: Mapping[str, Callable[[], str]]) -> str:
    """Return a page with each block of a script written anew."""

    def write(block: re.Match[str]) -> str:
        return f"{block[1]}\n\n{functions[block[2]]()}\n\n<!-- end -->"

    begin = rf"(<!-- ([\w-]+): python docs/{re.escape(script)} -->)"
    return re.sub(rf"{begin}\n.*?<!-- end -->", write, text, flags=re.DOTALL)


def without_blocks(text: str) -> str:
    """Return a page without what scripts write."""
    pattern = r"<!-- [\w-]+: python docs/\w+\.py -->\n.*?<!-- end -->"
    return re.sub(pattern, "", text, flags=re.DOTALL)


def table(heads: list[str], rows: list[list[str]]) -> str:
    """Return a table of Markdown."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
