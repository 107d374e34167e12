"""Coloured words: pieces that are the text, and HTML that is safe."""

from __future__ import annotations

import html
import math
import re

import pytest

from skbert._display.coloured_text import (
    LOWERS,
    RAISES,
    STRONGEST,
    Piece,
    colour,
    cut_text,
    largest_importance,
    paragraphs_to_html,
)
from skbert._display.tokenized_example import Word


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("  the cat\n sat. ", [(2, 5), (6, 9), (11, 14), (14, 15)]),
        ("", []),
        ("   ", []),
        ("x", [(0, 1)]),
        ("abcdef", [(0, 3), (2, 5)]),  # words that overlap
    ],
)
def test_pieces_are_the_text(text, spans):
    words = [Word(0, *span) for span in spans]
    pieces = cut_text(text, words, [1.0] * len(words))
    assert "".join(piece.text for piece in pieces) == text
    assert sum(not math.isnan(piece.importance) for piece in pieces) == len(words)


def test_importances_and_marks_stay_with_their_words():
    words = [Word(0, 0, 3), Word(0, 4, 7), Word(0, 8, 11)]
    pieces = cut_text("the cat sat", words, [1.0, -2.0, 3.0], marked=(4, 7))
    assert [p for p in pieces if p.text != " "] == [
        Piece("the", 1.0), Piece("cat", -2.0, True), Piece("sat", 3.0)
    ]  # fmt: skip


def test_colours():
    assert colour(2.0, 2.0) == (*(level / 255 for level in RAISES), STRONGEST)
    assert colour(-1.0, 2.0) == (*(level / 255 for level in LOWERS), STRONGEST / 2)
    assert colour(0.0, 2.0)[3] == 0


def test_largest_importance():
    pieces = [Piece("a", 1.0), Piece(" "), Piece("b", -3.0)]
    assert largest_importance([("", pieces), ("", [Piece("c", 2.0)])]) == 3
    assert largest_importance([("", [Piece("a", 0.0), Piece("b")])]) == 1


def test_html_shows_the_words_and_their_importance():
    page = paragraphs_to_html("T", [("head", [Piece("up", 2.0), Piece(" "), Piece("down", -1.0)])])
    assert f"background:rgba(178,24,43,{STRONGEST:.3f});" in page
    assert f"background:rgba(33,102,172,{STRONGEST / 2:.3f});" in page
    assert 'title="+2"' in page
    assert 'title="-1"' in page
    assert ">head<" in page


def test_html_escapes_all_that_the_user_wrote():
    evil = '<script>alert("1")</script>&amp;'
    pieces = [Piece(evil, 1.0), Piece(evil), Piece(evil, 1.0, True)]
    page = paragraphs_to_html(evil, [(evil, pieces)])
    assert "<script" not in page
    assert page.count(html.escape(evil)) == 5
    assert set(re.findall(r"<(\w+)", page)) == {"div", "span", "b"}
    assert page.count("<div") == page.count("</div>")


def test_what_was_not_read_is_grey_and_space_is_plain():
    page = paragraphs_to_html("T", [("", [Piece("unread"), Piece("  \n")])])
    assert '<span style="color:#767676">unread</span>  \n</div>' in page


def test_answers_are_outlined():
    assert "outline" in paragraphs_to_html("", [("", [Piece("a", 1.0, True)])])
    assert "outline" not in paragraphs_to_html("", [("", [Piece("a", 1.0)])])
