"""sentence-transformers' ``modules.json``: the steps from a text to its vector, and their folders.

::

    [
        {
            "path": "0_Transformer",
            "type": "sentence_transformers.models.Transformer",
        },
        {"path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
        {"path": "2_Dense", "type": "sentence_transformers.models.Dense"},
    ]

A checkpoint without this file is a transformer alone, in the folder itself.
"""

from __future__ import annotations

from pathlib import Path, PureWindowsPath
from typing import Any, NamedTuple

from skbert._exceptions import CheckpointError
from skbert._models.json_files import read_json, read_json_list

# Where sentence-transformers' own classes have been; others are code in the checkpoint.
OWN_PACKAGE = "sentence_transformers."
SAFETENSORS = "model*.safetensors"
# All that transformers reads of a checkpoint beside the weights.
SMALL_FILES = ("*.json", "*.txt", "*.model")


class Module(NamedTuple):
    """One step."""

    kind: str
    """Its class, without the package: "Transformer", "Pooling", "Dense", ..."""
    type: str
    """With it."""
    folder: Path
    """Where its files are."""

    @property
    def is_own_code(self) -> bool:
        """Whether the class is sentence-transformers', not code that comes with the checkpoint."""
        return self.type.startswith(OWN_PACKAGE)


def read_modules(folder: Path) -> tuple[Module, ...]:
    """Read a checkpoint's ``modules.json``; none where there is no such file.

    Raises
    ------
    CheckpointError
        If it is damaged, or a step's folder lies outside the checkpoint.
    """
    file = folder / "modules.json"
    return tuple(_module(entry, file) for entry in read_json_list(file))


def _module(entry: Any, file: Path) -> Module:
    for name in ("type", "path"):
        if not isinstance(entry, dict) or not isinstance(entry.get(name), str):
            raise CheckpointError(
                f"{file} has a step without a {name!r}: {entry!r}. Put an intact copy there."
            )
    path = PureWindowsPath(entry["path"])  # both separators
    if path.anchor or ".." in path.parts or "\0" in entry["path"]:
        raise CheckpointError(
            f"{file} names the folder {entry['path']!r}, expected one inside the checkpoint. "
            "Use another checkpoint."
        )
    return Module(
        entry["type"].rsplit(".", 1)[-1], entry["type"], file.parent.joinpath(*path.parts)
    )


def model_folder(folder: Path) -> Path:
    """Return where the transformer's own files are: the checkpoint's folder, or one inside it.

    Raises
    ------
    CheckpointError
        If the checkpoint is one of sentence-transformers that holds no transformer.
    """
    modules = read_modules(folder)
    for module in modules:
        if module.kind == "Transformer" or _is_transformer(module.folder):
            return module.folder
    if modules and not (folder / "config.json").is_file():
        raise CheckpointError(
            f"{folder / 'modules.json'} has the steps {', '.join(m.kind for m in modules)}, and no "
            "transformer among them. Use a checkpoint of a BERT-like model."
        )
    return folder


def _is_transformer(folder: Path) -> bool:
    """Return whether a step of an old kind, such as "BERT", has a model of transformers."""
    return "model_type" in read_json(folder / "config.json")


def small_files(folder: Path) -> list[Path]:
    """Return every file beside the weights that loading reads: tokenizer, configurations."""
    return sorted({file for part in _folders(folder) for file in _matches(part, SMALL_FILES)})


def weight_files(folder: Path) -> list[Path]:
    """Return the transformer's safetensors files, then those of the other steps."""
    parts = [model_folder(folder), *_folders(folder)]
    files = [file for part in parts for file in _matches(part, (SAFETENSORS,))]
    return list(dict.fromkeys(files))


def _folders(folder: Path) -> list[Path]:
    return [folder, *(module.folder for module in read_modules(folder))]


def _matches(folder: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted(file for pattern in patterns for file in folder.glob(pattern))
