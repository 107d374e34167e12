"""Tokenizers of every kind, with small vocabularies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from skbert._texts.encoding import TextTokenizer
from tests.conftest import WORDS, save_tokenizer
from tests.texts.test_pairs import roberta_tokenizer

SPECIAL = {
    "bos_token": "<s>",
    "pad_token": "<pad>",
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "<mask>",
}


def bert_tokenizer(folder: Path) -> None:
    save_tokenizer(folder)


def split_bytes_tokenizer(folder: Path) -> None:
    """Bytes of parts that a regular expression has cut before, as in Llama's tokenizers."""
    roberta_tokenizer(folder)
    backend = Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"'t| ?\w+| ?[^\s\w]+|\s+"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    for file in folder.iterdir():
        file.unlink()
    PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL).save_pretrained(folder)


def metaspace_tokenizer(folder: Path) -> None:
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.UnigramTrainer(
        vocab_size=150, special_tokens=special, unk_token="<unk>", show_progress=False
    )
    backend.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    PreTrainedTokenizerFast(tokenizer_object=backend, **SPECIAL).save_pretrained(folder)


TOKENIZERS = {
    "bert": bert_tokenizer,
    "roberta": roberta_tokenizer,
    "split bytes": split_bytes_tokenizer,
    "metaspace": metaspace_tokenizer,
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for name, save in TOKENIZERS.items():
        made[name] = tmp_path_factory.mktemp("tokenizer")
        save(made[name])
    return made


@pytest.fixture(scope="module", params=TOKENIZERS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def reference(name: str, folders: dict[str, Path]) -> Any:
    return AutoTokenizer.from_pretrained(folders[name])


@pytest.fixture(scope="module")
def tokenizer(reference: Any) -> TextTokenizer:
    return TextTokenizer(
        reference.backend_tokenizer, reference.pad_token_id, unknown_id=reference.unk_token_id
    )
