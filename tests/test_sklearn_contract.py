"""scikit-learn's own checks, run for real.

With the tags of an estimator of texts, `check_estimator` skips nearly all its checks. So each
estimator is also tested as `Numeric<Estimator>`: an adaptor before it in the MRO whose input hook
reads a numeric table as scikit-learn's estimators do and spells each row as a text.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.validation import validate_data

from skbert import BertEmbedder
from tests.conftest import N_STEPS, numeric_word

pytestmark = pytest.mark.usefixtures("one_thread")


def rows_to_texts(X: np.ndarray) -> list[str]:
    """One word a feature; values from -3 to 3 in steps of a half."""
    steps = np.clip(np.rint(X * 2) + N_STEPS // 2, 0, N_STEPS - 1).astype(int)
    return [" ".join(numeric_word(j, step) for j, step in enumerate(row)) for row in steps]


class NumericRows:
    """The adaptor: a numeric table in, texts to the estimator's own hook."""

    def _check_X(self, X: Any, *, reset: bool) -> Any:
        table = validate_data(self, X, reset=reset, dtype=np.float64)
        return super()._check_X(rows_to_texts(table), reset=reset)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = False
        tags.input_tags.two_d_array = True
        tags.input_tags.string = False
        return tags


class NumericBertEmbedder(NumericRows, BertEmbedder):
    pass


def numeric_embedder(model: str) -> NumericBertEmbedder:
    return NumericBertEmbedder(model)


def run_checks(estimator: Any, expected_failures: dict[str, str] | None = None) -> dict[str, str]:
    """Run every check that scikit-learn yields; give their names and results."""
    results = estimator_checks.check_estimator(
        estimator, expected_failed_checks=expected_failures, on_skip=None, on_fail=None
    )
    failed = [
        (result["check_name"], repr(result["exception"]))
        for result in results
        if result["status"] == "failed"
    ]
    assert not failed
    return {result["check_name"]: result["status"] for result in results}


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_transformer_checks_pass(tiny_bert):
    statuses = run_checks(numeric_embedder(tiny_bert))
    passed = [name for name, status in statuses.items() if status == "passed"]
    assert len(passed) >= 40, statuses
    assert "check_transformer_general" in passed
    assert "check_methods_sample_order_invariance" in passed
    assert "check_methods_subset_invariance" in passed


def test_real_tags_pass_check_estimator(tiny_bert):
    run_checks(BertEmbedder(tiny_bert))


# Checks that check_estimator does not yield, by name; some need pandas or polars.
DIRECT_CHECKS = [
    "check_transformer_get_feature_names_out",
    "check_transformer_get_feature_names_out_pandas",
    "check_set_output_transform",
    "check_set_output_transform_pandas",
    "check_set_output_transform_polars",
    "check_global_output_transform_pandas",
    "check_global_set_output_transform_polars",
    "check_dataframe_column_names_consistency",
    "check_estimators_overwrite_params",
]


@pytest.mark.parametrize("name", DIRECT_CHECKS)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_check_called_directly(name, tiny_bert):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip(f"scikit-learn {sklearn.__version__} has no {name}")
    check("NumericBertEmbedder", numeric_embedder(tiny_bert))


def test_fit_and_transform_leave_the_input_alone(tiny_bert):
    X = np.random.default_rng(0).normal(size=(8, 3))
    before = X.copy()
    numeric_embedder(tiny_bert).fit(X).transform(X)
    np.testing.assert_array_equal(X, before)


def test_adaptor_is_not_blind(tiny_bert):
    """The texts differ where the numbers do, so the checks see real differences."""
    X = np.random.default_rng(0).normal(size=(50, 3))
    vectors = numeric_embedder(tiny_bert).fit_transform(X)
    assert len(np.unique(vectors.round(4), axis=0)) == len(np.unique(np.rint(X * 2), axis=0))


def test_broken_estimator_is_caught(tiny_bert):
    """The checks can fail: an embedder whose result depends on its neighbours does not pass."""

    class Broken(NumericBertEmbedder):
        def transform(self, X: Any) -> Any:
            vectors = super().transform(X)
            return vectors - vectors.mean(0)

    results = estimator_checks.check_estimator(Broken(tiny_bert), on_skip=None, on_fail=None)
    failed = {result["check_name"] for result in results if result["status"] == "failed"}
    assert "check_methods_subset_invariance" in failed


def test_clone_of_fitted_is_unfitted(tiny_bert, texts):
    copy = clone(BertEmbedder(tiny_bert).fit(texts))
    assert not [name for name in vars(copy) if name.endswith("_") or name == "_encoder"]
