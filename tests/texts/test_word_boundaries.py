"""Plain texts are split into words as BERT's own tokenizer splits them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skbert._texts.word_boundaries import split_words


def words_of(text: str) -> list[str]:
    (spans,) = split_words([text])
    return [text[start:end] for start, end in spans]


def test_split_words():
    text = "  The cat,\tisn't\n\n unbelievable 🙂!  "
    expected = ["The", "cat", ",", "isn", "'", "t", "unbelievable", "🙂", "!"]
    assert words_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(Rome, Ada)", "( Rome , Ada )"),
        ("Ada lives in Rome.", "Ada lives in Rome ."),
        ("我住在柏林", "我 住 在 柏 林"),
        ("我 Ada柏", "我 Ada 柏"),
        ("100% of U.S.", "100 % of U . S ."),
        ("«Rome»—Ada", "« Rome » — Ada"),
        ("e\u0301te\u0301 Rome", "e\u0301te\u0301 Rome"),
        (".\u0301 a", ".\u0301 a"),
    ],
)
def test_words_are_cut_at_punctuation_and_around_cjk(text, expected):
    assert words_of(text) == expected.split()


def test_split_words_into_nothing():
    assert split_words(["", "  ", "\n\t", "a"]) == [[], [], [], [(0, 1)]]


@settings(max_examples=50, deadline=None)
@given(texts=st.lists(st.text(st.characters(codec=None, categories=None), max_size=30), max_size=4))
def test_words_of_any_text_are_in_order_without_spaces_around(texts):
    result = split_words(texts)
    assert len(result) == len(texts)
    for text, spans in zip(texts, result, strict=True):
        assert spans == sorted(spans)
        for start, end in spans:
            assert 0 <= start < end <= len(text)
            assert text[start:end] == text[start:end].strip()
