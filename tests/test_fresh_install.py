"""README and quickstart in an environment made by the lines that they show: `make test-install`."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "docs" / "quickstart.md"]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = (
    "import sys, pathlib, _sessions; sys.exit(_sessions.report_of(pathlib.Path(sys.argv[1])) or 0)"
)


def shown_commands(page: Path) -> list[list[str]]:
    """The words of each line of the page's first block of commands, without comments."""
    block = BLOCK.search(page.read_text(encoding="utf-8"))
    assert block is not None
    return [shlex.split(line, comments=True) for line in block[1].splitlines()]


def test_readme_and_install_page_show_the_same_lines() -> None:
    commands = shown_commands(PAGES[0])
    assert commands == shown_commands(ROOT / "docs" / "install.md")
    assert all(command[:2] == ["pip", "install"] for command in commands)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of a new environment in which the lines were run."""
    if not os.environ.get("SKBERT_FRESH_INSTALL"):
        pytest.skip("run by `make test-install`: it needs PyPI")
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=True)
    executable = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    for _, _, *arguments in shown_commands(PAGES[0]):
        if "--index-url" in arguments:  # torch's own index, which is not to be had everywhere
            at = arguments.index("--index-url")
            arguments[at : at + 2] = ["--constraint", "constraints.txt"]
        subprocess.run([executable, "-m", "pip", "install", "-q", *arguments], cwd=ROOT, check=True)
    return executable


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_sessions_run_after_the_shown_install(page: Path, python: Path, tmp_path: Path) -> None:
    shutil.copy(ROOT / "tests" / "_sessions.py", tmp_path)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [python, "-c", RUN, page], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
