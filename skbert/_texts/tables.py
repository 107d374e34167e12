"""Tables of texts and numbers → one text a row, and the numbers beside it."""

from __future__ import annotations

import math
import numbers
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skbert._exceptions import InputError, ParameterError
from skbert._texts.containers import is_table, to_columns
from skbert._texts.inputs import Texts, is_missing_value

MAKE_NUMERIC = (
    "Make it numeric and let the text pass: make_column_transformer((OneHotEncoder("
    'sparse_output=False, handle_unknown="ignore"), [{}]), remainder="passthrough", '
    'verbose_feature_names_out=False).set_output(transform="pandas"), as the step before'
)


def check_table(X: Any, text_columns: Any) -> Texts:
    """Read some columns of a table as texts, and all others as numbers.

    Parameters
    ----------
    X : frame, or array or list of rows
        Missing numbers become NaN, missing texts are left out.
    text_columns : str, int, or list of these
        Names of columns, or their positions in a table without names.

    Returns
    -------
    texts : Texts
        One text a row: that of the only text column, or of several each with its name, one a line.

    Raises
    ------
    ParameterError
        If X has no such columns.
    InputError
        If X is no table, or something in it is neither a text nor a number where it should be.
    """
    if not is_table(X):
        raise InputError(
            f"X is of type {type(X).__name__} without columns, and text_columns={text_columns!r} "
            "chooses columns of a table. Pass a frame or an array of two dimensions, or use "
            "text_columns=None."
        )
    columns = to_columns(X, lambda n_columns, shape: None)
    names: list[Any] = list(columns.names or range(len(columns.values)))
    chosen = _chosen(text_columns, names)
    parts = [_texts(columns.values[names.index(name)], name) for name in chosen]
    others = [
        _numbers(values, name)
        for name, values in zip(names, columns.values, strict=True)
        if name not in chosen
    ]
    table = np.stack(others, axis=1) if others else None
    if len(chosen) == 1:
        return Texts([text or "" for text in parts[0]], numbers=table)
    rows = zip(*parts, strict=True)
    return Texts([_joined(row, chosen) for row in rows], numbers=table)


def _chosen(text_columns: Any, names: list[Any]) -> list[Any]:
    chosen = list(text_columns) if isinstance(text_columns, list | tuple) else [text_columns]
    for name in chosen:
        if name not in names:
            raise ParameterError(
                f"text_columns={text_columns!r}: X has no column {name!r}. Its columns are "
                f"{names[:20]}."
            )
    return chosen


def _joined(row: tuple[str | None, ...], names: list[Any]) -> str:
    """Write several texts as one, as ``title: A cat``, one a line; without those that are missing.

    Columns without names stand one under the other.
    """
    said = [
        f"{name}: {text}" if isinstance(name, str) else text
        for name, text in zip(names, row, strict=True)
        if text
    ]
    return "\n".join(said)


def _texts(values: list[Any], name: Any) -> list[str | None]:
    texts = [None if is_missing_value(value) else value for value in values]
    for position, text in enumerate(texts):
        if text is not None and not isinstance(text, str):
            raise InputError(
                f"X[{name!r}][{position}] is {text!r} ({type(text).__name__}), expected a str in "
                "a column of text_columns. Convert it first, e.g. with str()."
            )
    return texts


def _numbers(values: list[Any], name: Any) -> NDArray[np.float64]:
    column = np.empty(len(values))
    for position, value in enumerate(values):
        if is_missing_value(value):
            column[position] = np.nan
            continue
        if not isinstance(value, numbers.Real | np.bool_):
            raise InputError(
                f"X[{name!r}][{position}] is {value!r} ({type(value).__name__}), expected a "
                "number: all columns but those of text_columns are read as numbers. "
                + MAKE_NUMERIC.format(repr(name))
                + "; or name the column in text_columns, or drop it."
            )
        column[position] = value
        if math.isinf(column[position]):
            raise InputError(
                f"X[{name!r}][{position}] is {value!r}, expected a finite number or a missing one."
            )
    return column
