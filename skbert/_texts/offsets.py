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
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

SPACES = np.array([code for code in range(0x3001) if chr(code).isspace()], np.uint32)
# Skin tones: they belong to the emoji before them, as combining marks to their letter.
EMOJI_MODIFIERS = range(0x1F3FB, 0x1F400)
# All marks, control and invisible characters but these are from U+0300 on.
LOW_CONTROLS = np.array([*range(0x20), *range(0x7F, 0xA0), 0xAD], np.uint32)
FIRST_MARK = 0x300


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
    blank = np.isin(codes, SPACES) | _in_category(codes, "Cf", "Cc")
    if blank.any():
        starts, ends = _trimmed(starts, ends, blank)
    marks = is_mark(codes)
    if marks.any():
        ends = _with_marks(starts, ends, marks)
    return np.stack([starts, ends], axis=1)


def _trimmed(
    starts: NDArray[np.int64], ends: NDArray[np.int64], blank: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    n = len(blank)
    places = np.arange(n)
    # The first place from each one on, and the last one before it, that is not blank.
    after = np.append(np.where(blank, n, places), n)
    following = np.minimum.accumulate(after[::-1])[::-1]
    before = np.maximum.accumulate(np.append(0, np.where(blank, 0, places + 1)))
    new_starts = np.minimum(following[starts], ends)
    return new_starts, np.maximum(before[ends], new_starts)


def _with_marks(
    starts: NDArray[np.int64], ends: NDArray[np.int64], marks: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Move ends behind the marks that no other token holds."""
    n = len(marks)
    held = np.zeros(n + 1, np.int64)
    np.add.at(held, starts, 1)
    np.add.at(held, ends, -1)
    is_free = marks & (np.cumsum(held)[:-1] == 0)
    behind = np.append(np.where(is_free, n, np.arange(n)), n)
    following = np.minimum.accumulate(behind[::-1])[::-1]
    return np.where(ends > starts, following[ends], ends)


def whole_characters(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a slice of a text, widened so that no letter is parted from its marks."""
    while 0 < start < len(text) and _is_mark(text[start]):
        start -= 1
    while end < len(text) and _is_mark(text[end]):
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


def is_mark(codes: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """Return which code points are combining marks, variation selectors or emoji modifiers."""
    return _in_category(codes, "Mn", "Mc", "Me") | np.isin(codes, EMOJI_MODIFIERS)


def _is_mark(character: str) -> bool:
    return _category(ord(character))[0] == "M" or ord(character) in EMOJI_MODIFIERS


def _in_category(codes: NDArray[np.uint32], *categories: str) -> NDArray[np.bool_]:
    """Return which code points are of some of Unicode's categories."""
    rare = (codes >= FIRST_MARK) | np.isin(codes, LOW_CONTROLS)
    if not rare.any():
        return np.zeros(len(codes), bool)
    found = [code for code in np.unique(codes[rare]).tolist() if _category(code) in categories]
    return np.isin(codes, found)


@cache
def _category(code: int) -> str:
    return unicodedata.category(chr(code))
