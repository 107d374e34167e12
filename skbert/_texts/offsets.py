"""Which characters tokens were made from, repaired: tokenizers count them in different ways.

Some count the space before a word to its first token, some cut the first letter off instead, and
most forget the combining marks that they drop::

    text            " mat"            "cat"             "e\u0301te\u0301"
    tokenizer says  " mat"            "at"              "e" + U+0301 + "te"
    here            "mat"             "cat"             all five characters
"""

from __future__ import annotations

import json
import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

# Skin tones: they belong to the emoji before them, as combining marks to their letter.
EMOJI_MODIFIERS = range(0x1F3FB, 0x1F400)


def untrimmed(backend: Tokenizer) -> Tokenizer:
    """Return a tokenizer that leaves offsets as they are: a copy, where this one trims them.

    The post-processors of byte-level tokenizers take a character off where a token begins with
    "Ġ", also where the text has no space there (https://github.com/huggingface/tokenizers,
    ``process_offsets``).
    """
    if backend.post_processor is None:
        return backend
    state = json.loads(backend.post_processor.__getstate__())
    if not _stop_trimming(state):
        return backend
    copy = Tokenizer.from_str(backend.to_str())
    processor = copy.post_processor
    processor.__setstate__(json.dumps(state).encode())
    copy.post_processor = processor
    return copy


def _stop_trimming(state: dict[str, Any]) -> bool:
    """Switch trimming off, in place, in a post-processor and its parts; whether any was on."""
    parts = [_stop_trimming(part) for part in state.get("processors", [])]
    was_on = bool(state.get("trim_offsets"))
    if was_on:
        state["trim_offsets"] = False
    return was_on or any(parts)


def repaired_offsets(text: str, offsets: list[tuple[int, int]]) -> NDArray[np.int64]:
    """Return offsets without outer blanks and with the marks that follow, shape (n_tokens, 2).

    A token of blanks only has none: its beginning and its end are equal.

    Parameters
    ----------
    text : str
        What was tokenized.
    offsets : list of (int, int)
        What the tokenizer says.
    """
    places = np.array(offsets, np.int64).reshape(-1, 2)
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    if not len(places) or not len(codes):
        return places
    starts, ends = places.T.copy()
    distinct, which = np.unique(codes, return_inverse=True)
    characters = list(map(chr, distinct.tolist()))
    blank = np.array([is_blank(character) for character in characters])[which]
    if blank.any():
        starts, ends = _trimmed(starts, ends, blank)
    marks = np.array([is_mark(character) for character in characters])[which]
    if marks.any():
        ends = _with_marks(starts, ends, marks)
    return np.stack([starts, ends], axis=1)


def _trimmed(
    starts: NDArray[np.int64], ends: NDArray[np.int64], blank: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    new_starts = np.minimum(_next_place(blank)[starts], ends)
    # The end of the last character before each place that is not blank.
    before = np.maximum.accumulate(np.append(0, np.where(blank, 0, np.arange(len(blank)) + 1)))
    return new_starts, np.maximum(before[ends], new_starts)


def _with_marks(
    starts: NDArray[np.int64], ends: NDArray[np.int64], marks: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Move ends behind the marks that no other token holds."""
    held = np.zeros(len(marks) + 1, np.int64)
    np.add.at(held, starts, 1)
    np.add.at(held, ends, -1)
    is_free = marks & (np.cumsum(held)[:-1] == 0)
    return np.where(ends > starts, _next_place(is_free)[ends], ends)


def _next_place(is_passed: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the first place from each one on, the end included, that is not passed over."""
    n = len(is_passed)
    places = np.append(np.where(is_passed, n, np.arange(n)), n)
    return np.minimum.accumulate(places[::-1])[::-1]


def whole_characters(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a slice of a text, widened so that no letter is parted from its marks."""
    while 0 < start < len(text) and is_mark(text[start]):
        start -= 1
    while end < len(text) and is_mark(text[end]):
        end += 1
    return start, end


def without_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a slice of a text without the spaces and invisible characters at its edges."""
    while start < end and is_blank(text[start]):
        start += 1
    while end > start and is_blank(text[end - 1]):
        end -= 1
    return start, end


def is_blank(character: str) -> bool:
    """Return whether a character is a space or invisible."""
    return character.isspace() or unicodedata.category(character) in ("Cf", "Cc")


def is_mark(character: str) -> bool:
    """Return whether a character is a combining mark, variation selector or emoji modifier."""
    return unicodedata.category(character)[0] == "M" or ord(character) in EMOJI_MODIFIERS
