"""What sentence-transformers' own settings say: length, lower case, prompts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skbert._exceptions import CheckpointError
from skbert._models.json_files import read_json

# The first that is there and not empty counts. One name was for each family of models.
SETTINGS_FILES = (
    "sentence_bert_config.json",
    "sentence_roberta_config.json",
    "sentence_distilbert_config.json",
    "sentence_camembert_config.json",
    "sentence_albert_config.json",
    "sentence_xlm-roberta_config.json",
    "sentence_xlnet_config.json",
)
CHECKPOINT_FILE = "config_sentence_transformers.json"
# Arguments for transformers that change no vector, or are read here.
HARMLESS_ARGUMENTS = {
    "attn_implementation",
    "cache_dir",
    "dtype",
    "local_files_only",
    "model_max_length",
    "padding_side",
    "token",
    "torch_dtype",
    "trust_remote_code",
    "use_fast",
    "use_safetensors",
}
# How a text is read where nothing else is said.
TEXT_MODALITY = {"method": "forward", "method_output_name": "last_hidden_state"}


@dataclass(frozen=True)
class SentenceSettings:
    """Settings of the transformer step.

    Attributes
    ----------
    file : Path or None
        Where they stand.
    max_seq_length : int or None
        Tokens to read; it goes before what the tokenizer says.
    do_lower_case : bool
        Whether texts are put in lower case, whatever else the tokenizer does.
    unapplied : tuple of str
        Settings that change vectors and that skbert does not know.
    """

    file: Path | None = None
    max_seq_length: int | None = None
    do_lower_case: bool = False
    unapplied: tuple[str, ...] = ()


def read_settings(folder: Path) -> SentenceSettings:
    """Read the settings of the transformer in a folder.

    Raises
    ------
    CheckpointError
        If they are damaged.
    """
    for name in SETTINGS_FILES:
        file = folder / name
        if content := read_json(file):
            return SentenceSettings(
                file=file,
                max_seq_length=_max_seq_length(content, file),
                do_lower_case=bool(content.get("do_lower_case")),
                unapplied=tuple(_unapplied(content)),
            )
    return SentenceSettings()


def _max_seq_length(content: dict[str, Any], file: Path) -> int | None:
    arguments = content.get("processor_kwargs") or content.get("tokenizer_args") or {}
    length = content.get("max_seq_length")
    if isinstance(arguments, dict):
        length = arguments.get("model_max_length", length)
    if length is None or (isinstance(length, int) and length > 0 and length is not True):
        return length
    raise CheckpointError(
        f"{file}: max_seq_length={length!r}, expected a number of tokens from 1 on, or null. "
        "Correct the file."
    )


def _unapplied(content: dict[str, Any]) -> list[str]:
    names = []
    for group in ("model_args", "model_kwargs", "tokenizer_args", "processor_kwargs"):
        if not isinstance(content.get(group) or {}, dict):
            names.append(group)
            continue
        names += [
            f"{group}.{key}" for key in (content.get(group) or {}).keys() - HARMLESS_ARGUMENTS
        ]
    names += [
        name for name in ("config_args", "config_kwargs", "processing_kwargs") if content.get(name)
    ]
    modalities = content.get("modality_config") or {"text": TEXT_MODALITY}
    if "message" in modalities or modalities.get("text") != TEXT_MODALITY:
        names.append("modality_config")
    return sorted(names)


@dataclass(frozen=True)
class OwnPrompt:
    """The text that a checkpoint wants before each text, or "", and the file that says so."""

    text: str
    file: Path


def own_prompt(folder: Path, *, kind: str = "SentenceTransformer") -> OwnPrompt:
    """Return the default prompt of a checkpoint of this kind, "" for one of another kind.

    Raises
    ------
    CheckpointError
        If the file is damaged, or names a prompt that it does not hold.
    """
    file = folder / CHECKPOINT_FILE
    content = read_json(file)
    name = content.get("default_prompt_name")
    prompts = content.get("prompts") or {}
    if name is None or model_kind(folder) != kind:
        return OwnPrompt("", file)
    if not isinstance(prompts, dict) or (name not in prompts and name not in EMPTY_PROMPTS):
        raise CheckpointError(
            f"{file}: default_prompt_name={name!r} is not one of its prompts {list(prompts)}. "
            "Correct "
            'the file, or give prompt="..." or prompt=None.'
        )
    text = prompts.get(name) or ""
    if not isinstance(text, str):
        raise CheckpointError(
            f"{file}: the prompt {name!r} is {text!r}, expected a str. Correct the file, or give "
            'prompt="..." or prompt=None.'
        )
    return OwnPrompt(text, file)


# sentence-transformers knows these in every checkpoint, as "".
EMPTY_PROMPTS = ("query", "document")


def is_sentence_encoder(folder: Path) -> bool:
    """Return whether a checkpoint's modules are those of one vector a text.

    sentence-transformers takes only the transformer of its other kinds: `CrossEncoder`,
    `SparseEncoder`, `MultiVectorEncoder`.
    """
    return model_kind(folder) == "SentenceTransformer"


def model_kind(folder: Path) -> str:
    """Return the name of sentence-transformers' class that a checkpoint is for."""
    return str(read_json(folder / CHECKPOINT_FILE).get("model_type", "SentenceTransformer"))


def truncated_size(folder: Path) -> int | None:
    """Return the number of features that the checkpoint cuts its vectors to, or None.

    Raises
    ------
    CheckpointError
        If it is no number.
    """
    file = folder / CHECKPOINT_FILE
    size = read_json(file).get("truncate_dim")
    if size is None or (isinstance(size, int) and size > 0):
        return size
    raise CheckpointError(
        f"{file}: truncate_dim={size!r}, expected a number from 1 on, or null. Correct the file."
    )
