"""What users pass as questions with contexts and as answers → clean lists; every refusal."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

import numpy as np

from skbert._exceptions import InputError
from skbert._texts.containers import refuse_datasets, to_list
from skbert._texts.inputs import Texts, check_texts_or_pairs, is_missing_value
from skbert._texts.offsets import is_blank

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


NONE = Gold([], None)


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
    if names_questions(X):
        names = ["question", "context"]
        X = X.select(names) if hasattr(X, "select") else X[names]
    texts = check_texts_or_pairs(X)
    if not len(texts):
        return Texts([], [])
    if not texts.are_pairs:
        raise InputError(
            "X contains single texts, expected questions with their contexts: list(zip(questions, "
            'contexts)), or a frame with the columns "question" and "context".'
        )
    return texts


def names_questions(X: Any) -> bool:
    """Return whether X is a frame with a column "question" and one "context", in any order."""
    if not (hasattr(X, "columns") and hasattr(X, "shape")) or callable(X.columns):
        return False
    return {"question", "context"} <= set(getattr(X, "column_names", X.columns))


def check_answers(y: Any, n_questions: int) -> list[Gold]:
    """Read acceptable answers, whatever their form.

    Raises
    ------
    InputError
        If an answer has none of the forms.
    """
    if y is None:
        raise InputError("This estimator requires y to be passed, but the target y is None.")
    refuse_datasets(y, "y")
    y = to_list(y)
    if isinstance(y, str | Mapping) or not isinstance(y, Sequence):
        raise InputError(f"y is of type {type(y).__name__}, expected a list, each {ANSWER_FORMS}.")
    if len(y) != n_questions:
        raise InputError(
            "Found input variables with inconsistent numbers of samples: X has "
            f"{n_questions} questions, y has {len(y)} answers."
        )
    return [_gold(answer, position) for position, answer in enumerate(y)]


def _gold(answer: Any, position: int) -> Gold:
    texts, start = _parts(answer)
    if all(isinstance(text, str) for text in texts):
        _refuse_blank(texts, position)
        if is_missing_value(start):
            return Gold([text for text in texts if text], None)
        # 3.0 too: a column of starts with gaps is one of floats.
        whole = isinstance(start, numbers.Real) and not isinstance(start, bool | np.bool_)
        if whole and float(start).is_integer():
            return Gold([text for text in texts if text], int(start)) if any(texts[:1]) else NONE
    raise InputError(
        f"y[{position}] is {answer!r} ({type(answer).__name__}), expected {ANSWER_FORMS}."
    )


def _refuse_blank(texts: list[str], position: int) -> None:
    """Refuse answers of spaces and invisible characters; "" stands for no answer."""
    for text in texts:
        if text and all(map(is_blank, text)):
            raise InputError(
                f"y[{position}] is {text!r}, which has no visible character, expected "
                f"{ANSWER_FORMS}."
            )


def _parts(answer: Any) -> tuple[list[Any], Any]:
    """Return the acceptable texts, and where the first begins, as the user gave them."""
    if isinstance(answer, np.ndarray):
        answer = answer.tolist()
    if isinstance(answer, Mapping) and "text" in answer:
        text, start = answer["text"], answer.get("answer_start")
        if _is_list(text):  # as in SQuAD's own files
            return list(text), next(iter(start), None) if _is_list(start) else start
        return ([] if is_missing_value(text) else [text]), start
    if is_missing_value(answer):
        return [], None
    if _is_list(answer):
        if len(answer) == 2 and isinstance(answer[0], str) and not isinstance(answer[1], str):
            return [answer[0]], answer[1]
        return list(answer), None
    return [answer], None


def _is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    return isinstance(value, list | tuple | np.ndarray)
