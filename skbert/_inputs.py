"""What users pass → clean lists of str. Every refusal of ``X`` is made here."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from skbert._exceptions import InputError

COLUMN_EXAMPLE = 'ColumnTransformer([("text", BertEmbedder(), "my_column")])'


def check_texts(X: Any, *, missing: str = "error") -> tuple[list[str], NDArray[np.bool_]]:
    """Turn any container of texts into a list of str.

    Parameters
    ----------
    X : list, tuple, ndarray, pandas, polars or pyarrow column, or a one-column frame
        One text a row.
    missing : {"error", "empty", "zero"}, default="error"
        "error" refuses missing values; otherwise they become empty strings.

    Returns
    -------
    texts : list of str
        The texts, missing ones as ``""``.
    is_missing : ndarray of bool, shape (n_texts,)
        Which of them were missing.

    Raises
    ------
    InputError
        For anything that is not a non-empty sequence of texts.
    """
    values = _to_list(X)
    if not values:
        raise InputError(
            "Found array with 0 sample(s) while a minimum of 1 is required: "
            "X holds no text. Pass at least one."
        )
    is_missing = np.fromiter((_is_missing(value) for value in values), bool, len(values))
    if missing == "error" and is_missing.any():
        raise InputError(
            f"X has {int(is_missing.sum())} missing value(s), the first at position "
            f'{int(is_missing.argmax())}. Use missing="empty" to read them as empty texts, '
            'missing="zero" to give them zero vectors, or fill them in, e.g. X.fillna("").'
        )
    texts = ["" if gone else value for value, gone in zip(values, is_missing, strict=True)]
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(_not_a_text(position, text))
    return texts, is_missing


def _to_list(X: Any) -> list[Any]:
    """One column of whatever container → list, without looking at the elements."""
    if isinstance(X, str | bytes):
        raise InputError(
            f"X is a single {type(X).__name__}, expected a sequence of texts. "
            "Put it into a list: [text]."
        )
    column = _only_column(X)
    for method in ("to_pylist", "to_list"):  # pyarrow; pandas and polars
        if hasattr(column, method):
            return list(getattr(column, method)())
    if isinstance(column, list | tuple):
        return _unwrap_rows(list(column))
    if isinstance(column, dict | set | frozenset) or not hasattr(column, "__array__"):
        raise InputError(
            f"X is of type {type(X).__name__}, expected a list, an array, or a column of texts. "
            "Convert it first, e.g. list(X)."
        )
    array = np.asarray(column)
    if np.ma.isMaskedArray(column):
        array = array.astype(object)
        array[np.ma.getmaskarray(column)] = None
    if array.ndim == 0:
        raise InputError(f"X is a scalar ({array!r}), expected a sequence of texts.")
    if array.ndim > 2:
        raise InputError(f"X has shape {array.shape}, expected (n_texts,) or (n_texts, 1).")
    if array.ndim == 2:
        _check_one_column(array.shape[1], array.shape)
        array = array[:, 0]
    return list(array.tolist())


def _only_column(X: Any) -> Any:
    """Take the only column of a data frame or table; leave anything else as it is."""
    if not hasattr(X, "shape") or not hasattr(X, "columns"):
        return X
    _check_one_column(X.shape[1], X.shape)
    if hasattr(X, "iloc"):  # pandas: by position, since labels may repeat
        return X.iloc[:, 0]
    columns = X.get_columns() if hasattr(X, "get_columns") else X.columns  # polars; pyarrow
    return columns[0]


def _unwrap_rows(rows: list[Any]) -> list[Any]:
    """Read ``[["a"], ["b"]]``, one column written as rows, as ``["a", "b"]``."""
    if not rows or not all(_is_row(row) for row in rows):
        return rows
    for row in rows:
        _check_one_column(len(row), (len(rows), len(row)))
    return [row[0] for row in rows]


def _is_row(value: Any) -> bool:
    return isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim == 1)


def _check_one_column(n_columns: int, shape: tuple[int, ...]) -> None:
    if n_columns != 1:
        raise InputError(
            f"X has {n_columns} columns (shape {tuple(shape)}), expected one column of texts. "
            f"Choose the text column: X['my_column'], or {COLUMN_EXAMPLE}."
        )


def _is_missing(value: Any) -> bool:
    # pandas is not a dependency, and pandas.isna would be asked about every value.
    if value is None:
        return True
    if isinstance(value, float | np.floating):
        return bool(value != value)
    return type(value).__name__ in ("NAType", "NaTType")


def _not_a_text(position: int, value: Any) -> str:
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    if isinstance(value, bytes):
        remedy = 'Decode it first, e.g. text.decode("utf-8").'
    else:
        remedy = f"Convert it first, e.g. with str(), or choose the text column: {COLUMN_EXAMPLE}."
    return f"X[{position}] is {shown} ({type(value).__name__}), expected a str. {remedy}"
