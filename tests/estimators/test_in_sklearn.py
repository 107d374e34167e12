"""BertClassifier and BertRegressor in scikit-learn: its tools, labels, weights and callbacks."""

from __future__ import annotations

import inspect
import random
from email.message import Message
from importlib.metadata import PackageNotFoundError
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from scipy import sparse
from scipy.special import expit, softmax
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingRandomSearchCV,
    KFold,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from sklearn.utils.class_weight import compute_sample_weight

import skbert
from skbert import BertClassifier, BertRegressor, InputError
from skbert._estimators.base import documentation_address

pytestmark = pytest.mark.usefixtures("one_thread")

NOUNS = "cat dog film house bank tree".split()
ADJECTIVES = np.array(["bad", "blue", "good"])  # what decides the class

ESTIMATORS = [BertClassifier, BertRegressor]


def sentences(n_classes: int = 2) -> tuple[list[str], np.ndarray]:
    """18 short texts of each class, and their classes, in a mixed order."""
    kinds = list(product(range(n_classes), NOUNS, ("", "very ", "not ")))
    random.Random(0).shuffle(kinds)
    chosen = ADJECTIVES if n_classes == 3 else ADJECTIVES[::2]
    texts = [f"the {noun} is {adverb}{chosen[code]} ." for code, noun, adverb in kinds]
    return texts, np.array([code for code, _, _ in kinds])


QUICK = {
    "max_epochs": 4,
    "min_steps": 0,
    "learning_rate": 5e-3,
    "train_batch_size": 8,
    "dropout": 0.0,
    "random_state": 0,
    "device": "cpu",
}


def classifier(model: str, **params: Any) -> BertClassifier:
    return BertClassifier(model, **{**QUICK, **params})


def regressor(model: str, **params: Any) -> BertRegressor:
    return BertRegressor(model, **{**QUICK, **params})


def assert_same_weights(one: Any, other: Any) -> None:
    one, other = one._state.weights, other._state.weights
    assert one.keys() == other.keys()
    for name, weight in one.items():
        np.testing.assert_array_equal(weight, other[name], err_msg=name)


def numbers_for(texts: list[str]) -> np.ndarray:
    """Targets of a regression: the adjective, and less so the noun."""
    return np.array([3.0 * ("good" in t) + 0.5 * ("cat" in t) + 0.25 * ("dog" in t) for t in texts])


# The estimator as an object


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_init_only_stores(Estimator):
    given = {name: object() for name in inspect.signature(Estimator).parameters}
    estimator = Estimator(**given)
    assert vars(estimator) == given
    for name, value in estimator.get_params().items():
        assert value is given[name]


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_fit_leaves_the_parameters(Estimator, tiny_bert):
    estimator = Estimator(tiny_bert, **QUICK)
    before = estimator.get_params()
    estimator.fit(*sentences())
    for name, value in estimator.get_params().items():
        assert value is before[name]


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_clone_has_the_parameters_and_nothing_else(Estimator, tiny_bert):
    fitted = Estimator(tiny_bert, **QUICK).fit(*sentences())
    copy = clone(fitted)
    assert vars(copy) == fitted.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(["the cat is good ."])


METHODS = ["predict", "predict_proba", "decision_function", "score", "save_pretrained"]


@pytest.mark.parametrize(("Estimator", "method"), list(product(ESTIMATORS, METHODS)))
def test_not_fitted(Estimator, method, tmp_path):
    # A model that is not there: nothing is loaded before the refusal.
    estimator = Estimator("no-such/model")
    if not hasattr(estimator, method):
        assert Estimator is BertRegressor
        assert method in ("predict_proba", "decision_function")
        return
    args = {"score": (["a"], [1]), "save_pretrained": (tmp_path / "folder",)}
    with pytest.raises(NotFittedError):
        getattr(estimator, method)(*args.get(method, (["a"],)))
    assert not (tmp_path / "folder").exists()


@pytest.mark.parametrize("Estimator", ESTIMATORS)
def test_same_seed_same_weights_and_no_global_generator(Estimator, tiny_bert):
    texts, y = sentences()
    with_dropout = {**QUICK, "dropout": 0.2}
    states = (
        random.getstate(),
        np.random.get_state(),  # noqa: NPY002
        torch.get_rng_state(),
    )
    first = Estimator(tiny_bert, **with_dropout).fit(texts, y)
    first.predict(texts)
    assert random.getstate() == states[0]
    np.testing.assert_equal(np.random.get_state(), states[1])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), states[2])

    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    second = Estimator(tiny_bert, **with_dropout).fit(texts, y)
    np.testing.assert_array_equal(first.loss_curve_, second.loss_curve_)
    assert_same_weights(first, second)
    assert_same_weights(first, second.fit(texts, y))
    instance = second.set_params(random_state=np.random.RandomState(0)).fit(texts, y)
    assert_same_weights(first, instance)
    other = second.set_params(random_state=1).fit(texts, y)
    assert other.loss_curve_ != first.loss_curve_


def test_fitted_estimator_keeps_its_model_under_other_parameters(tiny_bert):
    texts, y = sentences()
    fitted = classifier(tiny_bert).fit(texts, y)
    before = fitted.predict_proba(texts)
    fitted.set_params(model="no-such/model", learning_rate=1.0)
    np.testing.assert_array_equal(fitted.predict_proba(texts), before)


def test_refit_forgets_the_earlier_fit(tiny_bert):
    texts, y = sentences(3)
    estimator = classifier(tiny_bert).fit(texts, np.eye(3, dtype=int)[y])
    estimator.set_params(early_stopping=True, validation_fraction=0.3).fit(texts, y)
    fresh = classifier(tiny_bert).fit(*sentences())
    estimator.set_params(early_stopping=False, validation_fraction=0.1).fit(*sentences())
    assert vars(estimator).keys() == vars(fresh).keys()
    assert estimator.history_ == fresh.history_
    assert_same_weights(estimator, fresh)
    assert not estimator.multilabel_


def test_columns_are_those_of_a_table(tiny_bert):
    texts, y = sentences()
    fitted = classifier(tiny_bert, max_epochs=1).fit(pd.DataFrame({"text": texts}), y)
    assert fitted.feature_names_in_.tolist() == ["text"]
    assert fitted.n_features_in_ == 1
    with pytest.raises(InputError, match="should match those"):
        fitted.predict(pd.DataFrame({"other": texts}))
    assert len(fitted.predict(texts)) == len(texts)
    fitted.fit(texts, y)
    assert not hasattr(fitted, "feature_names_in_")
    assert not hasattr(fitted, "n_features_in_")


@pytest.mark.parametrize("make", [classifier, regressor])
def test_representations(make, tiny_bert):
    estimator = make(tiny_bert)
    assert "learning_rate=0.005" in repr(estimator)
    assert type(estimator).__name__ in estimator._repr_html_()


@pytest.fixture
def package_metadata(monkeypatch):
    """What the installed package states: nothing, until a test adds to it."""
    package = Message()
    monkeypatch.setattr("skbert._estimators.base.metadata", lambda name: package)
    documentation_address.cache_clear()
    yield package
    documentation_address.cache_clear()


@pytest.mark.parametrize("name", ["BertEmbedder", "BertClassifier", "BertQuestionAnswerer"])
def test_html_links_to_the_page_in_the_documentation(name, package_metadata):
    package_metadata["Project-URL"] = "Source, https://a.org/"
    package_metadata["Project-URL"] = "Documentation, https://docs.org/skbert/"
    estimator = getattr(skbert, name)()
    assert f'href="https://docs.org/skbert/generated/skbert.{name}.html"' in estimator._repr_html_()


def test_html_has_no_link_where_the_package_states_no_address(package_metadata, monkeypatch):
    assert BertClassifier()._get_doc_link() == ""
    assert "generated/" not in BertClassifier()._repr_html_()

    def not_installed(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("skbert._estimators.base.metadata", not_installed)
    documentation_address.cache_clear()
    assert BertClassifier()._get_doc_link() == ""


# Compositions


def test_pipeline_and_columns(tiny_bert):
    """A pipeline that chooses the text column is the estimator on that column."""
    texts, y = sentences()
    frame = pd.DataFrame({"number": np.arange(36.0), "text": texts})
    expected = classifier(tiny_bert).fit(texts, y).predict_proba(texts)
    for output in ("default", "pandas"):
        choose = ColumnTransformer([("text", "passthrough", ["text"])]).set_output(transform=output)
        pipeline = make_pipeline(choose, classifier(tiny_bert)).fit(frame, y)
        np.testing.assert_array_equal(pipeline.predict_proba(frame), expected)
        assert pipeline.score(frame, y) == accuracy_score(y, expected.argmax(1))


def test_two_columns_are_pairs(tiny_bert):
    texts, y = sentences()
    others = [f"a {NOUNS[i % 6]} runs" for i in range(36)]
    frame = pd.DataFrame({"second": others, "number": 1.0, "first": texts})
    pairs = list(zip(texts, others, strict=True))
    expected = classifier(tiny_bert).fit(pairs, y).predict_proba(pairs)
    assert (expected.argmax(1) == y).all()
    for output in ("default", "pandas"):
        choose = ColumnTransformer([("texts", "passthrough", ["first", "second"])])
        choose.set_output(transform=output)
        pipeline = make_pipeline(choose, classifier(tiny_bert)).fit(frame, y)
        np.testing.assert_array_equal(pipeline.predict_proba(frame), expected)


def test_grid_search(tiny_bert):
    texts, y = sentences()
    grid = {
        "learning_rate": [1e-6, 5e-3],
        "max_epochs": [1, 4],
        "freeze": [None, "encoder"],
    }
    folds = StratifiedKFold(2)
    search = GridSearchCV(classifier(tiny_bert), grid, cv=folds).fit(texts, y)
    best = {"learning_rate": 5e-3, "max_epochs": 4}
    assert {name: search.best_params_[name] for name in best} == best
    assert search.best_score_ > 0.8
    assert search.cv_results_["mean_test_score"].min() < 0.7
    by_hand = cross_val_score(classifier(tiny_bert, **search.best_params_), texts, y, cv=folds)
    assert search.best_score_ == by_hand.mean()
    np.testing.assert_array_equal(
        search.predict_proba(texts),
        classifier(tiny_bert, **search.best_params_).fit(texts, y).predict_proba(texts),
    )


def test_search_in_two_processes_is_the_same(tiny_bert):
    texts, y = sentences()
    results = [
        GridSearchCV(
            classifier(tiny_bert, dropout=0.1),
            {"learning_rate": [1e-4, 1e-3]},
            scoring="neg_log_loss",
            cv=2,
            n_jobs=n_jobs,
        )
        .fit(texts, y)
        .cv_results_["mean_test_score"]
        for n_jobs in (None, 2)
    ]
    assert results[0][0] != results[0][1]
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)


def test_halving_search(tiny_bert):
    texts, y = sentences()
    search = HalvingRandomSearchCV(
        classifier(tiny_bert, init="random"),  # a probe would leave nothing to choose
        {"learning_rate": [1e-7, 3e-7, 1e-6, 5e-3]},
        resource="max_epochs",
        n_candidates=4,
        min_resources=1,
        max_resources=4,
        factor=2,
        cv=2,
        random_state=0,
    ).fit(texts, y)
    assert search.n_resources_ == [1, 2, 4]
    assert search.best_params_ == {"learning_rate": 5e-3, "max_epochs": 4}
    assert search.best_estimator_.n_iter_ == 4


@pytest.mark.parametrize(
    "container",
    [list, pd.Series, lambda t: np.array([t], "O").T],
    ids=["list", "Series", "column"],
)
def test_cross_validation(container, tiny_bert):
    texts, y = sentences()
    names = ADJECTIVES[[2, 0]][y]
    folds = StratifiedKFold(2)
    expected, scores = np.empty((36, 2)), []
    for train, test in folds.split(texts, y):
        fitted = classifier(tiny_bert).fit([texts[i] for i in train], names[train])
        expected[test] = fitted.predict_proba([texts[i] for i in test])
        scores.append(np.mean(fitted.classes_[expected[test].argmax(1)] == names[test]))
    X = container(texts)
    found = cross_val_predict(classifier(tiny_bert), X, names, cv=folds, method="predict_proba")
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(
        cross_val_score(classifier(tiny_bert), X, names, cv=folds), scores
    )


def test_cross_validation_of_pairs(tiny_bert):
    texts, y = sentences()
    pairs = [(text, "a cat runs") for text in texts]
    found = cross_val_predict(classifier(tiny_bert), pairs, y, cv=StratifiedKFold(2))
    assert np.mean(found == y) > 0.8


def test_cross_validation_of_several_outputs(tiny_bert):
    texts, _ = sentences()
    y = np.stack([numbers_for(texts), -10 * numbers_for(texts)], axis=1)
    found = cross_val_predict(regressor(tiny_bert, max_epochs=8), texts, y, cv=KFold(2))
    assert found.shape == (36, 2)
    assert r2_score(y, found) > 0.5


def test_calibration(tiny_bert):
    texts, y = sentences()
    names = ADJECTIVES[[2, 0]][y]
    calibrated = CalibratedClassifierCV(classifier(tiny_bert), cv=2).fit(texts, names)
    np.testing.assert_array_equal(calibrated.classes_, ["bad", "good"])
    probabilities = calibrated.predict_proba(texts)
    np.testing.assert_allclose(probabilities.sum(1), 1)
    assert np.mean(calibrated.predict(texts) == names) > 0.8
    # Platt's sigmoid of the fold's own decision function.
    fold = calibrated.calibrated_classifiers_[0]
    (sigmoid,) = fold.calibrators
    by_hand = sigmoid.predict(fold.estimator.decision_function(texts))
    np.testing.assert_allclose(fold.predict_proba(texts)[:, 1], by_hand)


def test_decision_threshold(tiny_bert):
    texts, y = sentences()
    unsure = classifier(tiny_bert, max_epochs=1)
    p = unsure.fit(texts, y).predict_proba(texts)[:, 1]
    threshold = float(np.quantile(p, 0.9))
    fixed = FixedThresholdClassifier(clone(unsure), threshold=threshold).fit(texts, y)
    np.testing.assert_array_equal(fixed.predict(texts), p >= threshold)


def text_and_number() -> tuple[pd.DataFrame, np.ndarray]:
    texts, y = sentences()
    noise = np.random.default_rng(0).normal(size=36)
    return pd.DataFrame({"text": texts, "number": y + noise}), ADJECTIVES[[2, 0]][y]


def text_and_table_members(model: str) -> list[tuple[str, Any]]:
    def of_column(name: str, last: Any) -> Any:
        return make_pipeline(ColumnTransformer([("chosen", "passthrough", [name])]), last)

    return [
        ("text", of_column("text", classifier(model))),
        ("table", of_column("number", LogisticRegression())),
    ]


def test_voting_with_a_model_of_numbers(tiny_bert):
    frame, y = text_and_number()
    voting = VotingClassifier(text_and_table_members(tiny_bert), voting="soft").fit(frame, y)
    members = [member.fit(frame, y) for _, member in text_and_table_members(tiny_bert)]
    expected = np.mean([member.predict_proba(frame) for member in members], axis=0)
    np.testing.assert_allclose(voting.predict_proba(frame), expected)
    np.testing.assert_array_equal(voting.predict(frame), members[0].classes_[expected.argmax(1)])


def test_stacking_with_a_model_of_numbers(tiny_bert):
    frame, y = text_and_number()
    members = text_and_table_members(tiny_bert)
    stacking = StackingClassifier(members, cv=StratifiedKFold(2)).fit(frame, y)
    seen = [
        cross_val_predict(member, frame, y, cv=StratifiedKFold(2), method="predict_proba")[:, 1]
        for _, member in members
    ]
    last = LogisticRegression().fit(np.stack(seen, axis=1), y)
    np.testing.assert_allclose(stacking.final_estimator_.coef_, last.coef_, rtol=1e-4)
    assert stacking.score(frame, y) > 0.8


@pytest.mark.parametrize("Ensemble", [BaggingClassifier, AdaBoostClassifier])
def test_ensembles_of_a_one_column_table(Ensemble, tiny_bert):
    texts, y = sentences()
    X = np.array([texts], dtype=object).T
    names = ADJECTIVES[[2, 0]][y]
    ensemble = Ensemble(classifier(tiny_bert), n_estimators=2, random_state=0).fit(X, names)
    assert ensemble.score(X, names) > 0.8
    assert {type(member) for member in ensemble.estimators_} == {BertClassifier}


def test_permutation_importance(tiny_bert):
    """Of a pair, only the first text tells the class."""
    texts, y = sentences()
    X = np.array([texts, [f"a {NOUNS[i % 6]} runs" for i in range(36)]], dtype=object).T
    for columns in ([0, 1], [0]):
        chosen = X[:, columns]
        fitted = classifier(tiny_bert).fit(chosen, y)
        importance = permutation_importance(fitted, chosen, y, n_repeats=3, random_state=0)
        assert importance.importances_mean[0] > 0.2
        assert (abs(importance.importances_mean[1:]) < 0.1).all()


def test_transformed_target(tiny_bert):
    texts, _ = sentences()
    y = np.exp(numbers_for(texts))
    transformed = TransformedTargetRegressor(regressor(tiny_bert), func=np.log, inverse_func=np.exp)
    expected = np.exp(regressor(tiny_bert).fit(texts, np.log(y)).predict(texts))
    np.testing.assert_allclose(transformed.fit(texts, y).predict(texts), expected, rtol=1e-5)


def test_metadata_routing(tiny_bert):
    texts, y = sentences()
    weight = np.linspace(0.1, 3, 36)
    frame = pd.DataFrame({"text": texts})
    expected = classifier(tiny_bert).fit(texts, y, sample_weight=weight)
    unweighted = classifier(tiny_bert).fit(texts, y)
    assert expected.loss_curve_ != unweighted.loss_curve_
    with config_context(enable_metadata_routing=True):
        choose = ColumnTransformer([("text", "passthrough", ["text"])])
        asking = classifier(tiny_bert).set_fit_request(sample_weight=True)
        asking.set_score_request(sample_weight=True)
        pipeline = make_pipeline(choose, asking).fit(frame, y, sample_weight=weight)
        assert_same_weights(pipeline[-1], expected)

        search = GridSearchCV(asking, {"learning_rate": [5e-3]}, cv=2)
        search.fit(texts, y, sample_weight=weight)
        assert_same_weights(search.best_estimator_, expected)

        silent = clone(asking).set_fit_request(sample_weight=False)
        without = make_pipeline(choose, silent.set_score_request(sample_weight=False))
        with pytest.raises(TypeError, match="sample_weight"):
            without.fit(frame, y, sample_weight=weight)


# Labels


@pytest.fixture(scope="module")
def reference(tiny_bert) -> BertClassifier:
    """Fitted on three classes, with the numbers 0, 1, 2 as labels."""
    return classifier(tiny_bert).fit(*sentences(3))


LABELS = {
    "str": (lambda y: ADJECTIVES[y].tolist(), "U"),
    "numpy str": (lambda y: ADJECTIVES[y], "U"),
    "object": (lambda y: ADJECTIVES.astype(object)[y], "O"),
    "int": (lambda y: [int(code) * 7 for code in y], "i"),
    "int8": (lambda y: y.astype(np.int8), "i"),
    "unsigned": (lambda y: y.astype(np.uint16) + 40_000, "u"),
    "negative": (lambda y: y * 5 - 20, "i"),
    "whole floats": (lambda y: y * 2.0, "f"),
    "column": (lambda y: pd.Series(ADJECTIVES[y], index=range(100, 154), dtype=object), "O"),
    "pandas str": (lambda y: pd.Series(ADJECTIVES[y].tolist()), "OU"),
    "pandas string": (lambda y: pd.Series(ADJECTIVES[y].tolist(), dtype="string"), "OU"),
    "category": (
        lambda y: pd.Series(pd.Categorical(ADJECTIVES[y], ["good", "unused", "bad", "blue"])),
        "OU",
    ),
    "Int64": (lambda y: pd.Series(y, dtype="Int64"), "if"),
    "polars": (lambda y: pl.Series(ADJECTIVES[y].tolist()), "OU"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_labels_of_any_type(kind, reference, tiny_bert):
    """Whatever labels mean the same classes in the same order give the same model."""
    texts, y = sentences(3)
    convert, kinds = LABELS[kind]
    labels = convert(y)
    fitted = classifier(tiny_bert).fit(texts, labels)
    assert_same_weights(fitted, reference)
    assert fitted.classes_.dtype.kind in kinds
    np.testing.assert_array_equal(fitted.classes_, np.unique(np.asarray(labels)))
    predicted = fitted.predict(texts)
    assert predicted.dtype == fitted.classes_.dtype
    np.testing.assert_array_equal(predicted, fitted.classes_[reference.predict(texts)])
    assert fitted.score(texts, labels) == reference.score(texts, y) > 0.9


@pytest.mark.parametrize("convert", [list, np.array, pd.Series])
def test_bool_labels(convert, tiny_bert):
    texts, y = sentences()
    labels = (y == 0).tolist()
    fitted = classifier(tiny_bert).fit(texts, convert(labels))
    assert fitted.classes_.tolist() == [False, True]
    assert fitted.predict(texts).dtype == bool
    assert fitted.predict(texts).tolist() == labels


def test_two_classes(tiny_bert):
    texts, y = sentences()
    names = ADJECTIVES[[2, 0]][y]
    fitted = classifier(tiny_bert, max_epochs=3).fit(texts, names)
    scores, probabilities = fitted.decision_function(texts), fitted.predict_proba(texts)
    assert scores.shape == (36,)
    assert scores.dtype == probabilities.dtype == np.float64
    assert len(np.unique(scores > 0)) == 2
    np.testing.assert_allclose(probabilities[:, 1], expit(scores), atol=1e-12)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)
    np.testing.assert_array_equal(fitted.predict(texts), np.where(scores > 0, "good", "bad"))


def test_three_classes(reference):
    texts, y = sentences(3)
    scores, probabilities = reference.decision_function(texts), reference.predict_proba(texts)
    np.testing.assert_allclose(probabilities, softmax(scores, axis=1), atol=1e-12)
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-12)
    np.testing.assert_array_equal(reference.predict(texts), probabilities.argmax(1))
    # Each column is the probability of its own class.
    for code in range(3):
        assert probabilities[y == code, code].mean() > 0.6
        assert probabilities[y != code, code].mean() < 0.25


def test_score_takes_weights(reference):
    texts, y = sentences(3)
    wrong = np.where(np.arange(54) < 10, (y + 1) % 3, y)
    weight = np.linspace(1, 2, 54)
    expected = accuracy_score(wrong, reference.predict(texts), sample_weight=weight)
    assert reference.score(texts, wrong, sample_weight=weight) == expected
    assert expected != reference.score(texts, wrong)


@pytest.mark.parametrize("labels", [["a"] * 4, [1, 1, 1, 1], [True] * 4, np.zeros(4)])
def test_one_class_is_refused(labels, tiny_bert):
    with pytest.raises(InputError, match=r"only one class \("):
        classifier(tiny_bert).fit(["the cat", "a dog", "a rug", "it"], labels)


@pytest.mark.parametrize(
    "labels",
    [
        ["a", None, "b", "a"],
        np.array(["a", None, "b", "a"], dtype=object),
        np.array([0, np.nan, 1, 0]),
        pd.Series(["a", np.nan, "b", "a"]),
        pd.Series(["a", None, "b", "a"], dtype="string"),
        pd.Series([0, None, 1, 0], dtype="Int64"),
        pd.Series(["a", None, "b", "a"], dtype="category"),
        pl.Series(["a", None, "b", "a"]),
    ],
    ids=["list", "object", "float", "Series", "string", "Int64", "category", "polars"],
)
def test_missing_labels_are_refused(labels, tiny_bert):
    with pytest.raises(ValueError, match=r"missing label\(s\), the first at position 1|NaN"):
        classifier(tiny_bert).fit(["the cat", "a dog", "a rug", "it"], labels)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "None"),
        ([0.5, 1.5, 2.5, 0.1], "Unknown label type|continuous"),
        (["a", "b", "a"], "inconsistent numbers of samples"),
        ([["a", "b"], ["b"], ["a"], ["b"]], "multi-?label|inhomogeneous|Unknown label type"),
        ([[0, 1, 2]] * 4, "1d array"),
        ("abab", "y"),
    ],
)
def test_unusable_labels_are_refused(labels, message, tiny_bert):
    with pytest.raises(ValueError, match=message):
        classifier(tiny_bert).fit(["the cat", "a dog", "a rug", "it"], labels)


# Several labels a text


def two_labels() -> tuple[list[str], np.ndarray]:
    """Is it good? Is it about a cat or a dog? Many texts have both labels, or none."""
    texts, _ = sentences()
    return texts, np.array([["good" in t, "cat" in t or "dog" in t] for t in texts], dtype=int)


@pytest.fixture(scope="module")
def of_two_labels(tiny_bert) -> BertClassifier:
    return classifier(tiny_bert, max_epochs=6).fit(*two_labels())


def test_multilabel(of_two_labels):
    texts, Y = two_labels()
    scores, probabilities = (
        of_two_labels.decision_function(texts),
        of_two_labels.predict_proba(texts),
    )
    predicted = of_two_labels.predict(texts)
    assert of_two_labels.multilabel_
    assert of_two_labels.classes_.tolist() == [0, 1]
    assert scores.shape == probabilities.shape == predicted.shape == (36, 2)
    assert predicted.dtype.kind == "i"
    np.testing.assert_allclose(probabilities, expit(scores), atol=1e-12)
    np.testing.assert_array_equal(predicted, probabilities > 0.5)
    assert (predicted == Y).mean() > 0.9
    assert of_two_labels.score(texts, Y) == (predicted == Y).all(1).mean()


@pytest.mark.parametrize(
    "convert",
    [
        sparse.csr_matrix,
        sparse.csc_array,
        lambda Y: Y.tolist(),
        lambda Y: Y.astype(bool),
        lambda Y: pd.DataFrame(Y, columns=["good", "animal"]),
    ],
    ids=["csr", "csc", "lists", "bool", "frame"],
)
def test_containers_of_multilabel_targets(convert, of_two_labels, tiny_bert):
    texts, Y = two_labels()
    fitted = classifier(tiny_bert, max_epochs=6).fit(texts, convert(Y))
    assert_same_weights(fitted, of_two_labels)


def test_multilabel_of_one_column(tiny_bert):
    """scikit-learn reads one column as labels."""
    texts, y = sentences()
    with pytest.warns(UserWarning, match="column-vector"):
        fitted = classifier(tiny_bert).fit(texts, y[:, None])
    assert not fitted.multilabel_
    assert_same_weights(fitted, classifier(tiny_bert).fit(texts, y))


def test_multilabel_cross_validation(tiny_bert):
    texts, Y = two_labels()
    model = classifier(tiny_bert, max_epochs=8, init="random")
    found = cross_val_predict(model, texts, Y, cv=KFold(2))
    assert (found == Y).mean() > 0.75


# Weights of classes


@pytest.mark.parametrize(
    ("class_weight", "row_weight"),
    [
        ({"bad": 5.0, "good": 0.5}, {"bad": 5.0, "blue": 1.0, "good": 0.5}),
        ({"blue": 0.0}, {"bad": 1.0, "blue": 0.0, "good": 1.0}),
    ],
)
def test_class_weight_is_a_sample_weight(class_weight, row_weight, tiny_bert):
    texts, y = sentences(3)
    names = ADJECTIVES[y]
    by_class = classifier(tiny_bert, class_weight=class_weight).fit(texts, names)
    weight = np.array([row_weight[name] for name in names])
    by_row = classifier(tiny_bert).fit(texts, names, sample_weight=weight)
    assert_same_weights(by_class, by_row)
    assert by_class.loss_curve_ != classifier(tiny_bert).fit(texts, names).loss_curve_


def test_class_weight_multiplies_sample_weight(tiny_bert):
    texts, y = sentences()
    weight = np.linspace(1, 2, 36)
    both = classifier(tiny_bert, class_weight={0: 4.0}).fit(texts, y, sample_weight=weight)
    product = np.where(y == 0, 4.0, 1.0) * weight
    assert_same_weights(both, classifier(tiny_bert).fit(texts, y, sample_weight=product))


def test_balanced(tiny_bert):
    texts, y = sentences()
    rare = np.flatnonzero(y == 1)[4:]
    texts = [text for i, text in enumerate(texts) if i not in rare]
    y = np.delete(y, rare)
    balanced = classifier(tiny_bert, max_epochs=1, class_weight="balanced").fit(texts, y)
    weight = compute_sample_weight("balanced", y)
    weighted = classifier(tiny_bert, max_epochs=1).fit(texts, y, sample_weight=weight)
    unweighted = classifier(tiny_bert, max_epochs=1).fit(texts, y)
    p = balanced.predict_proba(texts)
    np.testing.assert_allclose(p, weighted.predict_proba(texts), atol=1e-4)
    # The rare class, 4 of 22 texts, becomes more probable.
    assert p[:, 1].mean() > unweighted.predict_proba(texts)[:, 1].mean() + 0.05


@pytest.mark.parametrize("class_weight", ["balanced", [{0: 1, 1: 3}, {0: 2, 1: 1}]])
def test_class_weight_of_multilabel(class_weight, tiny_bert):
    texts, Y = two_labels()
    weighted = classifier(tiny_bert, class_weight=class_weight).fit(texts, Y)
    weight = compute_sample_weight(class_weight, Y)
    assert_same_weights(weighted, classifier(tiny_bert).fit(texts, Y, sample_weight=weight))
    from_sparse = classifier(tiny_bert, class_weight=class_weight).fit(texts, sparse.csr_array(Y))
    assert_same_weights(weighted, from_sparse)


def test_class_weight_of_an_unknown_class(tiny_bert):
    texts, y = sentences()
    with pytest.raises(ValueError, match="class"):
        classifier(tiny_bert, class_weight={0: 1, "good": 2}).fit(texts, y)


# Regression


def test_regressor_learns(tiny_bert):
    texts, _ = sentences()
    y = numbers_for(texts)
    fitted = regressor(tiny_bert, max_epochs=8).fit(texts, y)
    predicted = fitted.predict(texts)
    assert predicted.shape == (36,)
    assert predicted.dtype == np.float64
    assert fitted.score(texts, y) == r2_score(y, predicted) > 0.8


def test_regressor_of_several_outputs(tiny_bert):
    """Outputs of very different units are learned alike, and keep their order."""
    texts, _ = sentences()
    good = np.array(["good" in t for t in texts], dtype=float)
    animal = np.array(["cat" in t or "dog" in t for t in texts], dtype=float)
    Y = np.stack([good * 1e-3, animal * 1e5 + 7e6], axis=1)
    fitted = regressor(tiny_bert, max_epochs=8).fit(texts, Y)
    assert fitted.predict(texts).shape == (36, 2)
    assert r2_score(Y, fitted.predict(texts), multioutput="raw_values").min() > 0.7
    frame = regressor(tiny_bert, max_epochs=8).fit(texts, pd.DataFrame(Y, columns=["a", "b"]))
    assert_same_weights(fitted, frame)


def test_shape_of_targets_is_kept(tiny_bert):
    texts, _ = sentences()
    y = numbers_for(texts)
    flat = regressor(tiny_bert).fit(texts, pd.Series(y)).predict(texts)
    column = regressor(tiny_bert).fit(texts, y[:, None]).predict(texts)
    assert column.shape == (36, 1)
    np.testing.assert_array_equal(column[:, 0], flat)


def test_unit_of_targets_does_not_matter(tiny_bert):
    texts, _ = sentences()
    y = numbers_for(texts)
    plain = regressor(tiny_bert).fit(texts, y)
    other = regressor(tiny_bert).fit(texts, y * 1000 + 1e6)
    assert plain.score(texts, y) == pytest.approx(other.score(texts, y * 1000 + 1e6), abs=1e-3)
    back = (other.predict(texts) - 1e6) / 1000
    np.testing.assert_allclose(back, plain.predict(texts), atol=1e-2)
    np.testing.assert_allclose(other.loss_curve_, plain.loss_curve_, rtol=1e-3)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e7])
def test_constant_target(value, tiny_bert):
    texts, _ = sentences()
    fitted = regressor(tiny_bert, max_epochs=8).fit(texts, np.full(36, value))
    np.testing.assert_allclose(fitted.predict(texts), value, atol=0.3)


def test_weighted_mean_and_scale_of_targets(tiny_bert):
    fitted = regressor(tiny_bert, max_epochs=1)
    fitted.fit(["the cat", "a dog", "it"], [1.0, 5.0, 1e9], sample_weight=[3, 1, 0])
    np.testing.assert_allclose(fitted.target_mean_, [2.0])
    np.testing.assert_allclose(fitted.target_scale_, [np.sqrt(3.0)])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "requires y to be passed"),
        (["high", "low", "high"], "BertClassifier for labels"),
        ([1.0, np.nan, 2.0], "NaN"),
        ([1.0, np.inf, 2.0], "infinity"),
        ([1.0, None, 2.0], "NaN|numbers only"),
        (pd.Series([1.0, None, 2.0], dtype="Float64"), "NaN|numbers only"),
        ([1.0, 2.0], "inconsistent numbers of samples"),
        (np.zeros((3, 2, 2)), r"shape \(3, 2, 2\)"),
        (np.zeros((3, 0)), r"shape \(3, 0\)"),
    ],
)
def test_unusable_targets_are_refused(y, message, tiny_bert):
    with pytest.raises(ValueError, match=message):
        regressor(tiny_bert).fit(["the cat", "a dog", "it"], y)


@pytest.mark.parametrize("make", [classifier, regressor])
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        ([1.0, 1.0], r"expected \(4,\)"),
        ([[1.0]] * 4, "must be 1D"),
        ([1.0, -1.0, 1.0, 1.0], "at least 0"),
        ([1.0, np.nan, 1.0, 1.0], "finite"),
        ([0.0] * 4, "not all zero"),
    ],
)
def test_unusable_weights_are_refused(make, weight, message, tiny_bert):
    with pytest.raises(InputError, match=message):
        make(tiny_bert).fit(["the cat", "a dog", "it", "a"], [0, 1, 0, 1], sample_weight=weight)


# scikit-learn's callbacks


@pytest.fixture
def callback() -> Any:
    """scikit-learn's module of callbacks, where its version has it."""
    return pytest.importorskip("sklearn.callback")


class Recorder:
    """Notes each task that ends and, of epochs, the probabilities at that time."""

    def __init__(self, texts: Any = None, stop_after: int | None = None) -> None:
        self.texts = texts
        self.stop_after = stop_after
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.outputs: list[np.ndarray] = []
        self.open = 0

    def setup(self, estimator: Any, context: Any) -> None:
        self.open += 1

    def teardown(self, estimator: Any, context: Any) -> None:
        self.open -= 1

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.begun.append(context.task_name)

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, fitted_estimator: Any = None
    ) -> bool | None:
        self.ended.append(context.task_name)
        if self.texts is not None and context.estimator_name.startswith("Bert"):
            method = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
            self.outputs.append(getattr(fitted_estimator, method)(self.texts))
        return self.stop_after is not None and self.ended.count("epoch") >= self.stop_after


class PropagatedRecorder(Recorder):
    max_propagation_depth = None


@pytest.mark.parametrize("make", [classifier, regressor])
def test_callback_sees_each_epoch(make, callback, tiny_bert):
    texts, y = sentences()
    recorder = Recorder(texts)
    fitted = make(tiny_bert).set_callbacks(recorder).fit(texts, y)
    assert recorder.begun == ["fit"] + 4 * ["epoch"]
    assert recorder.ended == 4 * ["epoch"] + ["fit"]
    assert recorder.open == 0
    assert not np.allclose(recorder.outputs[0], recorder.outputs[3])
    final = fitted.predict_proba(texts) if make is classifier else fitted.predict(texts)
    np.testing.assert_allclose(recorder.outputs[3], final, atol=1e-6)
    np.testing.assert_array_equal(recorder.outputs[4], final)
    assert_same_weights(fitted, make(tiny_bert).fit(texts, y))


def test_callback_stops_the_training(callback, tiny_bert):
    texts, y = sentences()
    recorder, stopper = Recorder(texts), Recorder(stop_after=2)
    fitted = classifier(tiny_bert, max_epochs=5).set_callbacks(recorder, stopper).fit(texts, y)
    assert fitted.n_iter_ == 2
    assert len(fitted.loss_curve_) == 2
    np.testing.assert_allclose(recorder.outputs[1], fitted.predict_proba(texts), atol=1e-6)


class Pruner:
    """Ends a fit as optuna's ``trial.should_prune()`` does, by what the estimator tells."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int, float]] = []

    def setup(self, estimator, context) -> None:
        pass

    def teardown(self, estimator, context) -> None:
        pass

    def on_fit_task_begin(self, estimator, context) -> None:
        pass

    def on_fit_task_end(self, estimator, context) -> None:
        if context.task_name != "epoch":
            return
        entry = estimator.history_[-1]
        self.seen.append((estimator.loss_curve_[-1], estimator.n_iter_, entry["validation_score"]))
        if len(self.seen) == 2:
            raise RuntimeError("pruned")


def test_callback_sees_loss_score_and_history_and_may_prune(callback, tiny_bert):
    texts, y = sentences()
    whole = classifier(tiny_bert, early_stopping=True, validation_fraction=0.3).fit(texts, y)
    pruner = Pruner()
    estimator = classifier(tiny_bert, early_stopping=True, validation_fraction=0.3)
    with pytest.raises(RuntimeError, match="pruned"):
        estimator.set_callbacks(pruner).fit(texts, y)
    assert [n_epochs for _, n_epochs, _ in pruner.seen] == [1, 2]
    for (loss, _, score), entry in zip(pruner.seen, whole.history_[:2], strict=True):
        assert loss == pytest.approx(entry["loss"], abs=1e-6)
        assert score == pytest.approx(entry["validation_score"], abs=1e-6)
    with pytest.raises(NotFittedError):
        estimator.predict(texts)


class OptunaPruner(Pruner):
    """That of docs/works-with.md."""

    def __init__(self, trial: Any) -> None:
        self.trial = trial

    def on_fit_task_end(self, estimator, context) -> None:
        import optuna

        if context.task_name == "epoch":
            self.trial.report(estimator.history_[-1]["validation_score"], estimator.n_iter_)
            if self.trial.should_prune():
                raise optuna.TrialPruned


def test_optuna_prunes_a_fit(callback, tiny_bert):
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    texts, y = sentences()

    def objective(trial: Any) -> float:
        # Of the second trial no epoch is as good as the first trial's.
        estimator = classifier(
            tiny_bert,
            early_stopping=True,
            validation_fraction=0.3,
            n_epochs_no_change=9,
            init="probe" if trial.number == 0 else "random",
            learning_rate=1e-9,
        )
        return estimator.set_callbacks(OptunaPruner(trial)).fit(texts, y).score(texts, y)

    pruner = optuna.pruners.ThresholdPruner(lower=0.7, n_warmup_steps=3)
    study = optuna.create_study(direction="maximize", pruner=pruner)
    study.optimize(objective, n_trials=2)
    states = [trial.state.name for trial in study.trials]
    assert states == ["COMPLETE", "PRUNED"]
    assert study.trials[1].last_step == 3


def test_callback_is_torn_down_after_an_error(callback, tiny_bert):
    texts, y = sentences()
    recorder = Recorder()
    estimator = classifier(tiny_bert, learning_rate=1e30, max_grad_norm=None)
    estimator.set_callbacks(recorder)
    with pytest.raises(ValueError, match="loss became"):
        estimator.fit(texts, y)
    assert recorder.begun
    assert recorder.open == 0
    with pytest.raises(NotFittedError):
        estimator.predict(texts)


def test_scoring_monitor(callback, tiny_bert):
    texts, y = sentences()
    monitor = callback.ScoringMonitor(scoring="neg_log_loss")
    fitted = classifier(tiny_bert).set_callbacks(monitor).fit(texts, y)
    entries = monitor.get_logs().data
    of_epochs = [e["neg_log_loss"] for e in entries if e["task_name"] == "epoch"]
    (of_fit,) = [e["neg_log_loss"] for e in entries if e["task_name"] == "fit"]
    p = fitted.predict_proba(texts)
    expected = np.log(p[np.arange(36), y]).mean()
    assert len(of_epochs) == 4
    assert of_epochs[-1] == pytest.approx(expected, rel=1e-4)
    assert of_fit == pytest.approx(expected, rel=1e-6)
    assert of_epochs[0] < of_epochs[-1]


def test_scoring_monitor_with_weights(callback, tiny_bert):
    texts, y = sentences()
    monitor = callback.ScoringMonitor(scoring="r2")
    weight = np.linspace(0.1, 2, 36)
    fitted = regressor(tiny_bert).set_callbacks(monitor).fit(texts, y, sample_weight=weight)
    entries = monitor.get_logs().data
    (of_fit,) = [e["r2"] for e in entries if e["task_name"] == "fit"]
    assert of_fit == pytest.approx(fitted.score(texts, y, sample_weight=weight), abs=1e-6)
    assert of_fit != pytest.approx(fitted.score(texts, y), abs=1e-6)


def test_callbacks_with_early_stopping(callback, tiny_bert):
    """The end of the fit shows the best epoch's weights, that are restored."""
    texts, y = sentences()
    recorder = Recorder(texts)
    estimator = classifier(
        tiny_bert, max_epochs=12, early_stopping=True, validation_fraction=0.3, n_epochs_no_change=2
    )
    fitted = estimator.set_callbacks(recorder).fit(texts, y)
    ranks = [(e["validation_score"], -e["validation_loss"]) for e in fitted.history_]
    best = max(range(len(ranks)), key=ranks.__getitem__)
    assert len(recorder.outputs) == fitted.n_iter_ + 1
    np.testing.assert_allclose(recorder.outputs[best], fitted.predict_proba(texts), atol=1e-6)


def test_progress_bar_of_scikit_learn(callback, tiny_bert, capfd):
    pytest.importorskip("rich")
    classifier(tiny_bert).set_callbacks(callback.ProgressBar()).fit(*sentences())
    shown = capfd.readouterr().out
    assert "BertClassifier - fit" in shown
    assert "100%" in shown


def test_callbacks_reach_through_pipelines_and_searches(callback, tiny_bert):
    texts, y = sentences()
    frame = pd.DataFrame({"text": texts})
    recorder = PropagatedRecorder()
    choose = ColumnTransformer([("text", "passthrough", ["text"])])
    pipeline = make_pipeline(choose, classifier(tiny_bert))
    with pytest.warns(UserWarning, match="ColumnTransformer does not support callbacks"):
        pipeline.set_callbacks(recorder).fit(frame, y)
    assert recorder.ended.count("epoch") == 4

    recorder = PropagatedRecorder()
    search = GridSearchCV(classifier(tiny_bert), {"max_epochs": [1, 2]}, cv=2)
    search.set_callbacks(recorder).fit(texts, y)
    # Two folds and a refit.
    assert recorder.ended.count("epoch") == 2 * (1 + 2) + search.best_params_["max_epochs"]
    assert recorder.open == 0


# Progress on the screen


@pytest.mark.parametrize("make", [classifier, regressor])
def test_silent_by_default(make, tiny_bert, capfd):
    texts, y = sentences()
    make(tiny_bert).fit(texts, y).predict(texts)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("make", [classifier, regressor])
def test_verbose_shows_bars(make, tiny_bert, capfd):
    texts, y = sentences()
    fitted = make(tiny_bert, train_batch_size=2, verbose=1).fit(texts, y)
    out, err = capfd.readouterr()
    assert out == ""
    assert "144/144" in err  # 4 epochs of 36 texts
    assert "text/s" in err
    assert "loss=" in err
    fitted.predict(texts)
    out, err = capfd.readouterr()
    assert out == ""
    assert "36/36" in err
