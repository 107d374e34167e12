"""Names such as `BertEmbedder` in the pages become links to the reference."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref

import skbert
import skbert.display

MODULES = {
    **dict.fromkeys(set(skbert.__all__) - {"display"}, "skbert"),
    **dict.fromkeys(skbert.display.__all__, "skbert.display"),
}


def add(app: Any, doctree: nodes.document) -> None:
    """Put a link around each public name that stands in a page as code."""
    if not app.env.current_document.docname.startswith(("api", "generated/")):
        for literal in list(doctree.findall(nodes.literal)):
            if isinstance(literal.parent, nodes.title | nodes.reference | pending_xref):
                continue
            name = literal.astext()
            if name in MODULES:
                literal.replace_self(_link(name, literal))


def _link(name: str, literal: nodes.literal) -> pending_xref:
    target = f"{MODULES[name]}.{name}"
    link = pending_xref(
        "", refdomain="py", reftype="obj", reftarget=target, refexplicit=True, refwarn=True
    )
    link += literal.deepcopy()
    return link
