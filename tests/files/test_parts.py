"""Parts of a result: whole or not there, and which rows are still missing."""

from __future__ import annotations

import errno
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skbert import DestinationError
from skbert._files.parts import Part, gaps, read_parts, remove_unfinished, write_part

PART = Part(3, 20, 2, 1, 7)


def with_vectors() -> pa.Table:
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(6, dtype=np.float32)), 3)
    return pa.table({"text": ["a", "b"], "v": vectors})


def test_written_and_read_again(tmp_path):
    write_part(tmp_path, PART, with_vectors(), ["v"])
    write_part(tmp_path, PART._replace(file=0), with_vectors(), ["v"])
    assert read_parts(tmp_path) == [PART._replace(file=0), PART]
    found = pq.read_table(tmp_path / PART.name)
    assert found.equals(with_vectors())
    assert found.schema.field("v").type == pa.list_(pa.float32(), 3)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch, step):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        with pytest.raises(DestinationError, match=r"No space left.*continues from there"):
            write_part(tmp_path, PART, with_vectors(), ["v"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("ranges", "expected"),
    [
        ([], [(0, 10)]),
        ([(0, 10)], []),
        ([(0, 4), (7, 2)], [(4, 7), (9, 10)]),
        ([(7, 3), (2, 2)], [(0, 2), (4, 7)]),
    ],
)
def test_gaps(ranges, expected):
    parts = [Part(0, first, n_rows, 0, 0) for first, n_rows in ranges]
    assert list(gaps(parts, 10)) == expected


def test_damaged_and_renamed_files(tmp_path):
    write_part(tmp_path, PART, with_vectors(), ["v"])
    file = tmp_path / PART.name
    whole = file.read_bytes()
    file.write_bytes(whole[:-9])
    with pytest.raises(DestinationError, match=r"damaged.*computed again"):
        read_parts(tmp_path)
    file.write_bytes(whole)
    file.rename(tmp_path / PART._replace(first_row=0).name)
    with pytest.raises(DestinationError, match="says of itself"):
        read_parts(tmp_path)


def test_unfinished_files_are_removed(tmp_path):
    (tmp_path / f".unfinished-{PART.name}").write_bytes(b"half")
    assert read_parts(tmp_path) == []
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []
