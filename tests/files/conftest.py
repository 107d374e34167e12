"""Tables of texts as Parquet and CSV files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skbert import BertEmbedder
from tests.cache.test_cache import many_texts


def table_of(n_rows: int, start: int = 0) -> pa.Table:
    sentences = many_texts(200)
    texts = [sentences[row % len(sentences)] for row in range(start, start + n_rows)]
    return pa.table(
        {"id": pa.array(range(start, start + n_rows)), "text": pa.array(texts, pa.string())}
    )


@pytest.fixture
def embedder(tiny_bert: str) -> BertEmbedder:
    return BertEmbedder(tiny_bert)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a table into the folder "in", and return that."""

    def written(name: str, table: pa.Table, **options: object) -> Path:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path, **options)
        return tmp_path / "in"

    return written
