"""A fitted estimator as an ONNX graph, and beside it what else a reader needs: its tokenizer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skbert._exceptions import ParameterError
from skbert._inference.onnx_graph import TextGraph, check_packages, write_graph
from skbert._texts.tokenizer_file import write_tokenizer

# What lies beside the graph.
TOKENIZER_FILE, SETTINGS_FILE = "tokenizer.json", "skbert.json"


def onnx_file(path: Any, estimator: Any) -> Path:
    """Return the file that a graph is to be written to.

    Raises
    ------
    MissingPackageError
        If the packages are not installed that write it.
    ParameterError
        If it is none of a graph.
    """
    check_packages(f"{type(estimator).__name__}.to_onnx")
    if not isinstance(path, str | Path) or Path(path).suffix != ".onnx" or Path(path).is_dir():
        raise ParameterError(
            f"path={path!r} of to_onnx is not usable, expected a file with the extension "
            f"'.onnx'. Use a separate folder, such as 'exported/model.onnx': "
            f"{TOKENIZER_FILE} and {SETTINGS_FILE} are written to the same folder."
        )
    return Path(path)


def check_reading(estimator: Any) -> None:
    """Refuse ways of reading a text that a graph and a tokenizer's file have no form for.

    Raises
    ------
    ParameterError
        For the first one.
    """
    if estimator.overflow != "truncate":
        raise ParameterError(
            f"overflow={estimator.overflow!r}: an ONNX graph reads one window of a text, and its "
            "tokenizer truncates a longer one; expected 'truncate'. Use "
            "set_params(overflow='truncate') if texts may be truncated."
        )
    pools_all = estimator._include_prompt or not estimator.prompt_ or estimator.pooling_ is None
    if not pools_all:
        raise ParameterError(
            f"prompt={estimator.prompt_!r}: its tokens are not pooled (include_prompt=false in the "
            "files of the checkpoint), which an ONNX graph cannot express; expected a "
            "prompt that is pooled, or none. Use prompt=None, and fit again."
        )


def write_onnx(
    estimator: Any, file: Path, graph: TextGraph, output_name: str, settings: dict[str, Any]
) -> None:
    """Write the graph, the tokenizer that makes its inputs, and what else a reader needs to know.

    Parameters
    ----------
    estimator : fitted estimator
        Whose graph it is.
    file : Path
        Of the graph.
    graph : TextGraph
        What it computes.
    output_name : str
        The name that its result gets.
    settings : dict
        What is said in SETTINGS_FILE beside what is said for all estimators, as JSON.
    """
    max_length = estimator.max_length_
    file.parent.mkdir(parents=True, exist_ok=True)
    write_graph(graph, output_name, max_length, file)
    write_tokenizer(graph.encoder.tokenizer, max_length, file.with_name(TOKENIZER_FILE))
    said = {
        "estimator": type(estimator).__name__,
        "checkpoint": estimator.checkpoint_.name,
        "inputs": graph.input_names,
        "output": output_name,
        "max_length": max_length,
        "prompt": estimator.prompt_,
        **settings,
    }
    text = json.dumps(said, indent=2, ensure_ascii=False, default=str)
    file.with_name(SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")
