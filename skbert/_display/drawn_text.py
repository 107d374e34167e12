"""Texts with coloured words, drawn with matplotlib: measured, broken into lines, put in place.

All lengths are in points. The origin of each artist is the upper left corner of the axes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skbert._display.coloured_text import Piece, colour, largest_importance
from skbert._optional import import_optional

LINE_HEIGHT = 1.75  # of the font's size
SMALLEST_FONT = 4.0
# Width of a new figure, its margin, room for the title and for the scale of the colours.
WIDTH, MARGIN, TITLE, SCALE = 576.0, 12.0, 24.0, 56.0


@dataclass(frozen=True)
class DrawnText:
    """What was drawn: the axes, headings and words in order, and the scale of the colours."""

    ax: Any
    artists: list[Any]
    colorbar: Any


def draw_text(
    ax: Any,
    title: str,
    paragraphs: Sequence[tuple[str, Sequence[Piece]]],
    *,
    fontsize: float,
    colorbar: bool,
    needed_by: str,
) -> DrawnText:
    """Draw paragraphs, in smaller letters where given axes have too little room.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Where; None for a new figure, as high as the text.
    title : str
        What is written above.
    paragraphs : sequence of (str, sequence of Piece)
        A heading, which may be empty, and the pieces of a text.
    fontsize : float
        Size of the letters.
    colorbar : bool
        Whether to draw the scale of the colours.
    needed_by : str
        Public name that draws, for the message if matplotlib is not installed.
    """
    pyplot = import_optional("matplotlib.pyplot", extra="plot", needed_by=needed_by)
    is_new, below = ax is None, SCALE if colorbar else 0.0
    if is_new:
        figure = pyplot.figure(figsize=(WIDTH / 72, 1), layout="none")
        ax = figure.add_axes((MARGIN / WIDTH, 0, 1 - 2 * MARGIN / WIDTH, 1))
    ax.set_axis_off()
    largest = largest_importance(paragraphs)
    items = _paragraphs(ax, paragraphs, fontsize, largest)
    if is_new:
        _fit_figure(ax, _place(items, fontsize, WIDTH - 2 * MARGIN) + below)
    else:
        width, height = _size(ax)
        _shrink(items, fontsize, width, height - below)
    ax.set_title(title, loc="left", fontsize=11, parse_math=False)
    scale = _draw_scale(ax, largest) if colorbar else None
    return DrawnText(ax, [item.artist for paragraph in items for item in paragraph], scale)


@dataclass
class _Item:
    """An artist that is moved to its place: its width in points, and what is before it."""

    artist: Any
    width: float
    follows_space: bool


def _paragraphs(
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
    box = {  # translucent, so that it hides no part of the letters beside it
        "facecolor": colour(piece.importance, largest) if is_read else "none",
        "edgecolor": "black" if piece.is_marked else "none",
        "pad": 1.0,
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
    return _Item(artist, _width(artist), follows_space)


def _width(artist: Any) -> float:
    """Return width of the letters alone, without the box, in points."""
    artist.get_bbox_patch().set_visible(False)
    width = float(artist.get_window_extent().width)
    artist.get_bbox_patch().set_visible(True)
    return width * 72 / float(artist.figure.dpi)


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


def _place(paragraphs: Sequence[Sequence[_Item]], fontsize: float, available: float) -> float:
    """Move all items to their places; give the height of all lines, in points."""
    y = 0.0
    for items in paragraphs:
        for line in wrap(items, 0.35 * fontsize, available):
            y += LINE_HEIGHT * fontsize
            for item, x in line:
                item.artist.set_position((x, 0.5 * fontsize - y))
        y += 0.3 * fontsize
    return y


def _shrink(
    paragraphs: Sequence[Sequence[_Item]], fontsize: float, width: float, height: float
) -> None:
    """Place the items in a given space, in smaller letters if it must be."""
    while _place(paragraphs, fontsize, width) > height and fontsize > SMALLEST_FONT:
        smaller = max(SMALLEST_FONT, 0.9 * fontsize)
        for items in paragraphs:
            for item in items:
                item.artist.set_fontsize(item.artist.get_fontsize() * smaller / fontsize)
                item.width = _width(item.artist)  # not in proportion: letters are hinted
        fontsize = smaller


def _size(ax: Any) -> tuple[float, float]:
    """Return width and height of axes, in points, where a layout engine put them."""
    ax.figure.draw_without_rendering()
    box = ax.get_window_extent()
    return box.width * 72 / ax.figure.dpi, box.height * 72 / ax.figure.dpi


def _fit_figure(ax: Any, height: float) -> None:
    """Make the figure as high as its text, all in points."""
    total = height + TITLE + 2 * MARGIN
    ax.figure.set_size_inches(WIDTH / 72, total / 72)
    ax.set_position((MARGIN / WIDTH, MARGIN / total, 1 - 2 * MARGIN / WIDTH, height / total))


def _draw_scale(ax: Any, largest: float) -> Any:
    """Draw the scale of the colours at the foot of the axes."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, Normalize
    from matplotlib.ticker import MaxNLocator

    width, height = _size(ax)
    levels = np.linspace(-largest, largest, 101)
    colours = LinearSegmentedColormap.from_list("", [colour(v, largest) for v in levels])
    inset = ax.inset_axes((0, 34 / height, min(1.0, 220 / width), 9 / height))
    bar = ax.figure.colorbar(
        ScalarMappable(Normalize(-largest, largest), colours),
        cax=inset,
        orientation="horizontal",
        ticks=MaxNLocator(5),
    )
    inset.tick_params(labelsize=8)
    inset.set_xlabel("importance: change of the output", fontsize=9)
    return bar
