"""What users pass as sentences of words and their labels → clean lists. Refusals are made here."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skbert._exceptions import InputError
from skbert._texts.containers import refuse_datasets, to_list
from skbert._texts.inputs import is_missing_value


def check_sentences(X: Any) -> list[list[str]]:
    """Turn any container of word sequences into lists of str.

    Parameters
    ----------
    X : list, tuple, object array, pandas, polars or pyarrow column of lists, or one-column frame
        One sequence of words a sentence.

    Raises
    ------
    InputError
        For anything else: a string instead of words, words that are no str.
    """
    sentences = _rows(X, "X", "sentences of words")
    for position, sentence in enumerate(sentences):
        for place, word in enumerate(sentence):
            if not isinstance(word, str):
                raise InputError(
                    f"X[{position}][{place}] is {word!r} ({type(word).__name__}), expected a word "
                    "(str). Convert it first, e.g. with str()."
                )
    return sentences


def check_word_labels(y: Any, sentences: Sequence[Sequence[str]]) -> list[list[Any]]:
    """Turn labels of words into lists of the same lengths as the sentences.

    Raises
    ------
    InputError
        If a sentence has more or fewer labels than words, or a label is missing.
    """
    if y is None:
        raise InputError("This estimator requires y to be passed, but the target y is None.")
    labels = _rows(y, "y", "sequences of labels")
    if len(labels) != len(sentences):
        raise InputError(
            f"Found input variables with inconsistent numbers of samples: X has {len(sentences)} "
            f"sentences, y has {len(labels)}."
        )
    for position, (sentence, row) in enumerate(zip(sentences, labels, strict=True)):
        if len(sentence) != len(row):
            raise InputError(
                f"Sentence {position} has {len(sentence)} words, but y[{position}] has {len(row)} "
                "labels. Give every word one label."
            )
        if any(map(is_missing_value, row)):
            raise InputError(f"y[{position}] has a missing label. Give every word one label.")
    return labels


def flat_labels(labels: Sequence[Sequence[Any]]) -> NDArray[Any]:
    """Return all labels one after another, in one array of their own type.

    Raises
    ------
    InputError
        If they are neither all str nor all numbers.
    """
    flat = list(chain.from_iterable(labels))
    if all(isinstance(label, str) for label in flat):
        return np.array(flat, dtype=object)
    for position, row in enumerate(labels):
        for label in row:
            if not isinstance(label, numbers.Real | np.bool_):
                kinds = ", ".join(sorted({type(label).__name__ for label in flat}))
                raise InputError(
                    f"y[{position}] has the label {label!r}, and the labels are of the types "
                    f"{kinds}; expected str, or numbers, throughout. Convert them, e.g. with str()."
                )
    return np.array(flat)


def _rows(container: Any, name: str, expected: str) -> list[list[Any]]:
    """Read a column of sequences as lists."""
    refuse_datasets(container, name)
    if isinstance(container, str | bytes | dict | set):
        raise InputError(
            f"{name} is of type {type(container).__name__}, expected {expected}: a list of lists."
        )
    if hasattr(container, "shape") and hasattr(container, "columns"):
        if container.shape[1] != 1:
            raise InputError(
                f"{name} has {container.shape[1]} columns, expected one column of lists. Choose "
                f"it: {name}['my_column']."
            )
        # pandas; polars; pyarrow, whose `columns` are the columns themselves
        (container,) = (
            [container.iloc[:, 0]]
            if hasattr(container, "iloc")
            else getattr(container, "get_columns", lambda: container.columns)()
        )
    if isinstance(container, np.ndarray) and _holds_a_column_of_lists(container):
        container = container[:, 0]
    container = to_list(container)
    if not isinstance(container, list | tuple):
        raise InputError(
            f"{name} is of type {type(container).__name__}, expected {expected}: a list of lists."
        )
    return [_row(row, f"{name}[{position}]") for position, row in enumerate(container)]


def _holds_a_column_of_lists(array: NDArray[Any]) -> bool:
    """Return whether an array is what ``to_numpy`` makes of a one-column frame of lists."""
    is_column = array.dtype == object and array.ndim == 2 and array.shape[1] == 1 and len(array)
    return bool(is_column) and isinstance(array[0, 0], list | tuple | np.ndarray)


def _row(row: Any, place: str) -> list[Any]:
    if isinstance(row, str | bytes):
        raise InputError(
            f"{place} is a single {type(row).__name__}, expected a list of words or labels. Split "
            "it first, e.g. text.split(); predict_entities reads plain strings."
        )
    row = to_list(row)
    if not isinstance(row, list | tuple):
        raise InputError(
            f"{place} is {row!r} ({type(row).__name__}), expected a list of words or labels."
        )
    return list(row)
