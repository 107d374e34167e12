"""Texts with coloured words: as HTML, and drawn with matplotlib. Never learns what coloured them.

A text is cut into pieces that, put together, are the text again: words with an importance, and
what is between them or was not read, without one.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from skbert._reading import Word

# Colours of words that raise and that lower the explained number; they differ for all eyes.
RAISES, LOWERS = (178, 24, 43), (33, 102, 172)
STRONGEST = 0.75  # opacity of the most important word; black letters stay readable

LINE_HEIGHT = 1.75  # of the font's size
SMALLEST_FONT = 4.0


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


def largest_importance(paragraphs: Sequence[Sequence[Piece]]) -> float:
    """Give the greatest absolute importance; 1 where there is none."""
    sizes = [abs(p.importance) for pieces in paragraphs for p in pieces]
    return max((size for size in sizes if size > 0), default=1.0)


def opacity(importance: float, largest: float) -> float:
    """How strongly a word is coloured, from 0 to `STRONGEST`."""
    return STRONGEST * abs(importance) / largest


def blended(importance: float, largest: float) -> tuple[float, float, float]:
    """Give the colour of a word on white paper, red, green and blue from 0 to 1."""
    alpha = opacity(importance, largest)
    red, green, blue = (
        1 - alpha * (1 - level / 255) for level in (RAISES if importance > 0 else LOWERS)
    )
    return red, green, blue


def to_html(pieces: Sequence[Piece], largest: float) -> str:
    """Write a paragraph as HTML; everything that the user wrote is escaped."""
    return "".join(_piece_to_html(piece, largest) for piece in pieces)


def _piece_to_html(piece: Piece, largest: float) -> str:
    text = html.escape(piece.text)
    if math.isnan(piece.importance):
        return f'<span style="color:#767676">{text}</span>' if piece.text.strip() else text
    colour = ",".join(map(str, RAISES if piece.importance > 0 else LOWERS))
    style = f"background:rgba({colour},{opacity(piece.importance, largest):.3f});"
    style += "border-radius:3px;padding:1px 0;"
    if piece.is_marked:
        style += "outline:1px solid #000;"
    return f'<span style="{style}" title="{piece.importance:+.4g}">{text}</span>'


@dataclass
class _Item:
    """An artist that is moved to its place: its width in points, and what is before it."""

    artist: Any
    width: float
    follows_space: bool


def draw_paragraphs(
    ax: Any, paragraphs: Sequence[tuple[str, Sequence[Piece]]], fontsize: float, largest: float
) -> list[list[_Item]]:
    """Make the artists of headings and words, not yet in their places."""
    return [
        items
        for heading, pieces in paragraphs
        for items in (
            [_item(ax, Piece(heading), 0.8 * fontsize, largest, False)] if heading else [],
            _items(ax, pieces, fontsize, largest),
        )
        if items
    ]


def _items(ax: Any, pieces: Sequence[Piece], fontsize: float, largest: float) -> list[_Item]:
    items, after_space = [], False
    for piece in pieces:
        # Words have no space inside, but what was not read has.
        for part in re.findall(r"\s+|\S+", piece.text):
            if part.isspace():
                after_space = True
            else:
                shown = piece._replace(text=part)
                items.append(_item(ax, shown, fontsize, largest, after_space))
                after_space = False
    return items


def _item(ax: Any, piece: Piece, fontsize: float, largest: float, follows_space: bool) -> _Item:
    is_read = not math.isnan(piece.importance)
    box = {
        "facecolor": blended(piece.importance, largest) if is_read else "none",
        "edgecolor": "black" if piece.is_marked else "none",
        "pad": 1.5,
    }
    artist = ax.annotate(
        piece.text,
        xy=(0, 1),
        xycoords="axes fraction",
        xytext=(0, 0),
        textcoords="offset points",
        va="baseline",
        fontsize=fontsize,
        color="black" if is_read else "0.45",
        bbox=box,
        parse_math=False,  # a dollar is a dollar
    )
    artist.set_in_layout(False)
    # The width of the letters alone, without the box.
    artist.get_bbox_patch().set_visible(False)
    width = artist.get_window_extent().width * 72 / ax.figure.dpi
    artist.get_bbox_patch().set_visible(True)
    return _Item(artist, width, follows_space)


def wrap(items: Sequence[_Item], space: float, available: float) -> list[list[tuple[_Item, float]]]:
    """Break items into lines: each item with its distance from the left, in points.

    Lines are broken at spaces; where a word or a text without spaces is longer than a line, in it.
    """
    chunks: list[list[_Item]] = []
    for item in items:
        if item.follows_space or not chunks:
            chunks.append([])
        chunks[-1].append(item)
    lines: list[list[tuple[_Item, float]]] = [[]]
    x = 0.0
    for chunk in chunks:
        x += space if lines[-1] else 0
        if lines[-1] and x + sum(item.width for item in chunk) > available:
            lines.append([])
            x = 0.0
        for item in chunk:
            if lines[-1] and x + item.width > available:
                lines.append([])
                x = 0.0
            lines[-1].append((item, x))
            x += item.width
    return lines


def place(paragraphs: Sequence[Sequence[_Item]], fontsize: float, available: float) -> float:
    """Move all items to their places; give the height of all lines, in points."""
    y = 0.0
    for items in paragraphs:
        for line in wrap(items, 0.35 * fontsize, available):
            y += LINE_HEIGHT * fontsize
            for item, x in line:
                item.artist.set_position((x, 0.5 * fontsize - y))
        y += 0.3 * fontsize
    return y


def shrink(
    paragraphs: Sequence[Sequence[_Item]], fontsize: float, width: float, height: float
) -> None:
    """Place the items in a given space, in smaller letters if it must be."""
    while place(paragraphs, fontsize, width) > height and fontsize > SMALLEST_FONT:
        smaller = max(SMALLEST_FONT, 0.93 * fontsize)
        for items in paragraphs:
            for item in items:
                item.artist.set_fontsize(item.artist.get_fontsize() * smaller / fontsize)
                item.width *= smaller / fontsize
        fontsize = smaller
