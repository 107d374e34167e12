"""Entries of a cache: what comes back, what is counted, what is dropped."""

from __future__ import annotations

import hashlib
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from skbert import CacheError
from skbert._cache.entries import COUNTS, bytes_in_use, look_up, store
from skbert._cache.file import connected
from skbert._texts.distinct import Embedded

N_FEATURES = 256
MEGABYTE = 2**20


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "cache.sqlite"


def keys(*numbers: int) -> list[bytes]:
    return [hashlib.sha256(str(number).encode()).digest() for number in numbers]


def vectors(*numbers: int) -> np.ndarray:
    return np.array([np.arange(N_FEATURES) + n / 7 for n in numbers], np.float32)


def write(path: Path, *numbers: int, max_bytes: int | None = None) -> None:
    part = Embedded(np.arange(len(numbers)), vectors(*numbers), np.array(numbers, np.int64))
    store(path, keys(*numbers), part, max_bytes=max_bytes)


def read(path: Path, *numbers: int, recency: bool = False) -> dict[int, tuple[np.ndarray, int]]:
    found = {}
    for part in look_up(path, keys(*numbers), recency=recency):
        for row, vector, lost in zip(part.rows, part.vectors, part.lost, strict=True):
            found[numbers[row]] = (vector, int(lost))
    return found


def ticks(path: Path) -> list[int]:
    with connected(path) as connection:
        return [row[0] for row in connection.execute("SELECT tick FROM used ORDER BY id")]


def test_what_was_written_comes_back(path):
    write(path, 3, 1, 2)
    found = read(path, 1, 9, 3)
    assert sorted(found) == [1, 3]
    for number, (vector, lost) in found.items():
        np.testing.assert_array_equal(vector, vectors(number)[0])
        assert vector.dtype == np.float32
        assert vector.flags.writeable
        assert lost == number


def test_many_keys_are_read_in_few_queries(path, monkeypatch):
    monkeypatch.setattr("skbert._cache.entries.KEYS_A_QUERY", 10)
    write(path, *range(45))
    found = read(path, *range(20, 70), recency=True)
    assert sorted(found) == list(range(20, 45))
    assert all((vector == vectors(n)[0]).all() for n, (vector, _) in found.items())


def test_token_vectors_keep_their_shape(path):
    arrays = [vectors(1, 2, 3), vectors(4), np.zeros((0, N_FEATURES), np.float32)]
    store(path, keys(0, 1, 2), Embedded(np.arange(3), arrays, np.zeros(3, int)), max_bytes=None)
    found = read(path, 0, 1, 2)
    for number, array in enumerate(arrays):
        np.testing.assert_array_equal(found[number][0], array)


def test_rows_count_in_the_keys(path):
    part = Embedded(np.array([2, 0]), vectors(12, 10), np.array([0, 0]))
    store(path, keys(10, 11, 12), part, max_bytes=None)
    found = read(path, 10, 11, 12)
    assert sorted(found) == [10, 12]
    np.testing.assert_array_equal(found[12][0], vectors(12)[0])


def test_first_written_stays(path):
    write(path, 1)
    store(path, keys(1, 2), Embedded(np.arange(2), vectors(5, 6), np.zeros(2, int)), max_bytes=None)
    found = read(path, 1, 2)
    np.testing.assert_array_equal(found[1][0], vectors(1)[0])
    np.testing.assert_array_equal(found[2][0], vectors(6)[0])
    with connected(path) as connection:
        assert connection.execute("SELECT count(*) FROM used").fetchone() == (2,)


def test_hits_and_misses_are_counted(path):
    write(path, 1, 2, 3)
    read(path, 1, 2, 8)
    read(path, 3)
    assert COUNTS[path] == {"hits": 3, "misses": 1}


def test_only_the_first_use_after_a_write_is_noted(path):
    """A grid search that finds everything writes nothing."""
    write(path, 1, 2)
    write(path, 3)
    assert ticks(path) == [0, 0, 1]
    read(path, 1, 3, recency=True)
    assert ticks(path) == [2, 0, 2]
    before = path.read_bytes()
    read(path, 1, 3, recency=True)
    read(path, 1, 2, 3)
    assert path.read_bytes() == before


def test_stored_as_raw_little_endian_numbers(path):
    write(path, 5)
    with connected(path) as connection:
        (data,) = connection.execute("SELECT data FROM vectors").fetchone()
    assert data == vectors(5).astype("<f4").tobytes()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE vectors SET data = zeroblob(length(data))",
        "UPDATE vectors SET data = substr(data, 1, 8)",
        "UPDATE vectors SET n_features = n_features / 2, n_tokens = 2",
        "UPDATE vectors SET lost = lost + 1",
        "UPDATE vectors SET key = x'00' WHERE id = 1; UPDATE vectors SET key = (SELECT k FROM old)",
    ],
)
def test_altered_entry_is_noticed(path, damage):
    write(path, 1)
    with connected(path) as connection:
        connection.execute("CREATE TABLE old (k)")
        connection.execute("INSERT INTO old VALUES (?)", keys(2))
        connection.executescript(damage)
    with pytest.raises(CacheError, match="damaged"):
        read(path, 1, 2)


def fill(path: Path, max_bytes: int, start: int, stop: int) -> None:
    for first in range(start, stop, 50):
        write(path, *range(first, first + 50), max_bytes=max_bytes)


def test_limit_holds_and_the_oldest_go(path):
    fill(path, MEGABYTE, 0, 3000)
    with connected(path) as connection:
        assert 0.7 * MEGABYTE < bytes_in_use(connection) <= MEGABYTE
    assert path.stat().st_size <= 1.1 * MEGABYTE
    found = sorted(read(path, *range(3000)))
    assert found == list(range(3000 - len(found), 3000))
    assert len(found) > 500


def test_what_was_used_stays(path):
    fill(path, MEGABYTE, 0, 500)
    read(path, *range(40), recency=True)
    fill(path, MEGABYTE, 500, 1200)
    found = sorted(read(path, *range(1200)))
    assert found[:40] == list(range(40))
    assert found[40] > 300


def test_reading_without_recency_saves_nothing(path):
    fill(path, MEGABYTE, 0, 500)
    read(path, *range(40))
    fill(path, MEGABYTE, 500, 1200)
    assert min(read(path, *range(1200))) > 300


def test_more_than_fits_at_all(path):
    fill(path, MEGABYTE, 0, 100)
    write(path, *range(1000, 4000), max_bytes=MEGABYTE)
    found = sorted(read(path, *range(1000, 4000)))
    assert 500 < len(found) < 1100
    assert found == list(range(1000, 1000 + len(found)))
    with connected(path) as connection:
        assert bytes_in_use(connection) <= MEGABYTE


def test_smaller_limit_than_before(path):
    write(path, *range(3000))
    write(path, 5000, max_bytes=MEGABYTE)
    with connected(path) as connection:
        assert bytes_in_use(connection) <= MEGABYTE
        entries = connection.execute("SELECT count(*) FROM used").fetchone()
        assert entries == connection.execute("SELECT count(*) FROM vectors").fetchone()
    assert 5000 in read(path, 5000)


def test_a_failed_write_leaves_nothing(path):
    write(path, 1)
    with connected(path) as connection:
        connection.execute("DROP TABLE used")
    with pytest.raises(CacheError, match="no such table"):
        write(path, 2)
    with connected(path) as connection:
        assert connection.execute("SELECT count(*) FROM vectors").fetchone() == (1,)


def test_plain_sqlite_can_read_it(path):
    write(path, 1, 2)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
