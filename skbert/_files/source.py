"""Parquet or CSV files → their schema, and their rows batch by batch from any row on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skbert._exceptions import InputError
from skbert._optional import import_optional

PARQUET = (".parquet", ".pq")
CSV = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.bz2", ".tsv.bz2", ".csv.zst", ".tsv.zst")
# Rows that are read at a time: a few MB of short texts.
ROWS_READ = 1_024
# Longest row of a CSV file, and how much of one is in memory; pyarrow keeps a few blocks.
CSV_BLOCK_BYTES = 8 * 2**20


def arrow(module: str) -> Any:
    """Import a module of pyarrow."""
    return import_optional(f"pyarrow{module}", extra="files", needed_by="embed_files")


@dataclass(frozen=True)
class Source:
    """The files of one table, in the order of their names.

    Attributes
    ----------
    root : Path
        The folder, or that of the one file.
    files : list of Path
        The files that hold anything.
    fragments : list of pyarrow.dataset.Fragment
        One a file.
    schema : pyarrow.Schema
        Of all of them, with the columns that the names of folders state (``year=2026``).
    """

    root: Path
    files: list[Path]
    fragments: list[Any]
    schema: Any

    def name(self, number: int) -> str:
        """Return the name of a file from `root` on."""
        return self.files[number].relative_to(self.root).as_posix()

    def batches(
        self, number: int, columns: Sequence[str], first_row: int = 0
    ) -> Iterator[tuple[int, Any]]:
        """Read a file from a row on.

        Yields
        ------
        row : int
            Number of the batch's first row in the file.
        batch : pyarrow.RecordBatch
            Some of the columns, at most ROWS_READ rows.
        """
        row, fragment = _skip_row_groups(self.fragments[number], first_row)
        options = {} if _is_csv(self.files[number]) else {"fragment_scan_options": _unbuffered()}
        with reading(self.files[number]):
            for batch in fragment.to_batches(
                schema=self.schema,
                columns=list(columns),
                batch_size=ROWS_READ,
                batch_readahead=1,
                fragment_readahead=1,
                use_threads=False,
                **options,
            ):
                for start in range(0, batch.num_rows, ROWS_READ):  # a block of CSV comes whole
                    part = batch.slice(start, ROWS_READ)
                    done = max(first_row - row, 0)
                    if done < part.num_rows:
                        yield row + done, part.slice(done)
                    row += part.num_rows


def open_source(path: str | Path, *, delimiter: str | None, encoding: str) -> Source:
    """Find the files of a table.

    Parameters
    ----------
    path : str or Path
        A file, or a folder of files of one kind.
    delimiter : str or None
        Of CSV; by default a tab for ``.tsv``, else a comma.
    encoding : str
        Of CSV.

    Raises
    ------
    InputError
        If there are none, or they cannot be read, or have columns of different types.
    """
    path = Path(path).expanduser().absolute()
    root = path if path.is_dir() else path.parent
    files = [file for file in _files_of(path) if not (_is_csv(file) and not file.stat().st_size)]
    if not files:
        raise InputError(f"All files of {path} are empty, not even naming columns.")
    schemas, fragments = [], []
    for file in files:
        with reading(file):
            dataset = _dataset(file, root, delimiter, encoding)
            fragments += dataset.get_fragments()
            schemas.append(dataset.schema)
    return Source(root, files, fragments, _one_schema(files, schemas))


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Name the file in pyarrow's errors.

    Raises
    ------
    InputError
        Instead of them.
    """
    pa = arrow("")
    try:
        yield
    except (pa.ArrowException, UnicodeError, OSError) as error:
        remedy = ""
        if _is_csv(file) and ("UTF8" in str(error) or isinstance(error, UnicodeError)):
            remedy = ' Say how it is encoded, e.g. encoding="latin-1".'
        if "straddling" in str(error):
            remedy = f" A row of CSV can have {CSV_BLOCK_BYTES // 2**20} MiB; use Parquet."
        raise InputError(f"{file} cannot be read: {error}.{remedy}") from error


def _files_of(path: Path) -> list[Path]:
    if not path.exists():
        raise InputError(f"There is no file or folder {path}.")
    if path.is_file():
        found = [path]
    else:
        found = sorted(
            file for file in path.rglob("*") if file.is_file() and not _is_hidden(file, path)
        )
    usable = [file for file in found if _is_csv(file) or file.name.lower().endswith(PARQUET)]
    if not usable:
        raise InputError(
            f"{path} {'is not' if path.is_file() else 'contains no'} Parquet or CSV. The name of "
            f"such a file ends in one of {', '.join(PARQUET + CSV)}."
        )
    if len({_is_csv(file) for file in usable}) > 1:
        raise InputError(f"{path} holds both Parquet and CSV files. Pass a folder of one kind.")
    return usable


def _is_hidden(file: Path, root: Path) -> bool:
    """Return whether a name on the way begins with "." or "_", as pyarrow and Spark have it."""
    return any(part[0] in "._" for part in file.relative_to(root).parts)


def _is_csv(file: Path) -> bool:
    return file.name.lower().endswith(CSV)


def _dataset(file: Path, root: Path, delimiter: str | None, encoding: str) -> Any:
    ds = arrow(".dataset")
    file_format: Any = "parquet"
    if _is_csv(file):
        file_format = _csv_format(file, delimiter, encoding)
    return ds.dataset(
        [str(file)], format=file_format, partitioning="hive", partition_base_dir=str(root)
    )


def _csv_format(file: Path, delimiter: str | None, encoding: str) -> Any:
    """Return how a CSV file is read: each cell as text, for its type may change further below."""
    ds, csv = arrow(".dataset"), arrow(".csv")
    if delimiter is None:
        delimiter = "\t" if ".tsv" in "".join(file.suffixes).lower() else ","

    def file_format(names: Sequence[str]) -> Any:
        return ds.CsvFileFormat(
            parse_options=csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            read_options=csv.ReadOptions(encoding=encoding, block_size=CSV_BLOCK_BYTES),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, arrow("").string()),
                # Empty is missing, "" is an empty text, and NA is a text of two letters.
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                null_values=[""],
            ),
        )

    return file_format(ds.dataset([str(file)], format=file_format([])).schema.names)


def _one_schema(files: list[Path], schemas: list[Any]) -> Any:
    """Return the columns of all files; pyarrow would drop those that the first one has not."""
    pa = arrow("")
    schema = schemas[0].remove_metadata()
    for file, other in zip(files[1:], schemas[1:], strict=True):
        try:
            schema = pa.unify_schemas([schema, other.remove_metadata()])
        except pa.ArrowException as error:
            raise InputError(
                f"{file} has other types of columns than the files before it: {error}. Write them "
                "with the same types."
            ) from error
    repeated = {name for name in schema.names if schema.names.count(name) > 1}
    if repeated:
        raise InputError(f"{files[0]} has several columns of one name: {sorted(repeated)}.")
    return schema


def _skip_row_groups(fragment: Any, first_row: int) -> tuple[int, Any]:
    """Leave out the row groups of Parquet before a row; return where the rest begins."""
    row = 0
    if not first_row or not hasattr(fragment, "row_groups"):
        return row, fragment
    groups = fragment.row_groups
    skipped = 0
    while skipped < len(groups) - 1 and row + groups[skipped].num_rows <= first_row:
        row += groups[skipped].num_rows
        skipped += 1
    return row, fragment.subset(row_group_ids=[group.id for group in groups[skipped:]])


def _unbuffered() -> Any:
    """Read Parquet page by page: row groups can be larger than memory allows."""
    ds = arrow(".dataset")
    return ds.ParquetFragmentScanOptions(use_buffered_stream=True, pre_buffer=False)
