"""Cross-encoders of sentence-transformers give its numbers, and the other way round."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from skbert import BertClassifier, BertRegressor, CheckpointError, CheckpointWarning
from tests.models.test_checks import edit, save_head

pytestmark = pytest.mark.usefixtures("one_thread")

PAIRS = [("the cat sat", "a dog ran"), ("my house", "is red ."), ("a", "b")]
SIGMOID = "torch.nn.modules.activation.Sigmoid"
TANH = "torch.nn.modules.activation.Tanh"
IDENTITY = "torch.nn.modules.linear.Identity"


def expected(folder: Path | str, **options) -> np.ndarray:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = sentence_transformers.CrossEncoder(str(folder), device="cpu")
        return model.predict(PAIRS, **options)


def loaded(make, folder: Path | str):
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        return make.from_pretrained(str(folder), device="cpu")


@pytest.fixture
def head(tmp_path) -> Path:
    return Path(save_head(tmp_path / "head", num_labels=1, initializer_range=0.3))


class TestOneOutput:
    @pytest.mark.parametrize("path", [SIGMOID, TANH, IDENTITY])
    @pytest.mark.parametrize("place", ["new", "newer", "old"])
    def test_activation(self, head, place, path):
        if place == "new":
            edit(head / "config.json", sentence_transformers={"activation_fn": path})
        elif place == "old":
            edit(head / "config.json", sbert_ce_default_activation_function=path)
        else:
            step = {
                "idx": 0,
                "name": "0",
                "path": "",
                "type": "sentence_transformers.models.Transformer",
            }
            (head / "modules.json").write_text(json.dumps([step]))
            edit(head / "sentence_bert_config.json", transformer_task="sequence-classification")
            edit(
                head / "config_sentence_transformers.json",
                model_type="CrossEncoder",
                activation_fn=path,
            )
        regressor = loaded(BertRegressor, head)
        np.testing.assert_allclose(regressor.predict(PAIRS), expected(head), atol=1e-5, rtol=1e-5)

    @pytest.mark.parametrize(
        "marks",
        [
            {"sentence_transformers": {"version": "4.1.0"}},
            {"sbert_ce_default_activation_function": None},
        ],
    )
    def test_none_is_a_sigmoid(self, head, marks):
        edit(head / "config.json", **marks)
        regressor = loaded(BertRegressor, head)
        np.testing.assert_allclose(regressor.predict(PAIRS), expected(head), atol=1e-5, rtol=1e-5)

    def test_without_any_mark_a_warning_says_how_it_is_read(self, head):
        with pytest.warns(CheckpointWarning, match="read as a cross-encoder.*problem_type"):
            regressor = BertRegressor.from_pretrained(str(head))
        np.testing.assert_allclose(regressor.predict(PAIRS), expected(head), atol=1e-5, rtol=1e-5)

    def test_a_plain_regression_is_none(self, head):
        edit(head / "config.json", problem_type="regression")
        values = loaded(BertRegressor, head).predict(PAIRS)
        np.testing.assert_allclose(1 / (1 + np.exp(-values)), expected(head), atol=1e-5, rtol=1e-5)

    def test_code_of_the_checkpoints_own_is_named(self, head):
        edit(head / "config.json", sentence_transformers={"activation_fn": "mine.Swish"})
        with pytest.warns(CheckpointWarning, match=r"'mine\.Swish', code that comes"):
            regressor = BertRegressor.from_pretrained(str(head))
        np.testing.assert_allclose(regressor.predict(PAIRS), expected(head), atol=1e-5, rtol=1e-5)

    def test_no_activation_of_torch(self, head):
        edit(head / "config.json", sentence_transformers={"activation_fn": "torch.nn.magic"})
        with pytest.raises(CheckpointError, match=r"is not one of torch\.nn"):
            BertRegressor.from_pretrained(str(head))

    def test_saved_again(self, head, tmp_path):
        edit(head / "config.json", sbert_ce_default_activation_function=TANH)
        loaded(BertRegressor, head).save_pretrained(tmp_path / "again")
        np.testing.assert_allclose(expected(tmp_path / "again"), expected(head), atol=1e-5)
        again = loaded(BertRegressor, tmp_path / "again")
        np.testing.assert_allclose(again.predict(PAIRS), expected(head), atol=1e-5, rtol=1e-5)

    def test_fitted_here(self, head, tmp_path):
        """Also where the training began from a cross-encoder."""
        edit(head / "config.json", sbert_ce_default_activation_function=SIGMOID)
        regressor = BertRegressor(
            str(head), min_steps=3, max_epochs=1, random_state=0, device="cpu"
        )
        regressor.fit(PAIRS, [10.0, 20, 30]).save_pretrained(tmp_path / "saved")
        values = regressor.predict(PAIRS)
        np.testing.assert_allclose(expected(tmp_path / "saved"), values, rtol=1e-4)
        np.testing.assert_allclose(
            loaded(BertRegressor, tmp_path / "saved").predict(PAIRS), values, rtol=1e-5
        )

    def test_prompt_is_warned_of(self, head):
        edit(head / "config.json", sentence_transformers={"activation_fn": SIGMOID})
        edit(
            head / "config_sentence_transformers.json",
            model_type="CrossEncoder",
            prompts={"query": "find: "},
            default_prompt_name="query",
        )
        with pytest.warns(CheckpointWarning, match="the prompt 'find: ' is not put"):
            BertRegressor.from_pretrained(str(head))


class TestSeveralOutputs:
    @pytest.fixture
    def heads(self, tmp_path) -> Path:
        return Path(save_head(tmp_path / "head", num_labels=3, initializer_range=0.3))

    @pytest.mark.parametrize("path", [None, IDENTITY, "torch.nn.modules.activation.Softmax"])
    @pytest.mark.filterwarnings("ignore:Implicit dimension choice for softmax")
    def test_probabilities(self, heads, path, tmp_path):
        edit(heads / "config.json", sentence_transformers={"activation_fn": path} if path else {})
        classifier = loaded(BertClassifier, heads)
        numbers = expected(heads, apply_softmax=path in (None, IDENTITY))
        np.testing.assert_allclose(classifier.predict_proba(PAIRS), numbers, rtol=0, atol=1e-5)
        classifier.save_pretrained(tmp_path / "again")
        again = expected(tmp_path / "again", apply_softmax=path in (None, IDENTITY))
        np.testing.assert_allclose(again, numbers, rtol=0, atol=1e-5)

    def test_numbers_of_another_kind_are_warned_of(self, heads):
        edit(heads / "config.json", sentence_transformers={"activation_fn": SIGMOID})
        with pytest.warns(CheckpointWarning, match=r"with the activation .*Sigmoid.*softmax"):
            BertClassifier.from_pretrained(str(heads))

    def test_fitted_here(self, heads, tmp_path):
        edit(heads / "config.json", sbert_ce_default_activation_function=SIGMOID)
        classifier = BertClassifier(str(heads), min_steps=3, max_epochs=1, device="cpu")
        classifier.fit(PAIRS, list("abc")).save_pretrained(tmp_path / "saved")
        numbers = expected(tmp_path / "saved", apply_softmax=True)
        np.testing.assert_allclose(classifier.predict_proba(PAIRS), numbers, rtol=0, atol=1e-5)
