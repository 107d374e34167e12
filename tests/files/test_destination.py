"""The folder of a result: one process at a time, and never of two inputs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from skbert import DestinationError
from skbert._files.destination import check_same, locked, read_manifest, write_manifest

HOLD = """
import sys
from pathlib import Path
from skbert._files.destination import locked
with locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_one_process_at_a_time(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path / "out")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline().strip() == b"locked"
        with pytest.raises(DestinationError, match="Another process"), locked(tmp_path / "out"):
            pass
        other.kill()  # as SIGKILL does, on a POSIX system: nothing of it is run any more
    with locked(tmp_path / "out"):
        pass


def test_manifest(tmp_path):
    assert read_manifest(tmp_path) is None
    write_manifest(tmp_path, {"rows": [1, 2]})
    assert read_manifest(tmp_path) == {"format": 1, "rows": [1, 2]}
    (tmp_path / "_skbert.json").write_text('{"format": 2}')
    with pytest.raises(DestinationError, match="another version"):
        read_manifest(tmp_path)
    (tmp_path / "_skbert.json").write_text("{")
    with pytest.raises(DestinationError, match="cannot be read"):
        read_manifest(tmp_path)


def test_differences_are_named(tmp_path):
    before = {"embedder": {"precision": "float32", "layers": [1]}, "files": {"a": 1}}
    check_same(
        tmp_path, before, {"embedder": {"precision": "float32", "layers": (1,)}, "files": {"a": 1}}
    )
    now = {"embedder": {"precision": "int8", "layers": [1]}, "files": {"b": 1}}
    with pytest.raises(DestinationError) as caught:
        check_same(tmp_path, before, now)
    assert (
        'embedder precision was "float32", is "int8"; files a was 1, is not there; files b'
        in str(caught.value)
    )


def test_other_things(tmp_path):
    (tmp_path / "thesis.txt").write_text("")
    with pytest.raises(DestinationError, match=r"other files \(thesis"), locked(tmp_path):
        pass
    with pytest.raises(DestinationError, match="is a file"), locked(tmp_path / "thesis.txt"):
        pass
