"""The public surface: exactly these names, documented, with defaults and examples that are true."""

from __future__ import annotations

import ast
import doctest
import inspect
import pickle
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import skbert

EXPORTED = [
    "SKOPS_TRUSTED_TYPES",
    "Answer",
    "BertClassifier",
    "BertEmbedder",
    "BertQuestionAnswerer",
    "BertRegressor",
    "BertTokenClassifier",
    "CacheError",
    "CheckpointChangedError",
    "CheckpointError",
    "CheckpointNotFoundError",
    "CheckpointWarning",
    "CompletenessWarning",
    "DestinationError",
    "DeviceError",
    "EmbeddedFiles",
    "EmbeddingCache",
    "Entity",
    "InputError",
    "InterruptedTrainingWarning",
    "LabelWarning",
    "MissingPackageError",
    "ParameterError",
    "SkbertError",
    "SkbertWarning",
    "TextTooLongError",
    "TrainingError",
    "TruncationWarning",
    "display",
    "embed_files",
    "inspect_tokens",
]
CALLABLES = [
    skbert.BertClassifier,
    skbert.BertEmbedder,
    skbert.BertQuestionAnswerer,
    skbert.BertRegressor,
    skbert.BertTokenClassifier,
    skbert.EmbeddingCache,
    skbert.embed_files,
    skbert.inspect_tokens,
]
SECTION = re.compile(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+\n|\Z)", re.MULTILINE | re.DOTALL)
PARAMETER = re.compile(r"^(\w+) : (.+)$", re.MULTILINE)
NO_DEFAULT = inspect.Parameter.empty


def run_python(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout


def documented_parameters(function: Callable[..., Any]) -> dict[str, str]:
    """Name → the words after the colon, from the numpydoc section "Parameters"."""
    section = SECTION.search(inspect.getdoc(function) or "")
    assert section is not None
    return dict(PARAMETER.findall(section[1]))


def documented_default(words: str) -> Any:
    stated = re.search(r"default=(.+)$", words)
    return NO_DEFAULT if stated is None else ast.literal_eval(stated[1])


def public_methods(cls: type) -> list[Callable[..., Any]]:
    return [
        value
        for name in dir(cls)
        if not name.startswith("_")
        and inspect.isfunction(value := inspect.unwrap(getattr(cls, name)))
        and value.__module__.startswith("skbert")
    ]


def test_all_is_exactly_this():
    assert skbert.__all__ == EXPORTED


def test_no_other_public_name():
    public = {name for name in vars(skbert) if not name.startswith("_")}
    assert public == set(EXPORTED)


@pytest.mark.parametrize("name", EXPORTED)
def test_every_name_is_documented(name: str):
    # Not inspect.getdoc: that would give the docstring of a base class.
    doc = getattr(skbert, name).__doc__
    assert doc is not None
    assert doc.strip().splitlines()[0].endswith(".")


def test_every_public_method_is_documented():
    methods = public_methods(skbert.BertEmbedder)
    assert {"fit", "transform"} <= {method.__name__ for method in methods}
    assert [method.__name__ for method in methods if not method.__doc__] == []


def test_every_error_and_warning_can_be_caught_by_the_base_class():
    for name in EXPORTED:
        value = getattr(skbert, name)
        if name.endswith("Error"):
            assert issubclass(value, skbert.SkbertError)
        elif name.endswith("Warning"):
            assert issubclass(value, skbert.SkbertWarning)


@pytest.mark.parametrize("function", CALLABLES)
def test_documented_parameters_are_those_of_the_signature(function: Callable[..., Any]):
    assert list(documented_parameters(function)) == list(inspect.signature(function).parameters)


@pytest.mark.parametrize("function", CALLABLES)
def test_documented_defaults_are_those_of_the_signature(function: Callable[..., Any]):
    stated = {
        name: documented_default(words) for name, words in documented_parameters(function).items()
    }
    real = {name: p.default for name, p in inspect.signature(function).parameters.items()}
    # By repr: 1 == True.
    assert {k: repr(v) for k, v in stated.items()} == {k: repr(v) for k, v in real.items()}


@pytest.mark.parametrize("function", CALLABLES)
def test_only_the_first_parameters_are_positional(function: Callable[..., Any]):
    positional = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is not inspect.Parameter.KEYWORD_ONLY
    ]
    assert positional in (["model"], ["texts", "model"], ["path"], ["source", "destination"])


@pytest.mark.minilm
@pytest.mark.usefixtures("minilm")
@pytest.mark.parametrize("public", CALLABLES)
def test_docstring_examples(public: Callable[..., Any]):
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    # module=False: methods lie in another module than the one that their class names.
    for test in doctest.DocTestFinder(exclude_empty=True).find(public, module=False):
        runner.run(test, out=report.append)
    assert runner.tries > 0
    assert not report, "".join(report)


@pytest.mark.parametrize("module", [skbert, skbert.display], ids=lambda module: module.__name__)
def test_public_names_say_where_users_find_them(module: Any):
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value):
            assert f"{value.__module__}.{value.__qualname__}" == f"{module.__name__}.{name}"


def test_an_uncaught_error_shows_its_public_name():
    done = subprocess.run(
        [sys.executable, "-c", "import skbert; skbert.BertEmbedder().fit('a text')"],
        capture_output=True,
        text=True,
    )
    assert done.stderr.splitlines()[-1].startswith("skbert.InputError: ")


@pytest.mark.parametrize("name", ["Entity", "InputError", "BertEmbedder", "EmbeddingCache"])
def test_a_pickle_that_names_the_private_file_loads(name: str):
    public = getattr(skbert, name)
    file = {
        "Entity": "skbert._texts.entities",
        "InputError": "skbert._exceptions",
        "BertEmbedder": "skbert._estimators.embedder",
        "EmbeddingCache": "skbert._cache.cache",
    }[name]
    assert pickle.loads(f"c{file}\n{name}\n.".encode()) is public
    assert pickle.loads(pickle.dumps(public)) is public


HEAVY = {
    "accelerate",
    "captum",
    "huggingface_hub",
    "matplotlib",
    "pandas",
    "polars",
    "pyarrow",
    "sentence_transformers",
    "sympy",
    "torch._dynamo",
    "torch._inductor",
    "torch.distributed.tensor",
    "torch.onnx",
    "transformers",
}


def test_import_leaves_heavy_packages_alone():
    # scikit-learn itself imports pandas where it is installed, and torch some of these.
    loaded = run_python(
        "import sys, torch, sklearn.base; before = set(sys.modules); import skbert; "
        f"print(*(set(sys.modules) - before) & {HEAVY})"
    )
    assert loaded.strip() == ""


def test_first_vector_imports_nothing_heavy_beyond_transformers(tiny_bert: str):
    loaded = run_python(
        "import sys, sklearn.base; from transformers import AutoTokenizer, BertModel; "
        "before = set(sys.modules); import skbert; "
        f"skbert.BertEmbedder({tiny_bert!r}, device='cpu').fit_transform(['the cat']); "
        f"print(*(set(sys.modules) - before) & {HEAVY})"
    )
    assert loaded.strip() == ""


def test_import_prints_nothing_and_changes_no_setting():
    code = (
        "import os, torch, warnings; "
        "see = lambda: (dict(os.environ), torch.get_num_threads(), torch.get_default_dtype(), "
        "torch.is_grad_enabled(), torch.initial_seed(), list(warnings.filters)); "
        "import sklearn.base; before = see(); import skbert; assert see() == before"
    )
    assert run_python(code) == ""


def test_every_imported_package_is_declared():
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {
        re.split(r"[\[<>=; ]", need)[0].replace("-", "_") for need in project["dependencies"]
    }
    of_module = {"sklearn": "scikit_learn"}
    imported = {of_module.get(name, name) for name in packages_imported_by(Path(skbert.__file__))}
    # matplotlib, of an extra, is imported after `import_optional` has asked for it.
    assert imported - {"skbert", "matplotlib"} == declared


def packages_imported_by(package: Path) -> set[str]:
    found: set[str] = set()
    for file in package.parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add(str(node.module).split(".")[0])
    return found - set(sys.stdlib_module_names)
