"""Validate the docstrings of every public name and method with numpydoc; part of `make check`.

`numpydoc lint` reads files, so it would judge private helpers and miss what a class inherits. This
asks for the public names instead. Which checks count stands in pyproject.toml.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

from numpydoc.hooks.validate_docstrings import parse_config
from numpydoc.validate import validate

import skbert


def public_names() -> Iterator[str]:
    """Full names of what a user can call or catch, and of the methods of public classes."""
    modules = ["skbert", *(m.name for m in pkgutil.iter_modules(skbert.__path__, "skbert."))]
    for module_name in (name for name in modules if "._" not in name):
        module = importlib.import_module(module_name)
        for name in module.__all__:
            value = getattr(module, name)
            if callable(value):  # no module, and no list of names
                yield f"{module_name}.{name}"
            if inspect.isclass(value):
                yield from (f"{module_name}.{name}.{method}" for method in own_methods(value))


def own_methods(cls: type) -> list[str]:
    """Public methods of a class that are written in skbert, not those of its foreign bases."""
    return [
        name
        for name in dir(cls)
        if not name.startswith("_")
        and callable(value := getattr(cls, name))
        and (getattr(value, "__module__", None) or "").startswith("skbert")
    ]


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    checks = parse_config(Path(__file__).parents[1])["checks"]
    names = list(public_names())
    problems = [
        f"{name}: {code} {message}"
        for name in names
        for code, message in validate(name)["errors"]
        if code in checks
    ]
    print(*problems, f"{len(names)} docstrings, {len(problems)} problems", sep="\n")
    return bool(problems)


if __name__ == "__main__":
    sys.exit(main())
