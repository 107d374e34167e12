"""embed_files: every row once, in order, whatever happens in between."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from skbert import (
    BertEmbedder,
    DestinationError,
    InputError,
    ParameterError,
    TextTooLongError,
    TruncationWarning,
    embed_files,
)
from skbert import __main__ as command_line
from skbert._files import embed_files as _embed_files
from skbert._files.parts import read_parts
from tests.files.conftest import table_of

pytestmark = pytest.mark.usefixtures("one_thread")


def vectors_of(table: pa.Table, name: str = "text_vector") -> np.ndarray:
    return np.array(table[name].to_pylist(), np.float32)


class TestResult:
    @pytest.mark.parametrize("rows_per_part", [1, 7, 1000])
    def test_rows_in_order_with_their_vectors(self, write, tmp_path, embedder, rows_per_part):
        write("a.parquet", table_of(20), row_group_size=6)
        write("b.parquet", table_of(0))
        source = write("c.parquet", table_of(11, start=20))
        done = embed_files(
            source, tmp_path / "out", columns="text", embedder=embedder, rows_per_part=rows_per_part
        )
        assert (done.rows, done.computed, done.truncated, done.lost_tokens) == (31, 31, 0, 0)
        found = pq.read_table(tmp_path / "out")
        assert found.select(["id", "text"]).equals(table_of(31))
        assert found.schema.field("text_vector").type == pa.list_(pa.float32(), 32)
        expected = embedder.fit_transform(table_of(31)["text"])
        np.testing.assert_allclose(vectors_of(found), expected, atol=1e-5)
        assert len(read_parts(tmp_path / "out")) == -(-20 // rows_per_part) + -(
            -11 // rows_per_part
        )

    def test_parts_end_by_bytes_too(self, write, tmp_path, embedder, monkeypatch):
        monkeypatch.setattr(_embed_files, "PART_BYTES", 1)
        monkeypatch.setattr("skbert._files.source.ROWS_READ", 4)
        embed_files(
            write("a.parquet", table_of(10)), tmp_path / "out", columns="text", embedder=embedder
        )
        assert [part.rows for part in read_parts(tmp_path / "out")] == [4, 4, 2]

    def test_several_columns_and_chosen_ones(self, write, tmp_path, embedder):
        table = table_of(9).append_column("title", pa.array(list("abcdefghi")))
        embed_files(
            write("a.parquet", table),
            tmp_path / "out",
            columns=["title", "text"],
            embedder=embedder,
            keep=["id"],
        )
        found = pq.read_table(tmp_path / "out")
        assert found.column_names == ["id", "title_vector", "text_vector"]
        for name in ("title", "text"):
            expected = embedder.fit_transform(table[name])
            np.testing.assert_allclose(vectors_of(found, f"{name}_vector"), expected, atol=1e-5)

    def test_index_of_pandas_is_kept_as_a_column(self, write, tmp_path, embedder):
        frame = pd.DataFrame({"text": ["a", "b"]}, index=["x", "y"])
        source = write("a.parquet", pa.Table.from_pandas(frame))
        embed_files(source, tmp_path / "out", columns="text", embedder=embedder)
        assert pd.read_parquet(tmp_path / "out")["__index_level_0__"].tolist() == ["x", "y"]

    def test_fitted_embedder_with_components(self, write, tmp_path, tiny_bert):
        table = table_of(30)
        fitted = BertEmbedder(tiny_bert, n_components=3).fit(table["text"])
        source = write("a.parquet", table)
        embed_files(source, tmp_path / "out", columns="text", embedder=fitted)
        expected = fitted.transform(table["text"])
        np.testing.assert_allclose(vectors_of(pq.read_table(tmp_path / "out")), expected, atol=1e-4)
        with pytest.raises(ParameterError, match="fitted to some of them"):
            embed_files(
                source,
                tmp_path / "other",
                columns="text",
                embedder=BertEmbedder(tiny_bert, n_components=3),
            )

    def test_no_rows_at_all(self, write, tmp_path, embedder):
        source = write("a.parquet", table_of(0))
        for _ in range(2):
            done = embed_files(source, tmp_path / "out", columns="text", embedder=embedder)
            assert done.rows == 0
        found = pq.read_table(tmp_path / "out")
        assert (found.num_rows, found.column_names) == (0, ["id", "text", "text_vector"])

    def test_truncated_texts_are_counted_once_for_all(self, write, tmp_path, embedder):
        table = pa.table({"text": ["the cat " * 50, "a", "the dog " * 50]})
        source = write("a.parquet", table)
        for computed in (3, 0):
            with pytest.warns(TruncationWarning, match="2 of 3 texts are longer") as caught:
                done = embed_files(
                    source, tmp_path / "out", columns="text", embedder=embedder, rows_per_part=1
                )
            assert len(caught) == 1
            assert (done.computed, done.truncated, done.lost_tokens) == (
                computed,
                2,
                2 * (102 - 64),
            )

    def test_progress_counts_texts_batch_by_batch(
        self, write, tmp_path, tiny_bert, monkeypatch, capsys
    ):
        table = table_of(40).append_column("title", pa.array(list(map(str, range(40)))))
        source = write("a.parquet", table)
        shown = []
        bars = _embed_files.progress_bar

        def watched(total, unit, verbose, n_done):
            bar = bars(total, unit, verbose, n_done)
            shown.append((total, n_done))
            update = bar.update
            bar.update = lambda n: (update(n), shown.append(bar.n))
            return bar

        monkeypatch.setattr(_embed_files, "progress_bar", watched)
        embedder = BertEmbedder(tiny_bert, batch_size=8, verbose=1)
        options = {"columns": ["text", "title"], "rows_per_part": 30, "verbose": 1}
        embed_files(source, tmp_path / "out", embedder=embedder, **options)
        assert shown[0] == (80, 0)
        assert shown[-1] == 80
        assert len(shown) >= 80 // 8
        read_parts(tmp_path / "out")
        next((tmp_path / "out").glob("part-*-000000000030.parquet")).unlink()
        shown.clear()
        embed_files(source, tmp_path / "out", embedder=embedder, **options)
        assert shown[0] == (80, 60)
        assert shown[-1] == 80
        err = capsys.readouterr().err
        assert "80/80" in err
        assert "20/20" not in err  # the embedder shows no bar of its own for each part

    def test_in_workers(self, write, tmp_path, tiny_bert):
        source = write("a.parquet", table_of(60))
        parallel = BertEmbedder(tiny_bert, n_jobs=2)
        embed_files(source, tmp_path / "out", columns="text", embedder=parallel, rows_per_part=25)
        expected = BertEmbedder(tiny_bert).fit_transform(table_of(60)["text"])
        np.testing.assert_allclose(vectors_of(pq.read_table(tmp_path / "out")), expected, atol=1e-5)


class TestRefusals:
    def test_missing_text_is_named_before_anything_is_computed(self, write, tmp_path, embedder):
        write("a.parquet", table_of(5))
        source = write("b.parquet", pa.table({"id": [0, 1], "text": ["a", None]}))
        with pytest.raises(InputError, match=r"Row 1 .*b\.parquet has no text in column 'text'"):
            embed_files(source, tmp_path / "out", columns="text", embedder=embedder)
        assert list((tmp_path / "out").glob("part-*")) == []
        zeros = embedder.set_params(missing="zero")
        embed_files(source, tmp_path / "out", columns="text", embedder=zeros)
        assert not vectors_of(pq.read_table(tmp_path / "out"))[6].any()

    def test_too_long_a_text_is_named_with_its_file(self, write, tmp_path, tiny_bert):
        source = write("a.parquet", pa.table({"text": ["a", "the cat " * 50]}))
        strict = BertEmbedder(tiny_bert, overflow="error")
        with pytest.raises(TextTooLongError, match=r"a\.parquet, in X, its rows from 0 on: .*1"):
            embed_files(source, tmp_path / "out", columns="text", embedder=strict)

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"columns": "txet"}, InputError, r"no column 'txet'.*\['id', 'text'\]"),
            ({"columns": "id"}, InputError, "'id' is of type int64, expected texts"),
            ({"columns": []}, ParameterError, "at least one name"),
            ({"columns": "text", "keep": ["no"]}, InputError, "no column 'no'"),
            ({"columns": "text", "rows_per_part": 0}, ParameterError, "rows_per_part=0"),
            ({"columns": "text", "embedder": 7}, ParameterError, "expected a BertEmbedder"),
        ],
    )
    def test_unusable_arguments(self, write, tmp_path, options, error, message):
        source = write("a.parquet", table_of(2))
        with pytest.raises(error, match=message):
            embed_files(source, tmp_path / "out", **options)
        assert not (tmp_path / "out").exists()

    def test_token_vectors(self, write, tmp_path, tiny_bert):
        source = write("a.parquet", table_of(2))
        with pytest.raises(ParameterError, match="pooling=None"):
            embed_files(
                source,
                tmp_path / "out",
                columns="text",
                embedder=BertEmbedder(tiny_bert, pooling=None),
            )

    def test_name_of_the_vectors_is_taken(self, write, tmp_path, embedder):
        source = write("a.parquet", pa.table({"text": ["a"], "text_vector": [1]}))
        with pytest.raises(InputError, match="'text_vector' already"):
            embed_files(source, tmp_path / "out", columns="text", embedder=embedder)
        embed_files(source, tmp_path / "out", columns="text", embedder=embedder, keep=["text"])

    def test_destination_within_the_source(self, write, embedder):
        source = write("a.parquet", table_of(2))
        for inside in (source, source / "sub" / "out"):
            with pytest.raises(InputError, match="inside the source"):
                embed_files(source, inside, columns="text", embedder=embedder)


class TestGoingOn:
    def stop_after(self, monkeypatch, n_parts):
        """Let the writing of a later part fail."""
        write_part, written = _embed_files.write_part, []

        def failing(*arguments):
            if len(written) == n_parts:
                raise KeyboardInterrupt
            written.append(write_part(*arguments))

        monkeypatch.setattr(_embed_files, "write_part", failing)

    def begun(self, write, tmp_path, embedder, monkeypatch, **options):
        source = write("a.parquet", table_of(20), row_group_size=6)
        with monkeypatch.context() as patch:
            self.stop_after(patch, 2)
            with pytest.raises(KeyboardInterrupt):
                embed_files(
                    source, tmp_path / "out", columns="text", embedder=embedder, rows_per_part=5
                )
        return source

    @pytest.mark.parametrize("rows_per_part", [3, 5, 100])
    def test_only_what_is_missing_is_computed(
        self, write, tmp_path, embedder, monkeypatch, rows_per_part
    ):
        source = self.begun(write, tmp_path, embedder, monkeypatch)
        first = read_parts(tmp_path / "out")
        (tmp_path / "out" / first[0].name).unlink()  # a gap, too
        done = embed_files(
            source, tmp_path / "out", columns="text", embedder=embedder, rows_per_part=rows_per_part
        )
        assert (done.rows, done.computed) == (20, 15)
        assert ds.dataset(tmp_path / "out").to_table(["id", "text"]).equals(table_of(20))

    @pytest.mark.parametrize("change", ["normalize", "batch_size", "model", "file", "columns"])
    def test_with_something_else(self, write, tmp_path, tiny_bert, embedder, monkeypatch, change):
        from tests.conftest import save_tiny_bert

        source = self.begun(write, tmp_path, embedder, monkeypatch)
        keep, expected = "all", f"embedder {change} was false, is true"
        if change == "model":
            other = str(save_tiny_bert(tmp_path / "other", seed=1))
            embedder, expected = BertEmbedder(other), "embedder weights was"
        elif change == "file":
            write("a.parquet", table_of(21), row_group_size=6)
            expected = r"files a\.parquet bytes was"
        elif change == "columns":
            keep, expected = ["id"], "keep was"
        elif change == "batch_size":
            embedder = BertEmbedder(tiny_bert, batch_size=2)  # no difference
            done = embed_files(source, tmp_path / "out", columns="text", embedder=embedder)
            assert done.computed == 10
            return
        else:
            embedder = BertEmbedder(tiny_bert, normalize=True)
        with pytest.raises(DestinationError, match=f"started with other settings: {expected}"):
            embed_files(source, tmp_path / "out", columns="text", embedder=embedder, keep=keep)

    def test_a_disk_that_becomes_full(self, write, tmp_path, tiny_bert):
        """Real partial writes: files may not have more than so many bytes."""
        source = write("a.parquet", table_of(300))
        code = (
            "import resource, sys; from skbert import embed_files, BertEmbedder; "
            "resource.setrlimit(resource.RLIMIT_FSIZE, (15_000, 15_000)); "
            f"embed_files({str(source)!r}, {str(tmp_path / 'out')!r}, columns='text', "
            f"embedder=BertEmbedder({tiny_bert!r}), rows_per_part=200)"
        )
        failed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert "DestinationError" in failed.stderr
        assert "continues from there" in failed.stderr
        assert not list((tmp_path / "out").glob(".unfinished*"))
        embedder = BertEmbedder(tiny_bert)
        done = embed_files(source, tmp_path / "out", columns="text", embedder=embedder)
        assert done.rows == 300
        assert pq.read_table(tmp_path / "out")["id"].to_pylist() == list(range(300))


# Imports everything, then for each line that it reads makes a process that embeds, and kills it: so
# twenty processes are there in seconds. Before a fork no thread was begun.
SERVER = """
import os, signal, sys, time, torch
torch.set_num_threads(1)
import pyarrow.csv, pyarrow.dataset, pyarrow.parquet
from transformers import BertModel
from skbert import BertEmbedder, embed_files
source, model = sys.argv[1:]
for line in sys.stdin:
    out, seconds = line.split()
    child = os.fork()
    if child == 0:
        embed_files(source, out, columns="text", embedder=BertEmbedder(model), rows_per_part=20)
        os._exit(0)
    end = time.monotonic() + float(seconds)
    done = (0, 0)
    while not done[0] and time.monotonic() < end:
        time.sleep(0.001)
        done = os.waitpid(child, os.WNOHANG)
    if not done[0]:
        os.kill(child, signal.SIGKILL)
        done = os.waitpid(child, 0)
    print(os.waitstatus_to_exitcode(done[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_twenty_times(write, tmp_path, tiny_bert):
    """SIGKILL at random moments: nothing is lost, nothing is there twice, nothing is half there."""
    n_rows, moments = 4_000, random.Random(0)
    source = write("a.parquet", table_of(n_rows), row_group_size=170)
    with subprocess.Popen(
        [sys.executable, "-c", SERVER, str(source), tiny_bert],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
    ) as server:
        n_killed = n_finished = n_in_the_middle = 0
        began, whole_run = time.monotonic(), 0.0
        while n_killed < 20:
            out = tmp_path / f"out{n_finished}"
            # The first run is whole: how long it takes on this machine, others are killed within.
            seconds = moments.uniform(0.05, 0.9) * whole_run if n_finished else 60
            server.stdin.write(f"{out} {seconds}\n")
            server.stdin.flush()
            status = int(server.stdout.readline())
            assert status in (0, -signal.SIGKILL)
            parts = read_parts(out) if out.exists() else []
            ids = ds.dataset(out).to_table(["id"])["id"].to_pylist() if parts else []
            assert len(ids) == len(set(ids)) == sum(part.rows for part in parts)
            n_killed += status != 0
            n_in_the_middle += status != 0 and 0 < len(parts) < n_rows // 20
            if status == 0:
                assert ds.dataset(out).to_table(["id", "text"]).equals(table_of(n_rows))
                assert not list(out.glob(".unfinished*"))
                n_finished += 1
                whole_run = whole_run or time.monotonic() - began
        server.stdin.close()
    assert n_in_the_middle >= 5, "kill at other moments"


class TestCommandLine:
    def run(self, *arguments: object) -> int:
        return command_line.main(["embed", *map(str, arguments)])

    def test_csv(self, tmp_path, tiny_bert, capsys):
        (tmp_path / "a.csv").write_text("id;text\n7;the cat\n8;\n")
        done = self.run(
            tmp_path / "a.csv", tmp_path / "out", "--column", "text", "--model", tiny_bert,
            "--missing", "zero", "--delimiter", ";", "--normalize",
        )  # fmt: skip
        assert done == 0
        said = capsys.readouterr()
        assert said.out.startswith("2 rows (2 computed now), 0 texts truncated, ")
        assert "2/2" in said.err
        norms = np.linalg.norm(vectors_of(pq.read_table(tmp_path / "out")), axis=1)
        np.testing.assert_allclose(norms, [1, 0], atol=1e-6)

    def test_errors_are_one_line(self, tmp_path, tiny_bert, capsys):
        (tmp_path / "a.csv").write_text("id,text\n7,a\n")
        arguments = tmp_path / "a.csv", tmp_path / "out", "--column", "txt", "--model", tiny_bert
        assert self.run(*arguments) == 1
        said = capsys.readouterr()
        assert said.err.startswith("error: There is no column 'txt'")
        assert said.err.count("\n") == 1

    def test_ctrl_c(self, tmp_path, monkeypatch, capsys):
        def stopped(*arguments, **options):
            raise KeyboardInterrupt

        monkeypatch.setattr(command_line, "embed_files", stopped)
        assert self.run("in.csv", "out", "--column", "text") == 130
        assert "continues from here" in capsys.readouterr().err

    def test_defaults_are_those_of_the_embedder(self):
        asked = command_line.parser().parse_args(["embed", "in", "out", "--column", "text"])
        defaults = BertEmbedder().get_params()
        assert {name: getattr(asked, name) for name in command_line.OF_EMBEDDER} == {
            name: defaults[name] for name in command_line.OF_EMBEDDER
        }

    def test_as_a_module(self, write, tmp_path, tiny_bert):
        source = write("a.parquet", table_of(3))
        command = [sys.executable, "-m", "skbert", "embed", str(source), "--column", "text"]
        command += [str(tmp_path / "out"), "--model", tiny_bert, "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stdout.startswith("3 rows")


# Peak of memory without a table, and with one of a million rows.
MEMORY = """
import resource, sys, torch
torch.set_num_threads(1)
from skbert import BertEmbedder, embed_files
source, out, model = sys.argv[1:]
embedder = BertEmbedder(model).fit(["a"])
embedder.transform(["the cat sat"] * 100)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
embed_files(source, out, columns="text", embedder=embedder)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB there")
def test_memory_is_bounded(write, tmp_path, tiny_bert):
    """Ten times as many rows need no more; by hand, a million were tried."""
    peaks = []
    for n_rows in (40_000, 200_000):
        table = pa.table({"text": [f"the cat sat {n}" for n in range(n_rows)]})
        source = write(f"{n_rows}/a.parquet", table) / str(n_rows)
        command = [
            sys.executable,
            "-c",
            MEMORY,
            str(source),
            str(tmp_path / f"out{n_rows}"),
            tiny_bert,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] < peaks[0] + 60, peaks
    assert peaks[1] < 500, peaks
