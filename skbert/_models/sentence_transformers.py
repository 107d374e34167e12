"""What a checkpoint's sentence-transformers files say of pooling."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from skbert._exceptions import CheckpointWarning, ParameterError
from skbert._models.checkpoint import read_json

# Flags of 1_Pooling/config.json → our names.
POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
}
# Steps of modules.json that are done here: the model, its pooling, and normalize=True.
KNOWN_STEPS = ("Transformer", "Pooling", "Normalize")


def own_pooling(folder: Path) -> str | None:
    """Return the pooling that the checkpoint was trained with; None if its files say nothing.

    Raises
    ------
    ParameterError
        If it is one, or a combination, that BertEmbedder does not have.

    Warns
    -----
    CheckpointWarning
        If the checkpoint's vectors pass through further layers, which are not applied.
    """
    steps = read_json(folder / "modules.json").get("modules", [])
    others = [step["type"] for step in steps if _kind(step) not in KNOWN_STEPS]
    if others:
        warnings.warn(
            f"{folder} asks for steps after pooling that skbert does not apply: "
            f"{', '.join(others)}. The vectors differ from those of sentence-transformers.",
            CheckpointWarning,
            stacklevel=2,
        )
    for step in steps:
        if _kind(step) == "Pooling":
            return _pooling_name(read_json(folder / step["path"] / "config.json"), folder)
    return None


def _kind(step: dict[str, Any]) -> str:
    return str(step["type"]).rsplit(".", 1)[-1]


def _pooling_name(config: dict[str, Any], folder: Path) -> str:
    mode = config.get("pooling_mode")  # newer files hold one name
    flags = [flag for flag, value in config.items() if flag.startswith("pooling_mode_") and value]
    names = [mode] if mode else [POOLING_FLAGS.get(flag, flag) for flag in flags]
    names = ["mean_sqrt_len" if name == "mean_sqrt_len_tokens" else name for name in names]
    if len(names) != 1 or names[0] not in POOLING_FLAGS.values():
        raise ParameterError(
            f'pooling="auto": the files in {folder} ask for pooling {names}, which BertEmbedder '
            f"does not have. Choose one of {sorted(POOLING_FLAGS.values())}."
        )
    return str(names[0])
