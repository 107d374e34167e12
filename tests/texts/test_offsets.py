"""Offsets of tokens are the characters that belong to them, whatever the tokenizer says."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from skbert._texts.encoding import TextTokenizer
from skbert._texts.offsets import repaired_offsets, whole_characters, without_blanks

CORPUS = ["the cat sat on the mat . Ada lives in Rome , (Rome, Ada) caf\u00e9 e\u0301te\u0301"]


def byte_level(pre_tokenizer, post_processor) -> TextTokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS * 20, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = post_processor
    return TextTokenizer(tokenizer, 0)


def unigram() -> TextTokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS * 20, trainer)
    return TextTokenizer(tokenizer, 0)


WHITESPACE_FIRST = pre_tokenizers.Sequence(
    [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=True)]
)
TOKENIZERS = {
    "trimmed": lambda: byte_level(
        pre_tokenizers.ByteLevel(add_prefix_space=False), processors.ByteLevel(trim_offsets=True)
    ),
    "not trimmed": lambda: byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), None),
    "template": lambda: byte_level(
        pre_tokenizers.ByteLevel(add_prefix_space=True),
        processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=True),
                processors.TemplateProcessing(single="$A", pair="$A $B", special_tokens=[]),
            ]
        ),
    ),
    "whitespace first": lambda: byte_level(
        WHITESPACE_FIRST, processors.ByteLevel(trim_offsets=True)
    ),
    "metaspace": unigram,
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def kind(request: pytest.FixtureRequest) -> TextTokenizer:
    return TOKENIZERS[request.param]()


@pytest.mark.parametrize("text", ["the cat sat", " the  cat\tsat ", "the cat sat\n", "cat"])
def test_tokens_have_no_space_and_lose_no_letter(kind, text):
    (tokens,) = kind.tokenize([text], with_offsets=True, special_tokens=False)
    assert all(text[start:end].strip() == text[start:end] for start, end in tokens.offsets)
    held = {place for start, end in tokens.offsets for place in range(start, end)}
    assert held == {place for place, character in enumerate(text) if not character.isspace()}


def test_marks_belong_to_the_letter_before_them():
    """BERT drops accents; the word that it was made from has them."""
    text = "e\u0301te\u0301 a\ufe0f"
    repaired = repaired_offsets(text, [(0, 4), (6, 7)])
    assert repaired.tolist() == [[0, 5], [6, 8]]


def test_marks_that_another_token_holds_stay_there():
    assert repaired_offsets("e\u0301a", [(0, 1), (1, 2), (2, 3)]).tolist() == [
        [0, 1],
        [1, 2],
        [2, 3],
    ]


def test_blanks_only_have_no_characters():
    repaired = repaired_offsets(" \u200b a", [(0, 1), (1, 2), (2, 4)])
    assert (repaired[:2, 0] == repaired[:2, 1]).all()
    assert repaired[2].tolist() == [3, 4]


def test_special_tokens_keep_their_zeros():
    assert repaired_offsets(" a", [(0, 0), (0, 2), (0, 0)]).tolist() == [[0, 0], [1, 2], [0, 0]]
    assert repaired_offsets("", [(0, 0)]).tolist() == [[0, 0]]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=20), st.data())
def test_repaired_offsets_are_slices_without_outer_blanks(text, data):
    edges = data.draw(st.lists(st.integers(0, len(text)), max_size=8).map(sorted))
    offsets = list(pairwise(edges))
    repaired = repaired_offsets(text, offsets)
    assert repaired.shape == (len(offsets), 2)
    for (start, end), (first, last) in zip(offsets, repaired.tolist(), strict=True):
        assert start <= first <= last <= len(text)
        assert (first, last) == (first, max(first, last))
        trimmed = without_blanks(text, start, end)
        if trimmed[0] < trimmed[1]:
            assert first == trimmed[0]
            assert trimmed[1] <= last <= whole_characters(text, *trimmed)[1]
        else:
            assert first == last


def test_the_ids_do_not_change():
    tokenizer = TOKENIZERS["whitespace first"]()
    with_offsets, without = (
        tokenizer.tokenize(CORPUS, with_offsets=flag) for flag in (True, False)
    )
    np.testing.assert_array_equal(with_offsets[0].ids, without[0].ids)
