"""embed_files: tables larger than memory → Parquet files with vectors, part by part."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np
from sklearn.base import clone

from skbert._estimators.base import READ_WHOLE, warn_of_counted_truncation
from skbert._estimators.embedder import BertEmbedder
from skbert._estimators.parameters import is_integer
from skbert._exceptions import InputError, ParameterError
from skbert._files.destination import check_same, locked, read_manifest, write_manifest
from skbert._files.parts import Part, gaps, read_parts, write_part
from skbert._files.source import Source, arrow, open_source
from skbert._inference.progress import progress_bar

# A part ends here, too, however few rows it has: texts can be long.
PART_BYTES = 16 * 2**20


class EmbeddedFiles(NamedTuple):
    """Result of `embed_files`.

    Parameters
    ----------
    rows : int
        Number of rows of the result.
    computed : int
        Number of rows that this call computed. The others are from an earlier call.
    truncated : int
        Number of texts in all rows that were truncated at ``max_length_``.
    lost_tokens : int
        Number of tokens that were lost by truncation.
    seconds : float
        Duration of this call in seconds.
    """

    rows: int
    computed: int
    truncated: int
    lost_tokens: int
    seconds: float


def embed_files(
    source: str | Path,
    destination: str | Path,
    *,
    columns: str | Sequence[str],
    embedder: BertEmbedder | None = None,
    keep: str | Sequence[str] = "all",
    rows_per_part: int = 20_000,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    verbose: int = 0,
) -> EmbeddedFiles:
    """Embed the texts of Parquet or CSV files of any size, and write Parquet files.

    The files may be larger than memory. The result is a folder of Parquet files, which other
    packages read as one table: the columns of the source, and one column of vectors for each text
    column (``text_vector`` for "text"), in the order of the rows of the source. Each part is
    written completely or not at all. After a crash, ``kill -9`` or a full disk, the same call
    continues where it stopped. Needs the extra ``files``.

    Parameters
    ----------
    source : str or Path
        A file, or a folder of files of the same format, which are read in the order of their names.
        Cells of a CSV file are read as texts, including numbers. An empty cell is a missing text,
        and ``""`` is an empty text.
    destination : str or Path
        Folder of the result, outside of the source. It is created if it does not exist.
    columns : str or list of str
        Text columns.
    embedder : BertEmbedder, default=None
        Embedder to use, with its ``n_jobs`` and the backend of joblib; ``BertEmbedder()`` if None.
        An embedder that is not fitted is cloned and fitted.
    keep : "all" or list of str, default="all"
        Columns of the source to keep in the result.
    rows_per_part : int, default=20_000
        Maximum number of rows of a file of the result. After a crash, an unfinished part is
        computed again.
    delimiter : str, default=None
        Delimiter of CSV files; by default a tab for ``.tsv``, else a comma.
    encoding : str, default="utf-8"
        Encoding of CSV files.
    verbose : int, default=0
        1 shows a progress bar, which counts texts and moves with each batch of them.

    Returns
    -------
    result : EmbeddedFiles
        Number of rows, number of truncated texts, and duration.

    Raises
    ------
    InputError
        If the source cannot be read, lacks one of the columns, or has missing texts. All files are
        checked before the first vector is computed.
    DestinationError
        If the folder contains a result with another source or other settings, or other files, if
        another process writes to it, or if it cannot be written to.
    MissingPackageError
        If pyarrow is not installed.

    Warns
    -----
    TruncationWarning
        If texts were truncated. There is one warning for all files.

    See Also
    --------
    BertEmbedder : Vectors of texts in memory.

    Examples
    --------
    >>> import tempfile, pyarrow.parquet
    >>> from skbert import embed_files
    >>> folder = tempfile.mkdtemp()
    >>> table = pyarrow.table({"id": [7, 8], "text": ["Red cats", "Blue dogs"]})
    >>> pyarrow.parquet.write_table(table, f"{folder}/in.parquet")
    >>> embed_files(f"{folder}/in.parquet", f"{folder}/out", columns="text").rows
    2
    >>> pyarrow.parquet.read_table(f"{folder}/out").column_names
    ['id', 'text', 'text_vector']
    """
    began = time.monotonic()
    if not is_integer(rows_per_part, 1):
        raise ParameterError(
            f"rows_per_part={rows_per_part!r} is not usable, expected an integer of at least 1."
        )
    table = open_source(source, delimiter=delimiter, encoding=encoding)
    folder = Path(destination).expanduser().absolute()
    _check_apart(Path(source).expanduser().absolute(), folder)
    work = _plan(table, columns, keep, embedder)
    with locked(folder):
        n_rows = _begin(folder, work, encoding)
        done = read_parts(folder)
        n_before = sum(part.rows for part in done)
        n_columns, n_texts = len(work.columns), sum(n_rows) * len(work.columns)
        with progress_bar(n_texts, "text", verbose, n_before * n_columns) as bar:
            for part, of_part in _compute(work, done, n_rows, rows_per_part, bar):
                write_part(folder, part, of_part, list(work.vectors.values()))
                done.append(part)
    truncated, lost = (sum(part[place] for part in done) for place in (3, 4))
    warn_of_counted_truncation(truncated, n_texts, lost, work.embedder.max_length_, READ_WHOLE)
    rows, seconds = sum(n_rows), time.monotonic() - began
    return EmbeddedFiles(rows, rows - n_before, truncated, lost, seconds)


@dataclass(frozen=True)
class _Work:
    """What is read, what becomes of it."""

    source: Source
    columns: list[str]
    keep: list[str]
    vectors: dict[str, str]
    """Column of texts → that of its vectors."""
    embedder: BertEmbedder


def _plan(
    source: Source, columns: str | Sequence[str], keep: str | Sequence[str], embedder: Any
) -> _Work:
    """Check what was asked for."""
    texts = [columns] if isinstance(columns, str) else list(columns)
    kept = source.schema.names if keep == "all" else [keep] if isinstance(keep, str) else list(keep)
    for name in [*texts, *kept]:
        if name not in source.schema.names:
            raise InputError(
                f"There is no column {name!r} in {source.root}, whose columns are "
                f"{source.schema.names}."
            )
    for names, parameter in ((texts, "columns"), (kept, "keep")):
        if len(set(names)) < len(names) or (not names and parameter == "columns"):
            raise ParameterError(f"{parameter}={names!r}: expected at least one name, each once.")
    for name in texts:
        _check_type(source, name)
    vectors = {name: f"{name}_vector" for name in texts}
    taken = set(vectors.values()) & set(kept)
    if taken:
        raise InputError(
            f"The source has a column {min(taken)!r} already, which is the name of the column of "
            "vectors. Choose other columns with keep=[...]."
        )
    return _Work(source, texts, kept, vectors, _fitted(embedder, texts))


def _check_type(source: Source, name: str) -> None:
    pa = arrow("")
    kind = source.schema.field(name).type
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = ("is_string", "is_large_string", "is_string_view", "is_null")
    if not any(getattr(pa.types, test)(inner) for test in tests if hasattr(pa.types, test)):
        raise InputError(f"Column {name!r} is of type {kind}, expected texts.")


def _fitted(embedder: BertEmbedder | None, columns: list[str]) -> BertEmbedder:
    """Return an embedder that is fitted, for so many columns."""
    embedder = BertEmbedder() if embedder is None else embedder
    if not isinstance(embedder, BertEmbedder):
        raise ParameterError(f"embedder={embedder!r}: expected a BertEmbedder.")
    if embedder.pooling is None:
        raise ParameterError(
            "pooling=None gives one vector per token, but the result has one per text. Choose a "
            "pooling."
        )
    if hasattr(embedder, "checkpoint_"):
        return embedder
    if embedder.n_components is not None:
        raise ParameterError(
            f"n_components={embedder.n_components} has to be fitted to texts. Pass an embedder "
            "that is fitted to some of them."
        )
    return clone(embedder).fit(_as_X(arrow("").table({name: ["a"] for name in columns})))


def _as_X(table: Any) -> Any:
    """Return columns of texts as `BertEmbedder` reads them: a single one may have any name."""
    return table.column(0) if table.num_columns == 1 else table


def _check_apart(source: Path, folder: Path) -> None:
    if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
        raise InputError(
            f"The destination {folder} is inside the source {source} and would become a "
            "part of it. Pass a folder outside of it."
        )


def _begin(folder: Path, work: _Work, encoding: str) -> list[int]:
    """Remember what the result is made of, or compare; return the rows of each file."""
    source, embedder = work.source, work.embedder
    files = {}
    for number, file in enumerate(source.files):
        status = file.stat()
        files[source.name(number)] = {"bytes": status.st_size, "modified": status.st_mtime_ns}
    settings = asdict(embedder._settings())
    del settings["batch_size"]
    components = embedder._components
    said = {
        "columns": work.columns,
        "keep": work.keep,
        "encoding": encoding,
        "types": {field.name: str(field.type) for field in source.schema},
        "embedder": {
            "weights": embedder.checkpoint_.digest,
            "precision": str(embedder._placement()[1]).removeprefix("torch."),
            **settings,
            "missing": embedder.missing,
            "add_indicator": embedder.add_indicator,
            "components": components and joblib.hash(vars(components)),
            "identity": embedder._loaded().identity,
        },
        "files": files,
    }
    before = read_manifest(folder)
    if before is None:
        rows = [_checked_rows(work, number) for number in range(len(source.files))]
        write_manifest(folder, {**said, "rows": rows})
        return rows
    rows = before["rows"]
    check_same(folder, before, {"format": before["format"], **said, "rows": rows})
    return list(rows)


def _checked_rows(work: _Work, number: int) -> int:
    """Read the texts of a file, and all cells of CSV; return how many rows there are.

    Raises
    ------
    InputError
        If it cannot be read, or texts are missing and may not be.
    """
    n_rows = 0
    pa = arrow("")
    for row, batch in work.source.batches(number, work.columns):
        for name in work.columns:
            column = batch.column(name)
            try:
                column.validate(full=True)
            except pa.ArrowException as error:
                raise InputError(
                    f"Column {name!r} of {work.source.files[number]} is damaged in the rows from "
                    f"{row} on: {error}."
                ) from error
            if column.null_count and work.embedder.missing == "error":
                first = row + int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
                raise InputError(
                    f"Row {first} (the first is 0) of {work.source.files[number]} has no text in "
                    f'column {name!r}. Use missing="empty" to read it as an empty text, or '
                    'missing="zero" to give it a vector of zeros.'
                )
        n_rows = row + batch.num_rows
    return n_rows


def _compute(
    work: _Work, done: Sequence[Part], n_rows: Sequence[int], rows_per_part: int, bar: Any
) -> Iterator[tuple[Part, Any]]:
    """Compute the parts that are not done; ``bar`` counts the texts."""
    names = list(dict.fromkeys([*work.columns, *work.keep]))
    for number in range(len(n_rows)):
        of_file = [part for part in done if part.file == number]
        for start, stop in list(gaps(of_file, n_rows[number])):
            for row, table in _tables(work.source, number, names, start, stop, rows_per_part):
                yield _embed(work, number, row, table, bar)
    if not any(n_rows) and not done:  # a file without rows still tells the columns
        empty = work.source.schema.empty_table().select(names)
        yield _embed(work, 0, 0, empty, bar)


def _tables(
    source: Source, number: int, names: list[str], start: int, stop: int, most_rows: int
) -> Iterator[tuple[int, Any]]:
    """Read rows of a file as tables that are small enough."""
    pa = arrow("")
    batches: list[Any] = []
    held = n_bytes = 0
    for row, batch in source.batches(number, names, start):
        rest = batch.slice(0, max(stop - row, 0))
        while rest.num_rows:
            taken = rest.slice(0, most_rows - held)
            rest = rest.slice(taken.num_rows)
            batches.append(taken)
            held, n_bytes = held + taken.num_rows, n_bytes + taken.nbytes
            if held == most_rows or n_bytes >= PART_BYTES:
                yield start, pa.Table.from_batches(batches)
                start, batches, held, n_bytes = start + held, [], 0, 0
        if row + batch.num_rows >= stop:
            break
    if batches:
        yield start, pa.Table.from_batches(batches)


def _embed(work: _Work, number: int, first_row: int, table: Any, bar: Any) -> tuple[Part, Any]:
    """Put the vectors of some rows beside them."""
    pa = arrow("")
    X = _as_X(table.select(work.columns))
    try:
        vectors, lost = work.embedder._transform(X, bar)
    except InputError as error:
        place = f"{work.source.files[number]}, in X, its rows from {first_row} on"
        raise type(error)(f"{place}: {error}") from error
    assert not isinstance(vectors, list)  # pooling=None was refused
    n_features = work.embedder.n_features_out_ // len(work.columns)
    of_columns = vectors.reshape(len(vectors), len(work.columns), n_features)
    result = table.select(work.keep)
    for position, name in enumerate(work.vectors.values()):
        values = pa.array(np.ascontiguousarray(of_columns[:, position]).ravel())
        of_column = pa.FixedSizeListArray.from_arrays(values, n_features)
        result = result.append_column(name, of_column)
    part = Part(number, first_row, table.num_rows, int(np.count_nonzero(lost)), int(lost.sum()))
    return part, result
