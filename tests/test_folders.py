"""The folders are the architecture: the rule is data, and the picture is that of the code."""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from tests.test_docs import load

ROOT = Path(__file__).parents[1]
FOLDERS = sorted(path.parent.name for path in (ROOT / "skbert").glob("_*/__init__.py"))


@pytest.fixture(scope="module")
def folders() -> ModuleType:
    return load("folders")


def test_the_picture_is_that_of_the_code(folders):
    assert folders.PICTURE.read_text(encoding="utf-8") == folders.draw(), (
        "run: python docs/folders.py"
    )


def test_every_arrow_points_down(folders):
    for source, target in folders.arrows():
        assert folders.FOLDERS.index(source) < folders.FOLDERS.index(target), (source, target)


def test_the_contract_has_the_folders_in_the_order_of_the_picture(folders):
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = config["tool"]["importlinter"]["contracts"][0]["layers"]
    assert [layer for layer in layers if layer in FOLDERS] == list(folders.FOLDERS)
    assert sorted(folders.FOLDERS) == FOLDERS


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_says_what_comes_in_and_what_goes_out(folder):
    summary = (importlib.import_module(f"skbert.{folder}").__doc__ or "").splitlines()[0]
    assert " in" in summary
    assert " out" in summary


@pytest.mark.parametrize("folder", FOLDERS)
def test_tests_mirror_the_folders(folder):
    """Each test file is named after one file of its folder, but for what several files make."""
    files = {path.stem for path in (ROOT / "skbert" / folder).glob("*.py")}
    tests = ROOT / "tests" / folder.removeprefix("_")
    named = {path.stem.removeprefix("test_") for path in tests.glob("test_*.py")}
    assert named - files <= {"display", "explain", "in_sklearn", "properties", "sklearn_contract"}
    assert files & named
