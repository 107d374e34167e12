"""Drawn texts: every word in its place and colour."""

from __future__ import annotations

from itertools import combinations

import pytest

matplotlib = pytest.importorskip("matplotlib")

from matplotlib import pyplot  # noqa: E402

from skbert._display.coloured_text import Piece, colour  # noqa: E402
from skbert._display.drawn_text import draw_text  # noqa: E402

SETTINGS = {"fontsize": 12.0, "colorbar": True, "needed_by": "x"}


@pytest.fixture(autouse=True)
def agg():
    with matplotlib.rc_context({"backend": "agg"}):
        yield
    pyplot.close("all")


def sentence(n_words: int) -> list[Piece]:
    words = ["word" + "s" * (k % 7) for k in range(n_words)]
    return [piece for word in words for piece in (Piece(word, 1.0), Piece(",", 0.1), Piece(" "))]


def letters(artist):
    artist.get_bbox_patch().set_visible(False)
    box = artist.get_window_extent()
    artist.get_bbox_patch().set_visible(True)
    return box


def check_places(drawn):
    """All words lie inside the axes, and none on another."""
    drawn.ax.figure.draw_without_rendering()
    frame = drawn.ax.get_window_extent()
    boxes = [letters(artist) for artist in drawn.artists]
    for box in boxes:
        assert box.x0 >= frame.x0 - 1
        assert box.x1 <= frame.x1 + 1
        assert box.y0 >= frame.y0
    for a, b in combinations(boxes, 2):
        width = min(a.x1, b.x1) - max(a.x0, b.x0)
        height = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert width < 1.5 or height < 1.5  # in pixels


def test_words_have_their_colours():
    pieces = [Piece("up", 2.0), Piece(" "), Piece("down", -1.0), Piece(" "), Piece("unread words")]
    drawn = draw_text(None, "T", [("head", pieces)], **SETTINGS)
    texts = [artist.get_text() for artist in drawn.artists]
    assert texts == ["head", "up", "down", "unread", "words"]
    boxes = [artist.get_bbox_patch().get_facecolor() for artist in drawn.artists]
    assert boxes[1] == pytest.approx(colour(2.0, 2.0))
    assert boxes[2] == pytest.approx(colour(-1.0, 2.0))
    assert boxes[0][3] == boxes[3][3] == 0
    assert [artist.get_color() for artist in drawn.artists] == [
        "0.45",
        *["black"] * 2,
        *["0.45"] * 2,
    ]


def test_scale_spans_the_largest_importance_both_ways():
    drawn = draw_text(None, "T", [("", [Piece("a", -3.0), Piece("b", 1.0)])], **SETTINGS)
    assert (drawn.colorbar.norm.vmin, drawn.colorbar.norm.vmax) == (-3, 3)
    assert drawn.colorbar.cmap(1.0) == pytest.approx(colour(3.0, 3.0), abs=0.01)
    assert drawn.colorbar.cmap(0.0) == pytest.approx(colour(-3.0, 3.0), abs=0.01)
    assert draw_text(None, "T", [], **{**SETTINGS, "colorbar": False}).colorbar is None


@pytest.mark.parametrize("n_words", [1, 20, 120])
def test_a_new_figure_is_as_high_as_its_text(n_words):
    drawn = draw_text(None, "T", [("a", sentence(n_words)), ("b", sentence(3))], **SETTINGS)
    check_places(drawn)
    assert drawn.ax.title.get_window_extent().y1 <= drawn.ax.figure.bbox.y1
    assert all(artist.get_fontsize() == 12 for artist in drawn.artists if artist.get_text() > "b")


def test_commas_follow_their_words_without_a_space():
    drawn = draw_text(None, "T", [("", sentence(2))], **SETTINGS)
    word, comma, following = (letters(artist) for artist in drawn.artists[:3])
    assert comma.x0 == pytest.approx(word.x1, abs=1)
    assert following.x0 > comma.x1 + 2


def test_no_line_begins_with_a_comma():
    drawn = draw_text(None, "T", [("", sentence(200))], **SETTINGS)
    heights = [artist.get_position()[1] for artist in drawn.artists]
    assert len(set(heights)) > 5
    assert heights[0::2] == heights[1::2]  # words, and their commas


def test_given_axes_get_smaller_letters():
    _, ax = pyplot.subplots(figsize=(5, 3.5))
    drawn = draw_text(ax, "T", [("", sentence(70))], **SETTINGS)
    assert drawn.ax is ax
    assert 4 < drawn.artists[0].get_fontsize() < 12
    check_places(drawn)
    assert drawn.artists[-1].get_window_extent().y0 > drawn.colorbar.ax.get_window_extent().y1


def test_a_text_without_spaces_is_broken_too():
    drawn = draw_text(None, "T", [("", [Piece("w", 1.0)] * 90)], **SETTINGS)
    check_places(drawn)
    assert len({artist.get_position()[1] for artist in drawn.artists}) > 1


def test_dollars_are_no_mathematics():
    drawn = draw_text(
        None, "costs $x_{ $", [("", [Piece("$x_{", 1.0), Piece("$", 1.0)])], **SETTINGS
    )
    drawn.ax.figure.draw_without_rendering()  # would fail to parse
    assert drawn.artists[0].get_text() == "$x_{"
