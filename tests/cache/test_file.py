"""The file of a cache: made whole, refused when it is none, safe from kills and from neighbours."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from skbert import CacheError
from skbert._cache.file import check, connected, writing


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "cache.sqlite"


def put(path: Path, *names: str) -> None:
    with writing(path) as connection:
        for name in names:
            connection.execute(
                "INSERT INTO vectors (key, n_features, lost, crc, data) VALUES (?, 1, 0, 0, '')",
                (name,),
            )


def names(path: Path) -> list[str]:
    with connected(path) as connection:
        return [row[0] for row in connection.execute("SELECT key FROM vectors ORDER BY id")]


def test_made_when_needed_and_nothing_beside_it(tmp_path):
    path = tmp_path / "new folder" / "umlaut ü % ? #.sqlite"
    put(path, "a")
    assert names(path) == ["a"]
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_checking_makes_nothing(path):
    check(path)
    assert not path.exists()


def fail_in_the_middle(path: Path) -> None:
    with writing(path) as connection:
        connection.execute("UPDATE clock SET tick = 5")
        connection.execute("SELECT * FROM absent")


def test_transaction_is_all_or_nothing(path):
    with pytest.raises(CacheError, match="UNIQUE"):
        put(path, "a", "b", "a")
    with pytest.raises(CacheError, match="no such table"):
        fail_in_the_middle(path)
    assert names(path) == []
    with connected(path) as connection:
        assert connection.execute("SELECT tick FROM clock").fetchone() == (0,)


def other_sqlite(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE vectors (id, key)")
    connection.close()


def other_format(path: Path) -> None:
    put(path, "a")
    with path.open("r+b") as file:
        file.seek(60)
        file.write((99).to_bytes(4, "big"))


FOREIGN = {
    "text": lambda path: path.write_text("my notes, not a database. " * 20),
    "empty": lambda path: path.write_bytes(b""),
    "short": lambda path: path.write_bytes(b"SQLite format 3\0"),
    "other sqlite": other_sqlite,
    "other format": other_format,
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_foreign_file_is_refused_and_left_alone(path, kind):
    if kind == "other format":  # made by another process, as far as this one knows
        code = f"from tests.cache.test_file import *; other_format(Path({str(path)!r}))"
        subprocess.run([sys.executable, "-c", code], check=True)
    else:
        FOREIGN[kind](path)
    before, time = path.read_bytes(), path.stat().st_mtime_ns
    match = "format 99, expected 1" if kind == "other format" else "is not a cache of skbert"
    with pytest.raises(CacheError, match=match):
        put(path, "a")
    with pytest.raises(CacheError, match=match):
        check(path)
    assert path.read_bytes() == before
    assert path.stat().st_mtime_ns == time
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("left", [0.3, 0.8])
def test_truncated_file_is_refused_and_left_alone(path, left):
    put(path, *(f"{number:05} {'x' * 200}" for number in range(2000)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(left * len(whole))])
    before = path.read_bytes()
    with pytest.raises(CacheError, match=r"damaged.*Delete it"):
        names(path)
    with pytest.raises(CacheError, match="damaged"):
        put(path, "a")
    assert path.read_bytes() == before


def test_overwritten_pages_are_noticed(path):
    put(path, *(f"{number:05} {'x' * 200}" for number in range(2000)))
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(b"\xff" * (path.stat().st_size - 2 * 8192))
    with pytest.raises(CacheError, match="damaged"):
        names(path)


def test_folder_is_refused(tmp_path):
    with pytest.raises(CacheError, match=r"is a folder.*embeddings\.sqlite"):
        put(tmp_path, "a")


def test_path_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="cannot be made"):
        put(tmp_path / "file" / "cache.sqlite", "a")


def test_locked_for_too_long(path, monkeypatch):
    monkeypatch.setattr("skbert._cache.file.BUSY_SECONDS", 0.1)
    with writing(path), pytest.raises(CacheError, match="locked"):
        put(path, "a")


def test_readers_do_not_wait_for_a_writer(path):
    put(path, "a")
    with writing(path) as connection:
        connection.execute("DELETE FROM vectors")
        assert names(path) == ["a"]


def test_head_is_read_once_only(path, monkeypatch):
    """Closing a file would drop the locks that other threads' connections hold on it."""
    put(path, "a")
    with connected(path):
        monkeypatch.setattr(Path, "open", None)
        check(path)
        assert names(path) == ["a"]


WRITER = """
import sys
from pathlib import Path
from tests.cache.test_file import put
path, who = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    put(path, *(f"{who} {number} {part}" for part in range(20)))
    print(number, flush=True)
"""


def writer(path: Path, who: str, n_writes: int) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), who, str(n_writes)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def start(process: subprocess.Popen) -> None:
    process.stdin.write("\n")
    process.stdin.flush()


def test_processes_make_and_write_one_file_at_once(path):
    processes = [writer(path, who, 60) for who in "ab"]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        start(process)
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    assert len(names(path)) == 2 * 60 * 20


def test_threads_write_one_file_at_once(path):
    threads = [
        threading.Thread(target=lambda who=who: [put(path, f"{who} {n}") for n in range(30)])
        for who in "abc"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(names(path)) == 90


def test_killed_writer_leaves_whole_transactions(path):
    process = writer(path, "a", 1_000_000)
    assert process.stdout.readline() == "ready\n"
    start(process)
    written = int([process.stdout.readline() for _ in range(30)][-1]) + 1
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    found = names(path)
    assert len(found) >= 20 * written
    assert len(found) % 20 == 0
    put(path, "b")
    with connected(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
