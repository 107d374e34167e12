"""What users pass as y and as weights → what the losses take and a configuration says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import column_or_1d
from sklearn.utils.class_weight import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets, type_of_target

from skbert._exceptions import InputError
from skbert._texts.containers import refuse_datasets, to_list
from skbert._texts.inputs import is_missing_value
from skbert._training.losses import RowLoss, binary_cross_entropy, cross_entropy, squared_error
from skbert._training.probe import FitProbe, logistic_probe, multilabel_probe, ridge_probe


@dataclass(frozen=True)
class Targets:
    """What a model with a head for whole texts is trained for.

    Attributes
    ----------
    values : ndarray, shape (n_texts,) or (n_texts, n_outputs)
        As the loss takes them.
    row_loss : callable
        The loss.
    score : callable
        (logits, values, weights) → how good, greater is better.
    config : mapping
        Settings of the transformers configuration: the outputs and their names.
    fit_probe : callable
        Fits the linear model that a head begins with.
    strata : ndarray or None
        What a held-out part keeps the shares of.
    """

    values: NDArray[Any]
    row_loss: RowLoss
    score: Callable[[NDArray[Any], NDArray[Any], NDArray[np.float64]], float]
    config: Mapping[str, Any]
    fit_probe: FitProbe
    strata: NDArray[np.int64] | None = None


def check_classes(y: Any, *, least: int = 2) -> tuple[NDArray[Any], NDArray[Any], bool]:
    """Turn labels into numbers.

    Parameters
    ----------
    y : array-like, shape (n_texts,), or indicator matrix, shape (n_texts, n_labels)
        Labels of any type that scikit-learn takes.
    least : int, default=2
        Classes that there must be; fewer where others are known by their names.

    Returns
    -------
    classes : ndarray, shape (n_classes,)
        Sorted labels; the numbers of the columns for an indicator matrix.
    codes : ndarray
        For each text the place of its label in ``classes``, int64; or the indicator matrix,
        float32.
    multilabel : bool
        Whether ``y`` is an indicator matrix.

    Raises
    ------
    InputError
        If there is only one class, or a label is missing.
    """
    y = _readable(y)
    _refuse_missing_labels(y)
    if type_of_target(y, input_name="y") == "multilabel-indicator":
        indicator = y.toarray() if sparse.issparse(y) else np.asarray(y)
        return np.arange(indicator.shape[1]), indicator.astype(np.float32), True
    check_classification_targets(y)
    classes, codes = sorted_classes(column_or_1d(y, warn=True))
    if len(classes) < least:
        raise InputError(
            f"y contains only one class ({classes.tolist()[0]!r}), expected at least 2 "
            "classes. Pass texts of the other classes, too."
        )
    return classes, codes, False


def sorted_classes(labels: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return the distinct labels, sorted, and the place of each label among them.

    Raises
    ------
    InputError
        If they cannot be sorted, since they are of several types.
    """
    try:
        classes, codes = np.unique(labels, return_inverse=True)
    except TypeError as error:
        kinds = ", ".join(sorted({type(label).__name__ for label in labels.tolist()}))
        raise InputError(
            f"The labels in y are of the types {kinds}, which cannot be sorted; expected one type. "
            "Convert them, e.g. with str()."
        ) from error
    return classes, codes.astype(np.int64)


def _readable(y: Any) -> Any:
    """Return sequences of other packages as lists, which scikit-learn reads."""
    refuse_datasets(y, "y")
    known = hasattr(y, "__array__") or sparse.issparse(y) or isinstance(y, list | tuple)
    return y if known else to_list(y)


def _refuse_missing_labels(y: Any) -> None:
    """Refuse None, NaN and pandas.NA, which scikit-learn would try to sort among the labels."""
    if sparse.issparse(y):
        return
    values = np.asarray(y, dtype=object)
    if values.ndim == 0 or values.size != len(values):
        return
    missing = [row for row, label in enumerate(values.ravel().tolist()) if is_missing_value(label)]
    if missing:
        raise InputError(
            f"y has {len(missing)} missing label(s), the first at position {missing[0]}. Leave "
            "these rows out."
        )


def reorder(labels: Any, columns: NDArray[np.int64] | None) -> Any:
    """Put sorted labels into the order of a head in which label j stands in ``columns[j]``."""
    if columns is None:
        return labels
    return [labels[j] for j in np.argsort(columns)]


def label_config(labels: Sequence[Any]) -> dict[str, Any]:
    """Return names of a head's outputs, in its order, as transformers' configurations have them."""
    names = [str(label) for label in labels]
    return {
        "id2label": dict(enumerate(names)),
        "label2id": {name: number for number, name in enumerate(names)},
    }


def class_targets(
    labels: Sequence[str] | NDArray[Any], codes: NDArray[Any], multilabel: bool
) -> Targets:
    """Return targets of a classification; ``codes`` count in the order of ``labels``."""
    config = {
        **label_config(np.asarray(labels).tolist()),
        "problem_type": "multi_label_classification"
        if multilabel
        else "single_label_classification",
    }
    if multilabel:
        return Targets(codes, binary_cross_entropy, _subset_accuracy, config, multilabel_probe)
    return Targets(codes, cross_entropy, _accuracy, config, logistic_probe, strata=codes)


def _accuracy(logits: NDArray[Any], codes: NDArray[Any], weights: NDArray[np.float64]) -> float:
    return float(accuracy_score(codes, logits.argmax(1), sample_weight=weights))


def _subset_accuracy(
    logits: NDArray[Any], is_label: NDArray[Any], weights: NDArray[np.float64]
) -> float:
    return float(accuracy_score(is_label > 0, logits > 0, sample_weight=weights))


def check_numbers(y: Any) -> NDArray[np.float64]:
    """Turn the targets of a regression into finite float64, in one or two dimensions.

    Raises
    ------
    InputError
        If they are no finite numbers.
    """
    if y is None:
        raise InputError("This estimator requires y to be passed, but the target y is None.")
    try:
        values = np.asarray(_readable(y), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"y must contain numbers only ({error}). Use BertClassifier for labels."
        ) from error
    if values.ndim not in (1, 2) or values.size == 0:
        raise InputError(
            f"y has shape {values.shape}, expected (n_texts,) or (n_texts, n_outputs)."
        )
    if not np.isfinite(values).all():
        raise InputError(
            "Input y contains NaN, infinity or a value too large. Leave these rows out."
        )
    return values


def number_targets(values: NDArray[np.float64]) -> Targets:
    """Return targets of a regression, standardised, shape (n_texts, n_outputs)."""
    names = [f"LABEL_{output}" for output in range(values.shape[1])]
    config = {**label_config(names), "problem_type": "regression"}
    return Targets(values.astype(np.float32), squared_error, _r2, config, ridge_probe)


def _r2(predicted: NDArray[Any], values: NDArray[Any], weights: NDArray[np.float64]) -> float:
    # Of one row R2 is undefined; minus the error ranks as well.
    if len(values) < 2:
        return -float(np.square(predicted - values).mean())
    return float(r2_score(values, predicted, sample_weight=weights))


def check_weights(sample_weight: Any, n_texts: int) -> NDArray[np.float64]:
    """Turn sample weights into float64, ones by default.

    Raises
    ------
    InputError
        If they are not one finite, non-negative number a text, or all zero.
    """
    if sample_weight is None:
        return np.ones(n_texts)
    weights = np.asarray(sample_weight, dtype=np.float64)
    if weights.ndim == 0:
        weights = np.full(n_texts, weights)
    if weights.ndim != 1:
        raise InputError(f"Sample weights must be 1D, got shape {weights.shape}.")
    if len(weights) != n_texts:
        raise InputError(
            f"sample_weight.shape == {weights.shape}, expected {(n_texts,)}: one per text."
        )
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.any():
        raise InputError(
            "sample_weight must contain finite numbers of at least 0 that are not all zero; its "
            f"values are from {weights.min()} to {weights.max()}."
        )
    return weights


def with_class_weight(
    weights: NDArray[np.float64],
    class_weight: Any,
    y: Any,
    classes: NDArray[Any],
    codes: NDArray[Any],
    multilabel: bool,
) -> NDArray[np.float64]:
    """Multiply sample weights by the weights of their classes.

    "balanced" gives each class the same sum of weights, as scikit-learn does.
    """
    if class_weight is None:
        return weights
    if multilabel:
        return weights * compute_sample_weight(class_weight, y)
    if isinstance(class_weight, str):  # "balanced", by weights: a row of weight 0 counts nothing
        sums = np.bincount(codes, weights, minlength=len(classes))
        present = sums > 0
        of_class = np.zeros(len(classes))
        of_class[present] = weights.sum() / (present.sum() * sums[present])
    else:
        of_class = compute_class_weight(class_weight, classes=classes, y=classes[codes])
    return weights * of_class[codes]
