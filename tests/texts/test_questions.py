"""Questions, contexts and answers in whatever form users have them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skbert import InputError
from skbert._texts.gold_answers import locate
from skbert._texts.questions import Gold, check_answers, check_questions

QUESTIONS, CONTEXTS = ["where ?", "who ?", "when ?"], ["in Rome", "a cook", ""]
COLUMNS = {"id": [3, 4, 5], "context": CONTEXTS, "title": ["x", "y", "z"], "question": QUESTIONS}
ROWS = list(zip(QUESTIONS, CONTEXTS, strict=True))


@pytest.mark.parametrize(
    "X",
    [
        ROWS,
        tuple(ROWS),
        [list(row) for row in ROWS],
        np.array(ROWS),
        np.array(ROWS, dtype=object),
        pd.DataFrame(COLUMNS),
        pd.DataFrame(COLUMNS, index=[7, 7, 1]),
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS, columns=["q", "c"]),
        pl.DataFrame(COLUMNS),
        pl.DataFrame({"question": QUESTIONS, "context": CONTEXTS}),
        pa.table(COLUMNS),
    ],
    ids=lambda X: type(X).__module__.split(".")[0] + type(X).__name__,
)
def test_containers(X):
    texts = check_questions(X)
    assert texts.first == QUESTIONS
    assert texts.second == CONTEXTS


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_a_frame_in_the_other_order(frame):
    texts = check_questions(frame({"context": CONTEXTS, "question": QUESTIONS}))
    assert (texts.first, texts.second) == (QUESTIONS, CONTEXTS)


@pytest.mark.parametrize("X", [QUESTIONS, pd.Series(QUESTIONS), pd.DataFrame({"a": QUESTIONS})])
def test_single_texts_are_refused(X):
    with pytest.raises(InputError, match="single texts, expected questions with their contexts"):
        check_questions(X)


def test_a_missing_context_is_refused():
    with pytest.raises(InputError, match="first at position 1"):
        check_questions([("a", "b"), ("c", None)])


NONE = Gold([], None)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ("Rome", Gold(["Rome"], None)),
        (["Rome", "in Rome"], Gold(["Rome", "in Rome"], None)),
        (np.array(["Rome", "in Rome"]), Gold(["Rome", "in Rome"], None)),
        (("Rome", 3), Gold(["Rome"], 3)),
        (("Rome", 3.0), Gold(["Rome"], 3)),
        (["Rome", np.int64(3)], Gold(["Rome"], 3)),
        (("Rome", None), Gold(["Rome"], None)),
        (("Rome", float("nan")), Gold(["Rome"], None)),
        ({"text": "Rome", "answer_start": 3}, Gold(["Rome"], 3)),
        ({"text": "Rome"}, Gold(["Rome"], None)),
        ({"text": ["Rome", "in Rome"], "answer_start": [3, 0]}, Gold(["Rome", "in Rome"], 3)),
        ({"text": np.array(["Rome"]), "answer_start": np.array([3])}, Gold(["Rome"], 3)),
        ({"text": ["Rome"], "answer_start": None}, Gold(["Rome"], None)),
        ({"text": [], "answer_start": []}, NONE),
        ([], NONE),
        ("", NONE),
        ([""], NONE),
        (("", 0), NONE),
        ({"text": "", "answer_start": 0}, NONE),
        ({"text": [""], "answer_start": [0]}, NONE),
        (None, NONE),
        (float("nan"), NONE),
        (pd.NA, NONE),
    ],
)
def test_forms_of_an_answer(answer, expected):
    (gold,) = check_answers([answer], 1)
    assert gold == expected
    # numpy's integers, and 3.0, compare equal too.
    assert gold.start is None or type(gold.start) is int


@pytest.mark.parametrize("container", [list, tuple, pd.Series, pl.Series, pa.array, np.array])
def test_containers_of_answers(container):
    golds = check_answers(container(["a", "", "b"]), 3)
    assert golds == [Gold(["a"], None), NONE, Gold(["b"], None)]


def test_answers_as_structs_of_a_polars_column():
    column = pl.Series([{"text": ["a"], "answer_start": [2]}, {"text": [], "answer_start": []}])
    assert check_answers(column, 2) == [Gold(["a"], 2), NONE]


@pytest.mark.parametrize(
    "answer",
    [
        5,
        ("a", "b", 3),
        (1, "a"),
        ["a", "b", None],
        b"a",
        {"answer": "a"},
        {"text": 5},
        {"text": [5], "answer_start": [0]},
        ("a", 1.5),
        ("a", True),
        ("a", float("inf")),
        ("a", [1]),
        {"text": "a", "answer_start": "0"},
        {"text": ["a"], "answer_start": ["0"]},
    ],
)
def test_other_answers_are_refused_by_row(answer):
    with pytest.raises(InputError, match=re.escape("y[1]")):
        check_answers(["a", answer], 2)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y"),
        ("answer", "type str, expected a list"),
        ({"text": ["a"]}, "type dict, expected a list"),
        (5, "type int, expected a list"),
        (["a"], "2 questions, y has 1 answers"),
    ],
)
def test_refused_ys(y: Any, message: str):
    with pytest.raises(InputError, match=message):
        check_answers(y, 2)


@pytest.mark.parametrize(
    ("gold", "context", "expected"),
    [
        (Gold(["cat"], None), "a cat and a cat", (2, 5)),  # the first
        (Gold(["cat"], 12), "a cat and a cat", (12, 15)),
        (Gold(["cat", "dog"], None), "dog cat", (4, 7)),
        (Gold(["🙂"], None), "a 🙂", (2, 3)),
        (NONE, "a cat", (-1, -1)),
    ],
)
def test_locate(gold, context, expected):
    assert locate(gold, context, 0) == expected


@pytest.mark.parametrize(
    ("gold", "where"),
    [
        (Gold(["cow"], None), "context. "),
        (Gold(["Cat"], None), "context. "),
        (Gold(["cat"], 3), "context at character 3. "),
        (Gold(["cat"], 99), "context at character 99. "),
        (Gold(["cat"], -3), "context at character -3. "),
    ],
)
def test_an_answer_that_is_not_there(gold, where):
    with pytest.raises(InputError, match=re.escape(f"y[17] = {gold.texts[0]!r} is not in its")):
        locate(gold, "a cat", 17)
    with pytest.raises(InputError, match=re.escape(where)):
        locate(gold, "a cat", 17)
