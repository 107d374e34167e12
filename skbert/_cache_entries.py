"""Entries of an `EmbeddingCache`: vectors by key, looked up, stored, dropped when it is full."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from skbert._cache_file import PAGE_BYTES, connected, damaged, writing
from skbert._distinct import Embedded

KEYS_A_QUERY = 500  # older versions of SQLite take at most 999
# What an entry needs beside its vector: its key, twice, and the small columns.
ENTRY_BYTES = 140
# A full store is emptied to this share, so that not every write has to make room.
FILLED_AFTER_EVICTION = 0.9

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
        Whether to note that these entries were just used.

    Yields
    ------
    part : Embedded
        Rows count in ``keys``.

    Raises
    ------
    CacheError
        If the file cannot be used or an entry is not what was written.
    """
    ids: list[int] = []
    with connected(path) as connection:
        for start in range(0, len(keys), KEYS_A_QUERY):
            some = keys[start : start + KEYS_A_QUERY]
            found = connection.execute(
                "SELECT key, n_tokens, n_features, lost, crc, data, id FROM vectors "
                f"WHERE key IN ({', '.join('?' * len(some))})",
                some,
            ).fetchall()
            if found:
                row_of = {key: start + number for number, key in enumerate(some)}
                rows = np.array([row_of[entry[0]] for entry in found], np.int64)
                lost = np.array([entry[3] for entry in found], np.int64)
                yield Embedded(rows, [_vector(path, entry) for entry in found], lost)
                ids += [entry[-1] for entry in found]
        connection.execute("BEGIN IMMEDIATE")
        _record_use(connection, ids, len(keys), recency=recency)
        connection.execute("COMMIT")


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
            "INSERT INTO used SELECT id, (SELECT tick FROM counts), length(data) + ? "
            "FROM vectors WHERE id > ?",
            (ENTRY_BYTES, last),
        )


def _entry(key: bytes, vector: np.ndarray[Any, Any], lost: int) -> Entry:
    n_tokens = None if vector.ndim == 1 else len(vector)
    data = np.ascontiguousarray(vector, "<f4").tobytes()
    n_features = vector.shape[-1]
    return key, n_tokens, n_features, lost, _crc(key, n_tokens, n_features, lost, data), data


def _vector(path: Path, entry: tuple[Any, ...]) -> np.ndarray[Any, np.dtype[np.float32]]:
    key, n_tokens, n_features, lost, crc, data = entry[:6]
    shape = (n_features,) if n_tokens is None else (n_tokens, n_features)
    if len(data) != 4 * np.prod(shape) or crc != _crc(key, n_tokens, n_features, lost, data):
        raise damaged(path, "a stored vector is not the one that was written")
    # A copy in this machine's own order of bytes, which can be written to.
    return np.frombuffer(data, "<f4").reshape(shape).astype(np.float32)


def _crc(key: bytes, n_tokens: int | None, n_features: int, lost: int, data: bytes) -> int:
    return zlib.crc32(data, zlib.crc32(key + f"{n_tokens} {n_features} {lost}".encode()))


def _record_use(
    connection: sqlite3.Connection, ids: Sequence[int], n_asked: int, *, recency: bool
) -> None:
    """Count hits and misses, and begin a new tick, the unit of recency: one for each `look_up`."""
    connection.execute(
        "UPDATE counts SET tick = tick + 1, hits = hits + ?, misses = misses + ?",
        (len(ids), n_asked - len(ids)),
    )
    for start in range(0, len(ids) if recency else 0, KEYS_A_QUERY):
        some = ids[start : start + KEYS_A_QUERY]
        connection.execute(
            "UPDATE used SET tick = (SELECT tick FROM counts) "
            f"WHERE id IN ({', '.join('?' * len(some))})",
            some,
        )


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
    """Size of the file, without its free pages."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * size)
