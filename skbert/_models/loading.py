"""A checkpoint's files → transformers' tokenizer and model. Weights are safetensors only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from skbert._exceptions import CheckpointError
from skbert._models.architectures import find_model_class
from skbert._models.device import forked_generator

VOCABULARY_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)


def load_tokenizer(folder: Path) -> Any:
    """Load the fast tokenizer of a checkpoint's folder.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    from transformers import AutoTokenizer

    # Without these, transformers would make a tokenizer that knows special tokens only.
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise CheckpointError(
            f"{folder} has no tokenizer ({', '.join(VOCABULARY_FILES)}). Save one beside the "
            "weights: AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        )
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise CheckpointError(
            f"The tokenizer in {folder} cannot be read: {_first_line(error)}. Save it again: "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        ) from error
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"The tokenizer in {folder} is a slow one (no tokenizer.json can be made of it), "
            "expected a fast one. Use a checkpoint that has one."
        )
    return tokenizer


def load_config(folder: Path) -> Any:
    """Load the configuration of a checkpoint's folder.

    Raises
    ------
    CheckpointError
        If transformers cannot read it.
    """
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"The configuration in {folder} cannot be read: {_first_line(error)}. Is it of an "
            "architecture that this version of transformers knows?"
        ) from error


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
    config = load_config(folder) if config is None else config
    model_class = find_model_class(config, auto_class)
    try:
        # Weights that are missing get random values: not from the caller's generator.
        with forked_generator(), quiet_transformers():
            model, info = model_class.from_pretrained(
                folder,
                config=config,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=auto_class != "AutoModel",
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise CheckpointError(
            f"The model in {folder} cannot be loaded: {_first_line(error)}. Is it complete, and of "
            "an architecture that this version of transformers knows?"
        ) from error
    random = set(info["missing_keys"]) | {key for key, *_ in info["mismatched_keys"]}
    in_encoder = "" if auto_class == "AutoModel" else model.base_model_prefix + "."
    missing = sorted(key for key in random if key.startswith(in_encoder) and "pooler" not in key)
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of the model's weights, the first is {missing[0]!r}. "
            "Its vectors would be random. Use a complete checkpoint."
        )
    _detach_from_file(model)
    return model.eval(), random


def _detach_from_file(model: Any) -> None:
    """Copy the weights, in place, into memory of their own.

    They are mapped from their file, all of it for as long as one of them lives: also linear layers'
    weights that were laid out anew, and page after page of embeddings as words appear. A file that
    others write to meanwhile would change the model or, cut short, kill the process.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


@torch.no_grad()
def reset_head(model: Any) -> None:
    """Return the head new random weights, as BERT's own begin, whatever the checkpoint held.

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
    try:
        with forked_generator(), quiet_transformers():
            model, info = model_class.from_pretrained(
                None, config=config, state_dict=weights, dtype=dtype, output_loading_info=True
            )
    except (ValueError, KeyError, RuntimeError) as error:
        raise CheckpointError(
            f"The saved weights do not fit their configuration: {_first_line(error)}. Fit again."
        ) from error
    if info["missing_keys"]:
        raise CheckpointError(
            f"The saved weights lack {len(info['missing_keys'])} of the model's, the first is "
            f"{min(info['missing_keys'])!r}. Fit again."
        )
    return model.eval()


# Both settings are the whole process's: of two threads, each would restore what the other set.
# A thread that will draw random numbers takes `forked_generator` first: a fit holds that already.
_QUIET = threading.RLock()


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bars and load reports from the user's screen for a moment."""
    from transformers.utils import logging

    with _QUIET:
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        hook = logging.set_tqdm_hook(
            lambda tqdm, args, options: tqdm(*args, **{**options, "disable": True})
        )
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            logging.set_tqdm_hook(hook)


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return (text.splitlines() or [type(error).__name__])[0]
