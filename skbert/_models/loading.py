"""A checkpoint's files → transformers' configuration and model. Weights are safetensors only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from skbert._exceptions import CheckpointError
from skbert._models.architectures import find_model_class
from skbert._models.checks import (
    check_all_weights_used,
    check_dtype,
    check_no_adapter,
    check_positions,
    warn_of_own_code,
)
from skbert._models.device import forked_generator
from skbert._models.foreign import (
    checkpoint_errors,
    quiet_transformers,
    weights_read_by_this_thread,
)
from skbert._models.json_files import read_json
from skbert._models.modules import model_folder

KNOWN_ARCHITECTURE = "Is it of an architecture that this version of transformers knows"


def load_config(folder: Path) -> Any:
    """Load the configuration of a checkpoint's folder.

    Raises
    ------
    CheckpointError
        If transformers cannot read it, or would compute something else than it says.
    """
    from transformers import AutoConfig

    folder = model_folder(folder)
    file = folder / "config.json"
    content = read_json(file)
    check_no_adapter(folder)
    check_dtype(content, file)
    what = f"The configuration {file} cannot be read"
    with checkpoint_errors(what, f"{KNOWN_ARCHITECTURE}?"), quiet_transformers():
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config.to_json_string()  # what cannot be written is found here, not when it is saved
    warn_of_own_code(content, file)
    check_positions(config, folder)
    vars(config).pop("auto_map", None)  # `save_pretrained` would write it beside other weights
    return config


def load_model(
    folder: Path, dtype: torch.dtype | str, *, auto_class: str = "AutoModel", config: Any = None
) -> tuple[Any, set[str]]:
    """Load the weights of a checkpoint's folder.

    Parameters
    ----------
    folder : Path
        Its files.
    dtype : torch.dtype or "auto"
        What to load them as; "auto" leaves them as they are stored.
    auto_class : str, default="AutoModel"
        Class of transformers that adds the wanted head.
    config : transformers configuration, default=None
        Instead of the folder's own, e.g. with another number of labels.

    Returns
    -------
    model : transformers model
        In evaluation mode, its weights independent of the files. A pooler that the checkpoint has
        no weights for is left out.
    random : set of str
        Names of the head's weights that the checkpoint does not hold; they are random.

    Raises
    ------
    CheckpointError
        If weights of the encoder are missing, or it is of an unknown architecture.
    """
    folder = model_folder(folder)
    config = load_config(folder) if config is None else config
    model_class = find_model_class(config, auto_class)
    what = f"The model in {folder} cannot be loaded"
    with (
        checkpoint_errors(what, f"Is it complete? {KNOWN_ARCHITECTURE}?"),
        # Weights that are missing get random values: not from the caller's generator.
        forked_generator(),
        quiet_transformers(),
        weights_read_by_this_thread(),
    ):
        model, info = model_class.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            ignore_mismatched_sizes=auto_class != "AutoModel",
            output_loading_info=True,
        )
    random = set(info["missing_keys"]) | {key for key, *_ in info["mismatched_keys"]}
    in_encoder = "" if auto_class == "AutoModel" else model.base_model_prefix + "."
    missing = sorted(key for key in random if key.startswith(in_encoder) and "pooler" not in key)
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of the model's weights, the first is {missing[0]!r}. "
            "Its vectors would be random. Use a complete checkpoint."
        )
    check_all_weights_used(info["unexpected_keys"], model, folder)
    _detach_from_file(model)
    return model.eval(), random


def load_encoder_model(folder: Path, dtype: torch.dtype | str, config: Any) -> Any:
    """Load a checkpoint without a head, as `load_model`; nothing in it is random."""
    model, random = load_model(folder, dtype, config=config)
    if random and hasattr(model, "pooler"):
        model.pooler = None  # what it would compute is random
    return model


def _detach_from_file(model: Any) -> None:
    """Copy the weights that are not, in place, into memory of their own.

    They are mapped from their file, all of it for as long as one of them lives: also linear layers'
    weights that were laid out anew, and page after page of embeddings as words appear. A file that
    others write to meanwhile would change the model or, cut short, kill the process.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if not tensor.untyped_storage().resizable():  # not converted: still the file's
            tensor.data = tensor.data.clone()


@torch.no_grad()
def reset_head(model: Any) -> None:
    """Give the head new random weights, as BERT's own begin, whatever the checkpoint held.

    Rows of an old head belong to other labels, or to targets in another unit.
    """
    inside = model.base_model_prefix + "."
    for name, module in model.named_modules():
        if (name + ".").startswith(inside):
            continue
        if isinstance(module, torch.nn.Linear):
            module.weight.normal_(std=getattr(model.config, "initializer_range", 0.02))
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, torch.nn.LayerNorm):
            module.reset_parameters()


def model_from_weights(config: Any, weights: dict[str, torch.Tensor], auto_class: str) -> Any:
    """Build a model around weights; they are shared, not copied.

    Raises
    ------
    CheckpointError
        If they are not those of a model with this configuration.
    """
    model_class = find_model_class(config, auto_class)
    dtypes = {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()}
    dtype = torch.float32 if len(dtypes) > 1 else dtypes.pop()
    with (
        checkpoint_errors("The saved weights do not fit their configuration", "Fit again."),
        forked_generator(),
        quiet_transformers(),
        weights_read_by_this_thread(),
    ):
        model, info = model_class.from_pretrained(
            None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True
        )
    if info["missing_keys"]:
        raise CheckpointError(
            f"The saved weights lack {len(info['missing_keys'])} of the model's, the first is "
            f"{min(info['missing_keys'])!r}. Fit again."
        )
    return model.eval()
