"""The kinds of fast tokenizers that checkpoints come with, small, of the words of the tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

from tests.conftest import WORDS, vocabulary

# Special tokens, and where they stand around one text and around a pair.
BERT = {
    "special": {
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "mask_token": "[MASK]",
    },
    "single": "[CLS] $A [SEP]",
    "pair": "[CLS] $A [SEP] $B:1 [SEP]:1",
}
ROBERTA = {
    "special": {
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
        "cls_token": "<s>",
        "sep_token": "</s>",
    },
    "single": "<s> $A </s>",
    "pair": "<s> $A </s> </s> $B </s>",
}
T5 = {
    "special": {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
    "single": "$A </s>",
    "pair": "$A </s> $B </s>",
}
XLNET = {
    "special": {
        "unk_token": "<unk>",
        "pad_token": "<pad>",
        "sep_token": "<sep>",
        "cls_token": "<cls>",
        "mask_token": "<mask>",
    },
    "single": "$A <sep> <cls>:2",
    "pair": "$A <sep> $B:1 <sep>:1 <cls>:2",
}
FUNNEL = {
    "special": BERT["special"],
    "single": "[CLS]:2 $A [SEP]",
    "pair": "[CLS]:2 $A [SEP] $B:1 [SEP]:1",
}
QWEN = {
    "special": {"pad_token": "<|endoftext|>", "eos_token": "<|endoftext|>"},
    "single": "$A <|endoftext|>",
    "pair": "$A $B:0 <|endoftext|>",
}
GEMMA = {
    "special": {
        "pad_token": "<pad>",
        "eos_token": "<eos>",
        "bos_token": "<bos>",
        "unk_token": "<unk>",
    },
    "single": "<bos> $A <eos>",
    "pair": "<bos> $A $B:0 <eos>",
}
GPT2 = {"special": {"eos_token": "<|endoftext|>", "bos_token": "<|endoftext|>"}, "single": None}


def word_pieces(special: list[str]) -> Tokenizer:
    """BERT's: words, then pieces of words."""
    words = [*special, *(word for word in vocabulary() if not word.startswith("["))]
    tokenizer = Tokenizer(
        models.WordPiece(dict(zip(words, range(len(words)), strict=True)), unk_token=special[1])
    )
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def bytes_in_pairs(special: list[str]) -> Tokenizer:
    """RoBERTa's and GPT-2's: byte-level BPE."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    words = " ".join(word for word in WORDS if not word.startswith("##"))
    tokenizer.train_from_iterator(
        [words],
        BpeTrainer(
            vocab_size=400,
            special_tokens=special,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    return tokenizer


def unigram(special: list[str]) -> Tokenizer:
    """sentencepiece's: the likeliest cut of a text whose spaces are "▁"."""
    words = [word for word in WORDS if word.isalpha()]
    letters = [*"abcdefghijklmnopqrstuvwxyz.,!?▁"]
    pieces = [(f"▁{word}", -4.0) for word in words] + [(letter, -8.0) for letter in letters]
    vocab = [(token, 0.0) for token in special] + pieces
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=special.index("<unk>")))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    return tokenizer


KINDS: dict[str, tuple[Callable[[list[str]], Tokenizer], dict[str, Any]]] = {
    "wordpiece": (word_pieces, BERT),
    "wordpiece, funnel": (word_pieces, FUNNEL),
    "bytes": (bytes_in_pairs, ROBERTA),
    "bytes, deberta": (bytes_in_pairs, BERT),
    "bytes, gpt2": (bytes_in_pairs, GPT2),
    "bytes, qwen": (bytes_in_pairs, QWEN),
    "unigram": (unigram, ROBERTA),
    "unigram, deberta": (unigram, {**BERT, "special": {**BERT["special"], "unk_token": "<unk>"}}),
    "unigram, t5": (unigram, T5),
    "unigram, xlnet": (unigram, XLNET),
    "unigram, gemma": (unigram, GEMMA),
}


def make_tokenizer(kind: str, *, has_segments: bool, max_length: int) -> Any:
    """Make a transformers tokenizer of a kind."""
    from transformers import PreTrainedTokenizerFast

    make, layout = KINDS[kind]
    special = list(dict.fromkeys(layout["special"].values()))
    tokenizer = make(special)
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    if layout["single"]:
        tokenizer.post_processor = TemplateProcessing(
            single=layout["single"],
            pair=layout["pair"],
            special_tokens=[(token, tokenizer.token_to_id(token)) for token in special],
        )
    names = ["input_ids", *(["token_type_ids"] if has_segments else []), "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=max_length,
        model_input_names=names,
        **layout["special"],
    )
