"""The table of docs/models.md, from what the matrix tests.

Write it anew with ``python -m tests.conformity.table``.
"""

from __future__ import annotations

from pathlib import Path

from skbert._kernels.packable import PACKED_MODEL_TYPES
from tests.conformity.checkpoints import FAMILIES, Family

PAGE = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- table: python -m tests.conformity.table -->\n", "<!-- end of the table -->"
COLUMNS = {
    "fine-tune": "classify",
    "tag": "tag",
    "answer": "answer",
    "lower layers": "layers",
    "freeze layers": "freeze layers",
    "bfloat16": "bfloat16",
    "int8": "int8",
}


def table() -> str:
    """Return the table, one row a family."""
    titles = ["family", "`model_type`", "embed", *COLUMNS, "packed"]
    rows = [titles, ["---"] * len(titles)]
    rows += [_row(name, family) for name, family in FAMILIES.items()]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def _row(name: str, family: Family) -> list[str]:
    can = ["–" if deed in family.cannot else "✓" for deed in COLUMNS.values()]
    return [
        family.title,
        f"`{name}`",
        "✓",
        *can,
        "✓" if name in PACKED_MODEL_TYPES else "–",
    ]


def written() -> str:
    """Return the table that the page has."""
    text = PAGE.read_text(encoding="utf-8")
    return text.partition(BEGIN)[2].partition(END)[0]


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(page.replace(BEGIN + written(), BEGIN + table()), encoding="utf-8")
