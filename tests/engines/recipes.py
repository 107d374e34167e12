"""The recipes of the pages, run from their own text."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from skbert import BertEmbedder

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"<!-- not run: .*?make test-engines.*? -->\n```python\n(.*?)^```$", re.M | re.S)


def recipe(word: str, page: str = "scaling.md", **names: Any) -> dict[str, Any]:
    """Run the one recipe that has a word in it, and give what it has made.

    ``names`` stand for what the page's reader has: tables, a classifier, `BertEmbedder`. What a
    recipe would make for a cluster elsewhere (``client = ...``) is not made where it is given.
    """
    text = (DOCS / page).read_text(encoding="utf-8")
    (code,) = [block[1] for block in BLOCK.finditer(text) if word in block[1]]
    kept = [line for line in code.splitlines() if line.partition(" = ")[0] not in names]
    names["__name__"] = "__main__"  # where a reader's functions are: pickled by value
    exec(compile("\n".join(kept), f"{page}: {word}", "exec"), names)
    return names


def of_tiny(model: str) -> Callable[[], BertEmbedder]:
    """`BertEmbedder` of the pages, with the tests' model as its default."""
    return partial(BertEmbedder, model)
