"""Entries of an `EmbeddingCache`: vectors by key, looked up, stored, dropped when it is full."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from skbert._cache.file import PAGE_BYTES, connected, damaged, writing
from skbert._texts.distinct import Embedded, Vectors

KEYS_A_QUERY = 500  # older versions of SQLite take at most 999
# What an entry needs beside its vector: its key, twice, and the small columns.
ENTRY_BYTES = 140
# A full store is emptied to this share, so that not every write has to make room.
FILLED_AFTER_EVICTION = 0.9

# Texts that this process found, or did not find, by file: "hits" and "misses".
COUNTS: defaultdict[Path, Counter[str]] = defaultdict(Counter)
_LOCK = threading.Lock()

# key, n_tokens, n_features, lost, crc, data: as in the table.
Entry = tuple[bytes, int | None, int, int, int, bytes]


def look_up(path: Path, keys: Sequence[bytes], *, recency: bool) -> Iterator[Embedded]:
    """Read what is stored, part by part, and count hits and misses.

    Parameters
    ----------
    path : Path
        The file; it is made where there is none.
    keys : sequence of bytes
        Distinct keys.
    recency : bool
        Whether to note that these entries were used now.

    Yields
    ------
    part : Embedded
        Rows count in ``keys``.

    Raises
    ------
    CacheError
        If the file cannot be used or an entry is not what was written.
    """
    used: list[int] = []
    n_hits = 0
    with connected(path) as connection:
        (now,) = connection.execute("SELECT tick FROM clock").fetchone()
        for start in range(0, len(keys), KEYS_A_QUERY):
            some = keys[start : start + KEYS_A_QUERY]
            found = connection.execute(
                "SELECT key, n_tokens, n_features, lost, crc, data, id, tick "
                f"FROM vectors JOIN used USING (id) WHERE key IN ({_marks(some)})",
                some,
            ).fetchall()
            if found:
                row_of = {key: start + number for number, key in enumerate(some)}
                rows = np.array([row_of[entry[0]] for entry in found], np.int64)
                lost = np.array([entry[3] for entry in found], np.int64)
                yield Embedded(rows, _vectors(path, found), lost)
                n_hits += len(found)
                used += [entry[6] for entry in found if entry[7] < now]
        if recency and used:
            _set_ticks(connection, used, now)
    with _LOCK:
        COUNTS[path].update(hits=n_hits, misses=len(keys) - n_hits)


def store(path: Path, keys: Sequence[bytes], part: Embedded, *, max_bytes: int | None) -> None:
    """Write some vectors, all of them or none; keys that are there already stay as they are.

    Parameters
    ----------
    path : Path
        The file; it is made where there is none.
    keys : sequence of bytes
        Keys of the texts that the part's rows count.
    part : Embedded
        What to write.
    max_bytes : int or None
        Size of the file for which older entries make room. Of a part that does not fit at all,
        only the first vectors are written.

    Raises
    ------
    CacheError
        If the file cannot be used.
    """
    entries = [
        _entry(keys[row], vector, int(lost))
        for row, vector, lost in zip(part.rows, part.vectors, part.lost, strict=True)
    ]
    with writing(path) as connection:
        if max_bytes is not None:
            entries = _make_room(connection, entries, max_bytes)
        (last,) = connection.execute("SELECT coalesce(max(id), 0) FROM vectors").fetchone()
        connection.executemany(
            "INSERT OR IGNORE INTO vectors (key, n_tokens, n_features, lost, crc, data) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            entries,
        )
        connection.execute(
            "INSERT INTO used SELECT id, (SELECT tick FROM clock), length(data) + ? "
            "FROM vectors WHERE id > ?",
            (ENTRY_BYTES, last),
        )
        connection.execute("UPDATE clock SET tick = tick + 1")


def _entry(key: bytes, vector: np.ndarray[Any, Any], lost: int) -> Entry:
    n_tokens = None if vector.ndim == 1 else len(vector)
    data = np.ascontiguousarray(vector, "<f4").tobytes()
    n_features = vector.shape[-1]
    return key, n_tokens, n_features, lost, _crc(key, n_tokens, n_features, lost, data), data


def _vectors(path: Path, entries: list[tuple[Any, ...]]) -> Vectors:
    """Return arrays of entries, verified; copies, so that they can be written to."""
    arrays = []
    for key, n_tokens, n_features, lost, crc, data, *_ in entries:
        shape = (n_features,) if n_tokens is None else (n_tokens, n_features)
        if len(data) != 4 * prod(shape) or crc != _crc(key, n_tokens, n_features, lost, data):
            raise damaged(path, "a stored vector is not the one that was written")
        arrays.append(np.frombuffer(data, "<f4").reshape(shape))
    if arrays[0].ndim == 1:
        return np.stack(arrays).astype(np.float32, copy=False)
    return [array.astype(np.float32) for array in arrays]


def _crc(key: bytes, n_tokens: int | None, n_features: int, lost: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(key + f"{n_tokens} {n_features} {lost}".encode()))


def _set_ticks(connection: sqlite3.Connection, ids: Sequence[int], tick: int) -> None:
    """Note a use. Once between two writes is enough: only a write drops entries."""
    connection.execute("BEGIN IMMEDIATE")
    for start in range(0, len(ids), KEYS_A_QUERY):
        some = ids[start : start + KEYS_A_QUERY]
        connection.execute(f"UPDATE used SET tick = ? WHERE id IN ({_marks(some)})", [tick, *some])
    connection.execute("COMMIT")


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))


def _make_room(connection: sqlite3.Connection, entries: list[Entry], max_bytes: int) -> list[Entry]:
    """Drop the entries that were not used for longest; give those of the new ones that fit."""
    target = int(FILLED_AFTER_EVICTION * max_bytes)
    # Even an empty store needs a few pages, and a page is not always full.
    fits = np.cumsum([len(entry[-1]) + ENTRY_BYTES for entry in entries]) <= 0.8 * target
    entries = entries[: int(fits.sum())]
    needed = sum(len(entry[-1]) + ENTRY_BYTES for entry in entries)
    if bytes_in_use(connection) + needed <= max_bytes:
        return entries
    while (excess := bytes_in_use(connection) + needed - target) > 0:
        oldest = connection.execute(
            "SELECT id FROM (SELECT id, sum(bytes) OVER (ORDER BY tick, id) - bytes AS before "
            "FROM used) WHERE before < ?",
            (max(excess, PAGE_BYTES),),
        ).fetchall()
        if not oldest:
            break
        connection.executemany("DELETE FROM vectors WHERE id = ?", oldest)
        connection.executemany("DELETE FROM used WHERE id = ?", oldest)
    return entries


def bytes_in_use(connection: sqlite3.Connection) -> int:
    """Return size of the file, without its free pages."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)
