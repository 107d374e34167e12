"""The picture of skbert's folders, drawn from the imports in the code.

``python docs/folders.py`` writes docs/images/folders.svg; a test compares it with the code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from html import escape
from pathlib import Path
from textwrap import wrap

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "folders.svg"
# From the top down, as the contract of import-linter in pyproject.toml has them.
FOLDERS = (
    "_display",
    "_files",
    "_estimators",
    "_training",
    "_inference",
    "_cache",
    "_models",
    "_kernels",
    "_texts",
)
ROW, BOX, LEFT, WIDTH = 98, 78, 20, 820
BOX_WIDTH = 560
COLOURS = (
    "#3a6ea5",
    "#c8752d",
    "#5f8f4e",
    "#8a5a9e",
    "#777777",
    "#b04a4a",
    "#3d8f8f",
    "#9a7d1f",
    "#444c8a",
)


def files_of(folder: str) -> list[Path]:
    """Return the files of a folder of skbert/."""
    return sorted(f for f in (ROOT / "skbert" / folder).glob("*.py") if f.stem != "__init__")


def imported_folders(file: Path) -> Iterator[str]:
    """Find the folders of skbert/ that a file imports from."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("skbert._"):
            yield str(node.module).split(".")[1]


def arrows() -> list[tuple[str, str]]:
    """Find which folder imports from which other one."""
    found = {
        (folder, target)
        for folder in FOLDERS
        for file in files_of(folder)
        for target in imported_folders(file)
        if target != folder and target in FOLDERS
    }
    return sorted(found)


def summary(folder: str) -> str:
    """Return the first line of a folder's docstring."""
    text = (ROOT / "skbert" / folder / "__init__.py").read_text(encoding="utf-8")
    return (ast.get_docstring(ast.parse(text)) or "").splitlines()[0]


def draw_box(folder: str, place: int) -> str:
    """Draw a folder: its name, what comes in and goes out, its files."""
    top = LEFT + place * ROW
    names = " ".join(file.stem for file in files_of(folder))
    lines = [
        f'<text x="{LEFT + 10}" y="{top + 17}" font-weight="bold">{folder}/</text>',
        f'<text x="{LEFT + 10}" y="{top + 32}" font-size="11">{escape(summary(folder))}</text>',
        *(
            f'<text x="{LEFT + 10}" y="{top + 46 + 12 * row}" font-size="10" fill="#555">{line}'
            "</text>"
            for row, line in enumerate(wrap(names, 98))
        ),
    ]
    box = (
        f'<rect x="{LEFT}" y="{top}" width="{BOX_WIDTH}" height="{BOX}" rx="4" fill="#fff" '
        f'stroke="{COLOURS[place]}" stroke-width="1.5"/>'
    )
    return "\n".join([box, *lines])


def draw_arrow(source: int, target: int) -> str:
    """Draw an arc at the right of the boxes, from a folder down to one that it imports from."""
    right = LEFT + BOX_WIDTH
    # Each folder's arrows leave and arrive a little below the ones before.
    start = LEFT + source * ROW + 12 + 6 * (target - source)
    end = LEFT + target * ROW + 12 + 6 * (len(FOLDERS) - 1 - source)
    bulge = right + 40 + 34 * (target - source)
    return (
        f'<path d="M {right} {start} C {bulge} {start} {bulge} {end} {right + 3} {end}" '
        f'fill="none" stroke="{COLOURS[source]}" stroke-width="1.4" '
        f'marker-end="url(#tip)"><title>{FOLDERS[source]} → {FOLDERS[target]}</title></path>'
    )


def draw() -> str:
    """Draw all folders and arrows as SVG."""
    height = 2 * LEFT + ROW * len(FOLDERS)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" markerUnits="userSpaceOnUse" orient="auto">'
        '<path d="M 0 0 L 8 4 L 0 8 z" fill="#555"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        *(draw_box(folder, place) for place, folder in enumerate(FOLDERS)),
        *(draw_arrow(FOLDERS.index(source), FOLDERS.index(target)) for source, target in arrows()),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
