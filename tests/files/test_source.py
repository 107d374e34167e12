"""Files of tables: which ones, their columns, and their rows from any row on."""

from __future__ import annotations

import gzip

import pyarrow as pa
import pytest

from skbert import InputError
from skbert._files import source as _source
from skbert._files.source import open_source
from tests.files.conftest import table_of

AWKWARD = 'id,text\r\n007,"a ""quoted"", text\nof two lines"\r\n8,\r\n9,""\r\nNA,NA\r\n'
CELLS = {
    "id": ["007", "8", "9", "NA"],
    "text": ['a "quoted", text\nof two lines', None, "", "NA"],
}


def opened(path, delimiter=None, encoding="utf-8"):
    return open_source(path, delimiter=delimiter, encoding=encoding)


def rows_of(source, number=0, first_row=0, columns=None):
    names = columns or source.schema.names
    batches = list(source.batches(number, names, first_row))
    numbers = [row for row, _ in batches]
    sizes = [batch.num_rows for _, batch in batches]
    assert numbers == [first_row + sum(sizes[:place]) for place in range(len(sizes))]
    return pa.Table.from_batches([batch for _, batch in batches]).to_pydict() if batches else {}


class TestParquet:
    @pytest.mark.parametrize("first_row", [0, 1, 7, 10, 29, 30, 69])
    def test_from_any_row_on(self, write, monkeypatch, first_row):
        monkeypatch.setattr(_source, "ROWS_READ", 8)
        table = table_of(70)
        source = opened(write("a.parquet", table, row_group_size=10))
        assert rows_of(source, 0, first_row) == table.slice(first_row).to_pydict()

    def test_files_in_the_order_of_their_names(self, write):
        for name in ("b.parquet", "a.parquet", "sub/c.parquet", "_metadata", ".hidden.parquet"):
            folder = write(name, table_of(2))
        source = opened(folder)
        assert list(map(source.name, range(3))) == ["a.parquet", "b.parquet", "sub/c.parquet"]

    def test_columns_of_folder_names(self, write):
        write("year=2025/a.parquet", table_of(2))
        source = opened(write("year=2026/a.parquet", table_of(2)))
        assert rows_of(source, 1)["year"] == [2026, 2026]

    def test_a_column_that_only_a_later_file_has(self, write):
        write("a.parquet", table_of(2))
        later = table_of(1).append_column("more", pa.array([1.5]))
        source = opened(write("b.parquet", later))
        assert rows_of(source, 0)["more"] == [None, None]
        assert rows_of(source, 1)["more"] == [1.5]

    def test_columns_of_other_types(self, write):
        write("a.parquet", pa.table({"text": ["a"], "id": [1]}))
        folder = write("b.parquet", pa.table({"text": ["a"], "id": ["1"]}))
        with pytest.raises(InputError, match=r"b\.parquet has other types of columns"):
            opened(folder)

    def test_a_file_that_is_none(self, tmp_path):
        (tmp_path / "a.parquet").write_bytes(b"no table")
        with pytest.raises(InputError, match=r"a\.parquet cannot be read"):
            opened(tmp_path)


class TestCsv:
    def test_awkward_cells(self, tmp_path):
        (tmp_path / "a.csv").write_bytes(AWKWARD.encode())
        assert rows_of(opened(tmp_path / "a.csv")) == CELLS

    @pytest.mark.parametrize("first_row", [1, 3])
    def test_from_any_row_on(self, tmp_path, first_row):
        (tmp_path / "a.csv").write_bytes(AWKWARD.encode())
        rest = {name: cells[first_row:] for name, cells in CELLS.items()}
        assert rows_of(opened(tmp_path / "a.csv"), 0, first_row) == rest

    def test_compressed_and_with_tabs(self, tmp_path):
        (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(b"id\ttext\n1\ta, b\n"))
        assert rows_of(opened(tmp_path)) == {"id": ["1"], "text": ["a, b"]}

    def test_encodings(self, tmp_path):
        (tmp_path / "a.csv").write_bytes("text\ncafé\n".encode("latin-1"))
        with pytest.raises(InputError, match=r'a\.csv cannot be read.*encoding="latin-1"'):
            rows_of(opened(tmp_path))
        assert rows_of(opened(tmp_path, encoding="latin-1")) == {"text": ["café"]}

    def test_a_number_that_becomes_a_text_far_below(self, tmp_path):
        """Types are not guessed from the first block."""
        rows = "".join(f"{number},a\n" for number in range(300_000))
        (tmp_path / "a.csv").write_text(f"id,text\n{rows}x7,a\n")
        assert rows_of(opened(tmp_path), 0, 299_999)["id"] == ["299999", "x7"]

    def test_a_row_with_more_cells(self, tmp_path):
        (tmp_path / "a.csv").write_text("id,text\n1,a\n2,b,c\n")
        with pytest.raises(InputError, match=r"a\.csv cannot be read.*Expected 2 columns, got 3"):
            rows_of(opened(tmp_path))

    def test_files_without_a_byte_are_left_out(self, tmp_path):
        (tmp_path / "a.csv").write_text("")
        with pytest.raises(InputError, match="not even naming columns"):
            opened(tmp_path)
        (tmp_path / "b.csv").write_text("text\n")
        assert opened(tmp_path).name(0) == "b.csv"


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="no file or folder"):
        opened(tmp_path / "none.csv")
    (tmp_path / "readme.txt").write_text("a")
    with pytest.raises(InputError, match="contains no Parquet or CSV"):
        opened(tmp_path)
    with pytest.raises(InputError, match="is not Parquet or CSV"):
        opened(tmp_path / "readme.txt")


def test_both_kinds(write):
    folder = write("a.parquet", table_of(1))
    (folder / "b.csv").write_text("text\na\n")
    with pytest.raises(InputError, match="both Parquet and CSV"):
        opened(folder)
