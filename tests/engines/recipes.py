"""The recipes of docs/scaling.md, run from the page's own text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parents[2] / "docs" / "scaling.md"
BLOCK = re.compile(r"<!-- not run: .*?make test-engines.*? -->\n```python\n(.*?)^```$", re.M | re.S)


def recipe(word: str, **names: Any) -> dict[str, Any]:
    """Run the one recipe that has a word in it, and give what it has made.

    ``names`` stand for what the page's reader has: tables, an embedder, a session. What a recipe
    would make itself for a cluster elsewhere (``name = ...``) is not made where a name is given.
    """
    page = PAGE.read_text(encoding="utf-8")
    (code,) = [block[1] for block in BLOCK.finditer(page) if word in block[1]]
    kept = [line for line in code.splitlines() if line.partition(" = ")[0] not in names]
    exec(compile("\n".join(kept), f"{PAGE.name}: {word}", "exec"), names)
    return names
