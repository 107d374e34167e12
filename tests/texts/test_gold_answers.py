"""Answers are found where they stand: whole words first, without outer blanks."""

from __future__ import annotations

import pytest

from skbert import InputError
from skbert._texts.gold_answers import locate
from skbert._texts.questions import Gold, check_answers

MAT = "the cat sat on the mat ."
CATS = "the cats sat on the mat with a cat ."


@pytest.mark.parametrize(
    ("answer", "context", "expected"),
    [
        (" mat", MAT, "mat"),
        ("mat ", MAT, "mat"),
        ("on the mat ", MAT, "on the mat"),
        ("mat .\n", MAT, "mat ."),
        ("\u200bmat\ufeff", MAT, "mat"),
        ("“mat”\u00a0", "a “mat” b", "“mat”"),
        ("caf\u00e9", "my cafe\u0301 here", "cafe\u0301"),
        ("cafe\u0301", "my caf\u00e9 here", "caf\u00e9"),
        ("the\u00a0cat", MAT, "the cat"),
        ("ats", CATS, "ats"),  # a part of a word, if there is nothing else
        ("柏林", "我住在柏林市", "柏林"),
    ],
)
def test_found_although_its_edges_differ(answer, context, expected):
    start, end = locate(Gold([answer], None), context, 0)
    assert context[start:end] == expected


def test_whole_words_come_first():
    assert locate(Gold(["cat"], None), CATS, 0) == (31, 34)
    assert locate(Gold(["cat"], 4), CATS, 0) == (4, 7)  # the user knows better
    assert locate(Gold(["caf\u00e9 "], 5), "cafe cafe\u0301", 0) == (5, 10)
    assert locate(Gold(["cafe"], None), "cafe\u0301 cafe", 0) == (6, 10)


def test_refusals():
    with pytest.raises(InputError, match=r"y\[3\] = 'dog' is not in its context\. Give an exact"):
        locate(Gold(["dog"], None), MAT, 3)
    with pytest.raises(InputError, match="not in its context at character 5"):
        locate(Gold(["cat"], 5), MAT, 0)


@pytest.mark.parametrize("blank", [" ", "\n\t", "\u200b", "\u00a0"])
def test_an_answer_of_blanks_is_refused_by_its_row(blank):
    for answer in (blank, [blank], (blank, 3), {"text": [blank], "answer_start": [3]}):
        with pytest.raises(InputError, match=r"y\[1\] is .*no visible character"):
            check_answers(["a", answer], 2)
