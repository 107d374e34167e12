"""A graph in onnxruntime gives what the estimator gives, to 1e-5, or one clear word why not."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer

from skbert import (
    BertClassifier,
    BertEmbedder,
    BertRegressor,
    MissingPackageError,
    ParameterError,
)
from tests.conformity.checkpoints import FAMILIES, save_checkpoint
from tests.conftest import save_tiny_bert
from tests.models.test_checks import save_head
from tests.models.test_cross_encoder import TANH
from tests.models.test_sentence_transformers import (
    MODES,
    edit_json,
    write_dense,
    write_modules,
    write_norm,
)

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    # One text is longer than the models read: the file of the tokenizer cuts it off, too.
    pytest.mark.filterwarnings("ignore::skbert.TruncationWarning"),
]

TEXTS = [
    "the cat sat on the mat .",
    "",
    "it is not a very good film , and that is that !",
    "a",
    "where is my card ? we lost the money in the bank when he went to the house " * 5,
    "the cat",
]
PAIRS = [(text, other) for text, other in zip(TEXTS, [*TEXTS[2:], "a", "b"], strict=True)]
LABELS = ["z", "x", "y", "z", "y", "x"]
NUMBERS = np.array([[1.0, 10], [2, 30], [3, 20], [4, 10], [5, 60], [60, 0]])
FAST: dict[str, Any] = {
    "min_steps": 2,
    "max_epochs": 1,
    "learning_rate": 1e-3,
    "random_state": 0,
    "device": "cpu",
}
# Each text alone, two of one length, and all lengths beside each other.
BATCHES = ([0], [1], [3], [4], [5, 5], [0, 1, 2, 3, 4, 5], [4, 1])


def run(file: Path, texts: Sequence[Any]) -> np.ndarray:
    """Compute a graph's result without skbert."""
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    encodings = Tokenizer.from_file(str(file.with_name("tokenizer.json"))).encode_batch(texts)
    columns = {
        "input_ids": [encoding.ids for encoding in encodings],
        "attention_mask": [encoding.attention_mask for encoding in encodings],
        "token_type_ids": [encoding.type_ids for encoding in encodings],
    }
    names = [value.name for value in session.get_inputs()]
    assert names == settings(file)["inputs"]
    return session.run(None, {name: np.array(columns[name], np.int64) for name in names})[0]


def settings(file: Path) -> dict[str, Any]:
    return json.loads(file.with_name("skbert.json").read_text(encoding="utf-8"))


def assert_same(file: Path, texts: Sequence[Any], expected: np.ndarray) -> None:
    scale = max(1, np.abs(expected).max())
    for rows in BATCHES:
        found = run(file, [texts[row] for row in rows])
        assert found.dtype == np.float32
        assert found.shape == expected[rows].shape
        np.testing.assert_allclose(found, expected[rows], rtol=0, atol=1e-5 * scale)


def one_layer(folder: Path, family: str) -> str:
    """Write a checkpoint of one layer: the exporter's time goes with their number."""
    kind = FAMILIES[family]
    n_layers = "n_layers" if "n_layers" in kind.options else "num_hidden_layers"
    return str(save_checkpoint(folder, replace(kind, options={**kind.options, n_layers: 1})))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    for package in ("onnxruntime", "onnxscript", "onnx"):
        pytest.importorskip(package)
    return tmp_path / "exported" / "model.onnx"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return save_tiny_bert(tmp_path / "small", n_layers=1)


class TestEmbedder:
    def test_all_poolings_and_the_checkpoints_own_steps(self, small, file):
        write_modules(small, "LayerNorm", "Dense", pooling={"pooling_mode": list(MODES)})
        write_norm(small / "2_LayerNorm", 32 * len(MODES))
        write_dense(small / "3_Dense", 32 * len(MODES), 8)
        embedder = BertEmbedder(str(small), normalize=True, prompt="my ", device="cpu").fit(TEXTS)
        expected = embedder.transform(TEXTS)
        state = joblib.hash(vars(embedder)["checkpoint_"])
        embedder.to_onnx(file)
        assert_same(file, ["my " + text for text in TEXTS], expected)
        assert settings(file) == {
            "estimator": "BertEmbedder",
            "checkpoint": str(small),
            "inputs": ["input_ids", "attention_mask", "token_type_ids"],
            "output": "vectors",
            "max_length": 64,
            "prompt": "my ",
            "n_features": 8,
        }
        # The estimator is as it was: it still computes from packed rows.
        assert joblib.hash(embedder.checkpoint_) == state
        assert embedder._encoder.packed
        np.testing.assert_array_equal(embedder.transform(TEXTS), expected)

    def test_the_pooler_of_weights_that_a_pickle_holds(self, small, file):
        options = {"pooling": "pooler", "save_weights": True, "max_length": 20}
        embedder = BertEmbedder(str(small), device="cpu", **options).fit(TEXTS)
        expected = embedder.transform(TEXTS)
        joblib.dump(embedder, file.parent.parent / "embedder")
        (small / "model.safetensors").unlink()
        joblib.load(file.parent.parent / "embedder").to_onnx(str(file))
        assert_same(file, TEXTS, expected)

    def test_token_vectors_of_several_layers(self, small, file):
        options = {"pooling": None, "layers": (0, -1), "combine_layers": "concat"}
        embedder = BertEmbedder(str(small), normalize=True, device="cpu", **options).fit(TEXTS)
        embedder.to_onnx(file)
        found = run(file, TEXTS)
        assert found.shape == (len(TEXTS), 64, 64)
        for row, expected in zip(found, embedder.transform(TEXTS), strict=True):
            np.testing.assert_allclose(row[: len(expected)], expected, rtol=0, atol=1e-5)


class TestHeads:
    def test_the_own_head_and_classes_in_another_order(self, tmp_path, file):
        folder = one_layer(tmp_path / "roberta", "roberta")
        BertClassifier(folder, **FAST).fit(TEXTS, LABELS).save_pretrained(folder)
        labels = {"0": "b", "1": "c", "2": "a"}
        edit_json(Path(folder) / "config.json", id2label=labels, skbert={})
        classifier = BertClassifier.from_pretrained(folder, device="cpu")
        classifier.to_onnx(file)
        assert_same(file, TEXTS, classifier.decision_function(TEXTS))
        assert settings(file)["classes"] == ["a", "b", "c"]
        assert settings(file)["inputs"] == ["input_ids", "attention_mask"]

    def test_several_labels_a_text(self, tmp_path, file):
        folder = one_layer(tmp_path / "distilbert", "distilbert")
        labels = np.eye(3, dtype=int)[[0, 1, 2, 0, 1, 2]]
        classifier = BertClassifier(folder, **FAST).fit(TEXTS, labels)
        classifier.to_onnx(file)
        assert_same(file, TEXTS, classifier.decision_function(TEXTS))
        assert settings(file)["multilabel"] is True

    def test_a_pooled_head_on_pairs(self, small, file):
        options = {"pooling": "mean", "pair_mode": "cross-encoder", "max_length": 24}
        classifier = BertClassifier(str(small), **options, **FAST).fit(PAIRS, LABELS)
        before = joblib.hash(classifier._state)
        classifier.to_onnx(file)
        assert_same(file, PAIRS, classifier.decision_function(PAIRS))
        assert settings(file)["reads_pairs"] is True
        assert joblib.hash(classifier._state) == before

    def test_numbers_in_the_unit_of_the_targets(self, tmp_path, file):
        folder = one_layer(tmp_path / "mpnet", "mpnet")
        regressor = BertRegressor(folder, pooling="max", **FAST).fit(TEXTS, NUMBERS)
        regressor.to_onnx(file)
        assert_same(file, TEXTS, regressor.predict(TEXTS))
        assert settings(file)["output"] == "values"

    def test_a_cross_encoder_with_an_activation_stored_in_bfloat16(self, tmp_path, file):
        folder = save_head(tmp_path / "head", num_labels=1, initializer_range=0.3)
        weights = Path(folder) / "model.safetensors"
        halves = {name: tensor.bfloat16() for name, tensor in load_file(weights).items()}
        save_file(halves, weights, metadata={"format": "pt"})
        section = {"activation_fn": TANH}
        edit_json(Path(folder) / "config.json", sentence_transformers=section, dtype="bfloat16")
        regressor = BertRegressor.from_pretrained(folder, device="cpu")
        regressor.to_onnx(file)
        assert regressor._state.bfloat16
        expected = regressor.predict(PAIRS)
        assert expected.shape == (len(PAIRS),)
        assert_same(file, PAIRS, expected)


class TestRefusals:
    @pytest.mark.parametrize("path", ["model", "model.pt", "", None, 3])
    def test_paths(self, tiny_bert, file, path):
        with pytest.raises(ParameterError, match=r"path=.* expected a file.*'\.onnx'"):
            BertEmbedder(tiny_bert).fit(["a"]).to_onnx(path)

    def test_a_folder(self, tiny_bert, file):
        file.mkdir(parents=True)
        with pytest.raises(ParameterError, match="expected a file with the extension"):
            BertEmbedder(tiny_bert).fit(["a"]).to_onnx(file)

    @pytest.mark.parametrize("overflow", ["windows", "error"])
    @pytest.mark.parametrize("make", [BertEmbedder, BertClassifier])
    def test_whole_texts(self, tiny_bert, file, make, overflow):
        options = FAST if make is BertClassifier else {}
        estimator = make(tiny_bert, pooling="mean", overflow=overflow, **options)
        estimator.fit(["a", "the cat"], [0, 1])
        with pytest.raises(
            ParameterError, match=f"overflow='{overflow}'.*expected 'truncate'.*set_params"
        ):
            estimator.to_onnx(file)
        assert not file.exists()

    @pytest.mark.parametrize("make", [BertEmbedder, BertRegressor])
    def test_a_prompt_that_is_not_pooled(self, folder, file, make):
        write_modules(folder, pooling={"pooling_mode": "mean", "include_prompt": False})
        options = FAST if make is BertRegressor else {}
        estimator = make(str(folder), prompt="my ", **options).fit(["a", "the cat"], [0, 1])
        with pytest.raises(ParameterError, match=r"prompt='my '.*not pooled.*Use prompt=None"):
            estimator.to_onnx(file)

    def test_pairs_that_are_read_apart(self, tiny_bert, file):
        options = {"pooling": "mean", "pair_mode": "bi-encoder"}
        classifier = BertClassifier(tiny_bert, **options, **FAST).fit(PAIRS, LABELS)
        with pytest.raises(
            ParameterError, match=r"pair_mode_='bi-encoder'.*expected pair_mode='cross-encoder'"
        ):
            classifier.to_onnx(file)

    def test_unfitted(self, tiny_bert, tmp_path):
        for estimator in (BertEmbedder(tiny_bert), BertClassifier(tiny_bert)):
            with pytest.raises(ValueError, match="not fitted"):
                estimator.to_onnx(tmp_path / "model.onnx")

    def test_a_package_that_is_not_there(self, tiny_bert, tmp_path, monkeypatch):
        for package in ("onnx", "onnxscript", "onnxruntime"):
            monkeypatch.setitem(sys.modules, package, None)
        embedder = BertEmbedder(tiny_bert).fit(["a"])
        with pytest.raises(
            MissingPackageError, match=r"BertEmbedder\.to_onnx needs onnx.*\[onnx\]"
        ):
            embedder.to_onnx(tmp_path / "new" / "model.onnx")
        assert not (tmp_path / "new").exists()


def test_components_are_part_of_the_graph(tiny_bert, file):
    embedder = BertEmbedder(tiny_bert, n_components=3, device="cpu").fit(TEXTS)
    embedder.to_onnx(file)
    assert_same(file, TEXTS, embedder.transform(TEXTS))


def test_columns_beside_the_text_are_refused(tiny_bert, file):
    import pandas as pd

    table = pd.DataFrame({"text": TEXTS, "other": TEXTS[::-1], "number": range(6)})
    model = BertClassifier(tiny_bert, text_columns="text", max_epochs=0)
    with pytest.raises(ParameterError, match="numbers beside the text"):
        model.fit(table[["text", "number"]], LABELS).to_onnx(file)
    embedder = BertEmbedder(tiny_bert, n_components=2).fit(table[["text", "other"]])
    with pytest.raises(ParameterError, match="2 columns of texts have different components"):
        embedder.to_onnx(file)
    embedder = BertEmbedder(tiny_bert, missing="zero", add_indicator=True).fit(TEXTS)
    with pytest.raises(ParameterError, match="add_indicator=True"):
        embedder.to_onnx(file)
