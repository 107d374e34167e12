"""Fine-tuned checkpoints, in and out: the same scores in transformers as here."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import transformers
from scipy.special import expit, softmax
from transformers import AutoModelForSequenceClassification, AutoTokenizer
from transformers.utils import logging

from skbert import (
    BertClassifier,
    BertQuestionAnswerer,
    BertRegressor,
    BertTokenClassifier,
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointWarning,
    InputError,
    ParameterError,
)
from skbert._models.foreign import quiet_transformers
from tests.conftest import overwrite_weights, save_tiny_bert, save_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["the cat sat on the mat .", "a", "it is not a very good film !", "unbelievable"]
PAIRS = list(zip(TEXTS, TEXTS[::-1], strict=True))
FIT = {"min_steps": 0, "max_epochs": 2, "learning_rate": 5e-3, "random_state": 0}


def save_checkpoint(
    folder: Path,
    labels: list[str] | None = None,
    *,
    n_labels: int = 3,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> str:
    """What plain transformers would write after a fine-tuning."""
    folder.mkdir(exist_ok=True)
    if labels is not None:
        options["id2label"] = dict(enumerate(labels))
        options["label2id"] = {label: number for number, label in enumerate(labels)}
    else:
        options["num_labels"] = n_labels
    config = transformers.BertConfig(
        vocab_size=save_tokenizer(folder),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        initializer_range=0.3,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = transformers.BertForSequenceClassification(config).to(dtype)
        with quiet_transformers():
            model.save_pretrained(folder)
    return str(folder)


def pipeline_scores(folder: Path | str, X: list[Any], **options: Any) -> list[dict[str, float]]:
    """Scores by label, from transformers' own pipeline."""
    with quiet_transformers():
        pipeline = transformers.pipeline("text-classification", str(folder), device="cpu")
    rows = [x if isinstance(x, str) else {"text": x[0], "text_pair": x[1]} for x in X]
    # One by one: a list of pairs is no input of the pipeline in every version of transformers.
    found = [pipeline(row, top_k=None, **options) for row in rows]
    return [{entry["label"]: entry["score"] for entry in row} for row in found]


def assert_same_scores(scores: list[dict[str, float]], labels: Any, expected: np.ndarray) -> None:
    for row, values in zip(scores, expected, strict=True):
        assert sorted(row) == sorted(map(str, labels))
        for label, value in zip(labels, values, strict=True):
            assert row[str(label)] == pytest.approx(value, abs=1e-5)


def plain_logits(folder: str, X: list[Any]) -> np.ndarray:
    with quiet_transformers():
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    columns = [X] if isinstance(X[0], str) else [list(column) for column in zip(*X, strict=True)]
    with torch.no_grad():
        return model(**tokenizer(*columns, padding=True, return_tensors="pt")).logits.numpy()


# Out: what save_pretrained writes ---------------------------------------------------------------

TARGETS: dict[str, list[Any]] = {
    "str": ["card", "money", "card", "bank"],
    "int": [7, -1, 7, 30],
    "bool": [True, False, True, False],
    "binary str": ["yes", "no", "yes", "no"],
    "whole floats": [1.0, 2.0, 10.0, 2.0],
}


@pytest.mark.parametrize("X", [TEXTS, PAIRS], ids=["singles", "pairs"])
@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)
def test_pipeline_of_transformers_gives_the_same_scores(tiny_bert, tmp_path, X, y):
    classifier = BertClassifier(tiny_bert, **FIT).fit(X, y)
    classifier.save_pretrained(tmp_path)
    probabilities = classifier.predict_proba(X)
    assert_same_scores(pipeline_scores(tmp_path, X), classifier.classes_, probabilities)


@pytest.mark.parametrize("X", [TEXTS, PAIRS], ids=["singles", "pairs"])
def test_pipeline_gives_the_same_scores_for_several_labels(tiny_bert, tmp_path, X):
    y = np.array([[1, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 1]])
    classifier = BertClassifier(tiny_bert, **FIT).fit(X, y)
    classifier.save_pretrained(tmp_path)
    assert_same_scores(pipeline_scores(tmp_path, X), range(3), classifier.predict_proba(X))
    loaded = BertClassifier.from_pretrained(str(tmp_path))
    assert loaded.multilabel_
    assert loaded.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(loaded.predict(X), classifier.predict(X))


def test_fine_tuned_checkpoint_is_not_read_any_more_once_it_is_loaded(tiny_bert, tmp_path):
    BertClassifier(tiny_bert, **FIT).fit(TEXTS, [0, 1, 0, 1]).save_pretrained(tmp_path)
    expected = BertClassifier.from_pretrained(str(tmp_path)).predict_proba(TEXTS)
    loaded = BertClassifier.from_pretrained(str(tmp_path))
    overwrite_weights(tmp_path)
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), expected)


def test_frozen_weights_do_not_stay_in_the_file_that_they_come_from(folder):
    first, second = (
        BertClassifier(str(folder), **{**FIT, "freeze": "encoder"}).fit(TEXTS, [0, 1, 0, 1])
        for _ in range(2)
    )
    expected = first.predict_proba(TEXTS)
    overwrite_weights(folder)
    np.testing.assert_array_equal(second.predict_proba(TEXTS), expected)


@pytest.mark.parametrize("X", [TEXTS, PAIRS], ids=["singles", "pairs"])
@pytest.mark.parametrize("n_outputs", [None, 1, 2])
def test_pipeline_gives_the_same_numbers(tiny_bert, tmp_path, X, n_outputs):
    """In the unit of the targets, though the model was trained on standardised ones."""
    y = np.array([1000.0, 1200, 900, 1500])
    if n_outputs is not None:
        y = np.stack([y, -y / 1000], axis=1)[:, :n_outputs]
    regressor = BertRegressor(tiny_bert, **FIT).fit(X, y)
    regressor.save_pretrained(tmp_path)
    values = regressor.predict(X)
    scores = pipeline_scores(tmp_path, X, function_to_apply="none")
    for row, expected in zip(scores, values.reshape(4, -1), strict=True):
        found = [row[f"LABEL_{j}"] for j in range(len(expected))]
        np.testing.assert_allclose(found, expected, rtol=1e-5)
    loaded = BertRegressor.from_pretrained(str(tmp_path))
    assert loaded.predict(X).shape == y.shape
    np.testing.assert_allclose(loaded.predict(X), values, rtol=1e-5)


@pytest.mark.parametrize(
    ("config_name", "options"),
    [
        ("DistilBertConfig", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}),
        ("RobertaConfig", {"hidden_size": 32, "type_vocab_size": 1, "pad_token_id": 0}),
        ("AlbertConfig", {"hidden_size": 32, "embedding_size": 16}),
        ("ModernBertConfig", {"hidden_size": 32, "pad_token_id": 0}),
        ("DebertaV2Config", {"hidden_size": 32, "type_vocab_size": 0}),
    ],
)
@pytest.mark.parametrize("make", [BertClassifier, BertRegressor], ids=lambda make: make.__name__)
def test_other_models_out_and_in(tmp_path, config_name, options, make):
    """The head's last layer, which takes up mean and scale of the targets, has another name."""
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    sizes = {} if config_name == "DistilBertConfig" else sizes
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    config = getattr(transformers, config_name)(
        vocab_size=save_tokenizer(source), **sizes, **options
    )
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.AutoModel.from_config(config).save_pretrained(source)
    estimator = make(str(source), **FIT, max_length=64).fit(TEXTS, [100, 250, 100, 250])
    estimator.save_pretrained(target)
    method = "predict" if make is BertRegressor else "predict_proba"
    expected = getattr(estimator, method)(TEXTS)
    loaded = getattr(make.from_pretrained(str(target)), method)(TEXTS)
    np.testing.assert_allclose(loaded, expected, rtol=1e-5, atol=1e-6)
    logits = plain_logits(str(target), TEXTS)
    plain = logits[:, 0] if make is BertRegressor else softmax(logits, axis=1)
    np.testing.assert_allclose(plain, expected, rtol=1e-5, atol=1e-5)


def test_files_are_those_of_transformers(tiny_bert, tmp_path):
    folder = tmp_path / "new" / "folder"
    BertClassifier(tiny_bert, **FIT).fit(TEXTS, list("abca")).save_pretrained(folder)
    names = {file.name for file in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} <= names
    config = json.loads((folder / "config.json").read_text())
    assert config["architectures"] == ["BertForSequenceClassification"]
    assert config["id2label"] == {"0": "a", "1": "b", "2": "c"}
    assert config["label2id"] == {"a": 0, "b": 1, "c": 2}
    assert config["problem_type"] == "single_label_classification"


def test_saving_twice_replaces(tiny_bert, tmp_path):
    first = BertClassifier(tiny_bert, **FIT).fit(TEXTS, list("abca"))
    second = BertClassifier(tiny_bert, **FIT).fit(TEXTS, [3, 4, 3, 4])
    for classifier in (first, second):
        classifier.save_pretrained(tmp_path)
        loaded = BertClassifier.from_pretrained(tmp_path)
        assert loaded.classes_.tolist() == classifier.classes_.tolist()
        np.testing.assert_array_equal(loaded.predict(TEXTS), classifier.predict(TEXTS))


def test_saving_changes_nothing(tiny_bert, tmp_path):
    for make, y in ((BertClassifier, list("abca")), (BertRegressor, [10.0, 20, 30, 40])):
        estimator = make(tiny_bert, **FIT).fit(TEXTS, y)
        before = estimator.predict(TEXTS).tolist()
        estimator.save_pretrained(tmp_path / make.__name__)
        estimator._state.verify()
        assert estimator.predict(TEXTS).tolist() == before


@pytest.mark.parametrize(("make", "y"), [(BertClassifier, [0, 1, 0, 1]), (BertRegressor, range(4))])
def test_release_frees_the_model_and_predicts_again(tiny_bert, make, y):
    estimator = make(tiny_bert, **FIT).fit(TEXTS, list(y))
    before = estimator.predict(TEXTS)
    model = weakref.ref(estimator._encoder.model)
    assert estimator.release() is estimator
    gc.collect()
    assert model() is None
    np.testing.assert_array_equal(estimator.predict(TEXTS), before)


FRAME = pd.DataFrame({"a": TEXTS, "b": TEXTS[::-1], "n": [1.0, 2, 3, 4]})
WORDS = [text.split() for text in TEXTS]
CLASSES = list("abca")
METHODS = ("predict", "predict_proba", "decision_function", "predict_entities", "predict_answers")
OF_KINDS = {
    "two classes": (BertClassifier, {}, TEXTS, list("abab")),
    "three classes of pairs": (BertClassifier, {}, PAIRS, CLASSES),
    "several labels": (BertClassifier, {}, TEXTS, [[0, 1], [1, 0], [1, 1], [0, 1]]),
    "a table": (BertClassifier, {"text_columns": ["a", "b"]}, FRAME, CLASSES),
    "a pair of columns": (BertClassifier, {}, FRAME[["a", "b"]], CLASSES),
    "windows": (BertClassifier, {"overflow": "windows", "pooling": "mean"}, TEXTS, CLASSES),
    "numbers": (BertRegressor, {}, TEXTS, [1.0, 2, 3, 4]),
    "two numbers": (BertRegressor, {}, TEXTS, [[1.0, 2], [3, 4], [5, 6], [7, 8]]),
    "words": (BertTokenClassifier, {}, WORDS, [["ab"[len(w) % 2] for w in s] for s in WORDS]),
    "answers": (BertQuestionAnswerer, {"max_length": 32, "stride": 4}, PAIRS, TEXTS[::-1]),
}


@pytest.mark.filterwarnings("ignore::skbert.LabelWarning")
@pytest.mark.parametrize("kind", OF_KINDS)
def test_no_rows_give_no_predictions(tiny_bert, kind):
    """As parts of tables have none: results of the same kind as those of some rows."""
    make, options, X, y = OF_KINDS[kind]
    estimator = make(tiny_bert, max_epochs=1, min_steps=0, **options).fit(X, y)
    for method in (name for name in METHODS if hasattr(estimator, name)):
        read = TEXTS if method == "predict_entities" else X
        expected = getattr(estimator, method)(read)[:0]
        for n_jobs in (1, 2):
            estimator.set_params(n_jobs=n_jobs)
            nothing = [read[:0]] if kind == "a table" else [read[:0], [], pd.Series([], dtype=str)]
            for none in nothing:
                found = getattr(estimator, method)(none)
                assert type(found) is type(expected)
                assert np.shape(found) == np.shape(expected)
                assert np.asarray(found).dtype == np.asarray(expected).dtype
    with pytest.raises(InputError, match="0 sample"):
        estimator.fit(X[:0], y[:0])


def test_saving_needs_a_fit(tiny_bert, tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        BertClassifier(tiny_bert).save_pretrained(tmp_path)


# In: labels keep their types --------------------------------------------------------------------

LABELS: dict[str, np.ndarray] = {
    "str": np.array(["b", "a", "c", "a"]),
    "object str": np.array(["b", "a", "c", "a"], object),
    "int": np.array([10, 2, -3, 2]),
    "int8": np.array([10, 2, -3, 2], np.int8),
    "uint": np.array([10, 2, 3, 2], np.uint16),
    "bool": np.array([True, False, True, False]),
    "float": np.array([1.0, 2.0, 10.0, 2.0]),
    "not ASCII": np.array(["größer", "猫", "🙂", "猫"]),
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS)
def test_labels_come_back_as_what_they_were(tiny_bert, tmp_path, y):
    classifier = BertClassifier(tiny_bert, **FIT).fit(TEXTS, y)
    classifier.save_pretrained(tmp_path)
    loaded = BertClassifier.from_pretrained(str(tmp_path))
    assert loaded.classes_.dtype == classifier.classes_.dtype
    assert loaded.classes_.tolist() == classifier.classes_.tolist() == sorted(set(y.tolist()))
    assert loaded.predict(TEXTS).tolist() == classifier.predict(TEXTS).tolist()
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), classifier.predict_proba(TEXTS))
    assert loaded.max_length_ == classifier.max_length_


def test_max_length_comes_back(tiny_bert, tmp_path):
    classifier = BertClassifier(tiny_bert, max_length=9, **FIT).fit(["a", "the cat"], [0, 1])
    classifier.save_pretrained(tmp_path)
    assert BertClassifier.from_pretrained(str(tmp_path)).max_length_ == 9
    assert BertClassifier.from_pretrained(str(tmp_path), max_length=20).max_length_ == 20
    with pytest.raises(ParameterError, match="max_length=65 is more than the 64 tokens"):
        BertClassifier.from_pretrained(str(tmp_path), max_length=65)


# In: checkpoints trained elsewhere --------------------------------------------------------------


@pytest.mark.parametrize("X", [TEXTS, PAIRS], ids=["singles", "pairs"])
def test_classes_are_sorted_whatever_order_the_checkpoint_has(tmp_path, X):
    labels = ["neutral", "good", "bad"]
    folder = save_checkpoint(tmp_path / "source", labels)
    classifier = BertClassifier.from_pretrained(folder)
    assert classifier.classes_.tolist() == ["bad", "good", "neutral"]
    logits = plain_logits(folder, X)
    expected = softmax(logits, axis=1)[:, [2, 1, 0]]
    np.testing.assert_allclose(classifier.predict_proba(X), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        classifier.decision_function(X), logits[:, [2, 1, 0]], rtol=0, atol=1e-5
    )
    assert classifier.predict(X).tolist() == [labels[j] for j in logits.argmax(1)]
    assert len(set(logits.argmax(1))) > 1
    assert_same_scores(pipeline_scores(folder, X), classifier.classes_, expected)
    # ... and the same once more, after it was written.
    classifier.save_pretrained(tmp_path / "again")
    again = BertClassifier.from_pretrained(str(tmp_path / "again"))
    assert again.classes_.tolist() == classifier.classes_.tolist()
    np.testing.assert_allclose(again.predict_proba(X), expected, rtol=0, atol=1e-5)
    assert_same_scores(pipeline_scores(tmp_path / "again", X), again.classes_, expected)


def test_binary_checkpoint_with_its_labels_the_other_way_round(tmp_path):
    folder = save_checkpoint(tmp_path, ["positive", "negative"])
    classifier = BertClassifier.from_pretrained(folder)
    assert classifier.classes_.tolist() == ["negative", "positive"]
    logits = plain_logits(folder, TEXTS)
    scores = classifier.decision_function(TEXTS)
    np.testing.assert_allclose(scores, logits[:, 0] - logits[:, 1], rtol=0, atol=1e-5)
    assert (classifier.predict(TEXTS) == "positive").tolist() == (scores > 0).tolist()


def test_checkpoint_of_more_than_ten_unnamed_labels(tmp_path):
    """They sort as strings: LABEL_10 before LABEL_2."""
    folder = save_checkpoint(tmp_path, n_labels=12)
    classifier = BertClassifier.from_pretrained(folder)
    assert classifier.classes_.tolist() == sorted(f"LABEL_{j}" for j in range(12))
    expected = [f"LABEL_{j}" for j in plain_logits(folder, TEXTS).argmax(1)]
    assert classifier.predict(TEXTS).tolist() == expected


def test_multilabel_checkpoint(tmp_path):
    """Columns stay where they are: predictions are an indicator matrix."""
    folder = save_checkpoint(
        tmp_path, ["toxic", "insult", "threat"], problem_type="multi_label_classification"
    )
    classifier = BertClassifier.from_pretrained(folder)
    assert classifier.multilabel_
    assert classifier.classes_.tolist() == ["toxic", "insult", "threat"]
    expected = expit(plain_logits(folder, TEXTS))
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), expected, rtol=0, atol=1e-5)
    assert classifier.predict(TEXTS).tolist() == (expected > 0.5).astype(int).tolist()
    assert_same_scores(pipeline_scores(folder, TEXTS), classifier.classes_, expected)


@pytest.mark.parametrize("problem_type", [None, "regression"])
@pytest.mark.parametrize("n_labels", [1, 2])
def test_regression_checkpoint(tmp_path, problem_type, n_labels):
    folder = save_checkpoint(tmp_path, n_labels=n_labels, problem_type=problem_type)
    if n_labels == 2 and problem_type is None:
        with pytest.raises(CheckpointError, match="is a classification model"):
            BertRegressor.from_pretrained(folder)
        return
    if problem_type is None:  # nothing says that it is no cross-encoder
        with pytest.warns(CheckpointWarning, match="read as a cross-encoder"):
            values = BertRegressor.from_pretrained(folder).predict(TEXTS)
        expected = expit(plain_logits(folder, TEXTS)[:, 0])
        np.testing.assert_allclose(values, expected, rtol=0, atol=1e-5)
        return
    with pytest.raises(CheckpointError, match="is a regression model"):
        BertClassifier.from_pretrained(folder)
    expected = plain_logits(folder, TEXTS)
    values = BertRegressor.from_pretrained(folder).predict(TEXTS)
    np.testing.assert_allclose(values, expected[:, 0] if n_labels == 1 else expected, atol=1e-5)


def test_half_precision_checkpoint(tmp_path):
    """Kept as it is stored, computed in float32."""
    folder = save_checkpoint(tmp_path / "source", ["a", "b", "c"], dtype=torch.bfloat16)
    classifier = BertClassifier.from_pretrained(folder, precision="float32", device="cpu")
    assert set(classifier._state.bfloat16) == set(classifier._state.weights)
    expected = softmax(plain_logits(folder, TEXTS), axis=1)
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), expected, rtol=0, atol=1e-5)
    classifier.save_pretrained(tmp_path / "target")
    with quiet_transformers():
        stored = AutoModelForSequenceClassification.from_pretrained(tmp_path / "target")
    assert stored.dtype == torch.bfloat16
    source = AutoModelForSequenceClassification.from_pretrained(folder).state_dict()
    assert all(torch.equal(source[name], t) for name, t in stored.state_dict().items())


def test_half_precision_checkpoint_is_trained_in_float32(tmp_path):
    folder = save_checkpoint(tmp_path / "source", ["a", "b", "c"], dtype=torch.bfloat16)
    options = {**FIT, "warm_start": True, "device": "cpu", "precision": "float32"}
    classifier = BertClassifier.from_pretrained(folder, **options)
    classifier.fit(TEXTS, list("abca"))
    assert not classifier._state.bfloat16
    assert {array.dtype for array in classifier._state.weights.values()} == {np.dtype(np.float32)}


# Refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [BertClassifier, BertRegressor], ids=lambda make: make.__name__)
def test_checkpoint_without_a_head_is_refused_with_the_remedy(tiny_bert, make):
    message = rf"has no trained head for {make.__name__}.*Train one: {make.__name__}\(model=.*fit"
    with pytest.raises(CheckpointError, match=message):
        make.from_pretrained(tiny_bert)


def test_regressor_and_classifier_do_not_read_each_other(tiny_bert, tmp_path):
    BertRegressor(tiny_bert, **FIT).fit(TEXTS, [1, 2, 3, 4]).save_pretrained(tmp_path / "r")
    BertClassifier(tiny_bert, **FIT).fit(TEXTS, list("abca")).save_pretrained(tmp_path / "c")
    with pytest.raises(CheckpointError, match=r"regression model .*1 output.*BertRegressor\.from"):
        BertClassifier.from_pretrained(str(tmp_path / "r"))
    with pytest.raises(CheckpointError, match=r"classification model .*3 labels.*BertClassifier\."):
        BertRegressor.from_pretrained(str(tmp_path / "c"))


def test_regression_of_several_outputs_is_no_classifier(tiny_bert, tmp_path):
    y = [[1, 2], [3, 4], [5, 6], [7, 8]]
    BertRegressor(tiny_bert, **FIT).fit(TEXTS, y).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"regression model .*2 output"):
        BertClassifier.from_pretrained(str(tmp_path))


def test_what_is_not_there():
    with pytest.raises(CheckpointNotFoundError):
        BertClassifier.from_pretrained("/nowhere/at/all")
    with pytest.raises(TypeError, match="no_such_parameter"):
        BertClassifier.from_pretrained("/nowhere", no_such_parameter=1)
    with pytest.raises(ParameterError, match="max_epochs=-1"):
        BertClassifier.from_pretrained("/nowhere", max_epochs=-1)


def test_incomplete_checkpoints_are_refused(tmp_path):
    folder = Path(save_checkpoint(tmp_path, ["a", "b"]))
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        BertClassifier.from_pretrained(folder)


# Training goes on -------------------------------------------------------------------------------


def test_fit_after_from_pretrained_continues(tmp_path):
    """A step too small to see: the loaded head is still there; without a warm start it is not."""
    folder = save_checkpoint(tmp_path, ["a", "b", "c"])
    still = {**FIT, "learning_rate": 1e-12, "weight_decay": 0.0}
    expected = softmax(plain_logits(folder, TEXTS), axis=1)
    warm = BertClassifier.from_pretrained(folder, warm_start=True, **still)
    warm.fit(TEXTS, list("abca"))
    np.testing.assert_allclose(warm.predict_proba(TEXTS), expected, rtol=0, atol=1e-4)
    assert warm.n_iter_ == 2
    moved = BertClassifier.from_pretrained(folder, warm_start=True, **FIT).fit(TEXTS, list("abca"))
    assert np.abs(moved.predict_proba(TEXTS) - expected).max() > 0.01


def test_warm_start_continues_the_last_fit_and_not_the_loaded_one(tmp_path, tiny_bert):
    first = BertClassifier(tiny_bert, warm_start=True, **FIT).fit(TEXTS, list("abca"))
    before = first.predict_proba(TEXTS)
    first.set_params(learning_rate=1e-12).fit(TEXTS, list("abca"))
    np.testing.assert_allclose(first.predict_proba(TEXTS), before, rtol=0, atol=1e-5)
    first.set_params(warm_start=False).fit(TEXTS, list("abca"))
    assert np.abs(first.predict_proba(TEXTS) - before).max() > 0.01


def test_warm_start_keeps_the_checkpoint_that_training_began_from(tmp_path):
    folder = save_checkpoint(tmp_path, ["a", "b", "c"])
    classifier = BertClassifier.from_pretrained(folder, warm_start=True, **FIT)
    checkpoint = classifier.checkpoint_
    assert classifier.fit(TEXTS, list("abca")).checkpoint_ == checkpoint


def test_warm_start_with_other_labels_is_refused(tmp_path):
    folder = save_checkpoint(tmp_path, ["a", "b", "c"])
    classifier = BertClassifier.from_pretrained(folder, warm_start=True, **FIT)
    before = classifier.predict_proba(TEXTS)
    with pytest.raises(InputError, match=r"labels \['a', 'b', 'c'\], but y now has \['a', 'b'\]"):
        classifier.fit(TEXTS, list("abab"))
    np.testing.assert_array_equal(classifier.predict_proba(TEXTS), before)


def test_warm_start_of_a_checkpoint_with_unsorted_labels(tmp_path):
    folder = save_checkpoint(tmp_path, ["c", "a", "b"])
    still = {**FIT, "learning_rate": 1e-12, "weight_decay": 0.0}
    classifier = BertClassifier.from_pretrained(folder, warm_start=True, **still)
    before = classifier.predict_proba(TEXTS)
    classifier.fit(TEXTS, list("abca"))
    np.testing.assert_allclose(classifier.predict_proba(TEXTS), before, rtol=0, atol=1e-4)


def test_warm_start_of_a_multilabel_checkpoint_with_names(tmp_path):
    folder = save_checkpoint(tmp_path, ["x", "y"], problem_type="multi_label_classification")
    classifier = BertClassifier.from_pretrained(folder, warm_start=True, **FIT)
    classifier.fit(TEXTS, np.array([[1, 0], [0, 1], [1, 1], [0, 0]]))


def test_regressor_goes_on_in_the_unit_of_its_targets(tiny_bert, tmp_path):
    """Its head gives the targets themselves; a new fit standardises: the old unit must not add."""
    y = np.array([1000.0, 1200, 900, 1500])
    still = {**FIT, "learning_rate": 1e-12, "weight_decay": 0.0}
    regressor = BertRegressor(tiny_bert, **FIT).fit(TEXTS, y)
    before = regressor.predict(TEXTS)
    regressor.set_params(warm_start=True, **still).fit(TEXTS, y)
    np.testing.assert_allclose(regressor.predict(TEXTS), before, rtol=1e-4)


def test_loaded_regressor_goes_on_in_the_unit_of_its_targets(tiny_bert, tmp_path):
    y = np.array([1000.0, 1200, 900, 1500])
    still = {**FIT, "learning_rate": 1e-12, "weight_decay": 0.0}
    regressor = BertRegressor(tiny_bert, **FIT).fit(TEXTS, y)
    regressor.save_pretrained(tmp_path)
    loaded = BertRegressor.from_pretrained(str(tmp_path), warm_start=True, **still).fit(TEXTS, y)
    np.testing.assert_allclose(loaded.predict(TEXTS), regressor.predict(TEXTS), rtol=1e-3)


# Silence ----------------------------------------------------------------------------------------


def test_nothing_is_printed_or_logged(tiny_bert, tmp_path, capfd, caplog):
    capfd.readouterr()
    caplog.clear()
    classifier = BertClassifier(tiny_bert, **FIT).fit(TEXTS, list("abca"))
    classifier.predict(TEXTS)
    classifier.save_pretrained(tmp_path)
    BertClassifier.from_pretrained(str(tmp_path)).predict(TEXTS)
    BertRegressor(tiny_bert, **FIT).fit(TEXTS, [1, 2, 3, 4]).save_pretrained(tmp_path / "r")
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_what_transformers_prints_itself_is_as_before(tiny_bert, tmp_path, capfd, caplog):
    """So that the test above can fail, and the user's own use of transformers is not changed."""
    BertClassifier(tiny_bert, **FIT).fit(TEXTS, list("abca")).save_pretrained(tmp_path / "ours")
    capfd.readouterr()
    caplog.clear()
    save_tiny_bert(tmp_path / "theirs")
    AutoModelForSequenceClassification.from_pretrained(tmp_path / "theirs")
    assert "Writing model shards" in capfd.readouterr().err
    assert "classifier.weight" in caplog.text


def settings_of_transformers() -> tuple[int, Any]:
    hook = logging.set_tqdm_hook(None)
    logging.set_tqdm_hook(hook)
    return logging.get_verbosity(), hook


def test_settings_come_back_after_an_error():
    before = settings_of_transformers()
    seen = []

    def fail() -> None:
        with quiet_transformers():
            seen.append(settings_of_transformers())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert seen[0][0] != before[0]
    assert seen[0][1] is not before[1]
    assert settings_of_transformers() == before


def test_settings_come_back_when_threads_overlap():
    """The first to come is the first to go: it must not leave behind what the second one saw."""
    before = settings_of_transformers()
    first_is_in, second_comes = threading.Event(), threading.Event()

    def first() -> None:
        with quiet_transformers():
            first_is_in.set()
            second_comes.wait(5)

    def second() -> None:
        first_is_in.wait(5)
        threading.Timer(0.2, second_comes.set).start()
        with quiet_transformers():
            second_comes.wait(5)
            threads[0].join(0.5)

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert settings_of_transformers() == before


def test_global_random_numbers_are_left_alone(tiny_bert, tmp_path):
    actions: list[Callable[[], Any]] = [
        lambda: BertClassifier(tiny_bert, **FIT).fit(TEXTS, list("abca")).save_pretrained(tmp_path),
        lambda: BertClassifier.from_pretrained(str(tmp_path)).predict(TEXTS),
    ]
    for action in actions:
        torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        action()
        assert torch.equal(torch.get_rng_state(), torch_state)
        assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002


def test_head_that_reads_padding_never_sees_any(tmp_path):
    """XLNet's encoder masks padding, but its head reads the last token, padding or not."""
    config = transformers.XLNetConfig(
        vocab_size=save_tokenizer(tmp_path),
        d_model=32,
        n_layer=2,
        n_head=4,
        d_inner=48,
        num_labels=2,
        initializer_range=0.3,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.XLNetForSequenceClassification(config).save_pretrained(tmp_path)
    classifier = BertClassifier.from_pretrained(str(tmp_path), device="cpu")
    texts = ["the cat sat on the mat .", "a", "a good film"]
    alone = np.concatenate([classifier.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(classifier.predict_proba(texts), alone, atol=1e-6)
