"""`embed_files` in processes that are killed."""

from __future__ import annotations

import os
import signal
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skbert import BertEmbedder
from tests.cache.test_cache import many_texts
from tests.engines.recipes import recipe

N_FILES, ROWS, ROWS_PER_PART = 3, 30, 10
PAGE = "large-tables.md"


class KilledOnce:
    """`embed_files` of a given model; the first process that has written two parts is killed.

    Parameters
    ----------
    model : str
        Folder of a checkpoint.
    marker : Path
        A file that is written then: the name of the folder of the result.
    """

    def __init__(self, model: str, marker: Path) -> None:
        self.model, self.marker = model, marker

    def __call__(self, source: Path, destination: Path, **options: Any) -> Any:
        module = import_module("skbert._files.embed_files")
        write_part = module.write_part

        def write_and_die(folder: Path, part: Any, *rest: Any) -> None:
            write_part(folder, part, *rest)
            if part.first_row == ROWS_PER_PART and self._is_first(folder):
                os.kill(os.getpid(), signal.SIGKILL)

        with patch.object(module, "write_part", write_and_die):
            return module.embed_files(
                source,
                destination,
                embedder=BertEmbedder(self.model),
                rows_per_part=ROWS_PER_PART,
                **options,
            )

    def _is_first(self, folder: Path) -> bool:
        try:
            with self.marker.open("x") as file:
                file.write(folder.name)
        except FileExistsError:
            return False
        return True


def check_one_task_a_file(word: str, model: str, folder: Path, **engine: Any) -> None:
    """Run the recipe of an engine: a worker is killed, and nothing is lost, done twice or again."""
    source, destination = folder / "source", folder / "destination"
    source.mkdir()
    n_rows = N_FILES * ROWS
    table = pa.table({"id": range(n_rows), "text": many_texts(2 * n_rows)[:n_rows]})
    for number in range(N_FILES):
        pq.write_table(table.slice(number * ROWS, ROWS), source / f"{number}.parquet")
    embed = KilledOnce(model, folder / "killed")
    places = {"source": source, "destination": destination, "embed_files": embed}
    names = recipe("def embed_file", page=PAGE, **places)

    done = recipe(word, page=PAGE, **names, **engine)["done"]
    computed = [ROWS] * N_FILES
    computed[int(embed.marker.read_text())] -= 2 * ROWS_PER_PART  # they were there
    assert [result.computed for result in done] == computed
    found = pq.read_table(destination)
    assert found.select(["id", "text"]).equals(table)
    expected = BertEmbedder(model).fit_transform(table["text"])
    np.testing.assert_allclose(found["text_vector"].to_pylist(), expected, atol=1e-5)

    again = recipe(word, page=PAGE, **names, **engine)["done"]
    assert [(result.rows, result.computed) for result in again] == [(ROWS, 0)] * N_FILES
