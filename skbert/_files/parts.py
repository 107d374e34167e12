"""Parts of the result → Parquet files that are there whole, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from skbert._exceptions import DestinationError
from skbert._files.source import arrow

KEY = b"skbert"
# Names of what is not whole yet; like all that begin with a dot, no reader of folders reads it.
UNFINISHED = ".unfinished-"


class Part(NamedTuple):
    """Which rows a file of the result holds, and what became of them."""

    file: int
    """Number of the file of the source."""
    first_row: int
    """Number of the first row in that file."""
    rows: int
    truncated: int
    """Texts that were cut off."""
    lost_tokens: int
    """Tokens that were cut off of them."""

    @property
    def name(self) -> str:
        """The name of the file; in the order of the names, the rows are in that of the source."""
        return f"part-{self.file:06}-{self.first_row:012}.parquet"

    @property
    def stop(self) -> int:
        """Number of the row behind the last one."""
        return self.first_row + self.rows


def write_part(folder: Path, part: Part, table: Any, vectors: Sequence[str]) -> None:
    """Write a part so that it is on the disk whole, or not there.

    Raises
    ------
    DestinationError
        If the disk is full, or cannot be written to.
    """
    pq = arrow(".parquet")
    metadata = {KEY: json.dumps(part._asdict()).encode()}
    plain = [name for name in table.column_names if name not in vectors]
    with replaced(folder / part.name) as unfinished:
        pq.write_table(
            table.replace_schema_metadata(metadata),
            unfinished,
            compression="zstd",
            # Bytes of like meaning beside each other: vectors take a seventh less.
            use_byte_stream_split=[f"{name}.list.element" for name in vectors],
            use_dictionary=plain or False,
        )


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """Give a name to write to; at the end the file gets its own name, whole and on the disk.

    Raises
    ------
    DestinationError
        If it cannot be written; nothing is left of it then.
    """
    unfinished = path.with_name(f"{UNFINISHED}{path.name}")
    try:
        yield unfinished
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(unfinished, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise DestinationError(
            f"{path} cannot be written: {error}. What was written before is complete: the same "
            "call continues from there."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def read_parts(folder: Path) -> list[Part]:
    """Return the parts that are done, in order.

    Raises
    ------
    DestinationError
        If a file cannot be read, or is none of ours.
    """
    return sorted(_read_part(file) for file in folder.glob("part-*.parquet"))


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed process left; call it only while nobody else writes."""
    for file in folder.glob(f"{UNFINISHED}*"):
        file.unlink()


def gaps(parts: Sequence[Part], n_rows: int) -> Iterator[tuple[int, int]]:
    """Yield which rows of a file, [start, stop), are in none of its parts."""
    row = 0
    for part in sorted(parts):
        if row < part.first_row:
            yield row, part.first_row
        row = part.stop
    if row < n_rows:
        yield row, n_rows


def _read_part(file: Path) -> Part:
    pa, pq = arrow(""), arrow(".parquet")
    try:
        metadata = pq.read_metadata(file)
        part = Part(**json.loads(metadata.metadata[KEY]))
        if (part.name, part.rows) == (file.name, metadata.num_rows):
            return part
        what = f"it says of itself that it is {part.name}, of {part.rows} rows"
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        what = str(error)
    raise DestinationError(
        f"{file} is damaged, or not a file that embed_files wrote ({what}). Remove it: its rows "
        "are computed again."
    )


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk, too; Windows cannot, and need not."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
