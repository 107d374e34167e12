"""Sentences of words and their labels, in whatever container, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skbert import InputError
from skbert._texts.words import check_sentences, check_word_labels, flat_labels

SENTENCES = [["the", "cat", "sat"], ["a"], [], ["Größe", "🙂"]]
LABELS = [["O", "B-X", "O"], ["O"], [], ["B-X", "I-X"]]
EQUALLY_LONG = [["the", "cat"], ["a", "dog"]]


def ragged(rows: list[list[Any]], kind: Any = list) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    for position, row in enumerate(rows):
        array[position] = kind(row)
    return array


def object_array(row: list[Any]) -> np.ndarray:
    return np.array(row, dtype=object)


CONTAINERS = {
    "list of lists": lambda rows: rows,
    "list of tuples": lambda rows: [tuple(row) for row in rows],
    "tuple of tuples": lambda rows: tuple(tuple(row) for row in rows),
    "list of arrays": lambda rows: [object_array(row) for row in rows],
    "list of arrays of str": lambda rows: [np.array(row, dtype=str) for row in rows],
    "list of pandas Series": lambda rows: [pd.Series(row, dtype=object) for row in rows],
    "list of polars Series": lambda rows: [pl.Series(row, dtype=pl.String) for row in rows],
    "list of pyarrow arrays": lambda rows: [pa.array(row, pa.string()) for row in rows],
    "ragged array of lists": ragged,
    "ragged array of tuples": lambda rows: ragged(rows, tuple),
    "ragged array of arrays": lambda rows: ragged(rows, object_array),
    "Series of lists": pd.Series,
    "Series of arrays": lambda rows: pd.Series([object_array(row) for row in rows]),
    "Series of pyarrow lists": lambda rows: pd.Series(
        rows, dtype=pd.ArrowDtype(pa.list_(pa.string()))
    ),
    "Series with another index": lambda rows: pd.Series(rows, index=range(9, 9 + len(rows))),
    "polars Series": pl.Series,
    "pyarrow array": pa.array,
    "pyarrow chunked array": lambda rows: pa.chunked_array([rows[:1], rows[1:]]),
    "pandas frame": lambda rows: pd.DataFrame({"words": rows}),
    "polars frame": lambda rows: pl.DataFrame({"words": rows}),
    "pyarrow table": lambda rows: pa.table({"words": rows}),
    "pandas frame as array": lambda rows: pd.DataFrame({"words": rows}).to_numpy(),
    "frame as array of arrays": lambda rows: ragged(rows, object_array).reshape(-1, 1),
}
TWO_DIMENSIONAL = {
    "array of str": np.array,
    "array of objects": lambda rows: np.array(rows, dtype=object),
    "polars array column": lambda rows: pl.Series(rows, dtype=pl.Array(pl.String, 2)),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers(container):
    make = CONTAINERS[container]
    sentences = check_sentences(make(SENTENCES))
    assert sentences == SENTENCES
    assert all(type(sentence) is list for sentence in sentences)
    assert check_word_labels(make(LABELS), SENTENCES) == LABELS


@pytest.mark.parametrize("container", {**CONTAINERS, **TWO_DIMENSIONAL})
def test_containers_of_equally_long_sentences(container):
    make = {**CONTAINERS, **TWO_DIMENSIONAL}[container]
    assert check_sentences(make(EQUALLY_LONG)) == EQUALLY_LONG
    assert check_word_labels(make(EQUALLY_LONG), EQUALLY_LONG) == EQUALLY_LONG


def test_one_column_of_one_word_sentences_is_two_dimensional():
    assert check_sentences(np.array([["a"], ["b"]], dtype=object)) == [["a"], ["b"]]


@pytest.mark.parametrize(
    "X", [[], np.empty((0, 3), object), np.empty((0, 1), object), pd.Series([], dtype=object)]
)
def test_no_sentences_are_read(X):
    assert check_sentences(X) == []


def test_input_is_not_changed():
    sentences = [["a", "b"], ["c"]]
    check_sentences(sentences)[0].append("d")
    assert sentences == [["a", "b"], ["c"]]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("the cat", "X is of type str, expected sentences of words: a list of lists"),
        (b"the cat", "X is of type bytes"),
        (["the cat", "a"], r"X\[0\] is a single str.*text\.split\(\).*predict_entities"),
        ([["a"], "the cat"], r"X\[1\] is a single str"),
        (np.array(["the cat", "a"]), r"X\[0\] is a single str"),
        (np.array("the cat"), "X is of type str"),
        (pd.Series(["the cat"]), r"X\[0\] is a single str"),
        (pd.DataFrame({"t": ["the cat"]}), r"X\[0\] is a single str"),
        ([["a"], ["b", 3]], r"X\[1\]\[1\] is 3 \(int\), expected a word \(str\)"),
        ([["a", None]], r"X\[0\]\[1\] is None \(NoneType\)"),
        ([["a", float("nan")]], r"X\[0\]\[1\] is nan \(float\)"),
        ([["a", b"b"]], r"X\[0\]\[1\] is b'b' \(bytes\)"),
        ([[["a"], ["b"]]], r"X\[0\]\[0\] is \['a'\] \(list\)"),
        ([["a"], None], r"X\[1\] is None \(NoneType\), expected a list of words"),
        (pd.Series([["a"], None]), r"X\[1\] is None"),
        (pl.Series([["a"], None]), r"X\[1\] is None"),
        ([["a"], 3], r"X\[1\] is 3 \(int\)"),
        ([{"a"}], r"X\[0\] is \{'a'\} \(set\)"),
        (None, "X is of type NoneType"),
        ({"words": ["a"]}, "X is of type dict"),
        ((word for word in ["a"]), "X is of type generator"),
        (3, "X is of type int"),
        (
            pd.DataFrame({"words": [["a"]], "labels": [["O"]]}),
            r"X has 2 columns, expected one column.*X\['my_column'\]",
        ),
        (pl.DataFrame({"words": [["a"]], "labels": [["O"]]}), "X has 2 columns"),
        (pa.table({"words": [["a"]], "labels": [["O"]]}), "X has 2 columns"),
    ],
)
def test_refused_sentences(X, message):
    with pytest.raises(InputError, match=message):
        check_sentences(X)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        ("OB", "y is of type str, expected sequences of labels"),
        (["OB", "O"], r"y\[0\] is a single str"),
        ([1, 2], r"y\[0\] is 1 \(int\), expected a list"),
        ([["O", "X"]], "inconsistent numbers of samples: X has 2 sentences, y has 1"),
        ([["O", "X"], ["O", "X"]], r"Sentence 1 has 3 words, but y\[1\] has 2 labels"),
        ([["O", "X", "O"], ["O", "X", "O"]], r"Sentence 0 has 2 words, but y\[0\] has 3 labels"),
        ([["O", "X"], ["O", None, "X"]], r"y\[1\] has a missing label"),
        ([["O", float("nan")], ["O", "X", "X"]], r"y\[0\] has a missing label"),
        ([["O", pd.NA], ["O", "X", "X"]], r"y\[0\] has a missing label"),
        (pd.DataFrame({"a": [["O"]], "b": [["O"]]}), r"y has 2 columns.*y\['my_column'\]"),
    ],
)
def test_refused_labels(y, message):
    with pytest.raises(InputError, match=message):
        check_word_labels(y, [["a", "b"], ["c", "d", "e"]])


class TestFlatLabels:
    def test_str_stay_objects_of_any_length(self):
        flat = flat_labels([["O"], [], ["B-LOCATION", "O"]])
        assert flat.dtype == object
        assert flat.tolist() == ["O", "B-LOCATION", "O"]

    @pytest.mark.parametrize(
        ("labels", "dtype"),
        [([[1], [2, 3]], np.int64), ([[1.5], [2]], np.float64), ([[True], [False]], np.bool_)],
    )
    def test_numbers_stay_numbers(self, labels, dtype):
        flat = flat_labels(labels)
        assert flat.dtype == dtype
        assert flat.tolist() == [label for row in labels for label in row]

    def test_numpy_numbers(self):
        assert flat_labels([[np.int8(3), np.bool_(True)]]).tolist() == [3, 1]

    def test_no_label(self):
        assert len(flat_labels([[], []])) == 0

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            ([["O"], ["O", 1]], r"y\[0\] has the label 'O', .* of the types int, str; expected"),
            ([[1], [2, "O"]], r"y\[1\] has the label 'O'"),
            ([[1], [["O"]]], r"y\[1\] has the label \['O'\], .* of the types int, list"),
            ([[("O",)]], r"y\[0\] has the label \('O',\)"),
            ([[b"O"]], r"y\[0\] has the label b'O'"),
        ],
    )
    def test_neither_str_nor_numbers(self, labels, message):
        with pytest.raises(InputError, match=message):
            flat_labels(labels)
