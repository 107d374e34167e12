"""Names of classes as further texts."""

from __future__ import annotations

import numpy as np
import pytest

from skbert import BertClassifier, InputError, ParameterError
from skbert._training.label_texts import readable_name

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ["a good film", "a bad film", "the cat sat", "the dog sat"]
LABELS = ["film", "film", "animal", "animal"]


def probe(folder: str, **options) -> BertClassifier:
    return BertClassifier(folder, pooling="mean", max_epochs=0, random_state=0, **options)


@pytest.mark.parametrize("name", ["lost_card", "LostCard", "lost-card", "lost  card"])
def test_names_are_read_as_words(name):
    assert readable_name(name).lower() == "lost card"


def test_auto_equals_the_names_as_texts(tiny_bert):
    named = probe(tiny_bert, label_texts="auto").fit(TEXTS, LABELS)
    by_hand = probe(tiny_bert).fit([*TEXTS, "animal", "film"], [*LABELS, "animal", "film"])
    expected = by_hand.decision_function(TEXTS)
    np.testing.assert_allclose(named.decision_function(TEXTS), expected, atol=1e-5)


def test_a_class_without_an_example(tiny_bert):
    names = {"weather": ["was it good", "it was bad"], "film": "a film"}
    model = probe(tiny_bert, label_texts=names).fit(TEXTS, LABELS)
    assert model.classes_.tolist() == ["animal", "film", "weather"]
    assert model.predict(["was it good"]).tolist() == ["weather"]
    assert model.predict_proba(TEXTS).shape == (4, 3)


def test_one_class_and_a_named_one(tiny_bert):
    model = probe(tiny_bert, label_texts={"animal": "the cat"}).fit(TEXTS[:2], LABELS[:2])
    assert model.classes_.tolist() == ["animal", "film"]
    with pytest.raises(InputError, match="only one class"):
        probe(tiny_bert, label_texts={"film": "a film"}).fit(TEXTS[:2], LABELS[:2])


def test_weights_early_stopping_and_training(tiny_bert):
    options = {"max_epochs": 1, "min_steps": 0, "random_state": 0, "class_weight": "balanced"}
    model = BertClassifier(
        tiny_bert, pooling="mean", label_texts="auto", early_stopping=True,
        validation_fraction=0.5, **options,
    )  # fmt: skip
    model.fit(TEXTS, LABELS, sample_weight=[1, 2, 1, 2])
    assert "validation_score" in model.history_[0]


def test_multilabel(tiny_bert):
    y = np.array([[1, 0], [1, 0], [0, 1], [0, 1]])
    model = probe(tiny_bert, label_texts={0: "film", 1: ["a cat", "a dog"]}).fit(TEXTS, y)
    assert model.predict(TEXTS).shape == (4, 2)
    for wrong, message in [({2: "x"}, "0 to 1"), ("auto", "reads the names")]:
        with pytest.raises(ParameterError, match=message):
            probe(tiny_bert, label_texts=wrong).fit(TEXTS, y)


@pytest.mark.parametrize("wrong", ["", "  ", None, 3, [], ["a", ""]])
def test_what_is_no_text(tiny_bert, wrong):
    with pytest.raises(ParameterError, match="for the class 'film', expected a text"):
        probe(tiny_bert, label_texts={"film": wrong}).fit(TEXTS, LABELS)


def test_numbers_have_no_names_and_pairs_no_single_text(tiny_bert):
    with pytest.raises(ParameterError, match="reads the names of the classes"):
        probe(tiny_bert, label_texts="auto").fit(TEXTS, [0, 0, 1, 1])
    pairs = [(text, "a film") for text in TEXTS]
    with pytest.raises(ParameterError, match="X contains pairs"):
        probe(tiny_bert, label_texts="auto").fit(pairs, LABELS)
