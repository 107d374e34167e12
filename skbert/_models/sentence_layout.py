"""A pooled head in sentence-transformers' layout: Transformer, Pooling, Normalize, Dense.

``SentenceTransformer(folder).encode(texts)`` then gives the head's outputs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from skbert._exceptions import CheckpointError
from skbert._models.device import forked_generator
from skbert._models.modules import read_modules
from skbert._models.sentence_transformers import POOLING_FLAGS, POOLING_MODES
from skbert._models.vector_steps import STEPS

KINDS = ("Transformer", "Pooling", "Normalize", "Dense")


def write_sentence_layout(
    folder: Path,
    *,
    poolings: Sequence[str],
    weight: torch.Tensor,
    bias: torch.Tensor,
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
    weight, bias : Tensor, shape (n_outputs, n_features) and (n_outputs,)
        The head on vectors of length 1.
    max_length : int
        Tokens that are read of a text.
    prompt : str
        Text before each text; "" for none.
    include_prompt : bool
        Whether its tokens are pooled.
    """
    from safetensors.torch import save_file

    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": "" if number == 0 else f"{number}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(KINDS)
    ]
    n_outputs, n_features = weight.shape
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
            "word_embedding_dimension": n_features // len(names),
            **{flag: mode in names for flag, mode in POOLING_FLAGS.items()},
            "include_prompt": include_prompt,
        },
        "3_Dense/config.json": {
            "in_features": n_features,
            "out_features": n_outputs,
            "bias": True,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    }
    for name, content in files.items():
        file = folder / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(content, indent=2), encoding="utf-8")
    (folder / "2_Normalize").mkdir(exist_ok=True)
    dense = {"linear.weight": weight.contiguous(), "linear.bias": bias.contiguous()}
    save_file(dense, folder / "3_Dense" / "model.safetensors")


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
