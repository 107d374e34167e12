"""Sphinx: `make docs`. Needs no network; every picture is drawn while it builds."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import figures
import gallery
import inventory
import name_links

import skbert

project = "skbert"
author = "The skbert developers"
release = version = skbert.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.intersphinx",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build", "_templates", "generated/*.part.md"]
templates_path = ["_templates"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
default_role = "obj"  # `BertEmbedder` in a docstring is a link

smartquotes = False  # straight quotes can be copied into code
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

autosummary_generate = True
maximum_signature_line_length = 80
autodoc_typehints = "none"  # numpydoc's sections tell them
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"  # "fit()" fits beside the page
numpydoc_show_class_members = False  # the template lists them

# Written when the pages are built, from the few names that they link to: no network is needed.
INVENTORY = Path(__file__).parent / "generated" / "scikit-learn.inv"
intersphinx_mapping = {"sklearn": (inventory.SCIKIT_LEARN, str(INVENTORY))}
inventory.write(INVENTORY)

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "ignore_pattern": r"^(quickstart|fine_tune)\.py$",  # for the command line; minutes long
    "subsection_order": [f"../examples/{section}" for section in gallery.SECTIONS],
    "within_subsection_order": "gallery.BestFirst",
    "backreferences_dir": "generated/backreferences",
    "doc_module": ("skbert",),
    "remove_config_comments": True,
    "show_memory": False,
    "write_computation_times": False,
}

html_theme = "pydata_sphinx_theme"
html_title = "skbert"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["skbert.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_start": ["navbar-logo", "version"],
    "navbar_end": ["theme-switcher"],
    "header_links_before_dropdown": 7,  # all: none is hidden in a menu
    "logo": {"image_light": "_static/logo.svg", "image_dark": "_static/logo-dark.svg"},
    "footer_end": [],
}
html_sidebars = {"index": [], "install": [], "quickstart": [], "benchmarks": [], "migration": []}


def leave_out(app: Any, what: str, name: str, value: Any, skip: bool, options: Any) -> bool | None:
    """Leave out scikit-learn's own methods, to which the template links, and those for routing."""
    is_foreign = (getattr(value, "__module__", None) or "").startswith("sklearn")
    is_routing = name.startswith("set_") and name.endswith("_request")
    return True if is_foreign or is_routing else None


def setup(app: Any) -> None:
    """Draw the pages' pictures before the pages are read."""
    app.connect("builder-inited", lambda app: figures.draw_all(Path(app.srcdir) / "generated"))
    app.connect("autodoc-skip-member", leave_out)
    app.connect("doctree-read", name_links.add)
