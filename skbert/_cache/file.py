"""The file of an `EmbeddingCache`: an SQLite database of vectors by key.

SQLite comes with Python, is safe when a process is killed in the middle of a write, and lets
several processes read and write one file; in WAL mode readers do not wait for writers. LMDB can do
the same, but is one more dependency, and wants the size of its map to be known beforehand.

A connection lives as long as one call of a function below. So there is none that could be pickled,
shared by threads, or inherited by a forked process.
"""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from skbert._exceptions import CacheError

APPLICATION_ID = 0x736B6274  # "skbt"; SQLite has a field for this in the head of its files
FORMAT = 1
BUSY_SECONDS = 60
# Five vectors of 384 features in a page, without much waste.
PAGE_BYTES = 8192
SCHEMA = f"""
PRAGMA page_size = {PAGE_BYTES};
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
BEGIN;
CREATE TABLE vectors (
    id INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE,
    n_tokens INTEGER,            -- NULL: one vector for the whole text
    n_features INTEGER NOT NULL,
    lost INTEGER NOT NULL,       -- tokens that truncation cut off
    crc INTEGER NOT NULL,        -- of the above and of data
    data BLOB NOT NULL           -- float32, little-endian, row by row
);
-- Apart, because it changes at each use: small rows, so that few pages are written.
CREATE TABLE used (id INTEGER PRIMARY KEY, tick INTEGER NOT NULL, bytes INTEGER NOT NULL);
CREATE TABLE clock (tick INTEGER NOT NULL);  -- it ticks at each write
INSERT INTO clock VALUES (0);
COMMIT;
PRAGMA journal_mode = WAL;
"""

# Files whose head was read, by device and inode. Once only, and before the first connection: on
# POSIX systems a process that closes a file loses the locks that SQLite holds on it elsewhere.
_CHECKED: set[tuple[int, int]] = set()
_LOCK = threading.Lock()


@contextmanager
def connected(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for a moment; it is made where there is none.

    Raises
    ------
    CacheError
        If it is not a file of a cache, or SQLite cannot use it.
    """
    try:
        if not path.exists():
            _create(path)
        check(path)
        # mode=rw: never an empty new file where one has just been deleted.
        address = f"{path.as_uri()}?mode=rw"
        with closing(
            sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        ) as connection:
            # Safe when a process is killed; a power cut may lose the last vectors, not the file.
            connection.execute("PRAGMA synchronous = NORMAL")
            yield connection
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    except OSError as error:
        raise CacheError(f"The cache {path} cannot be made or read: {error}.") from error


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the file for one transaction: all that is written, or nothing."""
    with connected(path) as connection:
        # Not a plain BEGIN, which may find out too late that another process writes.
        connection.execute("BEGIN IMMEDIATE")
        yield connection
        connection.execute("COMMIT")


def check(path: Path) -> None:
    """Make sure that a file, if it is there, is one of a cache; it is not opened as a database.

    Raises
    ------
    CacheError
        If it is another one, or has another format.
    """
    if path.is_dir():
        raise CacheError(
            f"The cache {path} is a folder, expected the path of a file, which is created if it "
            f"does not exist: {path / 'embeddings.sqlite'}."
        )
    if not path.exists():
        return
    status = path.stat()
    file = (status.st_dev, status.st_ino)
    with _LOCK:
        if file not in _CHECKED:
            _check_head(path)
            _CHECKED.add(file)


def _check_head(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(100)
    is_ours = head[:16] == b"SQLite format 3\0" and head[68:72] == APPLICATION_ID.to_bytes(4, "big")
    if not is_ours:
        raise CacheError(
            f"{path} is not a cache of skbert, and was not changed. Pass another path; a file "
            "that does not exist is created."
        )
    version = int.from_bytes(head[60:64], "big")
    if version != FORMAT:
        raise CacheError(
            f"The cache {path} has format {version}, expected {FORMAT}: it was created by another "
            "version of skbert. It was not changed. Pass another path, or delete it."
        )


def _create(path: Path) -> None:
    """Make an empty store: under another name first, so that the file is complete or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with closing(sqlite3.connect(new, isolation_level=None)) as connection:
            connection.executescript(SCHEMA)
        try:
            os.link(new, path)  # fails, unlike a renaming, where another process was faster
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            new.rename(path)
    finally:
        new.unlink(missing_ok=True)


def _explained(path: Path, error: sqlite3.Error) -> CacheError:
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return CacheError(
            f"The cache {path} is locked: another process has been writing to it for "
            f"{BUSY_SECONDS} s. Is one hanging?"
        )
    if isinstance(error, sqlite3.OperationalError):
        return CacheError(f"The cache {path} cannot be used: {error}.")
    return damaged(path, str(error))


def damaged(path: Path, what: str) -> CacheError:
    """Return the error for a file whose content is not what was written."""
    return CacheError(
        f"The cache {path} is damaged ({what}), and was not changed. Delete it, or pass another "
        "path: its vectors are computed again."
    )
