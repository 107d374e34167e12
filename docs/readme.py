"""The README as PyPI shows it: hatchling calls this when it builds the package.

In the repository, links of README.md are relative. On PyPI they would lead nowhere, so they become
links to the documentation, whose address one line of pyproject.toml sets.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\((?!https?:|#)([^)]+)\)")
# What lies elsewhere in the documentation than in the repository.
ELSEWHERE = {"examples": "auto_examples/index.html", "CHANGELOG.md": "changelog.html"}


def address(target: str, documentation: str) -> str:
    """Return where in the documentation a file of the repository is shown."""
    path, _, anchor = target.partition("#")
    page = ELSEWHERE.get(path) or re.sub(r"\.md$", ".html", path.removeprefix("docs/"))
    return f"{documentation.rstrip('/')}/{page}{'#' if anchor else ''}{anchor}"


def with_absolute_links(text: str, documentation: str) -> str:
    """Return a README whose links lead to the documentation."""
    return LINK.sub(lambda link: f"]({address(link[1], documentation)})", text)


class Readme(MetadataHookInterface):
    """Fills in the field `readme`."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Write the README with absolute links into the metadata."""
        text = (ROOT / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {
            "content-type": "text/markdown",
            "text": with_absolute_links(text, metadata["urls"]["Documentation"]),
        }
