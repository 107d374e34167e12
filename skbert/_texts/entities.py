"""Labels of words → entities, and how well they were found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np


class Entity(NamedTuple):
    """An entity in a text.

    Parameters
    ----------
    text : str
        ``text[start:end]`` of the text that it was found in.
    label : str
        What it is, without "B-" or "I-".
    start, end : int
        Its characters.
    score : float
        Mean probability of its words' labels.
    """

    text: str
    label: str
    start: int
    end: int
    score: float


def is_bio(labels: Sequence[Any]) -> bool:
    """Return whether labels are B-…, I-… and O, with at least one entity among them."""
    kinds = [str(label).partition("-") for label in labels]
    outside = all(prefix in ("B", "I") and kind for prefix, _, kind in kinds if prefix != "O")
    return outside and any(prefix in ("B", "I") for prefix, _, _ in kinds)


def entity_spans(labels: Sequence[str]) -> list[tuple[str, int, int]]:
    """Read entities from BIO labels: (kind, first word, one after the last).

    An I- without an entity of its kind before it begins one, as in CoNLL's evaluation.
    """
    spans: list[tuple[str, int, int]] = []
    kind, start = "", 0
    for position, label in enumerate([*labels, "O"]):
        prefix, _, now = str(label).partition("-")
        goes_on = prefix == "I" and now == kind
        if kind and not goes_on:
            spans.append((kind, start, position))
            kind = ""
        if prefix in ("B", "I") and not goes_on:
            kind, start = now, position
    return spans


def entity_f1(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Return the micro-averaged F1 of whole entities; 1.0 where there are none on either side."""
    found, expected, both = 0, 0, 0
    for labels, guesses in zip(true, predicted, strict=True):
        spans, guessed = set(entity_spans(labels)), set(entity_spans(guesses))
        expected, found, both = (
            expected + len(spans),
            found + len(guessed),
            both + len(spans & guessed),
        )
    return 2 * both / (expected + found) if expected + found else 1.0


def word_score(
    true: Sequence[Sequence[Any]], predicted: Sequence[Sequence[Any]], metric: str
) -> float:
    """Return entity F1 or token accuracy of labels of words."""
    if metric == "entity_f1":
        return entity_f1(true, predicted)
    pairs = [pair for rows in zip(true, predicted, strict=True) for pair in zip(*rows, strict=True)]
    return float(np.mean([label == guess for label, guess in pairs])) if pairs else 1.0
