"""A pooled head in sentence-transformers' layout: Transformer, Pooling, Normalize, Dense.

``SentenceTransformer(folder).encode(texts)`` then gives the head's outputs. A head that this layout
has no step for, as that of pairs, is a file of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from skbert._exceptions import CheckpointError
from skbert._models.device import forked_generator
from skbert._models.foreign import checkpoint_errors
from skbert._models.modules import read_modules
from skbert._models.sentence_transformers import POOLING_FLAGS, POOLING_MODES
from skbert._models.vector_steps import STEPS

KINDS = ("Transformer", "Pooling", "Normalize", "Dense")
OWN_FILE = "head/model.safetensors"


def can_express(poolings: Sequence[str]) -> bool:
    """Return whether sentence-transformers has all of these poolings."""
    return set(poolings) <= set(POOLING_MODES.values())


def write_sentence_layout(
    folder: Path,
    *,
    poolings: Sequence[str],
    size: int,
    dense: tuple[torch.Tensor, torch.Tensor] | None,
    max_length: int,
    prompt: str,
    include_prompt: bool,
) -> None:
    """Write all but the transformer's own files.

    Parameters
    ----------
    folder : Path
        With the transformer's files.
    poolings : sequence of str
        Keys of POOLINGS, whose vectors are put together in sentence-transformers' order.
    size : int
        Features of a token vector.
    dense : tuple of Tensor, shape (n_outputs, n_features) and (n_outputs,), or None
        Weight and bias of the head on vectors of length 1; None for vectors without a head.
    max_length : int
        Tokens that are read of a text.
    prompt : str
        Text before each text; "" for none.
    include_prompt : bool
        Whether its tokens are pooled.
    """
    kinds = KINDS[: KINDS.index("Normalize")] if dense is None else KINDS
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": "" if number == 0 else f"{number}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(kinds)
    ]
    modes = {ours: theirs for theirs, ours in POOLING_MODES.items()}
    names = [modes[name] for name in poolings]
    files: dict[str, Any] = {
        "modules.json": modules,
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": False},
        "config_sentence_transformers.json": {
            "prompts": {"skbert": prompt} if prompt else {},
            "default_prompt_name": "skbert" if prompt else None,
        },
        "1_Pooling/config.json": {
            "word_embedding_dimension": size,
            **{flag: mode in names for flag, mode in POOLING_FLAGS.items()},
            "include_prompt": include_prompt,
        },
    }
    for name, content in files.items():
        _write_json(folder / name, content)
    if dense is not None:
        _write_dense(folder, *dense)


def _write_dense(folder: Path, weight: torch.Tensor, bias: torch.Tensor) -> None:
    from safetensors.torch import save_file

    settings = {
        "in_features": weight.shape[1],
        "out_features": weight.shape[0],
        "bias": True,
        "activation_function": "torch.nn.modules.linear.Identity",
    }
    _write_json(folder / "3_Dense" / "config.json", settings)
    (folder / "2_Normalize").mkdir(exist_ok=True)
    tensors = {"linear.weight": weight.contiguous(), "linear.bias": bias.contiguous()}
    save_file(tensors, folder / "3_Dense" / "model.safetensors")


def _write_json(file: Path, content: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(content, indent=2), encoding="utf-8")


def write_head(folder: Path, weight: torch.Tensor, bias: torch.Tensor) -> None:
    """Write a head that sentence-transformers has no step for."""
    from safetensors.torch import save_file

    file = folder / OWN_FILE
    file.parent.mkdir(exist_ok=True)
    save_file({"weight": weight.contiguous(), "bias": bias.contiguous()}, file)


def read_head(folder: Path) -> dict[str, torch.Tensor]:
    """Return weight and bias of the head that `write_head` wrote.

    Raises
    ------
    CheckpointError
        If it is not there, or damaged.
    """
    from safetensors.torch import load_file

    file = folder / OWN_FILE
    with checkpoint_errors(f"{file} cannot be read", "Put an intact copy there."):
        return {name: tensor.float() for name, tensor in load_file(file).items()}


def read_dense(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weight and bias of the head that `write_sentence_layout` wrote.

    Raises
    ------
    CheckpointError
        If it is not there.
    """
    dense = [module for module in read_modules(folder) if module.kind == "Dense"]
    if len(dense) != 1:
        raise CheckpointError(
            f"{folder / 'modules.json'} has {len(dense)} Dense steps, expected the one that "
            "save_pretrained wrote. Put an intact copy there."
        )
    with forked_generator():  # torch's layers begin with random weights
        linear: Any = STEPS["Dense"](dense[0].folder).layer
    return linear.linear.weight.detach(), linear.linear.bias.detach()
