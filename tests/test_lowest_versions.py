"""`constraints-low.txt`, which `make test-low` installs: the lower bounds of `pyproject.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
# What users install with skbert. Not onnx, which asks for a newer torch.
EXTRAS = ["demo", "plot", "explain", "files"]


def bounds(needs: Iterable[str], operator: str) -> dict[str, Version]:
    """Return each package's version behind this operator, where it has one."""
    return {
        need.name: Version(specifier.version)
        for need in map(Requirement, needs)
        for specifier in need.specifier
        if specifier.operator == operator
    }


def test_the_file_has_exactly_the_lower_bounds() -> None:
    expected = bounds(PROJECT["dependencies"], ">=")
    for extra in EXTRAS:
        expected |= bounds(PROJECT["optional-dependencies"][extra], ">=")
    lines = (ROOT / "constraints-low.txt").read_text(encoding="utf-8").splitlines()
    pinned = bounds((line for line in lines if not line.startswith("#")), "==")
    assert pinned == expected


def test_every_runtime_dependency_has_a_lower_bound() -> None:
    needs = [Requirement(need) for need in PROJECT["dependencies"]]
    assert {need.name for need in needs} == set(bounds(PROJECT["dependencies"], ">="))


def test_extras_agree_on_the_lower_bound() -> None:
    """But for onnx, whose torch is newer."""
    stated: dict[str, set[Version]] = {}
    for extra, needs in PROJECT["optional-dependencies"].items():
        if extra in (*EXTRAS, "test-low", "dask", "ray", "spark"):
            for name, version in bounds(needs, ">=").items():
                stated.setdefault(name, set()).add(version)
    assert [name for name, versions in stated.items() if len(versions) > 1] == []
