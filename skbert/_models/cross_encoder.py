"""sentence-transformers' `CrossEncoder`: what it does with the outputs of a head.

It applies an activation that the checkpoint's files name, in one of three places; where they name
none, a sigmoid if there is one output, and nothing if there are several.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skbert._exceptions import CheckpointWarning, stacklevel_of_caller
from skbert._models.json_files import read_json
from skbert._models.modules import read_modules
from skbert._models.sentence_settings import CHECKPOINT_FILE, own_prompt
from skbert._models.vector_steps import activation

IDENTITY = "torch.nn.modules.linear.Identity"
SIGMOID = "torch.nn.modules.activation.Sigmoid"
OLD_KEY = "sbert_ce_default_activation_function"


def own_activation(folder: Path, config: Any) -> str | None:
    """Return the activation that a checkpoint's numbers are made with; None for no other.

    Parameters
    ----------
    folder : Path
        The checkpoint's files.
    config : transformers configuration
        The model's.

    Warns
    -----
    CheckpointWarning
        If it names code of its own; or, for one output, nothing at all, so that it may be a
        cross-encoder as well as a plain regression.
    """
    path, file = _stated(folder, config)
    if path is not None and not path.startswith("torch."):
        warnings.warn(
            f"{file} names the activation {path!r}, code that comes with the checkpoint. It is not "
            "run: numbers differ from those that it was made for.",
            CheckpointWarning,
            stacklevel=stacklevel_of_caller(),
        )
        path = None
    if path is not None:
        activation(path, file)  # refuses what is none
        return None if path.endswith(".Identity") else path
    if config.num_labels > 1 or config.problem_type == "regression":
        return None
    if hasattr(config, "skbert"):  # saved before activations were written
        return None
    if not _is_marked(folder, config):
        warnings.warn(
            f"{folder / 'config.json'} does not say whether the model is a cross-encoder, whose "
            "numbers pass through a sigmoid, or a plain regression. It is read as a cross-encoder, "
            'as sentence-transformers reads it. Write "problem_type": "regression" there for the '
            "head's own numbers.",
            CheckpointWarning,
            stacklevel=stacklevel_of_caller(),
        )
    return SIGMOID


def _stated(folder: Path, config: Any) -> tuple[str | None, Path]:
    """Return the activation that the files name, and the file, in `CrossEncoder`'s order."""
    own = folder / CHECKPOINT_FILE
    if read_modules(folder) and (path := read_json(own).get("activation_fn")):
        return str(path), own
    section = getattr(config, "sentence_transformers", None)
    newer = section.get("activation_fn") if isinstance(section, dict) else None
    path = newer or getattr(config, OLD_KEY, None)
    return (None if path is None else str(path)), folder / "config.json"


def _is_marked(folder: Path, config: Any) -> bool:
    """Return whether sentence-transformers' `CrossEncoder` saved the checkpoint."""
    kind = read_json(folder / CHECKPOINT_FILE).get("model_type")
    keys = ("sentence_transformers", OLD_KEY)
    return kind == "CrossEncoder" or any(hasattr(config, key) for key in keys)


def warn_of_cross_encoders_prompt(folder: Path) -> None:
    """Warn of a prompt that `CrossEncoder` puts before the first text of each pair.

    Warns
    -----
    CheckpointWarning
        If there is one.
    """
    prompt = own_prompt(folder, kind="CrossEncoder")
    if prompt.text:
        warnings.warn(
            f"{prompt.file}: the prompt {prompt.text!r} is not put before the texts. Put it there "
            "yourself, before the first text of each pair, for the checkpoint's own numbers.",
            CheckpointWarning,
            stacklevel=stacklevel_of_caller(),
        )


def with_activation(config: Any, path: str | None) -> Any:
    """Write an activation where `CrossEncoder` looks for it."""
    vars(config).pop(OLD_KEY, None)
    config.sentence_transformers = {"activation_fn": path or IDENTITY}
    return config


def activated(values: NDArray[np.float64], path: str | None) -> NDArray[np.float64]:
    """Apply an activation to a head's outputs, (n_texts, n_outputs)."""
    if path is None:
        return values
    layer = activation(path, Path("config.json"))
    with torch.inference_mode():
        return layer(torch.from_numpy(values)).numpy()
