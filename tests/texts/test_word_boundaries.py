"""Plain texts are split into words as the tokenizer does."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from skbert._texts.encoding import TextTokenizer
from skbert._texts.word_boundaries import split_words


def words_of(tokenizer: TextTokenizer, text: str) -> list[str]:
    (spans,) = split_words(tokenizer, [text])
    return [text[start:end] for start, end in spans]


def test_split_words(tokenizer, name):
    text = "  The cat,\tisn't\n\n unbelievable 🙂!  "
    expected = {
        "bert": ["The", "cat", ",", "isn", "'", "t", "unbelievable", "🙂", "!"],
        "roberta": ["The", "cat", ",", "isn", "'t", "unbelievable", "🙂!"],
        "split bytes": ["The", "cat", ",", "isn", "'t", "unbelievable", "🙂!"],
        "metaspace": ["The", "cat,\tisn't\n\n", "unbelievable", "🙂!"],
    }[name]
    assert words_of(tokenizer, text) == [word.strip() for word in expected]


def test_split_words_into_nothing(tokenizer):
    assert split_words(tokenizer, ["", "  ", "\n\t", "a"]) == [[], [], [], [(0, 1)]]


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec=None, categories=None), max_size=30), max_size=4))
def test_words_of_any_text_are_in_order_without_spaces_around(tokenizer, texts):
    result = split_words(tokenizer, texts)
    assert len(result) == len(texts)
    for text, spans in zip(texts, result, strict=True):
        assert spans == sorted(spans)
        for start, end in spans:
            assert 0 <= start < end <= len(text)
            assert text[start:end] == text[start:end].strip()
