"""What users pass → clean lists of str, one list a column. Every refusal of ``X`` is made here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skbert._exceptions import InputError

COLUMN_EXAMPLE = 'ColumnTransformer([("text", BertEmbedder(), "my_column")])'
PAIR_EXAMPLE = 'X[["first_column", "second_column"]]'

# (number of columns, shape of X): refuse a number of columns that the estimator does not read.
ColumnCheck = Callable[[int, tuple[int, ...]], None]


@dataclass(frozen=True)
class Texts:
    """Clean texts, or pairs of them.

    Attributes
    ----------
    first : list of str
        The texts, or the first text of each pair.
    second : list of str, or None
        The second text of each pair; None for single texts.
    """

    first: list[str]
    second: list[str] | None = None

    def __len__(self) -> int:
        return len(self.first)

    @property
    def are_pairs(self) -> bool:
        """Return whether each row holds two texts."""
        return self.second is not None

    def apart(self) -> Texts:
        """Return the texts of pairs as single ones, the two of a pair behind each other."""
        assert self.second is not None
        rows = zip(self.first, self.second, strict=True)
        return Texts([text for row in rows for text in row])

    def take(self, rows: NDArray[np.int64] | slice) -> Texts:
        """Return some of the rows."""
        chosen = range(len(self))[rows] if isinstance(rows, slice) else rows.tolist()
        second = None if self.second is None else [self.second[row] for row in chosen]
        return Texts([self.first[row] for row in chosen], second)


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
    (values,) = _to_columns(X, _check_one_column)
    _check_any_rows(len(values))
    is_missing = np.fromiter((is_missing_value(value) for value in values), bool, len(values))
    if missing == "error" and is_missing.any():
        raise InputError(
            _some_missing("X", is_missing) + 'Use missing="empty" to read them as empty texts, '
            f'missing="zero" to give them zero vectors, or fill them in, e.g. {_filled(X)}.'
        )
    texts = [
        "" if missing_here else value
        for value, missing_here in zip(values, is_missing, strict=True)
    ]
    _check_all_str(texts, "X[{}]")
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
    columns = _to_columns(X, _check_one_or_two_columns)
    _check_any_rows(len(columns[0]))
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
    return Texts(*columns)


def _to_columns(X: Any, check_columns: ColumnCheck) -> list[list[Any]]:
    """Turn whatever container into one list a column, without looking at the elements."""
    if isinstance(X, str | bytes):
        raise InputError(
            f"X is a single {type(X).__name__}, expected a sequence of texts. "
            "Put it into a list: [text]."
        )
    if hasattr(X, "shape") and hasattr(X, "columns"):
        check_columns(X.shape[1], tuple(X.shape))
        return [list(to_list(column)) for column in _frame_columns(X)]
    refuse_datasets(X, "X")
    if _is_column(X):
        return [list(to_list(X))]
    if _is_sequence(X):
        return _split_rows(list(X), check_columns)
    if isinstance(X, dict | set | frozenset) or not hasattr(X, "__array__"):
        raise InputError(
            f"X is of type {type(X).__name__}, expected a list, an array, or a column of texts. "
            "Convert it first, e.g. list(X)."
        )
    return _array_columns(X, check_columns)


def _frame_columns(frame: Any) -> list[Any]:
    if hasattr(frame, "iloc"):  # pandas: by position, since labels may repeat
        return [frame.iloc[:, position] for position in range(frame.shape[1])]
    return list(frame.get_columns() if hasattr(frame, "get_columns") else frame.columns)


def to_list(container: Any) -> Any:
    """Return a column or sequence, of whatever package, as a list; anything else as it is."""
    for method in ("to_pylist", "to_list", "tolist"):
        if hasattr(container, method):
            return getattr(container, method)()
    return list(container) if _is_sequence(container) else container


def _is_sequence(value: Any) -> bool:
    """Return whether a value is a sequence of things, not a text or a buffer of bytes."""
    is_text = isinstance(value, str | bytes | bytearray | memoryview)
    return isinstance(value, Sequence) and not is_text


def refuse_datasets(container: Any, name: str) -> None:
    """Refuse a ``Dataset`` or ``DatasetDict`` of Hugging Face's datasets, naming a column of it.

    Raises
    ------
    InputError
        If it is one.
    """
    split = next(iter(container.values()), None) if isinstance(container, dict) else container
    if not (hasattr(split, "column_names") and hasattr(split, "features")):
        return
    place = f"[{next(iter(container))!r}]" if isinstance(container, dict) else ""
    columns = list(split.column_names)  # type: ignore[union-attr]
    usual = "label" if name == "y" else "text"
    column = usual if usual in columns or not columns else columns[0]
    raise InputError(
        f"{name} is a {type(container).__name__} with the columns {columns}, expected one column. "
        f'Choose it: ds{place}["{column}"].'
    )


def _array_columns(X: Any, check_columns: ColumnCheck) -> list[list[Any]]:
    array = np.asarray(X)
    if np.ma.isMaskedArray(X):
        array = array.astype(object)
        array[np.ma.getmaskarray(X)] = None
    if array.ndim == 0:
        raise InputError(f"X is a scalar ({array!r}), expected a sequence of texts.")
    if array.ndim > 2:
        raise InputError(f"X has shape {array.shape}, expected (n_texts,) or (n_texts, 1).")
    if array.ndim == 1:
        return _split_rows(array.tolist(), check_columns)
    check_columns(array.shape[1], array.shape)
    return [array[:, position].tolist() for position in range(array.shape[1])]


def _split_rows(rows: list[Any], check_columns: ColumnCheck) -> list[list[Any]]:
    """Read ``[["a", "b"], ["c", "d"]]``, rows of columns, as columns; other lists as one column."""
    if check_columns is _check_one_or_two_columns:
        _refuse_two_columns_as_rows(rows)
    if not rows or not all(_is_row(row) for row in rows):
        return [rows]
    lengths = {len(row) for row in rows}
    for row in rows:
        check_columns(len(row), (len(rows), len(row)))
    if len(lengths) > 1:
        raise InputError(
            "Some rows of X hold one text and some two, expected the same number in each."
        )
    return [list(column) for column in zip(*rows, strict=True)]


def _is_row(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 1
    return _is_sequence(value)


def _refuse_two_columns_as_rows(rows: list[Any]) -> None:
    """Refuse ``(first, second)``, two lists or columns of texts, where rows are expected."""
    if len(rows) != 2 or not all(_is_row(row) or _is_column(row) for row in rows):
        return
    if min(map(len, rows)) > 2 or any(map(_is_column, rows)):
        raise InputError(
            f"X holds two sequences, of {len(rows[0])} and {len(rows[1])} texts, expected one row "
            "a sample. For pairs of texts pass list(zip(first, second)), or a frame with two "
            "columns."
        )


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


def _is_column(value: Any) -> bool:
    """Return whether a value is a pandas, polars or pyarrow column."""
    return hasattr(value, "to_pylist") or hasattr(value, "to_list")


def _check_one_column(n_columns: int, shape: tuple[int, ...]) -> None:
    if n_columns != 1:
        raise InputError(
            f"X has {n_columns} columns (shape {shape}), expected one column of texts. "
            f"Choose the text column: X['my_column'], or {COLUMN_EXAMPLE}."
        )


def _check_one_or_two_columns(n_columns: int, shape: tuple[int, ...]) -> None:
    if n_columns not in (1, 2):
        raise InputError(
            f"X has {n_columns} columns (shape {shape}), expected one column of texts, or two for "
            f"pairs of texts. Choose them: X['my_column'] or {PAIR_EXAMPLE}."
        )


def _check_any_rows(n_rows: int) -> None:
    if not n_rows:
        raise InputError(
            "Found array with 0 sample(s) while a minimum of 1 is required: "
            "X holds no text. Pass at least one."
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
            raise InputError(_not_a_text(place.format(position), text))


def _not_a_text(place: str, value: Any) -> str:
    shown = repr(value) if len(repr(value)) <= 60 else repr(value)[:57] + "..."
    if isinstance(value, bytes):
        remedy = 'Decode it first, e.g. text.decode("utf-8").'
    else:
        remedy = f"Convert it first, e.g. with str(), or choose the text column: {COLUMN_EXAMPLE}."
    return f"{place} is {shown} ({type(value).__name__}), expected a str. {remedy}"
