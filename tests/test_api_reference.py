"""The built API reference: an anchor for each public method, links to scikit-learn and to code."""

from __future__ import annotations

import inspect
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import skbert
from tests.test_docs import DOCS, load

application = pytest.importorskip("sphinx.application")
SETTINGS = ("autodoc_", "autosummary_", "numpydoc_", "default_role", "intersphinx_")
OURS = ["sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
LINKS = ["sphinx.ext.intersphinx", "sphinx.ext.viewcode"]
CLASSES = [
    value
    for module in (skbert, skbert.display)
    for name in module.__all__
    if inspect.isclass(value := getattr(module, name))
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference alone, built with the settings of docs/conf.py, without gallery and theme."""
    pytest.importorskip("matplotlib")  # docs/conf.py draws
    conf = pytest.MonkeyPatch()
    conf.syspath_prepend(str(DOCS))
    settings = vars(load("conf"))
    conf.undo()
    assert {*OURS, *LINKS} <= set(settings["extensions"])
    source, built = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("built")
    shutil.copy(DOCS / "api.rst", source / "index.rst")
    taken = {name: value for name, value in settings.items() if name.startswith(SETTINGS)}
    taken |= {"extensions": [*OURS, *LINKS], "templates_path": [str(DOCS / "_templates")]}
    app = application.Sphinx(
        source, None, built, built / "trees", "html", confoverrides=taken, status=None, warning=None
    )
    app.add_directive("minigallery", _no_gallery())
    app.connect("autodoc-skip-member", settings["leave_out"])
    app.build()
    return built


def _no_gallery() -> Any:
    from docutils.parsers.rst import Directive

    class NoGallery(Directive):
        optional_arguments, final_argument_whitespace, has_content = 1, True, True
        option_spec = {"add-heading": str}  # noqa: RUF012

        def run(self) -> list[Any]:
            return []

    return NoGallery


def page_of(pages: Path, cls: type) -> str:
    name = f"{cls.__module__}.{cls.__name__}"
    return (pages / "generated" / f"{name}.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_public_method_has_an_anchor(cls, pages):
    html, name = page_of(pages, cls), f"{cls.__module__}.{cls.__name__}"
    methods = [
        method
        for method in load("check_docstrings").own_methods(cls)
        if not re.fullmatch("set_.+_request", method)
    ]
    missing = [
        each for each in [name, *(f"{name}.{m}" for m in methods)] if f'id="{each}"' not in html
    ]
    assert missing == []


def test_methods_are_asked_for_at_all():
    own_methods = load("check_docstrings").own_methods
    expected = {"fit", "predict", "predict_proba", "from_pretrained", "save_pretrained"}
    assert expected <= set(own_methods(skbert.BertClassifier))
    assert {"fit", "transform"} <= set(own_methods(skbert.BertEmbedder))


def test_inherited_methods_link_to_scikit_learn(pages):
    html = page_of(pages, skbert.BertEmbedder)
    for anchor in ("BaseEstimator.get_params", "TransformerMixin.set_output"):
        cls = anchor.partition(".")[0]
        address = "https://scikit-learn.org/stable/modules/generated/sklearn.base."
        assert f"{address}{cls}.html#sklearn.base.{anchor}" in html


def test_names_of_the_inventory_are_scikit_learns():
    for name, methods in load("inventory").CLASSES.items():
        module, _, cls = name.rpartition(".")
        value = getattr(pytest.importorskip(module), cls)
        assert all(callable(getattr(value, method)) for method in methods)


def test_methods_link_to_their_source(pages):
    html = page_of(pages, skbert.BertEmbedder)
    assert "_modules/skbert/_estimators/embedder.html#BertEmbedder.transform" in html
