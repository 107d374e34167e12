"""What users pass → clean lists of str, one list a column. Every refusal of ``X`` is made here."""

from __future__ import annotations

from collections.abc import Sized
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skbert._exceptions import InputError
from skbert._optional import not_a_text_column
from skbert._texts.containers import to_columns

COLUMN_EXAMPLE = 'ColumnTransformer([("text", BertEmbedder(), "my_column")])'
PAIR_EXAMPLE = 'X[["first_column", "second_column"]]'


@dataclass(frozen=True)
class Texts:
    """Clean texts, or pairs of them.

    Attributes
    ----------
    first : list of str
        The texts, or the first text of each pair.
    second : list of str, or None
        The second text of each pair; None for single texts.
    numbers : ndarray of float, shape (n_texts, n_numbers), or None
        What stands beside each text in a table.
    """

    first: list[str]
    second: list[str] | None = None
    numbers: NDArray[Any] | None = None

    def __len__(self) -> int:
        return len(self.first)

    @property
    def are_pairs(self) -> bool:
        """Return whether each row holds two texts."""
        return self.second is not None

    @property
    def sizes(self) -> list[int]:
        """Return the characters of each row."""
        if self.second is None:
            return list(map(len, self.first))
        return [
            len(first) + len(second) for first, second in zip(self.first, self.second, strict=True)
        ]

    def apart(self) -> Texts:
        """Return the texts of pairs as single ones, the two of a pair behind each other."""
        assert self.second is not None
        rows = zip(self.first, self.second, strict=True)
        return Texts([text for row in rows for text in row])

    def take(self, rows: NDArray[np.int64] | slice) -> Texts:
        """Return some of the rows."""
        chosen = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
        second = None if self.second is None else [self.second[row] for row in chosen]
        numbers = None if self.numbers is None else self.numbers[rows]
        return Texts([self.first[row] for row in chosen], second, numbers)


@dataclass(frozen=True)
class TextColumns:
    """Clean texts of one column or several.

    Attributes
    ----------
    texts : list of str, length n_rows * n_columns
        The texts, row by row; missing ones are ``""``.
    is_missing : ndarray of bool, shape (n_rows * n_columns,)
        Which of them were missing.
    n_columns : int
        Texts in a row.
    names : list of str, or None
        Names of the columns, where they have any.
    """

    texts: list[str]
    is_missing: NDArray[np.bool_]
    n_columns: int
    names: list[str] | None

    def __len__(self) -> int:
        return len(self.texts) // self.n_columns


def check_texts(X: Any, *, missing: str = "error") -> tuple[list[str], NDArray[np.bool_]]:
    """Turn any container of one column of texts into a list of str.

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
        For anything that is not a sequence of texts.
    """
    (values,) = to_columns(X, _check_one_column).values
    return _clean(values, "X", "X[{}]", X, missing)


def check_text_columns(X: Any, *, missing: str = "error") -> TextColumns:
    """Turn any container of texts, or of rows of texts, into texts.

    Parameters
    ----------
    X : as for `check_texts`, or several columns
        Several columns are a frame, an array of two dimensions, or a list of rows.
    missing : {"error", "empty", "zero"}, default="error"
        As for `check_texts`.

    Raises
    ------
    InputError
        For anything else.
    """
    columns = to_columns(X, _check_any_columns)
    n_columns = len(columns.values)
    parts = [
        _clean(values, *_places(position, columns.names, n_columns), X, missing)
        for position, values in enumerate(columns.values)
    ]
    rows = zip(*(texts for texts, _ in parts), strict=True)
    is_missing = np.stack([of_column for _, of_column in parts], axis=1)
    return TextColumns(
        [text for row in rows for text in row], is_missing.ravel(), n_columns, columns.names
    )


def _places(position: int, names: list[str] | None, n_columns: int) -> tuple[str, str]:
    """Return how errors name a column, and a cell of it by its row."""
    if n_columns == 1:
        return "X", "X[{}]"
    if names is None:
        return f"Column {position} of X", f"X[{{}}][{position}]"
    name = repr(names[position]).replace("{", "{{").replace("}", "}}")
    return f"Column {names[position]!r} of X", f"X[{name}][{{}}]"


def _clean(
    values: list[Any], name: str, place: str, X: Any, missing: str
) -> tuple[list[str], NDArray[np.bool_]]:
    """Return the texts of a column, and which of them were missing."""
    is_missing = np.fromiter((is_missing_value(value) for value in values), bool, len(values))
    texts = [
        "" if missing_here else value
        for value, missing_here in zip(values, is_missing, strict=True)
    ]
    _check_all_str(texts, place)
    if missing == "error" and is_missing.any():
        raise InputError(
            _some_missing(name, is_missing) + 'Use missing="empty" to read them as empty texts, '
            f'missing="zero" to give them zero vectors, or fill them in, e.g. {_filled(X)}.'
        )
    return texts, is_missing


def check_texts_or_pairs(X: Any) -> Texts:
    """Turn any container of texts, or of pairs of texts, into one or two lists of str.

    Parameters
    ----------
    X : as for `check_texts`, or two columns
        Pairs are an array of shape (n_pairs, 2), a frame with two columns, or a list of 2-tuples.

    Returns
    -------
    texts : Texts
        Clean texts; all rows are single texts, or all are pairs.

    Raises
    ------
    InputError
        For anything else, and for missing values.
    """
    columns = to_columns(X, _check_one_or_two_columns, pairs=True).values
    for position, values in enumerate(columns):
        name = "X" if len(columns) == 1 else f"Column {position} of X"
        is_missing = np.fromiter((is_missing_value(value) for value in values), bool, len(values))
        if is_missing.any():
            raise InputError(
                _some_missing(name, is_missing)
                + f"Fill them in, e.g. {_filled(X, pairs=len(columns) > 1)}, or leave these rows "
                "out."
            )
        _check_all_str(values, "X[{}]" if len(columns) == 1 else f"X[{{}}][{position}]")
    return Texts(columns[0], columns[1] if len(columns) > 1 else None)


def _filled(X: Any, *, pairs: bool = False) -> str:
    """Return code that fills missing values in, for a container like X."""
    kind = type(X).__module__.partition(".")[0]
    if kind == "pandas":
        dtypes = X.dtypes if hasattr(X, "columns") else [X.dtype]
        is_categorical = any(str(dtype) == "category" for dtype in dtypes)
        return 'X.astype(object).fillna("")' if is_categorical else 'X.fillna("")'
    if kind == "polars":
        return 'X.fill_null("")'
    if kind == "pyarrow":
        is_table = hasattr(X, "columns")
        return 'X.to_pandas().fillna("")' if is_table else 'pyarrow.compute.fill_null(X, "")'
    of_row = '[text if isinstance(text, str) else "" for text in {}]'
    return f"[{of_row.format('row')} for row in X]" if pairs else of_row.format("X")


def _check_one_column(n_columns: int, shape: tuple[int, ...]) -> None:
    if n_columns != 1:
        raise InputError(
            f"X has {n_columns} columns (shape {shape}), expected one column of texts. "
            f"Choose the text column: X['my_column'], or {COLUMN_EXAMPLE}."
        )


def _check_any_columns(n_columns: int, shape: tuple[int, ...]) -> None:
    if not n_columns:
        raise InputError(
            f"X has no columns (shape {shape}), expected at least one column of texts."
        )


def _check_one_or_two_columns(n_columns: int, shape: tuple[int, ...]) -> None:
    if n_columns not in (1, 2):
        raise InputError(
            f"X has {n_columns} columns (shape {shape}), expected one column of texts, or two for "
            f"pairs of texts. Choose them: X['my_column'] or {PAIR_EXAMPLE}."
        )


def check_any_rows(X: Sized) -> None:
    """Refuse clean texts, pairs or sentences that are none, in the words of scikit-learn.

    Raises
    ------
    InputError
        If there are none.
    """
    if not len(X):
        raise InputError(
            "Found array with 0 sample(s) while a minimum of 1 is required: "
            "X contains no text. Pass at least one."
        )


def is_missing_value(value: Any) -> bool:
    """Return whether a cell is None, NaN, NaT or pandas.NA."""
    # pandas is not a dependency, and pandas.isna would be asked about every value.
    if value is None:
        return True
    if isinstance(value, float | np.floating):
        return bool(value != value)
    return type(value).__name__ in ("NAType", "NaTType")


def _some_missing(name: str, is_missing: NDArray[np.bool_]) -> str:
    return (
        f"{name} has {int(is_missing.sum())} missing value(s), the first at position "
        f"{int(is_missing.argmax())}. "
    )


def _check_all_str(texts: list[Any], place: str) -> None:
    for position, text in enumerate(texts):
        if not isinstance(text, str):
            raise not_a_text_column(_not_a_text(place.format(position), text))


def _not_a_text(place: str, value: Any) -> str:
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    if isinstance(value, bytes):
        remedy = 'Decode it first, e.g. text.decode("utf-8").'
    else:
        remedy = f"Convert it first, e.g. with str(), or choose the text column: {COLUMN_EXAMPLE}."
    return f"{place} is {shown} ({type(value).__name__}), expected a str. {remedy}"
