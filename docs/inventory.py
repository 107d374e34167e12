"""Write the inventory of scikit-learn's names that the API reference links to.

Sphinx would fetch scikit-learn's own from its site; `make docs` needs no network.
"""

from __future__ import annotations

import zlib
from pathlib import Path

SCIKIT_LEARN = "https://scikit-learn.org/stable/"
# Full names of classes, and of their methods that our classes inherit.
CLASSES = {
    "sklearn.base.BaseEstimator": ("get_metadata_routing", "get_params", "set_params"),
    "sklearn.base.ClassifierMixin": ("score",),
    "sklearn.base.RegressorMixin": ("score",),
    "sklearn.base.TransformerMixin": ("fit_transform", "set_output"),
    "sklearn.compose.ColumnTransformer": (),
    "sklearn.model_selection.GridSearchCV": (),
    "sklearn.pipeline.Pipeline": (),
}


def write(path: Path) -> None:
    """Write the file, in the format of Sphinx's objects.inv."""
    lines = []
    for cls, methods in CLASSES.items():
        # $ stands for the name.
        page = f"modules/generated/{cls}.html#$"
        lines.append(f"{cls} py:class 1 {page} -")
        lines += [f"{cls}.{method} py:method 1 {page} -" for method in methods]
    header = (
        "# Sphinx inventory version 2\n# Project: scikit-learn\n# Version: stable\n"
        "# The remainder of this file is compressed using zlib.\n"
    )
    body = zlib.compress("".join(f"{line}\n" for line in lines).encode())
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(header.encode() + body)
