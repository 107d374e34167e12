"""Labels of words → entities, in any labelling scheme, and how well they were found.

"Ada Lovelace met Max" in the schemes that are known::

    BIO     B-PER I-PER O B-PER     (IOB1, where B- only parts neighbours, is read as well)
    IOE     I-PER E-PER O E-PER
    BIOES   B-PER E-PER O S-PER
    BILOU   B-PER L-PER O U-PER
    BMEWO   B-PER E-PER O W-PER     (M- in the middle)

The letter may also stand behind the kind, after "_", and be small: ``per_b``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

# Letters of each scheme, by what they mean in BIOES.
SCHEMES: dict[str, dict[str, str]] = {
    "BIO": {"B": "B", "I": "I"},
    "IOE": {"I": "I", "E": "E"},
    "BIOES": {"B": "B", "I": "I", "E": "E", "S": "S"},
    "BILOU": {"B": "B", "I": "I", "L": "E", "U": "S"},
    "BMEWO": {"B": "B", "M": "I", "E": "E", "W": "S", "S": "S"},
}
# What seqeval reads strictly: there, only what begins and ends as it should is an entity.
STRICT = ("BIOES", "BILOU", "BMEWO")


class Entity(NamedTuple):
    """An entity in a text.

    Parameters
    ----------
    text : str
        ``text[start:end]`` of the text.
    label : str
        Label of the entity, without "B-" or "I-".
    start, end : int
        Position in the text, in characters.
    score : float
        Mean probability of the labels of its words.
    """

    text: str
    label: str
    start: int
    end: int
    score: float


class Scheme(NamedTuple):
    """How labels of words mark entities.

    Attributes
    ----------
    name : str or None
        Key of `SCHEMES`; None for plain labels, of which equal neighbours are one entity.
    outside : str, int or None
        The label of words outside all entities, if there is one.
    separator : str
        What stands between letter and kind: "-" or "_".
    letter_last : bool
        Whether the letter stands behind the kind.
    """

    name: str | None = None
    outside: Any = "O"
    separator: str = "-"
    letter_last: bool = False

    def read(self, label: Any) -> tuple[str, str]:
        """Return what a label says: B, I, E, S or O, or "" for a plain label, and the kind."""
        if is_outside(label, self.outside):
            return "O", ""
        if self.name is None:
            return "", str(label)
        letter, kind = _parts(str(label), self.separator, self.letter_last)
        meaning = SCHEMES[self.name].get(letter, "") if kind else ""
        return (meaning, kind) if meaning else ("", str(label))


BIO = Scheme("BIO")


def is_outside(label: Any, outside: Any) -> bool:
    """Return whether a label marks words outside all entities; "o" does where "O" would."""
    if outside is None:
        return False
    return bool(label == outside) or (outside == "O" and str(label) == "o")


def _parts(label: str, separator: str, letter_last: bool) -> tuple[str, str]:
    """Cut a label into its letter and its kind."""
    if letter_last:
        kind, _, letter = label.rpartition(separator)
    else:
        letter, _, kind = label.partition(separator)
    return letter.upper(), kind


def find_scheme(labels: Sequence[Any], outside: Any = "O") -> Scheme:
    """Find the scheme that most labels are written in."""
    inside = [str(label) for label in labels if not is_outside(label, outside)]
    best, n_read = Scheme(None, outside), 0
    for separator in "-_":
        for letter_last in (False, True):
            parts = [_parts(label, separator, letter_last) for label in inside]
            letters = {letter for letter, kind in parts if kind and len(letter) == 1}
            name = _name_of(letters & set("BIESLUMW"), has_outside=len(inside) < len(labels))
            scheme = Scheme(name, outside, separator, letter_last)
            found = sum(scheme.read(label)[0] != "" for label in inside)
            # A few labels of another kind may stand beside those of a scheme that has a B-.
            is_scheme = name is not None and (found == len(inside) or "B" in letters)
            if is_scheme and found > n_read:
                best, n_read = scheme, found
    return best


def _name_of(letters: set[str], *, has_outside: bool) -> str | None:
    """Return the first scheme that has all the letters; a lone S- or E- may mean anything."""
    if not letters or (not letters & {"B", "I"} and not has_outside):
        return None
    return next((name for name, known in SCHEMES.items() if letters <= known.keys()), None)


def unread_labels(labels: Sequence[Any], scheme: Scheme) -> list[Any]:
    """Return the labels that a scheme does not know."""
    return [label for label in labels if scheme.read(label)[0] == ""]


def marks_entities(labels: Sequence[Any], scheme: Scheme) -> bool:
    """Return whether a scheme knows all labels, so that F1 of entities can be counted."""
    return scheme.name is not None and not unread_labels(labels, scheme)


def entity_spans(labels: Sequence[Any], scheme: Scheme = BIO) -> list[tuple[str, int, int]]:
    """Read entities from labels: (kind, first word, one after the last).

    BIO and IOE are read as CoNLL's evaluation and seqeval do, so that an I- without an entity of
    its kind before it begins one; the other schemes as seqeval's strict mode does.
    """
    parts = [scheme.read(label) for label in labels]
    goes_on = _goes_on_strictly if scheme.name in STRICT else _goes_on
    spans, start = [], 0
    for stop in range(1, len(parts) + 1):
        if stop < len(parts) and goes_on(parts[stop - 1], parts[stop]):
            continue
        first, last = parts[start], parts[stop - 1]
        is_whole = scheme.name not in STRICT or first[0] == "" or _is_whole(first[0], last[0])
        if first[0] != "O" and is_whole:
            spans.append((first[1], start, stop))
        start = stop
    return spans


def _goes_on(before: tuple[str, str], now: tuple[str, str]) -> bool:
    """Return whether a word belongs to the entity of the word before it."""
    return before[0] not in ("O", "E") and now[0] in ("I", "E", "") and before[1] == now[1]


def _goes_on_strictly(before: tuple[str, str], now: tuple[str, str]) -> bool:
    if before[0] == now[0] == "":
        return before[1] == now[1]
    return before[0] in ("B", "I") and now[0] in ("I", "E") and before[1] == now[1]


def _is_whole(first: str, last: str) -> bool:
    return (first, last) in (("B", "E"), ("S", "S"))


def entity_f1(
    true: Sequence[Sequence[Any]], predicted: Sequence[Sequence[Any]], scheme: Scheme = BIO
) -> float:
    """Return the micro-averaged F1 of whole entities; 1.0 where there are none on either side."""
    found, expected, both = 0, 0, 0
    for labels, guesses in zip(true, predicted, strict=True):
        spans = set(entity_spans(labels, scheme))
        guessed = set(entity_spans(guesses, scheme))
        found, expected = found + len(guessed), expected + len(spans)
        both += len(spans & guessed)
    return 2 * both / (expected + found) if expected + found else 1.0


def token_accuracy(true: Sequence[Sequence[Any]], predicted: Sequence[Sequence[Any]]) -> float:
    """Return the share of words whose label is right; 1.0 where there are none."""
    pairs = [pair for rows in zip(true, predicted, strict=True) for pair in zip(*rows, strict=True)]
    return float(np.mean([label == guess for label, guess in pairs])) if pairs else 1.0


def word_score(classes: Sequence[Any], scheme: Scheme) -> Callable[..., float]:
    """Return the measure for labels: (true, predicted) → F1 of entities, or accuracy of words."""
    if marks_entities(classes, scheme):
        return lambda true, predicted: entity_f1(true, predicted, scheme)
    return token_accuracy
