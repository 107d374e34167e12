"""A checkpoint's files → its fast tokenizer, which reads texts as the files say.

transformers 5 builds many tokenizers anew, from the vocabulary alone: what else ``tokenizer.json``
says, of normalization or of how words are split, is lost without a word. So what was loaded is
compared with the file, and the file counts. Only settings of ``tokenizer_config.json`` go before
it, where they always did: ``do_lower_case``, ``strip_accents`` and ``tokenize_chinese_chars`` for a
plain BERT normalizer, ``add_prefix_space`` for plain byte-level splitting, ``add_bos_token`` and
``add_eos_token``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers

from skbert._exceptions import CheckpointError
from skbert._models.checks import LAST_NUMBER, check_vocabulary, warn_of_own_code
from skbert._models.foreign import checkpoint_errors, quiet_transformers
from skbert._models.json_files import read_json
from skbert._models.modules import model_folder
from skbert._models.sentence_settings import read_settings

VOCABULARY_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "spm.model",
    "sentencepiece.bpe.model",
    "sentencepiece.model",
)
SAVE_AGAIN = (
    "Save it again: AutoTokenizer.from_pretrained(...).save_pretrained(folder), with the version "
    "of transformers that made it."
)


def load_tokenizer(folder: Path, config: Any = None) -> Any:
    """Load the fast tokenizer of a checkpoint's folder.

    Parameters
    ----------
    folder : Path
        Its files.
    config : transformers configuration, default=None
        The model's, which tells the kind of tokenizer where the tokenizer's own files do not; read
        from the folder by default, if it is there.

    Raises
    ------
    CheckpointError
        If there is none, or it knows no words.
    """
    folder = model_folder(folder)
    # Without these, transformers would make a tokenizer that knows special tokens only.
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise CheckpointError(
            f"{folder} has no tokenizer ({', '.join(VOCABULARY_FILES)}). Save one beside the "
            "weights: AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        )
    warn_of_own_code(read_json(folder / "tokenizer_config.json"), folder / "tokenizer_config.json")
    file = folder / "tokenizer.json"
    said = read_json(file)
    tokenizer = _loaded(folder, config)
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"The tokenizer in {folder} is a slow one (no tokenizer.json can be made of it), "
            "expected a fast one. Use a checkpoint that has one."
        )
    if said:
        restore_from_file(tokenizer, said, file)
        setattr(tokenizer, LAST_NUMBER, _last_number(said))
    if read_settings(folder).do_lower_case:
        read_lower_case(tokenizer)
    check_vocabulary(tokenizer, folder)
    return tokenizer


def _loaded(folder: Path, config: Any) -> Any:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    options = {"local_files_only": True, "trust_remote_code": False}
    what = f"The tokenizer in {folder} cannot be read"
    with checkpoint_errors(what, _remedy(folder)), quiet_transformers():
        try:
            return AutoTokenizer.from_pretrained(folder, config=config, **options)
        except Exception:
            if not (folder / "tokenizer.json").is_file():
                raise
            # A file of another kind than the model's usual one: it tells all by itself.
            return PreTrainedTokenizerFast.from_pretrained(folder, **options)


def _remedy(folder: Path) -> str:
    if not (folder / "tokenizer.json").is_file() and list(folder.glob("*.model")):
        return (
            "A vocabulary in SentencePiece's format needs sentencepiece and protobuf: pip install "
            "sentencepiece protobuf. Or save a tokenizer.json beside it."
        )
    return SAVE_AGAIN


def restore_from_file(tokenizer: Any, said: dict[str, Any], file: Path) -> None:
    """Let a tokenizer do what its ``tokenizer.json`` says, if transformers made another of it."""
    loaded = json.loads(tokenizer.backend_tokenizer.to_str())
    if all(said.get(part) == loaded.get(part) for part in PARTS):
        return
    with checkpoint_errors(f"{file} cannot be read", SAVE_AGAIN):
        backend = Tokenizer.from_file(str(file))
    # Older files leave out what has its usual value: compared is what they mean.
    meant = json.loads(backend.to_str())
    if all(meant[part] == loaded[part] for part in PARTS):
        return
    _keep_settings_of_config(backend, meant, tokenizer, loaded)
    _add_missing_tokens(backend, tokenizer.backend_tokenizer)
    backend.encode_special_tokens = tokenizer.backend_tokenizer.encode_special_tokens
    tokenizer._tokenizer = backend
    setattr(tokenizer, NOT_OF_ITS_CLASS, True)


# Set on a tokenizer that its class would build otherwise from the same vocabulary.
NOT_OF_ITS_CLASS = "_skbert_not_of_its_class"
PARTS = ("model", "normalizer", "pre_tokenizer", "post_processor", "added_tokens")


def _keep_settings_of_config(
    backend: Tokenizer, meant: dict[str, Any], tokenizer: Any, loaded: dict[str, Any]
) -> None:
    """Take over from the loaded tokenizer what tokenizer_config.json decides."""
    own, settings = tokenizer.backend_tokenizer, tokenizer.init_kwargs
    if _kind(meant["normalizer"]) == _kind(loaded["normalizer"]) == "BertNormalizer":
        for setting in ("lowercase", "strip_accents", "handle_chinese_chars"):
            setattr(backend.normalizer, setting, loaded["normalizer"][setting])
    if _kind(meant["pre_tokenizer"]) == "ByteLevel":
        backend.pre_tokenizer.add_prefix_space = bool(settings.get("add_prefix_space", False))
    if {"add_bos_token", "add_eos_token"} & settings.keys():
        backend.post_processor = own.post_processor


def _last_number(said: dict[str, Any]) -> int:
    """Return the largest number of a token in a tokenizer.json, but for added tokens."""
    vocabulary = said["model"]["vocab"]
    return max(vocabulary.values() if isinstance(vocabulary, dict) else [len(vocabulary) - 1])


def _kind(part: dict[str, Any] | None) -> str | None:
    return None if part is None else part["type"]


def _add_missing_tokens(backend: Tokenizer, loaded: Tokenizer) -> None:
    """Add the tokens that other files than tokenizer.json name."""
    known = {token.content for token in backend.get_added_tokens_decoder().values()}
    for _, token in sorted(loaded.get_added_tokens_decoder().items()):
        if token.content not in known:
            (backend.add_special_tokens if token.special else backend.add_tokens)([token])


def read_lower_case(tokenizer: Any) -> None:
    """Let a tokenizer put texts in lower case first, if it has no such step."""
    backend = tokenizer.backend_tokenizer
    steps = _steps(backend.normalizer)
    if not any(isinstance(step, normalizers.Lowercase) for step in steps):
        backend.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])
        setattr(tokenizer, NOT_OF_ITS_CLASS, True)


def _steps(normalizer: Any) -> list[Any]:
    if normalizer is None:
        return []
    is_sequence = isinstance(normalizer, normalizers.Sequence)
    return (
        [normalizer[number] for number in range(len(normalizer))] if is_sequence else [normalizer]
    )


def readable_elsewhere(settings: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """Return a tokenizer_config.json that transformers 4 and 5 read alike.

    Parameters
    ----------
    settings : dict
        What transformers 5 writes there.
    tokenizer : transformers tokenizer
        What was saved.
    """
    is_own = getattr(tokenizer, NOT_OF_ITS_CLASS, False)
    if is_own or settings.get("tokenizer_class") == "TokenizersBackend":
        # Both read tokenizer.json as it is under this name.
        settings = {**settings, "tokenizer_class": "PreTrainedTokenizerFast"}
    if is_own:
        settings = {**settings, "model_input_names": list(tokenizer.model_input_names)}
    if isinstance(tokens := settings.get("extra_special_tokens"), list):
        # transformers 4 expects names for these; both read a list under its older name.
        settings = {**settings, "additional_special_tokens": tokens}
        del settings["extra_special_tokens"]
    return settings
