"""`n_jobs` of the trained estimators: the values, warnings and errors of one process."""

from __future__ import annotations

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest

from skbert import (
    BertClassifier,
    BertQuestionAnswerer,
    BertRegressor,
    BertTokenClassifier,
    ParameterError,
    TextTooLongError,
    TruncationWarning,
)
from skbert._estimators import trained as _trained
from skbert._inference.prediction import Prediction
from tests.cache.test_cache import LONG, many_texts

pytestmark = pytest.mark.usefixtures("one_thread")

FIT = {"min_steps": 2, "max_epochs": 1, "random_state": 0}
BACKENDS = ["loky", "threading"]


def both(estimator, method, X, backend="loky"):
    """What a method gives in this process, and in two workers."""
    expected = getattr(estimator.set_params(n_jobs=None), method)(X)
    with joblib.parallel_config(backend=backend):
        found = getattr(estimator.set_params(n_jobs=2), method)(X)
    estimator.set_params(n_jobs=None)
    return found, expected


@pytest.fixture(scope="module")
def regressor(tiny_bert):
    return BertRegressor(tiny_bert, **FIT).fit(many_texts(8), np.arange(8.0))


@pytest.fixture(scope="module")
def tagger(tiny_bert):
    sentences = [text.split() for text in many_texts(8)]
    labels = [[("B-X", "O")[len(word) % 2] for word in words] for words in sentences]
    return BertTokenClassifier(tiny_bert, **FIT).fit(sentences, labels)


@pytest.fixture(scope="module")
def reader(tiny_bert):
    X = [("where is the cat ?", "the cat sat on the mat ."), ("who ?", "the dog runs .")]
    return BertQuestionAnswerer(tiny_bert, max_length=32, stride=8, **FIT).fit(X, ["mat", "dog"])


class TestSameAsOneProcess:
    @pytest.mark.parametrize("backend", BACKENDS)
    def test_classifier(self, film_classifier, backend):
        X = [*many_texts(50), ""]
        for method in ("predict_proba", "decision_function"):
            found, expected = both(film_classifier, method, X, backend)
            np.testing.assert_allclose(found, expected, atol=1e-5)
        found, expected = both(film_classifier, "predict", X, backend)
        assert found.tolist() == expected.tolist()

    def test_regressor(self, regressor):
        np.testing.assert_allclose(*both(regressor, "predict", many_texts(50)), atol=1e-5)

    def test_classifier_of_pairs_and_numbers(self, tiny_bert):
        texts = many_texts(12)
        y = np.arange(12) % 2
        pairs = list(zip(texts, texts[::-1], strict=True))
        apart = BertClassifier(tiny_bert, pair_mode="bi-encoder", **FIT).fit(pairs, y)
        np.testing.assert_allclose(*both(apart, "predict_proba", pairs), atol=1e-5)
        frame = pd.DataFrame({"t": texts, "n": np.arange(12.0) ** 2})
        of_both = BertClassifier(tiny_bert, text_columns="t", **FIT).fit(frame, y)
        np.testing.assert_allclose(*both(of_both, "predict_proba", frame), atol=1e-5)

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_token_classifier(self, tagger, backend):
        sentences = [*(text.split() for text in many_texts(40)), [], LONG.split()]
        found, expected = both(tagger, "predict_proba", sentences, backend)
        assert [len(of_words) for of_words in found] == list(map(len, sentences))
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
        found, expected = both(tagger, "predict_entities", many_texts(20), backend)
        assert [[e[:4] for e in row] for row in found] == [[e[:4] for e in row] for row in expected]

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_question_answerer(self, reader, backend):
        X = [(word + " ?", LONG) for word in "where who when why how the cat my card".split()]
        found, expected = both(reader, "predict", X, backend)
        assert found.tolist() == expected.tolist()
        found = reader.set_params(n_jobs=2).predict_answers(X, n_best=3)
        expected = reader.set_params(n_jobs=None).predict_answers(X, n_best=3)
        assert [len(answers) for answers in found] == [3] * len(X)
        for ours, theirs in zip(found, expected, strict=True):
            assert [answer[:3] for answer in ours] == [answer[:3] for answer in theirs]
            scores = [[answer.score for answer in answers] for answers in (ours, theirs)]
            np.testing.assert_allclose(*scores, rtol=1e-4)


class TestWarningsAndErrors:
    def test_one_warning_with_all_that_was_lost(self, film_classifier):
        estimator = pickle.loads(pickle.dumps(film_classifier)).set_params(n_jobs=2)
        with pytest.warns(TruncationWarning, match=r"2 of 22 .* 156 of their tokens") as seen:
            estimator.predict([LONG, *many_texts(20), LONG])
        assert len(seen) == 1
        assert seen[0].filename == __file__

    def test_the_row_of_a_text_that_is_refused(self, film_classifier):
        estimator = pickle.loads(pickle.dumps(film_classifier))
        estimator.set_params(n_jobs=2, overflow="error")
        with pytest.raises(TextTooLongError, match=r"X\[20\] has 142 tokens"):
            estimator.predict([*many_texts(20), LONG])

    @pytest.mark.parametrize("n_jobs", [0, 1.5, "2"])
    def test_other_values_are_refused(self, film_classifier, n_jobs):
        estimator = pickle.loads(pickle.dumps(film_classifier)).set_params(n_jobs=n_jobs)
        with pytest.raises(ParameterError, match="n_jobs"):
            estimator.predict(["a"])

    @pytest.mark.parametrize("backend", BACKENDS)
    def test_progress_counts_all_texts(self, film_classifier, capfd, backend):
        estimator = pickle.loads(pickle.dumps(film_classifier)).set_params(n_jobs=2, verbose=1)
        with joblib.parallel_config(backend=backend):
            estimator.predict(many_texts(30))
        assert "30/30" in capfd.readouterr().err


class TestWeights:
    def test_the_asking_process_loads_none_and_a_worker_once(self, film_classifier, monkeypatch):
        estimator = pickle.loads(pickle.dumps(film_classifier)).set_params(n_jobs=2)
        loads, load = [], _trained.TrainedEstimator._load_fitted

        def counted(self):
            loads.append(self)
            return load(self)

        monkeypatch.setattr(_trained.TrainedEstimator, "_load_fitted", counted)
        estimator.predict(many_texts(30))
        assert not loads
        with joblib.parallel_config(backend="threading"):
            estimator.predict(many_texts(30))
            estimator.predict(many_texts(30))
        assert len(loads) == 1  # for two threads and eight shards, twice

    def test_what_is_sent_says_the_precision_and_asks_no_workers_itself(self, film_classifier):
        sent = pickle.loads(pickle.dumps(Prediction(film_classifier))).estimator
        assert sent.precision == "float32"
        assert sent.n_jobs is None
        assert film_classifier.precision == "auto"

    def test_another_device_is_a_copy_with_the_same_weights(self, film_classifier):
        prediction = Prediction(film_classifier)
        assert prediction.on("auto") is prediction
        copy = prediction.on("cuda:1").estimator
        assert copy.device == "cuda:1"
        assert copy._state is film_classifier._state
        assert film_classifier.device == "auto"
