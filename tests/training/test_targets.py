"""What users pass as y and as weights: codes, standardised numbers, and every refusal."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy import sparse
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils.class_weight import compute_sample_weight

from skbert import InputError
from skbert._training.losses import binary_cross_entropy, cross_entropy, squared_error
from skbert._training.targets import (
    check_classes,
    check_numbers,
    check_weights,
    class_targets,
    number_targets,
    with_class_weight,
)

# Classes ----------------------------------------------------------------------------------------

LABELS = {
    "list of str": (["b", "a", "c", "a"], ["a", "b", "c"]),
    "tuple": (("b", "a", "c", "a"), ["a", "b", "c"]),
    "str array": (np.array(["b", "a", "c", "a"]), ["a", "b", "c"]),
    "object array": (np.array(["b", "a", "c", "a"], object), ["a", "b", "c"]),
    "pandas str": (pd.Series(["b", "a", "c", "a"], index=[9, 8, 9, 7]), ["a", "b", "c"]),
    "pandas category": (pd.Series(["b", "a", "c", "a"], dtype="category"), ["a", "b", "c"]),
    "polars": (pl.Series(["b", "a", "c", "a"]), ["a", "b", "c"]),
    "int": ([2, -1, 30, -1], [-1, 2, 30]),
    "int8": (np.array([2, -1, 30, -1], np.int8), [-1, 2, 30]),
    "whole floats": ([2.0, 1.0, 10.0, 1.0], [1.0, 2.0, 10.0]),
    "bool": ([True, False, True, False], [False, True]),
    "column": (np.array([[2], [1], [3], [1]]), [1, 2, 3]),
    "str that sort unlike numbers": (["9", "10", "a", "10"], ["10", "9", "a"]),
}


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.filterwarnings("ignore:A column-vector y was passed")
def test_classes_are_sorted_and_codes_are_places_in_them(name):
    y, expected = LABELS[name]
    classes, codes, multilabel = check_classes(y)
    assert classes.tolist() == expected
    assert type(classes[0].item() if hasattr(classes[0], "item") else classes[0]) is type(
        expected[0]
    )
    assert codes.dtype == np.int64
    assert not multilabel
    flat = np.asarray(y).ravel().tolist()
    assert [expected[code] for code in codes] == flat


@pytest.mark.parametrize(
    "make", [np.array, sparse.csr_matrix, sparse.csr_array, list], ids=lambda make: make.__name__
)
def test_indicator_matrix(make):
    rows = [[1, 0, 1], [0, 0, 0], [0, 1, 1]]
    classes, codes, multilabel = check_classes(make(np.array(rows)) if make is not list else rows)
    assert multilabel
    assert classes.tolist() == [0, 1, 2]
    assert codes.dtype == np.float32
    assert codes.tolist() == rows


@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, 1, 1], r"only one class \(.*1.*\), expected at least 2 classes\. Pass texts of"),
        ([1.5, 2.5, 0.1], "Unknown label type: continuous"),
        ([1.0, np.nan, 0.0], r"1 missing label\(s\), the first at position 1"),
        ([[1, 2], [3, 4]], "1d array"),
    ],
    ids=repr,
)
def test_refused_classes(y, message):
    with pytest.raises(ValueError, match=message):
        check_classes(y)


def test_the_only_class_is_shown_as_the_user_wrote_it():
    with pytest.raises(InputError, match=r"only one class \('a'\)"):
        check_classes(["a", "a"])


@pytest.mark.parametrize(
    "y",
    [
        ["a", None, "b", None],
        np.array(["a", np.nan, "b", None], object),
        pd.Series(["a", None, "b", None]),
        pl.Series(["a", None, "b", None]),
    ],
    ids=["list", "array", "pandas", "polars"],
)
def test_missing_labels_are_refused_with_count_and_position(y):
    with pytest.raises(InputError, match=r"2 missing label\(s\), the first at position 1.*Leave"):
        check_classes(y)


def test_class_targets():
    targets = class_targets(*check_classes(["no", "yes", "no"]))
    assert targets.row_loss is cross_entropy
    assert targets.values.tolist() == targets.strata.tolist() == [0, 1, 0]
    assert targets.config == {
        "id2label": {0: "no", 1: "yes"},
        "label2id": {"no": 0, "yes": 1},
        "problem_type": "single_label_classification",
    }
    logits = np.array([[2.0, 1.0], [3.0, 1.0], [0.0, 1.0]])
    weights = np.array([1.0, 2.0, 5.0])
    expected = accuracy_score([0, 1, 0], [0, 0, 1], sample_weight=weights)
    assert targets.score(logits, targets.values, weights) == pytest.approx(expected)


def test_names_in_the_configuration_are_str():
    assert class_targets(*check_classes([10, 2])).config["id2label"] == {0: "2", 1: "10"}
    assert class_targets(*check_classes([True, False])).config["label2id"] == {
        "False": 0,
        "True": 1,
    }


def test_multilabel_targets():
    y = np.array([[1, 0], [0, 0], [1, 1]])
    targets = class_targets(*check_classes(y))
    assert targets.row_loss is binary_cross_entropy
    assert targets.strata is None
    assert targets.config["problem_type"] == "multi_label_classification"
    logits = np.array([[1.0, -1.0], [-1.0, 0.5], [0.1, 0.1]])
    assert targets.score(logits, targets.values, np.array([1.0, 1.0, 2.0])) == pytest.approx(0.75)


# Numbers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y",
    [
        [1, 2, 4],
        (1.0, 2.0, 4.0),
        np.array([1, 2, 4], np.float32),
        pd.Series([1, 2, 4], index=[5, 5, 4]),
        pl.Series([1, 2, 4]),
        np.array([1, 2, 4], object),
    ],
    ids=lambda y: type(y).__name__,
)
def test_numbers(y):
    values = check_numbers(y)
    assert values.dtype == np.float64
    assert values.tolist() == [1, 2, 4]


def test_several_outputs_keep_their_shape():
    assert check_numbers([[1, 2], [3, 4]]).shape == (2, 2)
    assert check_numbers([[1], [3]]).shape == (2, 1)
    assert check_numbers(pd.DataFrame({"a": [1, 2], "b": [3, 4]})).tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed, but the target y is None"),
        (["good", "bad"], r"numbers only \(.*good.*\)\. Use BertClassifier"),
        ([[1], [1, 2]], r"numbers only .*Use BertClassifier"),
        ([], r"shape \(0,\), expected \(n_texts,\)"),
        (3.0, r"shape \(\), expected"),
        (np.zeros((2, 2, 2)), r"shape \(2, 2, 2\), expected"),
        ([1.0, np.nan], "NaN, infinity.*Leave these rows out"),
        ([1.0, np.inf], "NaN, infinity"),
        ([1.0, None], "NaN, infinity"),
    ],
    ids=repr,
)
def test_refused_numbers(y, message):
    with pytest.raises(InputError, match=message):
        check_numbers(y)


def test_number_targets():
    values = np.array([[1.0, 4.0], [2.0, 0.0], [4.0, 1.0]])
    targets = number_targets(values)
    assert targets.row_loss is squared_error
    assert targets.values.dtype == np.float32
    assert targets.config == {
        "id2label": {0: "LABEL_0", 1: "LABEL_1"},
        "label2id": {"LABEL_0": 0, "LABEL_1": 1},
        "problem_type": "regression",
    }
    predicted = values + np.array([[0.5, 1], [0, 0], [0, 2]])
    weights = np.array([1.0, 2.0, 3.0])
    expected = r2_score(values, predicted, sample_weight=weights)
    assert targets.score(predicted, values, weights) == pytest.approx(expected)
    # Of one row there is no R2: the nearer prediction is the better one.
    near, far = (targets.score(values[:1] + d, values[:1], weights[:1]) for d in (0.5, -2))
    assert near == pytest.approx(-0.25)
    assert far == pytest.approx(-4)


# Weights ----------------------------------------------------------------------------------------


def test_weights():
    assert check_weights(None, 3).tolist() == [1, 1, 1]
    assert check_weights(2, 3).tolist() == [2, 2, 2]
    for weights in ([1, 0, 2.5], (1, 0, 2.5), np.array([1, 0, 2.5]), pd.Series([1, 0, 2.5])):
        found = check_weights(weights, 3)
        assert found.dtype == np.float64
        assert found.tolist() == [1, 0, 2.5]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1, 2], r"sample_weight.shape == \(2,\), expected \(3,\): one per text"),
        ([[1], [2], [3]], r"must be 1D, got shape \(3, 1\)"),
        ([1, -1, 2], r"at least 0.*from -1.0 to 2.0"),
        ([1, np.nan, 2], "finite numbers"),
        ([1, np.inf, 2], "finite numbers.*to inf"),
        ([0, 0, 0], "its values are from 0.0 to 0.0"),
    ],
    ids=repr,
)
def test_refused_weights(weights, message):
    with pytest.raises(InputError, match=message):
        check_weights(weights, 3)


Y = np.array(["b", "a", "a", "c", "a", "b"])


def weighted(class_weight, y=Y, weights=None):
    classes, codes, multilabel = check_classes(y)
    weights = np.ones(len(codes)) if weights is None else np.asarray(weights, float)
    return with_class_weight(weights, class_weight, y, classes, codes, multilabel)


def test_no_class_weight_leaves_weights_as_they_are():
    weights = np.arange(1.0, 7)
    classes, codes, _ = check_classes(Y)
    assert with_class_weight(weights, None, Y, classes, codes, False) is weights


def test_weights_by_class():
    class_weight = {"a": 2.0, "b": 0.5, "c": 1.0}
    np.testing.assert_allclose(
        weighted(class_weight), compute_sample_weight(class_weight, Y), rtol=1e-12
    )
    product = weighted(class_weight, weights=[1, 2, 3, 4, 5, 6])
    np.testing.assert_allclose(product, [0.5, 4, 6, 4, 10, 3])


def test_class_that_is_not_named_has_weight_one():
    np.testing.assert_allclose(weighted({"a": 3.0}), [1, 3, 3, 1, 3, 1])


@pytest.mark.parametrize("y", [Y, np.array([3, 1, 1, 7, 1, 3]), np.array([True, False, True])])
def test_balanced_is_that_of_scikit_learn(y):
    np.testing.assert_allclose(weighted("balanced", y), compute_sample_weight("balanced", y))


def test_balanced_classes_have_the_same_sum_of_weights():
    weights = np.array([1.0, 2, 0, 4, 5, 6])
    found = weighted("balanced", weights=weights)
    sums = [found[label == Y].sum() for label in "abc"]
    np.testing.assert_allclose(sums, sums[0])
    assert found.sum() == pytest.approx(weights.sum())
    assert found[2] == 0


def test_balanced_by_weights_is_balanced_by_repetition():
    """A row of weight 3 counts as three rows, one of weight 0 as none."""
    weights = np.array([1, 3, 0, 2, 1, 1])
    repeated = np.repeat(np.arange(6), weights)
    expected = compute_sample_weight("balanced", Y[repeated])
    found = weighted("balanced", weights=weights)[repeated] / weights[repeated]
    np.testing.assert_allclose(found, expected)


def test_class_whose_rows_have_no_weight_does_not_count():
    found = weighted("balanced", weights=[1, 1, 1, 0, 1, 1])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[[0, 5]].sum(), found[[1, 2, 4]].sum())
    assert found[3] == 0


def test_multilabel_class_weights_are_those_of_scikit_learn():
    y = np.array([[1, 0], [0, 1], [1, 1], [0, 0]])
    class_weight = [{0: 1.0, 1: 3.0}, {0: 2.0, 1: 1.0}]
    for chosen in (class_weight, "balanced"):
        np.testing.assert_allclose(weighted(chosen, y), compute_sample_weight(chosen, y))
