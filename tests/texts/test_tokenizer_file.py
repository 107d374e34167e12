"""The file's tokenizer makes the tokens that skbert's makes."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from skbert._texts.encoding import TextTokenizer
from skbert._texts.pairs import encode_pairs
from skbert._texts.tokenizer_file import write_tokenizer
from tests.conformity.tokenizers import make_tokenizer

TEXTS = ["the cat sat", "", "a", "it is not a very good film , and that is that !", "unbelievable"]
OTHERS = [*TEXTS[3:], *TEXTS[:3]]
KINDS = ["wordpiece", "bytes", "unigram", "unigram, xlnet", "bytes, qwen", "wordpiece, funnel"]


@pytest.fixture(params=KINDS)
def backend(request) -> Tokenizer:
    return make_tokenizer(request.param, has_segments=True, max_length=60).backend_tokenizer


@pytest.mark.parametrize("keep_end", [False, True])
def test_texts_are_cut_off_and_padded(backend, tmp_path, keep_end):
    tokenizer = TextTokenizer(backend, 3, keep_end=keep_end, has_segments=True)
    write_tokenizer(tokenizer, 9, tmp_path / "tokenizer.json")
    found = Tokenizer.from_file(str(tmp_path / "tokenizer.json")).encode_batch(TEXTS)
    encodings = tokenizer.encode(TEXTS, max_length=9)
    assert max(encodings.lengths) == 9
    for row, encoding in enumerate(found):
        start, stop = encodings.bounds[row : row + 2]
        expected = encodings.ids[start:stop].tolist()
        n_pads = 9 - len(expected)
        if TEXTS[row] or tokenizer.n_special_tokens:
            assert encoding.ids == expected + [3] * n_pads
            assert encoding.attention_mask == [1] * len(expected) + [0] * n_pads
        if encodings.segments is not None:
            assert encoding.type_ids == encodings.segments[start:stop].tolist() + [0] * n_pads


@pytest.mark.parametrize("keep_end", [False, True])
@pytest.mark.parametrize("max_length", [9, 10, 12, 60])
def test_pairs_lose_tokens_of_the_longer_text(tmp_path, keep_end, max_length):
    backend = make_tokenizer("wordpiece", has_segments=True, max_length=60).backend_tokenizer
    tokenizer = TextTokenizer(backend, 0, keep_end=keep_end, has_segments=True)
    write_tokenizer(tokenizer, max_length, tmp_path / "tokenizer.json")
    read = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for first, second in zip(TEXTS, OTHERS, strict=True):
        expected = encode_pairs(tokenizer, [first], [second], max_length=max_length)
        encoding = read.encode(first, second)
        assert encoding.ids == expected.ids.tolist()
        assert encoding.type_ids == expected.segments.tolist()


def test_the_tokenizer_is_not_changed(backend, tmp_path):
    tokenizer = TextTokenizer(backend, 0)
    before = tokenizer.digest
    write_tokenizer(tokenizer, 9, tmp_path / "tokenizer.json")
    assert tokenizer.digest == before
