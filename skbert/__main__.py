"""The command line: ``python -m skbert embed IN --column text OUT``."""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Sequence

from skbert._estimators.embedder import BertEmbedder
from skbert._exceptions import SkbertError, TruncationWarning
from skbert._files.embed_files import embed_files
from skbert._models.checkpoint import DEFAULT_MODEL

OF_EMBEDDER = (
    "model revision pooling normalize prompt max_length overflow stride missing add_indicator "
    "batch_size device precision cache n_jobs"
).split()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit status."""
    asked = parser().parse_args(arguments)
    try:
        _embed(asked)
    except SkbertError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; the same command continues from here", file=sys.stderr)
        return 130
    return 0


def _embed(asked: argparse.Namespace) -> None:
    embedder = BertEmbedder(**{name: getattr(asked, name) for name in OF_EMBEDDER})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # the summary says it
        done = embed_files(
            asked.source,
            asked.destination,
            columns=asked.column,
            embedder=embedder,
            keep="all" if asked.keep is None else asked.keep,
            rows_per_part=asked.rows_per_part,
            delimiter=asked.delimiter,
            encoding=asked.encoding,
            verbose=not asked.quiet,
        )
    print(
        f"{done.rows:,} rows ({done.computed:,} computed now), {done.truncated:,} texts truncated, "
        f"{done.seconds:.1f} seconds"
    )


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    commands = argparse.ArgumentParser(prog="python -m skbert", description="BERT for tables.")
    embed = commands.add_subparsers(required=True, metavar="COMMAND").add_parser(
        "embed",
        help="embed a column of texts of Parquet or CSV files",
        description="Embed texts of Parquet or CSV files of any size; write Parquet files. Killed, "
        "the same command goes on where it stopped.",
    )
    embed.add_argument("source", metavar="IN", help="a file, or a folder of files of one kind")
    embed.add_argument("destination", metavar="OUT", help="folder of the result")
    embed.add_argument(
        "--column", action="append", required=True, metavar="NAME", help="texts; may be repeated"
    )
    _add_table_options(embed)
    _add_embedder_options(embed)
    return commands


def _add_table_options(embed: argparse.ArgumentParser) -> None:
    embed.add_argument(
        "--keep", action="append", metavar="NAME", help="column to keep; all if never given"
    )
    embed.add_argument("--rows-per-part", type=int, default=20_000, help="rows of a file of OUT")
    embed.add_argument("--delimiter", help="of CSV; a comma, or a tab for .tsv")
    embed.add_argument("--encoding", default="utf-8", help="of CSV")
    embed.add_argument("--quiet", action="store_true", help="no progress bar")


def _add_embedder_options(embed: argparse.ArgumentParser) -> None:
    """Take the parameters of `BertEmbedder` that matter here, with its defaults."""
    options = embed.add_argument_group("as the parameters of BertEmbedder")
    options.add_argument("--model", default=DEFAULT_MODEL)
    options.add_argument("--revision")
    options.add_argument("--pooling", default="auto")
    options.add_argument("--normalize", action="store_true")
    options.add_argument("--prompt", default="auto")
    options.add_argument("--max-length", type=int)
    options.add_argument("--overflow", default="truncate")
    options.add_argument("--stride", type=int)
    options.add_argument("--missing", default="error")
    options.add_argument("--add-indicator", action="store_true")
    options.add_argument("--batch-size", type=_auto_or_int, default="auto")
    options.add_argument("--device", default="auto")
    options.add_argument("--precision", default="auto")
    options.add_argument("--cache")
    options.add_argument("--n-jobs", type=int)


def _auto_or_int(text: str) -> str | int:
    return text if text == "auto" else int(text)


if __name__ == "__main__":
    sys.exit(main())
