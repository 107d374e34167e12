"""What would go wrong later, or go unnoticed, said where a checkpoint is loaded."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from skbert._exceptions import CheckpointError, CheckpointWarning, stacklevel_of_caller

# Model types of transformers 5 that compute with relative positions of this kind: none that reads
# texts does any more; transformers 4 did, for BERT and its relatives.
RELATIVE_POSITIONS = ("relative_key", "relative_key_query")


def check_no_adapter(folder: Path) -> None:
    """Refuse a folder with an adapter: what is loaded would depend on whether peft is installed.

    Raises
    ------
    CheckpointError
        If there is one.
    """
    file = folder / "adapter_config.json"
    if file.is_file():
        raise CheckpointError(
            f"{file}: the folder contains an adapter, not (only) the weights of a complete model. "
            "Merge it into the weights once, with peft: "
            "model.merge_and_unload().save_pretrained(FOLDER), and pass that folder; or remove the "
            "adapter's files to use the model without it."
        )


def warn_of_own_code(content: Mapping[str, Any], file: Path) -> None:
    """Warn if a file names code that comes with the checkpoint.

    Warns
    -----
    CheckpointWarning
        The code is not run.
    """
    if content.get("auto_map"):
        warnings.warn(
            f"{file}: auto_map={content['auto_map']!r} names code that comes with the checkpoint. "
            "It is not run: transformers' own is used, and results differ where that computes "
            "something else. Compare a few with the checkpoint's own example.",
            CheckpointWarning,
            stacklevel=stacklevel_of_caller(),
        )


def check_positions(config: Any, folder: Path) -> None:
    """Refuse relative positions that this version of transformers no longer computes.

    Raises
    ------
    CheckpointError
        If the configuration asks for them.
    """
    kind = getattr(config, "position_embedding_type", None)
    if kind in RELATIVE_POSITIONS:
        raise CheckpointError(
            f"{folder / 'config.json'}: position_embedding_type={kind!r} is not computed by this "
            "version of transformers, which would take absolute positions instead. Use a "
            "checkpoint with absolute positions."
        )


def check_dtype(content: Mapping[str, Any], file: Path) -> None:
    """Refuse a number format that torch does not have.

    Raises
    ------
    CheckpointError
        If the configuration names one.
    """
    for name in ("dtype", "torch_dtype"):
        value = content.get(name)
        if isinstance(value, str):
            known = getattr(torch, value.removeprefix("torch."), None)
            if value != "auto" and not isinstance(known, torch.dtype):
                raise CheckpointError(
                    f"{file}: {name}={value!r}, expected a number format of torch such as "
                    '"float32". Correct it.'
                )


def check_labels(config: Any, folder: Path) -> None:
    """Refuse labels that do not number a head's outputs.

    Raises
    ------
    CheckpointError
        If numbers are missing, or two have the same name.
    """
    labels = config.id2label
    names = list(labels.values())
    if sorted(labels) != list(range(len(labels))):
        wrong = f"expected the numbers 0 to {len(labels) - 1}"
    elif len({str(name) for name in names}) < len(names):
        wrong = "expected another name for each number"
    else:
        return
    raise CheckpointError(f"{folder / 'config.json'}: id2label={labels!r}, {wrong}. Correct it.")


def check_vocabulary(tokenizer: Any, folder: Path) -> None:
    """Refuse a tokenizer that knows special tokens only: all words would be the unknown one.

    Raises
    ------
    CheckpointError
        If it is one.
    """
    backend = tokenizer.backend_tokenizer
    if backend.get_vocab_size(with_added_tokens=False) > MOST_SPECIAL_TOKENS:
        return
    special = {token.content for token in backend.get_added_tokens_decoder().values()}
    special |= set(map(str, tokenizer.all_special_tokens))
    if not backend.get_vocab(with_added_tokens=False).keys() - special:
        files = sorted(file.name for file in folder.iterdir() if file.suffix != ".safetensors")
        raise CheckpointError(
            f"The tokenizer in {folder}, a {type(tokenizer).__name__}, contains only "
            f"special tokens: every word would be unknown. Its vocabulary is in none of the files "
            f"{files}, or in another format. Save it again: "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        )


# A vocabulary larger than this has words: it need not be looked through.
MOST_SPECIAL_TOKENS = 5_000


# Set on a tokenizer: the largest number in its vocabulary, read from its file. To ask the tokenizer
# for its vocabulary takes as long as all other checks together.
LAST_NUMBER = "_skbert_last_number"


def check_token_ids(tokenizer: Any, model: Any) -> None:
    """Refuse a tokenizer with tokens that the model has no embedding of.

    Raises
    ------
    CheckpointError
        If there is one.
    """
    rows = getattr(model.get_input_embeddings(), "weight", None)
    if rows is None:
        return
    n_rows, backend = len(rows), tokenizer.backend_tokenizer
    last = getattr(tokenizer, LAST_NUMBER, n_rows)
    if max([last, *backend.get_added_tokens_decoder()]) < n_rows:
        return
    vocabulary = backend.get_vocab()
    beyond = {token: number for token, number in vocabulary.items() if number >= n_rows}
    if beyond:
        token = min(beyond, key=beyond.__getitem__)
        raise CheckpointError(
            f"The tokenizer has {len(beyond)} token(s) more than the model has embeddings: "
            f"{token!r} is number {beyond[token]}, and the model's {n_rows} rows end with number "
            f"{n_rows - 1}. Use the tokenizer that the model was trained with, or save the model "
            "again after model.resize_token_embeddings(len(tokenizer))."
        )


def check_all_weights_used(unexpected: Iterable[str], model: Any, folder: Path) -> None:
    """Refuse weights inside the encoder that the model does not compute with.

    Heads for other tasks, and a pooler, may be left out; a part of the encoder means that another
    architecture is computed than was trained.

    Raises
    ------
    CheckpointError
        If there are such weights.
    """
    prefix = model.base_model_prefix + "."
    parts = {name for name, _ in model.base_model.named_children() if "pooler" not in name}
    inside = sorted(
        name
        for name in unexpected
        if name.removeprefix(prefix).partition(".")[0] in parts and not _is_constant(name)
    )
    if inside:
        raise CheckpointError(
            f"{folder} contains {len(inside)} weights of the encoder that this version of "
            f"transformers does not use, the first is {inside[0]!r}. Its vectors would "
            "be wrong. Use the version of transformers that the checkpoint was made with, "
            "or another checkpoint."
        )


def _is_constant(name: str) -> bool:
    """Return whether a weight of older files is a table that the model makes anew."""
    return name.endswith(CONSTANTS)


CONSTANTS = ("position_ids", "token_type_ids", "inv_freq", ".masked_bias", ".attn.bias")
