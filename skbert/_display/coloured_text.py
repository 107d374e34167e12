"""Texts with coloured words, as HTML. Never learns what coloured them.

A text is cut into pieces that, put together, are the text again: words with an importance, and
what is between them or was not read, without one.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

from skbert._display.tokenized_example import Word

# Colours of words that raise and that lower the explained number; they differ for all eyes.
RAISES, LOWERS = (178, 24, 43), (33, 102, 172)
STRONGEST = 0.75  # opacity of the most important word; black letters stay readable


class Piece(NamedTuple):
    """A part of a text; its importance is NaN where it has none."""

    text: str
    importance: float = math.nan
    is_marked: bool = False


def cut_text(
    text: str, words: Sequence[Word], importances: Sequence[float], marked: tuple[int, int] = (0, 0)
) -> list[Piece]:
    """Cut a text into words and what is between them.

    Parameters
    ----------
    text : str
        The text.
    words : sequence of Word
        Its words, in order.
    importances : sequence of float
        One a word, NaN for words that were not read.
    marked : tuple of int, default=(0, 0)
        Where the marked characters begin and end.
    """
    pieces, end = [], 0
    for word, importance in zip(words, importances, strict=True):
        if word.start > end:
            pieces.append(Piece(text[end : word.start]))
        is_marked = word.start < marked[1] and word.end > marked[0]
        start = max(word.start, end)  # no character twice
        pieces.append(Piece(text[start : word.end], float(importance), is_marked))
        end = max(end, word.end)
    return [*pieces, Piece(text[end:])] if end < len(text) else pieces


def largest_importance(paragraphs: Sequence[tuple[str, Sequence[Piece]]]) -> float:
    """Return the greatest absolute importance; 1 where there is none."""
    sizes = [abs(piece.importance) for _, pieces in paragraphs for piece in pieces]
    return max((size for size in sizes if size > 0), default=1.0)


def opacity(importance: float, largest: float) -> float:
    """Return how strongly a word is coloured, from 0 to `STRONGEST`."""
    return STRONGEST * abs(importance) / largest


def colour(importance: float, largest: float) -> tuple[float, float, float, float]:
    """Return the colour behind a word: red, green, blue and opacity, from 0 to 1."""
    red, green, blue = (level / 255 for level in (RAISES if importance > 0 else LOWERS))
    return red, green, blue, opacity(importance, largest)


def paragraphs_to_html(title: str, paragraphs: Sequence[tuple[str, Sequence[Piece]]]) -> str:
    """Write a title and paragraphs, each with its heading, as HTML; all text is escaped.

    Parameters
    ----------
    title : str
        What is written above.
    paragraphs : sequence of (str, sequence of Piece)
        A heading, which may be empty, and the pieces of a text.
    """
    largest = largest_importance(paragraphs)
    blocks = "".join(
        _div(html.escape(heading), "color:#767676;font-size:80%") * bool(heading)
        + _div(
            "".join(_piece_to_html(piece, largest) for piece in pieces),
            "white-space:pre-wrap;margin-bottom:6px",
        )
        for heading, pieces in paragraphs
    )
    return _div(
        _div(f"<b>{html.escape(title)}</b>", "") + blocks + _legend(),
        "max-width:60em;line-height:1.8;padding:8px;color:#000;background:#fff",
    )


def _div(content: str, style: str) -> str:
    return f'<div style="{style}">{content}</div>'


def _piece_to_html(piece: Piece, largest: float) -> str:
    text = html.escape(piece.text)
    if math.isnan(piece.importance):
        return f'<span style="color:#767676">{text}</span>' if piece.text.strip() else text
    levels = ",".join(map(str, RAISES if piece.importance > 0 else LOWERS))
    style = f"background:rgba({levels},{opacity(piece.importance, largest):.3f});"
    style += "border-radius:3px;padding:1px 0;"
    if piece.is_marked:
        style += "outline:1px solid #000;"
    return f'<span style="{style}" title="{piece.importance:+.4g}">{text}</span>'


def _legend() -> str:
    """Say in HTML what the colours mean."""
    samples = [
        f'<span style="background:rgba({",".join(map(str, levels))},0.6);padding:1px 4px">'
        f"{meaning}</span>"
        for levels, meaning in ((RAISES, "raises it"), (LOWERS, "lowers it"))
    ]
    return f'<div style="font-size:80%">{" ".join(samples)}</div>'
