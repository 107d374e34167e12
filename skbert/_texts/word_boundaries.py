"""Plain texts → words: where each begins and ends.

What a tokenizer calls a word may hold a space before it, the full stop behind it, or a whole
Chinese sentence, or end in the middle of an accented letter. So texts are cut as BERT's own
tokenizer cuts them, for every model: at spaces, at punctuation and around CJK characters, each of
which is a word (https://github.com/google-research/bert, ``tokenization.py``)::

    "(Rome, Ada)"    ( Rome , Ada )
    "我住在柏林"      我 住 在 柏 林
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence

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


def split_words(texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Split plain texts into words; return where each begins and ends."""
    return [list(_cut(text)) for text in texts]


def _cut(text: str) -> Iterator[tuple[int, int]]:
    """Cut a text at spaces, punctuation and CJK characters."""
    start = 0
    for place, character in enumerate(text):
        alone = _stands_alone(character)
        if alone or character.isspace():
            yield from _trimmed(text, start, place)
            start = place + 1
        if alone:
            yield whole_characters(text, place, place + 1)
    yield from _trimmed(text, start, len(text))


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
