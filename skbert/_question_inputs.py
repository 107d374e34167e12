"""What users pass as questions with contexts and as answers → clean lists; every refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from skbert._exceptions import InputError
from skbert._inputs import Texts, check_texts_or_pairs, is_missing

ANSWER_FORMS = (
    "a str, a list of acceptable str, (text, start), "
    '{"text": ..., "answer_start": ...}, or None for no answer'
)


class Gold(NamedTuple):
    """The acceptable answers to a question; none where the context does not answer it.

    Attributes
    ----------
    texts : list of str
        Acceptable answers; the first is the one to learn.
    start : int or None
        Where the first begins, if the user says so.
    """

    texts: list[str]
    start: int | None


def check_questions(X: Any) -> Texts:
    """Turn questions with contexts into pairs.

    Parameters
    ----------
    X : array of shape (n_questions, 2), list of 2-tuples, or frame
        Question and context; a frame's columns are found by these names, or else are two.

    Raises
    ------
    InputError
        If X holds no pairs of str.
    """
    if hasattr(X, "columns") and hasattr(X, "shape") and not callable(X.columns):
        names = list(getattr(X, "column_names", X.columns))
        if "question" in names and "context" in names:
            X = (
                X.select(["question", "context"])
                if hasattr(X, "select")
                else X[["question", "context"]]
            )
    texts = check_texts_or_pairs(X)
    if not texts.are_pairs:
        raise InputError(
            "X holds single texts, expected questions with their contexts: list(zip(questions, "
            'contexts)), or a frame with the columns "question" and "context".'
        )
    return texts


def check_answers(y: Any, n_questions: int) -> list[Gold]:
    """Read acceptable answers, whatever their form.

    Raises
    ------
    InputError
        If an answer has none of the forms.
    """
    if y is None:
        raise InputError("This estimator requires y to be passed, but the target y is None.")
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(y, method):
            y = getattr(y, method)()
            break
    if isinstance(y, str | Mapping) or not isinstance(y, Sequence):
        raise InputError(f"y is of type {type(y).__name__}, expected a list, each {ANSWER_FORMS}.")
    if len(y) != n_questions:
        raise InputError(
            "Found input variables with inconsistent numbers of samples: X has "
            f"{n_questions} questions, y has {len(y)} answers."
        )
    return [_gold(answer, position) for position, answer in enumerate(y)]


def _gold(answer: Any, position: int) -> Gold:
    if isinstance(answer, np.ndarray):
        answer = answer.tolist()
    if isinstance(answer, Mapping) and "text" in answer:
        answer = (answer["text"], answer.get("answer_start"))
        if isinstance(answer[0], list | tuple | np.ndarray):  # as in SQuAD's own files
            starts = [] if answer[1] is None else list(answer[1])
            return Gold(list(answer[0]), int(starts[0]) if starts else None)
    if isinstance(answer, str):
        return Gold([answer] if answer else [], None)
    if is_missing(answer):
        return Gold([], None)
    if isinstance(answer, list | tuple):
        if len(answer) == 2 and isinstance(answer[0], str) and not isinstance(answer[1], str):
            return Gold([answer[0]], None if is_missing(answer[1]) else int(answer[1]))
        if all(isinstance(text, str) for text in answer):
            return Gold([text for text in answer if text], None)
    raise InputError(
        f"y[{position}] is {answer!r} ({type(answer).__name__}), expected {ANSWER_FORMS}."
    )


def locate(gold: Gold, context: str, position: int) -> tuple[int, int]:
    """Characters of the answer to learn, the first occurrence by default; (-1, -1) for none.

    Raises
    ------
    InputError
        If the answer is not in its context, or not where the user says.
    """
    if not gold.texts:
        return -1, -1
    text = gold.texts[0]
    start = context.find(text) if gold.start is None else gold.start
    if start < 0 or context[start : start + len(text)] != text:
        where = "" if gold.start is None else f" at character {gold.start}"
        raise InputError(
            f"The answer y[{position}] = {text!r} is not in its context{where}. Give an exact "
            "slice of the context, or None where it holds no answer."
        )
    return start, start + len(text)
