"""Whatever container users pass → one list a column, and the columns' names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from skbert._exceptions import InputError

# (number of columns, shape of X): refuse a number of columns that the estimator does not read.
ColumnCheck = Callable[[int, tuple[int, ...]], None]


@dataclass(frozen=True)
class Columns:
    """What a container holds, its elements not looked at.

    Attributes
    ----------
    values : list of list
        The columns.
    names : list of str, or None
        Their names; None where a container has none, or names that are no texts.
    """

    values: list[list[Any]]
    names: list[str] | None


def to_columns(X: Any, check_columns: ColumnCheck, *, pairs: bool = False) -> Columns:
    """Read whatever container.

    Parameters
    ----------
    X : container
        Of texts, or of rows of texts.
    check_columns : callable
        Refuses a number of columns.
    pairs : bool, default=False
        Whether rows are pairs, so that ``(first, second)``, two columns, is a mistake.

    Raises
    ------
    InputError
        If it is none that can be read.
    """
    X = native(X)
    _refuse_lazy(X)
    return Columns(_values(X, check_columns, pairs=pairs), _names(X))


def native(X: Any) -> Any:
    """Return the frame or column that one of narwhals stands for."""
    is_narwhals = type(X).__module__.partition(".")[0] == "narwhals"
    return X.to_native() if is_narwhals and hasattr(X, "to_native") else X


def _refuse_lazy(X: Any) -> None:
    """Refuse what holds no texts yet, naming the method that computes them."""
    kind = type(X)
    package = kind.__module__.partition(".")[0]
    if hasattr(X, "__dask_graph__") and hasattr(X, "map_partitions"):
        package, remedy = "Dask", "X.compute(), or X.map_partitions(estimator.transform)"
    elif package == "polars" and hasattr(X, "collect"):
        remedy = "X.collect()"
    elif package == "pyspark" and hasattr(X, "toPandas"):
        remedy = "X.toPandas()"
    else:
        return
    raise InputError(
        f"X is a {package} {kind.__name__}, expected a list, an array, or a column of texts. "
        f"Compute it first: {remedy}."
    )


def _names(X: Any) -> list[str] | None:
    if _is_frame(X):
        names = list(X.column_names if hasattr(X, "column_names") else X.columns)
    else:
        names = [getattr(X, "name", None)]
    return names if all(isinstance(name, str) and name for name in names) else None


def _is_frame(X: Any) -> bool:
    return hasattr(X, "columns") and (hasattr(X, "shape") or hasattr(X, "num_columns"))


def _frame_shape(frame: Any) -> tuple[int, int]:
    if hasattr(frame, "shape"):
        return tuple(frame.shape)
    return frame.num_rows, frame.num_columns  # a RecordBatch of pyarrow 15


def is_table(X: Any) -> bool:
    """Return whether a container has two dimensions."""
    if _is_frame(X) or getattr(X, "ndim", 1) == 2:
        return True
    return _is_sequence(X) and len(X) > 0 and all(_is_row(row) for row in X)


def _values(X: Any, check_columns: ColumnCheck, *, pairs: bool) -> list[list[Any]]:
    if isinstance(X, str | bytes):
        raise InputError(
            f"X is a single {type(X).__name__}, expected a sequence of texts. "
            "Put it into a list: [text]."
        )
    if _is_frame(X):
        shape = _frame_shape(X)
        check_columns(shape[1], shape)
        return [list(to_list(column)) for column in _frame_columns(X)]
    refuse_datasets(X, "X")
    if _is_column(X):
        return [list(to_list(X))]
    if _is_sequence(X):
        if pairs or isinstance(X, tuple):
            _refuse_two_columns_as_rows(X)
        return _split_rows(list(X), check_columns)
    if isinstance(X, dict | set | frozenset) or not hasattr(X, "__array__"):
        raise InputError(
            f"X is of type {type(X).__name__}, expected a list, an array, or a column of texts. "
            "Convert it first, e.g. list(X)."
        )
    return _array_columns(X, check_columns, pairs=pairs)


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


def _array_columns(X: Any, check_columns: ColumnCheck, *, pairs: bool) -> list[list[Any]]:
    array = np.asarray(X)
    if np.ma.isMaskedArray(X):
        array = array.astype(object)
        array[np.ma.getmaskarray(X)] = None
    if array.ndim == 0:
        raise InputError(f"X is a scalar ({array!r}), expected a sequence of texts.")
    if array.ndim > 2:
        raise InputError(f"X has shape {array.shape}, expected (n_texts,) or (n_texts, 1).")
    if array.ndim == 1:
        if pairs:
            _refuse_two_columns_as_rows(array)
        return _split_rows(array.tolist(), check_columns)
    check_columns(array.shape[1], array.shape)
    return [array[:, position].tolist() for position in range(array.shape[1])]


def _split_rows(rows: list[Any], check_columns: ColumnCheck) -> list[list[Any]]:
    """Read ``[["a", "b"], ["c", "d"]]``, rows of columns, as columns; other lists as one column."""
    if not rows or not all(_is_row(row) for row in rows):
        return [rows]
    lengths = {len(row) for row in rows}
    for row in rows:
        check_columns(len(row), (len(rows), len(row)))
    if len(lengths) > 1:
        held = "one text and some two" if lengths == {1, 2} else f"{min(lengths)} texts and more"
        raise InputError(f"Some rows of X hold {held}, expected the same number in each.")
    return [list(column) for column in zip(*rows, strict=True)]


def _is_row(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 1
    return _is_sequence(value)


def _refuse_two_columns_as_rows(rows: Any) -> None:
    """Refuse ``(first, second)``, two lists or columns of texts, where rows are expected."""
    if len(rows) != 2 or not all(_is_row(row) or _is_column(row) for row in rows):
        return
    if min(map(len, rows)) > 2 or any(map(_is_column, rows)):
        raise InputError(
            f"X contains two sequences, of {len(rows[0])} and {len(rows[1])} texts, expected one "
            "row per sample. Pass list(zip(first, second)), or a frame with two columns."
        )


def _is_column(value: Any) -> bool:
    """Return whether a value is a pandas, polars or pyarrow column."""
    return hasattr(value, "to_pylist") or hasattr(value, "to_list")
