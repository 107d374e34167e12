"""skbert.display: exactly these displays, documented, in the form of scikit-learn's."""

from __future__ import annotations

import ast
import doctest
import inspect
import re

import pytest

import skbert
from skbert import display
from tests.test_exports import documented_parameters, run_python

EXPORTED = [
    "AttentionDisplay",
    "EmbeddingDisplay",
    "TokenImportanceDisplay",
    "TrainingCurveDisplay",
]
CLASSES = [getattr(display, name) for name in EXPORTED]
METHODS = [
    getattr(cls, name)
    for cls in CLASSES
    for name in ("plot", "from_estimator", "from_vectors", "from_history")
    if hasattr(cls, name)
]


def test_public_names():
    assert skbert.display is display
    assert display.__all__ == EXPORTED
    assert {name for name in vars(display) if not name.startswith("_")} == set(EXPORTED)


@pytest.mark.parametrize("function", [*CLASSES, *METHODS], ids=lambda f: f.__qualname__)
def test_documented_parameters_and_defaults_are_those_of_the_signature(function):
    stated = documented_parameters(function)
    parameters = dict(inspect.signature(function).parameters)
    parameters.pop("self", None)
    names = [("**" if p.kind is p.VAR_KEYWORD else "") + name for name, p in parameters.items()]
    section = inspect.getdoc(function).split("Parameters\n")[1]
    stars = re.findall(r"^\*\*\w+$", section, re.MULTILINE)
    assert [*stated, *stars] == names
    for name, words in stated.items():
        default = re.search(r"default=(.+)$", words)
        real = parameters[name].default
        assert (default is None) == (real is inspect.Parameter.empty), name
        if default is not None:
            assert repr(ast.literal_eval(default[1])) == repr(real), name


@pytest.mark.parametrize("cls", CLASSES)
def test_has_the_form_of_a_display(cls):
    assert next(iter(inspect.signature(cls.plot).parameters.values())).name == "self"
    assert list(inspect.signature(cls.plot).parameters)[1] == "ax"
    assert "ax" in inspect.signature(cls.from_estimator).parameters
    assert all(name in cls.__doc__ for name in ("ax_ :", "figure_ :", "Examples"))


@pytest.mark.minilm
@pytest.mark.usefixtures("minilm")
@pytest.mark.parametrize("name", display.__all__)
def test_docstring_examples(name):
    matplotlib = pytest.importorskip("matplotlib")
    pytest.importorskip("captum")
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    with matplotlib.rc_context({"backend": "agg"}):
        # module=False: methods lie in another module than the one that their class names.
        for test in doctest.DocTestFinder(exclude_empty=True).find(
            getattr(display, name), module=False
        ):
            runner.run(test, out=report.append)
    assert runner.tries > 0
    assert not report, "".join(report)


def test_import_leaves_optional_packages_alone():
    loaded = run_python(
        "import sys, sklearn.base; before = set(sys.modules); import skbert.display; "
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} & "
        "{'matplotlib', 'captum', 'transformers'})"
    )
    assert loaded.strip() == ""
