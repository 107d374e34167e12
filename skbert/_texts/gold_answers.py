"""Where the answer to learn stands in its context."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from skbert._exceptions import InputError
from skbert._texts.offsets import is_blank, whole_characters, without_blanks
from skbert._texts.questions import Gold
from skbert._texts.word_boundaries import is_cjk


def locate(gold: Gold, context: str, position: int) -> tuple[int, int]:
    """Return the characters of the answer to learn, without outer blanks; (-1, -1) for none.

    Of several occurrences, the first that is no part of a longer word counts, else the first. An
    answer is also found where it differs from its context in outer spaces, invisible characters,
    or in how accents are written.

    Parameters
    ----------
    gold : Gold
        The acceptable answers.
    context : str
        What the question is asked of.
    position : int
        Number of the answer in the caller's y, for the error.

    Raises
    ------
    InputError
        If the answer is not in its context, or not where the user says.
    """
    if not gold.texts:
        return -1, -1
    text = gold.texts[0]
    found = (
        _first_whole_word(text, context) if gold.start is None else _at(text, context, gold.start)
    )
    if found is None:
        where = "" if gold.start is None else f" at character {gold.start}"
        raise InputError(
            f"The answer y[{position}] = {text!r} is not in its context{where}. Give an exact "
            "slice of the context, or None if it contains no answer."
        )
    return without_blanks(context, *found)


def _first_whole_word(text: str, context: str) -> tuple[int, int] | None:
    """Find the first occurrence that is no part of a longer word, else the first."""
    stripped = text[slice(*without_blanks(text, 0, len(text)))]
    # What the user wrote, also as a part of a word, goes before what only looks like it.
    for searched in dict.fromkeys((text, stripped)):
        found = list(_occurrences(searched, context))
        if found:
            return next((span for span in found if _is_whole_word(context, *span)), found[0])
    found = _alike(text, context)
    return next((span for span in found if _is_whole_word(context, *span)), next(iter(found), None))


def _alike(text: str, context: str) -> list[tuple[int, int]]:
    """Find what differs from an answer in blanks, or in how accents are written, only."""
    stripped = text[slice(*without_blanks(text, 0, len(text)))]
    plain, places = _simplified(context)
    return [
        whole_characters(context, places[start], places[end - 1] + 1)
        for start, end in _occurrences(_simplified(stripped)[0], plain)
    ]


def _at(text: str, context: str, start: int) -> tuple[int, int] | None:
    """Return the place that the user gives, if the answer stands there."""
    if start < 0:
        return None
    if context[start : start + len(text)] == text:
        return start, start + len(text)
    first, _ = without_blanks(text, 0, len(text))
    alike = _alike(text, context)
    return next((span for span in alike if span[0] in (start, start + first)), None)


def _occurrences(text: str, context: str) -> Iterator[tuple[int, int]]:
    start = context.find(text) if text else -1
    while start >= 0:
        yield start, start + len(text)
        start = context.find(text, start + 1)


def _is_whole_word(context: str, start: int, end: int) -> bool:
    return not (_joins(context, start) or _joins(context, end))


def _joins(context: str, place: int) -> bool:
    """Return whether the characters before and at a place belong to one word."""
    if not 0 < place < len(context):
        return False
    before, after = context[place - 1], context[place]
    if unicodedata.category(after)[0] == "M":  # an accent belongs to its letter
        return True
    return before.isalnum() and after.isalnum() and not (is_cjk(before) or is_cjk(after))


def _simplified(text: str) -> tuple[str, list[int]]:
    """Return a text with decomposed accents, plain spaces and no invisible characters.

    Also where each of its characters comes from.
    """
    characters, places = [], []
    for place, character in enumerate(text):
        if is_blank(character) and not character.isspace():
            continue
        plain = " " if character.isspace() else unicodedata.normalize("NFD", character)
        characters.append(plain)
        places += [place] * len(plain)
    return "".join(characters), places
