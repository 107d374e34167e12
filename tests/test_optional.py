"""Optional packages: one clear error where they are missing, axes where they are not."""

from __future__ import annotations

import sys

import pytest

from skbert import MissingPackageError, SkbertError
from skbert._optional import import_optional, new_axes


def test_gives_the_module():
    assert import_optional("json.decoder", extra="x", needed_by="y") is sys.modules["json.decoder"]


def test_missing_package_names_it_and_the_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingPackageError) as caught:
        import_optional("captum.attr", extra="explain", needed_by="TokenImportanceDisplay")
    message = str(caught.value)
    assert message.startswith("TokenImportanceDisplay needs captum")
    assert 'pip install "skbert[explain]"' in message


def test_can_be_caught_as_either_kind():
    assert issubclass(MissingPackageError, SkbertError)
    assert issubclass(MissingPackageError, ImportError)


@pytest.mark.usefixtures("no_matplotlib")
def test_axes_need_matplotlib():
    with pytest.raises(MissingPackageError, match=r"EmbeddingDisplay needs matplotlib.*\[plot\]"):
        new_axes(None, "EmbeddingDisplay")


def test_given_axes_are_given_back():
    pyplot = pytest.importorskip("matplotlib.pyplot")
    figure, ax = pyplot.subplots()
    assert new_axes(ax, "") is ax
    new = new_axes(None, "", figsize=(3, 2))
    assert new.figure is not figure
    assert new.figure.get_size_inches().tolist() == [3, 2]
    pyplot.close("all")
