"""java.sh, on machines with Java, without, and where it can or cannot be installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("java.sh")
JAVA = "echo '{} version \"{}\" 2026-01-01' >&2"

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs sh")


@pytest.fixture
def run(tmp_path):
    """Run the script where just these programs are; give its exit status and what it said."""

    def script(path, content):
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!{shutil.which('sh')}\n{content}\n")
        path.chmod(0o755)

    def run(*arguments, **programs):
        environment = {"PATH": str(tmp_path)}
        (tmp_path / "sed").symlink_to(shutil.which("sed"))
        for name, content in programs.items():
            if name == "java_home":
                environment["JAVA_HOME"] = str(tmp_path / "home")
                (tmp_path / "home").mkdir()
                script(tmp_path / "home" / "bin" / "java", content)
            else:
                script(tmp_path / name.replace("_", "-"), content)
        command = [shutil.which("sh"), str(SCRIPT), *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        return done.returncode, done.stderr

    return run


def apt(folder, *, version=21, status=0):
    """An apt-get that notes what it is asked; "install" puts a Java there."""
    java = folder / "java"
    installed = f"printf '#!/bin/sh\\necho openjdk version \\\\\"{version}.0.1\\\\\"' > {java}"
    chmod = f"{shutil.which('chmod')} 755 {java}"
    return f"""echo "$@" >> {folder}/asked
case "$*" in *install*) if [ {status} = 0 ]; then {installed}; {chmod}; fi;; esac
exit {status}"""


@pytest.mark.parametrize(
    ("kind", "version", "expected"),
    [("openjdk", "17.0.15", 0), ("openjdk", "25-ea", 0), ("java", "1.8.0_402", 1)],
)
@pytest.mark.parametrize("place", ["java", "java_home"])
def test_check_by_the_version(run, kind, version, expected, place):
    said = 'echo "Picked up JAVA_TOOL_OPTIONS: -Xmx1g" >&2\n' + JAVA.format(kind, version)
    assert run("check", **{place: said})[0] == expected


def test_check_does_not_install(run, tmp_path):
    assert run("check", apt_get=apt(tmp_path), id="echo 0")[0] == 1
    assert not (tmp_path / "asked").exists()


def test_it_is_there(run, tmp_path):
    assert run(java=JAVA.format("openjdk", "17"), apt_get=apt(tmp_path), id="echo 0") == (0, "")
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize("old", [{}, {"java": JAVA.format("openjdk", "11.0.2")}])
def test_it_is_installed(run, tmp_path, old):
    assert run(apt_get=apt(tmp_path), id="echo 0", **old) == (0, "")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert [line.split(" -o ")[-1].split(" ", 1)[1] for line in asked] == [
        "update",
        "install -y --no-install-recommends default-jre-headless",
    ]


@pytest.mark.parametrize("why", ["no apt", "not root", "apt fails", "too old"])
def test_it_cannot_be_installed(run, tmp_path, why):
    programs = {"apt_get": apt(tmp_path), "id": "echo 0"}
    if why == "no apt":
        del programs["apt_get"]
    elif why == "not root":
        programs["id"] = "echo 1000"
    elif why == "apt fails":
        programs["apt_get"] = apt(tmp_path, status=100)
    else:
        programs["apt_get"] = apt(tmp_path, version=11)
    status, said = run(**programs)
    assert status == 1
    assert "Spark needs Java 17 or newer" in said
    assert (tmp_path / "asked").exists() == (why in ("apt fails", "too old"))
