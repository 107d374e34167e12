"""Words ↔ word pieces, compared with transformers' own `word_ids`; entities ↔ BIO labels."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from skbert._texts.encoding import TextTokenizer
from skbert._texts.windows import IGNORED, Encodings, concatenate
from skbert._texts.word_labels import encode_words, piece_labels
from tests.conftest import WORDS

DROPPED = ["", "\x00", "\u200b", "\x07\x1b", " ", "\u0301", "\ufeff"]
ODD = [
    "🙂",
    "\ud83d",
    "[MASK]",
    "<mask>",
    "New York",
    " the",
    "x" * 120,
    "猫",
    "don't",
    "unbelievable",
]
SENTENCES = [
    ["the", "cat", "sat"],
    [],
    ["unbelievable", ",", "isn't", "it", "?"],
    [*DROPPED, "the", *ODD, *DROPPED],
    DROPPED,
    ["a"],
]


@pytest.fixture(scope="module")
def pieces_of(name: str, folders: dict[str, Path]) -> Any:
    """Give transformers' pieces of each word of a sentence, by `word_ids`."""
    # What transformers asks of a byte-level tokenizer for words; others know no such option.
    options = {"add_prefix_space": True} if name == "roberta" else {}
    tokenizer = AutoTokenizer.from_pretrained(folders[name], **options)

    def pieces(words: list[str]) -> list[list[int]]:
        clean = ["".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in w) for w in words]
        if name == "split bytes":
            # One text a word: " don't" is read as its " don" and "'t".
            as_is = ("", *tokenizer.all_special_tokens)
            texts = [w if w.startswith(" ") or w in as_is else f" {w}" for w in clean]
            found = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
        else:
            encoding = tokenizer(clean, is_split_into_words=True, add_special_tokens=False)
            found = [[] for _ in words]
            for word, piece in zip(encoding.word_ids(), encoding["input_ids"], strict=True):
                found[word].append(piece)
        return [ids or [tokenizer.unk_token_id] for ids in found]

    return pieces


def windows_of(encodings: Encodings, sentence: int) -> list[list[int]]:
    first, stop = encodings.text_bounds[sentence : sentence + 2]
    bounds = encodings.bounds[first : stop + 1].tolist()
    return [encodings.ids[begin:end].tolist() for begin, end in pairwise(bounds)]


def owned_ids(encodings: Encodings) -> np.ndarray:
    """Ids that windows own, one after another: what the model's rows stand for."""
    return np.concatenate(
        [
            encodings.ids[begin + first : begin + stop]
            for begin, (first, stop) in zip(encodings.bounds[:-1], encodings.owned, strict=True)
        ]
    )


# Words → pieces ---------------------------------------------------------------------------------


def check_against_transformers(
    tokenizer: TextTokenizer, pieces_of: Any, sentences: list[list[str]], max_length: int
) -> None:
    encodings = encode_words(tokenizer, sentences, max_length=max_length)
    expected = [pieces_of(sentence) for sentence in sentences]
    # All pieces, each owned once, in order, with special tokens around each sentence.
    whole, first_pieces = [], []
    for words in expected:
        whole += tokenizer.prefix
        for ids in words:
            first_pieces.append(len(whole))
            whole += ids
        whole += tokenizer.suffix
    assert owned_ids(encodings).tolist() == whole
    assert encodings.first_pieces.dtype == np.int64
    assert encodings.first_pieces.tolist() == first_pieces
    assert encodings.lengths.max() <= max_length
    assert encodings.lost_tokens.tolist() == [0] * len(sentences)


@pytest.mark.parametrize("max_length", [3, 8, 17, 512])
def test_first_pieces_are_those_of_transformers(tokenizer, pieces_of, max_length):
    check_against_transformers(tokenizer, pieces_of, SENTENCES, max_length)


characters = st.characters(codec=None, categories=None)
words = st.one_of(
    st.sampled_from([*WORDS, *ODD, *DROPPED]),
    st.text(characters, max_size=6),
)
sentences = st.lists(st.lists(words, max_size=20), min_size=1, max_size=4)


@settings(max_examples=30, deadline=None)
@given(sentences=sentences, max_length=st.integers(3, 30))
def test_any_words(tokenizer, pieces_of, sentences, max_length):
    check_against_transformers(tokenizer, pieces_of, sentences, max_length)


def test_some_words_are_dropped_by_every_tokenizer(tokenizer, name):
    """So that the tests above reach them."""
    backend = tokenizer.backend
    dropped = [
        word
        for word in DROPPED
        if not backend.encode([word], is_pretokenized=True, add_special_tokens=False).ids
    ]
    assert "" in dropped
    assert len(dropped) > 4 or name != "bert"


def test_bytes_after_a_space(folders):
    """RoBERTa's ``cat`` at the beginning of a text is not the ``cat`` of its other places."""
    settings_ = json.loads((folders["roberta"] / "tokenizer.json").read_text())
    assert settings_["pre_tokenizer"]["add_prefix_space"] is False
    reference = AutoTokenizer.from_pretrained(folders["roberta"])
    tokenizer = TextTokenizer(reference.backend_tokenizer, reference.pad_token_id)
    encodings = encode_words(tokenizer, [["cat", "cat", " cat", "don't"]], max_length=64)
    assert reference.convert_ids_to_tokens(encodings.ids.tolist()) == reference.tokenize(
        "<s> cat cat cat don't</s>"
    )
    assert tokenizer.backend.encode("cat").ids != encodings.ids[:4].tolist()


def test_the_given_tokenizer_is_left_alone(reference, tokenizer):
    before = tokenizer.backend.to_str()
    encode_words(tokenizer, SENTENCES, max_length=9)
    assert tokenizer.backend.to_str() == before


def test_hand_made(folders):
    reference = AutoTokenizer.from_pretrained(folders["bert"])
    tokenizer = TextTokenizer(
        reference.backend_tokenizer, reference.pad_token_id, unknown_id=reference.unk_token_id
    )
    encodings = encode_words(tokenizer, [["the", "unbelievable", "", "cat"], ["a"]], max_length=99)
    tokens = reference.convert_ids_to_tokens(encodings.ids.tolist())
    assert " ".join(tokens) == ("[CLS] the un ##believ ##able [UNK] cat [SEP] [CLS] a [SEP]")
    assert encodings.first_pieces.tolist() == [1, 2, 5, 6, 9]
    labels = piece_labels(encodings, np.array([7, 8, 9, 5, 6]))
    expected = "[CLS] 7 8 ##believ ##able 9 5 [SEP] [CLS] 6 [SEP]"
    for label, token in zip(labels, expected.split(), strict=True):
        assert label == (int(token) if token.isdigit() else IGNORED)


# Windows ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_length", [3, 4, 7, 10, 16, 64])
def test_each_word_is_labelled_once_where_it_has_most_context(tokenizer, pieces_of, max_length):
    rng = np.random.default_rng(0)
    vocabulary = ["the", "cat", "unbelievable", "", "xyz"]
    sentences = [list(rng.choice(vocabulary, size)) for size in (1, 0, 12, 40, 90)]
    encodings = encode_words(tokenizer, sentences, max_length=max_length)
    n_words = sum(map(len, sentences))
    labels = piece_labels(encodings, np.arange(n_words))
    assert np.sort(labels[labels != IGNORED]).tolist() == list(range(n_words))

    places = {code: place for place, code in enumerate(labels.tolist()) if code != IGNORED}
    room = max_length - 2
    step = room - room // 4
    word = 0
    for sentence, size in enumerate(map(len, sentences)):
        n_pieces = sum(map(len, pieces_of(sentences[sentence])))
        starts = [*range(0, max(n_pieces - room, 0), step), max(n_pieces - room, 0)]
        first_window, stop_window = encodings.text_bounds[sentence : sentence + 2]
        assert stop_window - first_window == len(starts)
        first = 0
        for ids in pieces_of(sentences[sentence]):
            # In each window that holds the word's first piece: how far its cut ends are.
            contexts = {
                number: min(
                    first - start if start > 0 else n_pieces,
                    start + room - 1 - first if start + room < n_pieces else n_pieces,
                )
                for number, start in enumerate(starts)
                if start <= first < start + room
            }
            window = int(np.searchsorted(encodings.bounds, places[word], side="right")) - 1
            number = window - first_window
            assert contexts[number] == max(contexts.values())
            assert places[word] - encodings.bounds[window] - 1 == first - starts[number]
            first += len(ids)
            word += 1
        assert size == len(pieces_of(sentences[sentence]))


def test_encodings_of_chunks_join(tokenizer):
    whole = encode_words(tokenizer, SENTENCES, max_length=8)
    parts = [encode_words(tokenizer, [sentence], max_length=8) for sentence in SENTENCES]
    for name in ("ids", "bounds", "owned", "text_bounds", "first_pieces"):
        np.testing.assert_array_equal(getattr(concatenate(parts), name), getattr(whole, name))


# Texts → words ----------------------------------------------------------------------------------


# Labels and entities ----------------------------------------------------------------------------
