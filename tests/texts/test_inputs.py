"""What users pass → clean lists of str: every container, every missing value, every refusal."""

from __future__ import annotations

import re
from collections import UserList, deque
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from skbert import BertEmbedder, InputError
from skbert._texts.inputs import Texts, check_any_rows, check_texts, check_texts_or_pairs

HAS_STRING_DTYPE = hasattr(np.dtypes, "StringDType")  # from numpy 2 on
TEXTS = ["the cat sat", "", "Größe 猫 🙂", "the cat sat", "a\nb\x00c"]

CONTAINERS: dict[str, Callable[[list[str]], Any]] = {
    "list": list,
    "tuple": tuple,
    "list of numpy str": lambda texts: [np.str_(text) for text in texts],
    "object array": lambda texts: np.array(texts, object),
    "str array": lambda texts: np.array(texts, str),
    "read-only array": lambda texts: _read_only(np.array(texts, object)),
    "every second row of an array": lambda texts: np.repeat(np.array(texts, object), 2)[::2],
    "object array (n, 1)": lambda texts: np.array(texts, object).reshape(-1, 1),
    "str array (n, 1)": lambda texts: np.array(texts, str).reshape(-1, 1),
    "list of lists": lambda texts: [[text] for text in texts],
    "list of tuples": lambda texts: [(text,) for text in texts],
    "tuple of arrays": lambda texts: tuple(np.array([text], object) for text in texts),
    "pandas object": lambda texts: pd.Series(texts, dtype=object),
    "pandas str": lambda texts: pd.Series(texts, dtype="str"),
    "pandas string[python]": lambda texts: pd.Series(texts, dtype="string[python]"),
    "pandas string[pyarrow]": lambda texts: pd.Series(texts, dtype="string[pyarrow]"),
    "pandas ArrowDtype": lambda texts: pd.Series(texts, dtype=pd.ArrowDtype(pa.string())),
    "pandas category": lambda texts: pd.Series(texts, dtype="category"),
    "pandas Series with another index": lambda texts: pd.Series(texts, index=range(9, 4, -1)),
    "pandas Series with equal labels": lambda texts: pd.Series(texts, index=[0] * len(texts)),
    "pandas Index": lambda texts: pd.Index(texts),
    "pandas array": lambda texts: pd.array(texts, dtype="string"),
    "pandas Categorical": lambda texts: pd.Categorical(texts),
    "pandas DataFrame": lambda texts: pd.DataFrame({"text": texts}),
    "pandas DataFrame of category": lambda texts: pd.DataFrame({"text": texts}, dtype="category"),
    "pandas DataFrame, column name 0": lambda texts: pd.DataFrame(texts),
    "pandas DataFrame with another index": lambda texts: pd.DataFrame(
        {"text": texts}, index=list("zyxwv")
    ),
    "pandas DataFrame with equal labels": lambda texts: pd.DataFrame(
        {"text": texts}, index=[1, 1, 0, 1, 0]
    ),
    "pandas DataFrame, one of two equal names": lambda texts: pd.DataFrame(
        [[text, 1] for text in texts], columns=["text", "text"]
    ).iloc[:, :1],
    "polars Series": lambda texts: pl.Series("text", texts),
    "polars categorical": lambda texts: pl.Series("text", texts, dtype=pl.Categorical),
    "polars enum": lambda texts: pl.Series("text", texts, dtype=pl.Enum(sorted(set(texts)))),
    "polars DataFrame": lambda texts: pl.DataFrame({"text": texts}),
    "pyarrow Array": pa.array,
    "pyarrow large_string": lambda texts: pa.array(texts, pa.large_string()),
    "pyarrow dictionary": lambda texts: pa.array(texts).dictionary_encode(),
    "pyarrow ChunkedArray": lambda texts: pa.chunked_array([texts[:2], texts[2:]]),
    "pyarrow ChunkedArray, empty chunks": lambda texts: pa.chunked_array([texts, []], pa.string()),
    "pyarrow Table": lambda texts: pa.table({"text": texts}),
    "pyarrow RecordBatch": lambda texts: pa.RecordBatch.from_pydict({"text": texts}),
    "narwhals Series": lambda texts: nw.from_native(pl.Series("text", texts), series_only=True),
    "narwhals DataFrame of pandas": lambda texts: nw.from_native(pd.DataFrame({"text": texts})),
    "narwhals DataFrame of polars": lambda texts: nw.from_native(pl.DataFrame({"text": texts})),
    "narwhals DataFrame of pyarrow": lambda texts: nw.from_native(pa.table({"text": texts})),
}
if HAS_STRING_DTYPE:
    CONTAINERS |= {
        "StringDType array": lambda texts: np.array(texts, np.dtypes.StringDType()),
        "StringDType array with na_object": lambda texts: np.array(
            texts, np.dtypes.StringDType(na_object=np.nan)
        ),
        "StringDType array (n, 1)": lambda texts: np.array(
            texts, np.dtypes.StringDType(na_object=None)
        ).reshape(-1, 1),
    }


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array


@pytest.mark.parametrize("name", CONTAINERS)
def test_every_container_gives_the_same_list(name):
    texts, is_missing = check_texts(CONTAINERS[name](TEXTS))
    assert texts == TEXTS
    assert type(texts) is list
    assert is_missing.dtype == bool
    assert is_missing.tolist() == [False] * len(TEXTS)


@pytest.mark.parametrize("name", CONTAINERS)
def test_container_is_left_as_it_was(name):
    X = CONTAINERS[name](TEXTS)
    before = repr(X)
    check_texts(X, missing="empty")
    assert repr(X) == before


def test_tokenizer_reads_numpy_strings(tiny_bert):
    """A list of numpy.str_ is embedded as the same list of str is."""
    embedder = BertEmbedder(tiny_bert).fit(["a"])
    np.testing.assert_array_equal(
        embedder.transform([np.str_("the cat"), np.str_("\ud800 dog")]),
        embedder.transform(["the cat", "\ud800 dog"]),
    )


# Missing values ---------------------------------------------------------------------------------

NAT = np.datetime64("NaT")
WITH_GAPS: dict[str, Any] = {
    "list, None": ["a", None, "b", None],
    "list, float nan": ["a", float("nan"), "b", float("nan")],
    "tuple, numpy nan": ("a", np.nan, "b", np.float32("nan")),
    "list, pandas.NA": ["a", pd.NA, "b", pd.NA],
    "list, pandas.NaT": ["a", pd.NaT, "b", pd.NaT],
    "list, one of each": ["a", None, "b", pd.NA],
    "list of lists": [["a"], [None], ["b"], [np.nan]],
    "object array": np.array(["a", None, "b", np.nan], object),
    "object array (n, 1)": np.array([["a"], [pd.NA], ["b"], [None]], object),
    "pandas object, None": pd.Series(["a", None, "b", None], dtype=object),
    "pandas object, nan": pd.Series(["a", np.nan, "b", np.nan], dtype=object),
    "pandas str": pd.Series(["a", None, "b", None], dtype="str"),
    "pandas string": pd.Series(["a", None, "b", pd.NA], dtype="string"),
    "pandas string[pyarrow]": pd.Series(["a", None, "b", None], dtype="string[pyarrow]"),
    "pandas ArrowDtype": pd.Series(["a", None, "b", None], dtype=pd.ArrowDtype(pa.string())),
    "pandas category": pd.Series(["a", None, "b", None], dtype="category"),
    "pandas DataFrame": pd.DataFrame({"text": ["a", None, "b", None]}),
    "pandas DataFrame of category": pd.DataFrame({"text": pd.Categorical(["a", None, "b", None])}),
    "polars Series": pl.Series(["a", None, "b", None]),
    "polars categorical": pl.Series(["a", None, "b", None], dtype=pl.Categorical),
    "polars DataFrame": pl.DataFrame({"text": ["a", None, "b", None]}),
    "pyarrow Array": pa.array(["a", None, "b", None]),
    "pyarrow dictionary": pa.array(["a", None, "b", None]).dictionary_encode(),
    "pyarrow ChunkedArray": pa.chunked_array([["a", None], ["b", None]]),
    "pyarrow Table": pa.table({"text": ["a", None, "b", None]}),
}
if HAS_STRING_DTYPE:
    WITH_GAPS |= {
        f"StringDType, {missing}": np.array(
            ["a", missing, "b", missing], np.dtypes.StringDType(na_object=missing)
        )
        for missing in (np.nan, None, pd.NA)
    }


@pytest.mark.parametrize("name", WITH_GAPS)
def test_missing_values_are_refused_with_count_position_and_remedy(name):
    with pytest.raises(InputError, match=r'2 missing .*position 1\..*missing="empty"'):
        check_texts(WITH_GAPS[name])


@pytest.mark.parametrize("missing", ["empty", "zero"])
@pytest.mark.parametrize("name", WITH_GAPS)
def test_missing_values_become_empty_texts_and_are_marked(name, missing):
    texts, is_missing = check_texts(WITH_GAPS[name], missing=missing)
    assert texts == ["a", "", "b", ""]
    assert is_missing.tolist() == [False, True, False, True]


def test_column_of_nothing_but_missing_values():
    for X in (
        [None, None],
        np.array([np.nan, np.nan]),
        pl.Series([None, None]),
        pa.nulls(2),
        pd.Series([None, None]),
        pd.Series([pd.NaT, pd.NaT]),
    ):
        with pytest.raises(InputError, match=r"2 missing .*position 0"):
            check_texts(X)
        assert check_texts(X, missing="empty")[0] == ["", ""]


def test_empty_text_is_not_missing(tiny_bert):
    vectors = BertEmbedder(tiny_bert, missing="zero").fit_transform(["", None, "a"])
    assert np.abs(vectors[0]).max() > 0.1
    assert not vectors[1].any()


def test_missing_empty_and_zero_in_the_embedder(tiny_bert):
    texts = ["the cat", None, "dog"]
    plain = BertEmbedder(tiny_bert).fit_transform(["the cat", "", "dog"])
    empty = BertEmbedder(tiny_bert, missing="empty").fit_transform(texts)
    zero = BertEmbedder(tiny_bert, missing="zero", normalize=True).fit_transform(texts)
    np.testing.assert_allclose(empty, plain, atol=1e-6)
    assert not zero[1].any()
    np.testing.assert_allclose(np.linalg.norm(zero, axis=1), [1, 0, 1], atol=1e-6)
    tokens = BertEmbedder(tiny_bert, missing="zero", pooling=None).fit_transform(texts)
    assert [len(vectors) for vectors in tokens] == [4, 0, 3]


def test_masked_entries_count_as_missing():
    X = np.ma.array(["a", "hidden", "b"], mask=[False, True, False])
    with pytest.raises(InputError, match=r"1 missing .*position 1"):
        check_texts(X)


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ("the cat", r"single str, expected a sequence.*\[text\]"),
        (np.str_("the cat"), r"single str_, expected a sequence.*\[text\]"),
        (b"the cat", r"single bytes, expected a sequence.*\[text\]"),
        ([b"the cat"], r"X\[0\] is b'the cat' \(bytes\), expected a str.*decode"),
        (["a", b"b"], r"X\[1\] is b'b' \(bytes\).*decode"),
        (np.array([b"a", b"b"]), r"X\[0\] is b'a' \(bytes\).*decode"),
        (pa.array([b"a"]), r"X\[0\] is b'a' \(bytes\).*decode"),
        (pl.Series([b"a"]), r"X\[0\] is b'a' \(bytes\).*decode"),
        ([1, 2], r"X\[0\] is 1 \(int\), expected a str.*str\(\)"),
        (["a", 2.5], r"X\[1\] is 2.5 \(float\), expected a str"),
        (["a", True], r"X\[1\] is True \(bool\), expected a str"),
        (np.arange(3), r"X\[0\] is 0 \(int\), expected a str"),
        (np.arange(3.0).reshape(-1, 1), r"X\[0\] is 0.0 \(float\), expected a str"),
        (np.array([1 + 2j]), r"X\[0\] is \(1\+2j\) \(complex\), expected a str"),
        (pd.Series([1, 2]), r"X\[0\] is 1 \(int\), expected a str"),
        (pd.DataFrame({"n": [1, 2]}), r"X\[0\] is 1 \(int\), expected a str"),
        (pl.Series([1, 2]), r"X\[0\] is 1 \(int\), expected a str"),
        (pa.array([1, 2]), r"X\[0\] is 1 \(int\), expected a str"),
        (pd.Series([1, 2], dtype="category"), r"X\[0\] is 1 \(int\), expected a str"),
        (["a", ["b"]], r"X\[1\] is \['b'\] \(list\), expected a str"),
        (["a", {"b": 1}], r"X\[1\] is .*\(dict\), expected a str"),
        (pd.MultiIndex.from_tuples([("a", "b")]), r"X\[0\] is \('a', 'b'\) \(tuple\)"),
        (np.array([("a", 1)], "U5,i4"), r"X has 2 columns \(shape \(1, 2\)\)"),
        (3, "X is .*int, expected a list"),
        (None, "X is .*NoneType, expected a list"),
        ({"text": ["a"]}, "X is .*dict, expected a list"),
        ({"a", "b"}, "X is .*set, expected a list"),
        (frozenset("ab"), "X is .*frozenset, expected a list"),
        ((text for text in "ab"), r"X is .*generator, expected .*list\(X\)"),
        (iter(["a"]), r"X is .*list_iterator, expected .*list\(X\)"),
        (range(2), r"X\[0\] is 0 \(int\), expected a str"),
        (bytearray(b"a"), "X is .*bytearray, expected a list"),
        (pl.LazyFrame({"text": ["a"]}), "X is .*LazyFrame, expected a list"),
        (np.array("the cat"), "scalar .*expected a sequence"),
        (np.array("the cat", object), "scalar .*expected a sequence"),
        (np.zeros((2, 1, 1), str), r"shape \(2, 1, 1\), expected"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.filterwarnings("ignore::polars.exceptions.PerformanceWarning")
def test_refused_with_value_expectation_and_remedy(X, message):
    with pytest.raises(InputError, match=message):
        check_texts(X)


@pytest.mark.parametrize(
    "X",
    [
        [["a", "b"], ["c", "d"]],
        [["a"], ["c", "d"]],
        [("a", "b")],
        np.array([["a", "b"]]),
        pd.DataFrame({"a": ["x"], "b": ["y"]}),
        pd.DataFrame([["x", "y"]], columns=["a", "a"]),
        pl.DataFrame({"a": ["x"], "b": ["y"]}),
        pa.table({"a": ["x"], "b": ["y"]}),
    ],
    ids=["lists", "ragged lists", "tuples", "array", "pandas", "equal names", "polars", "pyarrow"],
)
def test_two_columns_are_refused_with_an_example(X):
    with pytest.raises(InputError, match=r"2 columns .*expected one.*ColumnTransformer\("):
        check_texts(X)


@pytest.mark.parametrize(
    "X",
    [
        [[]],
        [[], []],
        np.empty((2, 0), object),
        pd.DataFrame(index=[0, 1]),
        pl.DataFrame(),
        pa.table({}),
    ],
    ids=["row", "rows", "array", "pandas", "polars", "pyarrow"],
)
def test_no_column_is_refused(X):
    with pytest.raises(InputError, match=r"0 columns .*expected one"):
        check_texts(X)


@pytest.mark.parametrize(
    "X",
    [
        [],
        (),
        np.array([]),
        np.empty((0, 1), object),
        pd.Series([], dtype="str"),
        pd.DataFrame({"text": []}),
        pl.Series([], dtype=pl.String),
        pa.array([], pa.string()),
        pa.chunked_array([], pa.string()),
    ],
    ids=lambda X: type(X).__name__,
)
def test_no_text_is_read_and_refused_by_fit_in_the_words_of_scikit_learn(X):
    texts, is_missing = check_texts(X)
    assert (texts, is_missing.tolist()) == ([], [])
    with pytest.raises(InputError, match=r"0 sample\(s\).*minimum of 1 is required.*at least one"):
        check_any_rows(texts)


def test_rows_of_one_and_of_none_are_refused():
    with pytest.raises(InputError, match=r"X\[1\]|columns"):
        check_texts([["a"], []])


def test_list_of_scalar_arrays_is_read_or_refused():
    try:
        texts, _ = check_texts([np.array("a"), np.array("b")])
    except InputError:
        return
    assert texts == ["a", "b"]


def test_long_value_is_shortened_in_the_message():
    with pytest.raises(InputError) as caught:
        check_texts(["a", list(range(10_000))])
    assert "X[1] is [0, 1, 2" in str(caught.value)
    assert len(str(caught.value)) < 300


def test_every_refusal_is_a_value_error():
    """So that scikit-learn's own checks, and users, can catch it as such."""
    with pytest.raises(ValueError, match="single str"):
        check_texts("text")


# Pairs ------------------------------------------------------------------------------------------

FIRST = ["the cat sat", "", "Größe 猫 🙂", "the cat sat"]
SECOND = ["on the mat", "a dog", "", "a\nb\x00c"]

PAIRS: dict[str, Callable[[list[str], list[str]], Any]] = {
    "list of tuples": lambda first, second: list(zip(first, second, strict=True)),
    "list of lists": lambda first, second: [list(pair) for pair in zip(first, second, strict=True)],
    "tuple of tuples": lambda first, second: tuple(zip(first, second, strict=True)),
    "list of arrays": lambda first, second: [np.array(p) for p in zip(first, second, strict=True)],
    "tuples and lists": lambda first, second: [
        pair if row % 2 else list(pair) for row, pair in enumerate(zip(first, second, strict=True))
    ],
    "object array": lambda first, second: np.array([first, second], object).T,
    "str array": lambda first, second: np.array([first, second]).T,
    "1-D array of tuples": lambda first, second: _array_of_tuples(first, second),
    "pandas DataFrame": lambda first, second: pd.DataFrame({"q": first, "s": second}),
    "pandas, other index": lambda first, second: pd.DataFrame(
        {"q": first, "s": second}, index=[3, 3, 1, 0]
    ),
    "pandas, equal names": lambda first, second: pd.DataFrame(
        list(zip(first, second, strict=True)), columns=["t", "t"]
    ),
    "pandas category": lambda first, second: pd.DataFrame(
        {"q": first, "s": second}, dtype="category"
    ),
    "polars DataFrame": lambda first, second: pl.DataFrame({"q": first, "s": second}),
    "pyarrow Table": lambda first, second: pa.table({"q": first, "s": second}),
    "pyarrow chunked": lambda first, second: pa.table(
        {"q": pa.chunked_array([first[:1], first[1:]]), "s": second}
    ),
}
if HAS_STRING_DTYPE:
    PAIRS["StringDType array"] = lambda first, second: (
        np.array([first, second], np.dtypes.StringDType()).T
    )


def _array_of_tuples(first: list[str], second: list[str]) -> np.ndarray:
    array = np.empty(len(first), object)
    array[:] = list(zip(first, second, strict=True))
    return array


@pytest.mark.parametrize("name", PAIRS)
def test_every_container_of_pairs_gives_the_same_columns(name):
    X = PAIRS[name](FIRST, SECOND)
    before = repr(X)
    assert check_texts_or_pairs(X) == Texts(FIRST, SECOND)
    assert repr(X) == before


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", [name for name in PAIRS if "other index" not in name])
def test_few_pairs_are_pairs(name, n):
    """Also two of them: a square of texts is read by rows."""
    texts = check_texts_or_pairs(PAIRS[name](FIRST[:n], SECOND[:n]))
    assert (texts.first, texts.second) == (FIRST[:n], SECOND[:n])


@pytest.mark.parametrize("name", CONTAINERS)
def test_single_texts_have_no_second_column(name):
    assert check_texts_or_pairs(CONTAINERS[name](TEXTS)) == Texts(TEXTS, None)


TWO_COLUMNS: dict[str, Any] = {
    "tuple of lists": (FIRST, SECOND),
    "list of lists": [FIRST, SECOND],
    "tuple of tuples": (tuple(FIRST), tuple(SECOND)),
    "list of arrays": [np.array(FIRST), np.array(SECOND)],
    "lists of other lengths": (FIRST, SECOND[:3]),
    "pandas columns": (pd.Series(FIRST), pd.Series(SECOND)),
    "two rows of pandas": (pd.Series(FIRST[:2]), pd.Series(SECOND[:2])),
    "polars columns": [pl.Series(FIRST), pl.Series(SECOND)],
    "pyarrow columns": (pa.array(FIRST), pa.array(SECOND)),
    "a list and a column": (FIRST, pd.Series(SECOND)),
}


@pytest.mark.parametrize("name", TWO_COLUMNS)
def test_two_sequences_are_refused_with_the_right_form(name):
    message = r"two sequences, of \d and \d texts.*list\(zip\(first, second\)\)"
    with pytest.raises(InputError, match=message):
        check_texts_or_pairs(TWO_COLUMNS[name])


def test_estimator_of_single_texts_does_not_recommend_pairs():
    with pytest.raises(InputError, match="expected one column") as caught:
        check_texts([FIRST, SECOND])
    assert "zip" not in str(caught.value)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([("a", "b", "c")] * 3, r"3 columns \(shape \(3, 3\)\), expected one .* or two .*Choose"),
        (np.full((4, 3), "a"), r"3 columns \(shape \(4, 3\)\).*second_column"),
        (pd.DataFrame({"a": ["x"], "b": ["y"], "c": ["z"]}), r"3 columns \(shape \(1, 3\)\)"),
        (pl.DataFrame({"a": ["x"], "b": ["y"], "c": ["z"]}), r"3 columns \(shape \(1, 3\)\)"),
        (pa.table({"a": ["x"], "b": ["y"], "c": ["z"]}), r"3 columns \(shape \(1, 3\)\)"),
        ([[], []], r"0 columns"),
        (pd.DataFrame(index=[0, 1]), r"0 columns"),
        ([("a", "b"), ("c",)], r"Some rows of X hold one text and some two"),
        ([["a"], ["b", "c"]], r"Some rows of X hold one text and some two"),
        ([("a", "b"), ("a", "b", "c")], r"3 columns"),
        ([("a", "b"), "c"], r"X\[0\] is \('a', 'b'\) \(tuple\), expected a str"),
        (["a", ("b", "c")], r"X\[1\] is \('b', 'c'\) \(tuple\), expected a str"),
        ([("a", "b"), None], r"X has 1 missing value\(s\), the first at position 1"),
        ([("a", 1)], r"X\[0\]\[1\] is 1 \(int\), expected a str.*str\(\)"),
        ([("a", "b"), (b"c", "d")], r"X\[1\]\[0\] is b'c' \(bytes\).*decode"),
        (np.array([["a", "b"], ["c", 2.5]], object), r"X\[1\]\[1\] is 2.5 \(float\)"),
        (pd.DataFrame({"a": ["x"], "b": [1]}), r"X\[0\]\[1\] is 1 \(int\)"),
        (pl.DataFrame({"a": [True], "b": ["x"]}), r"X\[0\]\[0\] is True \(bool\)"),
        (pa.table({"a": ["x"], "b": [3]}), r"X\[0\]\[1\] is 3 \(int\)"),
        ([("a", ["b"])], r"X\[0\]\[1\] is \['b'\] \(list\)"),
        ("the cat", r"single str, expected a sequence"),
        (np.full((2, 2, 2), "a"), r"shape \(2, 2, 2\)"),
    ],
    ids=lambda value: None if isinstance(value, str) else type(value).__name__,
)
def test_other_pairs_are_refused_with_value_expectation_and_remedy(X, message):
    with pytest.raises(InputError, match=message):
        check_texts_or_pairs(X)


@pytest.mark.parametrize("X", [np.empty((0, 2), object), pd.DataFrame({"a": [], "b": []})])
def test_no_pairs_are_read(X):
    assert check_texts_or_pairs(X) == Texts([], [])


@pytest.mark.parametrize(
    "X",
    [
        [("a", "b"), ("c", None), ("d", "e"), ("f", float("nan"))],
        np.array([["a", "b"], ["c", None], ["d", "e"], ["f", np.nan]], object),
        pd.DataFrame({"q": list("acdf"), "s": ["b", None, "e", None]}),
        pd.DataFrame({"q": list("acdf"), "s": ["b", pd.NA, "e", pd.NA]}, dtype="string"),
        pl.DataFrame({"q": list("acdf"), "s": ["b", None, "e", None]}),
        pa.table({"q": list("acdf"), "s": ["b", None, "e", None]}),
    ],
    ids=["list", "array", "pandas str", "pandas string", "polars", "pyarrow"],
)
def test_missing_cell_of_a_pair_is_refused_with_column_and_position(X):
    message = (
        r"Column 1 of X has 2 missing value\(s\), the first at position 1\..*(fill|isinstance)"
    )
    with pytest.raises(InputError, match=message):
        check_texts_or_pairs(X)


def test_missing_single_text_is_refused_without_a_column():
    with pytest.raises(InputError, match=r"^X has 1 missing value\(s\), the first at position 2"):
        check_texts_or_pairs(["a", "b", None])


class TestTake:
    pairs = Texts(list("abcd"), list("ABCD"))

    def test_rows_in_the_asked_order(self):
        assert self.pairs.take(np.array([3, 0, 3])) == Texts(list("dad"), list("DAD"))

    def test_slice(self):
        assert self.pairs.take(slice(1, 3)) == Texts(list("bc"), list("BC"))

    def test_single_texts(self):
        assert Texts(list("abc")).take(np.array([2, 1])) == Texts(["c", "b"])

    def test_length(self):
        assert len(self.pairs) == 4


class Column(Sequence[str]):
    """Stands in for the column of a Hugging Face dataset: a sequence, and no list."""

    def __init__(self, values: list[str]) -> None:
        self.values = values

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, place):
        return self.values[place]


@pytest.mark.parametrize("make", [Column, deque, UserList, tuple])
def test_any_sequence_is_read(make):
    assert check_texts(make(["a", "b"]))[0] == ["a", "b"]
    pairs = check_texts_or_pairs(make([("a", "b"), make(["c", "d"])]))
    assert (pairs.first, pairs.second) == (["a", "c"], ["b", "d"])


class Dataset:
    column_names: ClassVar = ["text", "label"]
    features: ClassVar = {"text": str}
    shape = (1, 2)


@pytest.mark.parametrize(
    ("X", "remedy"),
    [(Dataset(), r'ds\["text"\]'), ({"train": Dataset()}, r"ds\['train'\]\[\"text\"\]")],
)
def test_whole_datasets_are_refused_naming_a_column(X, remedy):
    with pytest.raises(InputError, match=remedy):
        check_texts(X)


GAPPY = {"a": ["x", None], "b": ["y", "z"]}
UNFILLED = {
    "pandas": pd.Series(["a", None]),
    "pandas, categories": pd.Series(["a", None], dtype="category"),
    "polars": pl.Series(["a", None]),
    "pyarrow": pa.chunked_array([["a", None]]),
    "list": ["a", None],
    "list with NaN": ["a", float("nan")],
    "array": np.array(["a", None], dtype=object),
    "pandas pairs": pd.DataFrame(GAPPY),
    "pandas pairs, categories": pd.DataFrame(GAPPY, dtype="category"),
    "polars pairs": pl.DataFrame(GAPPY),
    "pyarrow pairs": pa.table(GAPPY),
    "pairs": [("x", "y"), (None, "z")],
    "array of pairs": np.array([["x", "y"], [None, "z"]], dtype=object),
}


@pytest.mark.parametrize("kind", UNFILLED)
def test_the_remedy_for_missing_values_runs(kind):
    X = UNFILLED[kind]
    check = check_texts_or_pairs if "pairs" in kind else check_texts
    with pytest.raises(InputError) as caught:
        check(X)
    remedy = re.search(r"[Ff]ill them in, e\.g\. (.*?)(\.$|, or leave)", str(caught.value))[1]
    filled = check(eval(remedy, {"X": X, "pyarrow": pa}))
    if "pairs" in kind:
        assert (filled.first, filled.second) == (["x", ""], ["y", "z"])
    else:
        assert filled[0] == ["a", ""]


class TestLazy:
    """What holds no texts before it is computed is refused by name, with what computes it."""

    def test_polars_and_narwhals(self):
        lazy = pl.DataFrame({"text": TEXTS}).lazy()
        for X in (lazy, nw.from_native(lazy)):
            with pytest.raises(InputError, match=r"polars LazyFrame.*X\.collect\(\)"):
                check_texts(X)

    def test_dask(self):
        dd = pytest.importorskip("dask.dataframe")
        frame = dd.from_pandas(pd.DataFrame({"text": TEXTS}), npartitions=2)
        for X in (frame, frame["text"]):
            with pytest.raises(InputError, match=r"X\.compute\(\), or X\.map_partitions"):
                check_texts(X)


def test_dask_partitions_without_meta_and_empty_ones(tiny_bert):
    """Dask asks for the result's form with a frame of its own; a partition may hold nothing."""
    dd = pytest.importorskip("dask.dataframe")
    frame = pd.DataFrame({"text": TEXTS})
    # Dask's own frame has a missing text.
    embedder = BertEmbedder(tiny_bert, missing="empty").set_output(transform="pandas").fit(frame)
    parts = dd.from_pandas(frame, npartitions=2)
    parts = parts[parts["text"] == "the cat sat"]  # one partition has rows, or both
    result = parts.map_partitions(embedder.transform).compute()
    expected = embedder.transform(frame[frame["text"] == "the cat sat"])
    pd.testing.assert_frame_equal(result, expected)
