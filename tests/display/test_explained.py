"""Which number is explained: a class, an output, an answer."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skbert import (
    BertClassifier,
    BertEmbedder,
    BertQuestionAnswerer,
    BertRegressor,
    InputError,
    ParameterError,
)
from skbert._display.explained import choose_value
from skbert._display.tokenized_example import tokenize_one

pytestmark = pytest.mark.usefixtures("one_thread")
TEXT = ["the cat sat on the mat"]
CONTEXT = "The cat sat on the mat. " * 12


@pytest.fixture(scope="module")
def reader(tiny_bert):
    reader = BertQuestionAnswerer(tiny_bert, max_length=24, stride=4, max_epochs=1, min_steps=0)
    return reader.fit([("where is the cat ?", "the cat sat on the mat")], ["mat"])


def chosen(estimator, X, target=None):
    return choose_value(estimator, tokenize_one(estimator, X), target)


def logits_of(estimator, X):
    reading = tokenize_one(estimator, X)
    return torch.from_numpy(estimator._run(estimator._loaded(), reading.encodings)), reading


class TestClass:
    def test_is_the_predicted_one(self, film_classifier):
        for text in ["a good film !", "the dog is bad"]:
            (label,) = film_classifier.predict([text])
            assert chosen(film_classifier, [text]).name == f"logit of '{label}'"

    def test_is_the_asked_one(self, film_classifier):
        logits, _ = logits_of(film_classifier, TEXT)
        good, bad = (chosen(film_classifier, TEXT, target) for target in ("good", "bad"))
        difference = good.value(logits) - bad.value(logits)
        assert difference.tolist() == pytest.approx(film_classifier.decision_function(TEXT))

    def test_of_a_head_in_another_order(self, film_classifier, tmp_path):
        film_classifier.save_pretrained(tmp_path)
        config = (tmp_path / "config.json").read_text()
        config = config.replace('"0": "bad"', '"0": "x"').replace('"1": "good"', '"1": "a"')
        start = config.index('"skbert"')
        config = config[:start] + '"other"' + config[start + 8 :]
        (tmp_path / "config.json").write_text(config)
        loaded = BertClassifier.from_pretrained(str(tmp_path))
        assert loaded.classes_.tolist() == ["a", "x"]
        logits = torch.tensor([[1.0, 2.0]])  # in the order of the head: x, a
        assert chosen(loaded, TEXT, "a").value(logits).tolist() == [2.0]
        assert chosen(loaded, TEXT, "x").value(logits).tolist() == [1.0]
        assert chosen(loaded, TEXT).name == f"logit of '{loaded.predict(TEXT)[0]}'"

    def test_unknown_one_is_refused(self, film_classifier):
        with pytest.raises(ParameterError, match=r"target='ugly'.*'bad', 'good'"):
            chosen(film_classifier, TEXT, "ugly")


class TestOutput:
    def test_is_in_the_unit_of_the_targets(self, tiny_bert):
        regressor = BertRegressor(tiny_bert, max_epochs=1, min_steps=0)
        regressor.fit(["a good film", "a bad film"], [500.0, 300.0])
        logits, _ = logits_of(regressor, TEXT)
        explained = chosen(regressor, TEXT)
        assert explained.name == "prediction"
        assert explained.value(logits).tolist() == pytest.approx(regressor.predict(TEXT), rel=1e-5)

    def test_of_several_one_must_be_asked_for(self, tiny_bert):
        regressor = BertRegressor(tiny_bert, max_epochs=1, min_steps=0)
        regressor.fit(["a good film", "a bad film"], [[500.0, 1.0], [300.0, 0.0]])
        logits, _ = logits_of(regressor, TEXT)
        assert chosen(regressor, TEXT, 1).value(logits).tolist() == pytest.approx(
            regressor.predict(TEXT)[:, 1], rel=1e-5
        )
        for target in (None, 2, -1, "x", True):
            with pytest.raises(ParameterError, match="integer from 0 to 1"):
                chosen(regressor, TEXT, target)


class TestAnswer:
    X = [("where is the cat ?", CONTEXT)]  # noqa: RUF012

    def test_is_the_best_one_in_the_window_where_it_is_best(self, reader):
        (answer,) = reader.predict_answers(self.X)[0]
        logits, reading = logits_of(reader, self.X)
        explained = chosen(reader, self.X)
        assert explained.answer == (answer.start, answer.end)
        first = int(reading.encodings.n_owned[: explained.window].sum())
        owned = int(reading.encodings.n_owned[explained.window])
        value = explained.value(logits[None, first : first + owned])
        # No span of up to max_answer_length tokens in any context has a higher sum.
        spans = [
            float(logits[a, 0] + logits[b, 1])
            for start, stop in zip(
                np.cumsum([0, *reading.encodings.n_owned[:-1]]) + 7,
                np.cumsum(reading.encodings.n_owned),
                strict=True,
            )
            for a in range(start, stop)
            for b in range(a, min(stop, a + reader.max_answer_length))
        ]
        assert float(value[0]) == pytest.approx(max(spans), abs=1e-5)

    def test_is_the_asked_one(self, reader):
        explained = chosen(reader, self.X, "cat sat")
        assert explained.answer == (4, 11)
        assert explained.name == "logits of 'cat sat'"
        logits = torch.arange(40.0).view(1, 20, 2)  # the words stand at tokens 8 and 9
        assert explained.window == 0
        assert explained.value(logits).tolist() == [2 * 8 + (2 * 9 + 1)]

    def test_may_be_none(self, reader):
        logits, reading = logits_of(reader, self.X)
        explained = chosen(reader, self.X, "")
        first = np.cumsum([0, *reading.encodings.n_owned[:-1]])
        assert explained.answer is None
        assert explained.window == int(logits[first].sum(1).argmin())
        assert explained.value(torch.arange(40.0).view(1, 20, 2)).tolist() == [1.0]

    def test_that_is_not_there_is_refused(self, reader):
        with pytest.raises(InputError, match="'dog' is not in its context"):
            chosen(reader, self.X, "dog")
        with pytest.raises(InputError, match="No window contains the complete answer"):
            chosen(reader, self.X, CONTEXT[:200])
        with pytest.raises(ParameterError, match="expected a str"):
            chosen(reader, self.X, 3)


def test_embedders_predict_nothing(tiny_bert):
    with pytest.raises(ParameterError, match=r"is a BertEmbedder.*BertClassifier"):
        chosen(BertEmbedder(tiny_bert).fit(["a"]), ["a"])
