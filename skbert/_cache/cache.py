"""A store of vectors on disk, one entry a text, shared by folds, processes and runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from skbert._cache.entries import COUNTS, bytes_in_use
from skbert._cache.file import check, connected, writing
from skbert._exceptions import ParameterError

LEAST_BYTES = 2**20
USUAL_NAME = "embeddings.sqlite"


class EmbeddingCache:
    """Cache of vectors on disk, with one entry per text.

    Pass it, or its path, as ``cache`` of a `BertEmbedder`. The folds of a cross-validation, all
    candidates of a grid search, worker processes and later runs then share it. The key of an entry
    contains the text, the weights, the tokenizer, the precision, and all parameters that change a
    vector, so different embedders can share one file.

    Parameters
    ----------
    path : str or Path
        File, which is created when it is first needed; or a folder (an existing one, or a str that
        ends with a slash) for the file ``embeddings.sqlite``.
    max_bytes : int, default=None
        Maximum size of the file, at least 2**20. When it is reached, the least recently used
        entries are removed. By default, there is no limit.

    Raises
    ------
    CacheError
        When it is used, if the file is damaged or not a cache. The file is not changed.
    ParameterError
        If max_bytes is invalid.

    See Also
    --------
    BertEmbedder : Vectors of texts, with a parameter ``cache``.

    Notes
    -----
    The file is an SQLite database in WAL mode. Several processes of one machine can
    read and write it at the same time, and it is not damaged if one of them is killed. It must be
    on a local disk, because the locks of SQLite do not work on network drives. While it is used,
    there are two more files that end with ``-wal`` and ``-shm``. It contains no pickles: vectors
    are stored as little-endian float32.

    The last use of an entry is only recorded if ``max_bytes`` is set.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skbert import BertEmbedder, EmbeddingCache
    >>> cache = EmbeddingCache(Path(tempfile.mkdtemp()) / "embeddings.sqlite")
    >>> vectors = BertEmbedder(cache=cache).fit_transform(
    ...     ["A cat.", "A dog.", "A cat."]
    ... )
    >>> len(cache)
    2
    >>> vectors = BertEmbedder(cache=cache).fit_transform(["A dog.", "A horse."])
    >>> info = cache.info()
    >>> info["entries"], info["hits"], info["misses"]
    (3, 1, 3)
    """

    def __init__(self, path: str | os.PathLike[str], *, max_bytes: int | None = None) -> None:
        if max_bytes is not None and not _is_limit(max_bytes):
            raise ParameterError(
                f"max_bytes={max_bytes!r} of EmbeddingCache is not usable, expected None or an "
                f"integer of at least {LEAST_BYTES}."
            )
        # Absolute: workers may run in other folders.
        self.path = _file_of(path)
        self.max_bytes = None if max_bytes is None else int(max_bytes)

    def __repr__(self) -> str:
        limit = "" if self.max_bytes is None else f", max_bytes={self.max_bytes}"
        return f"EmbeddingCache({str(self.path)!r}{limit})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EmbeddingCache) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.path, self.max_bytes))

    def __bool__(self) -> bool:
        return True  # an empty one, too

    def __len__(self) -> int:
        return int(self.info()["entries"])

    def clear(self) -> None:
        """Delete all entries, and set this process's counts of hits and misses to 0."""
        COUNTS.pop(self.path, None)
        check(self.path)
        if not self.path.exists():
            return
        with writing(self.path) as connection:
            connection.execute("DELETE FROM vectors")
            connection.execute("DELETE FROM used")
        with connected(self.path) as connection:
            connection.execute("VACUUM")

    def info(self) -> dict[str, Any]:
        """Return the contents of the cache, and its use by this process.

        Returns
        -------
        info : dict
            ``path``; ``entries``, the number of stored vectors; ``bytes`` in use; ``max_bytes``;
            ``hits`` and ``misses``, the number of texts that this process found or did not find,
            each counted once per `transform`.
        """
        check(self.path)
        entries = size = 0
        if self.path.exists():
            with connected(self.path) as connection:
                (entries,) = connection.execute("SELECT count(*) FROM used").fetchone()
                size = bytes_in_use(connection)
        return {
            "path": self.path,
            "entries": entries,
            "bytes": size,
            "max_bytes": self.max_bytes,
            "hits": COUNTS[self.path]["hits"],
            "misses": COUNTS[self.path]["misses"],
        }


def as_cache(cache: Any) -> EmbeddingCache | None:
    """Return the cache that an estimator's parameter means: None, a path, or one."""
    return cache if cache is None or isinstance(cache, EmbeddingCache) else EmbeddingCache(cache)


def _file_of(path: str | os.PathLike[str]) -> Path:
    """Return the file that a path means, in a folder the one of the usual name."""
    file = Path(path).expanduser().absolute()
    is_folder = file.is_dir() or str(path).endswith(("/", os.sep))
    return file / USUAL_NAME if is_folder else file


def _is_limit(value: Any) -> bool:
    return isinstance(value, int | np.integer) and int(value) >= LEAST_BYTES
