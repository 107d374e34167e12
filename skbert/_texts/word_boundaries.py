"""Plain texts → words: where each begins and ends.

What a tokenizer calls a word may hold a space before it, the full stop behind it, or a whole
Chinese sentence. So its words are cut further, as BERT's own tokenizer cuts: at punctuation and
around CJK characters, each of which is a word
(https://github.com/google-research/bert, ``tokenization.py``)::

    "(Rome, Ada)"    ( Rome , Ada )
    "我住在柏林"      我 住 在 柏 林
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

from skbert._texts.encoding import TextTokenizer
from skbert._texts.offsets import whole_characters, without_blanks

# ASCII characters that are no letters or digits, "$" and "^" among them, as BERT has it.
ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
# Blocks of CJK ideographs, first and last code point.
CJK_BLOCKS = (
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xF900, 0xFAFF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0x2F800, 0x2FA1F),
)


def split_words(tokenizer: TextTokenizer, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Split plain texts into words; return where each begins and ends."""
    result = []
    tokenized = tokenizer.tokenize(texts, with_offsets=True, special_tokens=False)
    for text, tokens in zip(texts, tokenized, strict=True):
        assert tokens.offsets is not None
        assert tokens.word_ids is not None
        spans: dict[int, tuple[int, int]] = {}
        for word, (start, end) in zip(tokens.word_ids, tokens.offsets.tolist(), strict=True):
            if word is not None and start < end:
                first, last = spans.get(word, (start, end))
                spans[word] = min(first, start), max(last, end)
        result.append(_in_order(_cut(text, *span) for span in spans.values()))
    return result


def _in_order(words: Iterator[Iterator[tuple[int, int]]]) -> list[tuple[int, int]]:
    """Return words whose characters are those of no earlier one."""
    result: list[tuple[int, int]] = []
    for of_word in words:
        result += [span for span in of_word if not result or span[0] >= result[-1][1]]
    return result


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Cut what a tokenizer calls a word at spaces, punctuation and CJK characters."""
    word = start
    for place in range(start, end + 1):
        alone = place < end and _stands_alone(text[place])
        if place == end or alone or text[place].isspace():
            yield from _trimmed(text, word, place)
            word = place + (place < end)
        if alone:
            yield whole_characters(text, place, place + 1)


def _trimmed(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Return a word without outer blanks, and with its marks, if anything is left of it."""
    start, end = without_blanks(text, start, end)
    # Marks behind a character that stands alone belong to that.
    while start < end and unicodedata.category(text[start])[0] == "M" and start > 0:
        start += 1
    if start < end:
        yield start, whole_characters(text, start, end)[1]


def is_cjk(character: str) -> bool:
    """Return whether a character is a CJK ideograph."""
    code = ord(character)
    return code >= 0x3400 and any(first <= code <= last for first, last in CJK_BLOCKS)


def is_punctuation(character: str) -> bool:
    """Return whether BERT counts a character as punctuation."""
    if character < "\x80":
        return character in ASCII_PUNCTUATION
    return unicodedata.category(character)[0] == "P"


def _stands_alone(character: str) -> bool:
    return is_punctuation(character) or is_cjk(character)
