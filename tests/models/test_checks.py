"""What would go wrong later, or unnoticed, is one error or warning where a checkpoint is loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from skbert import (
    BertClassifier,
    BertEmbedder,
    BertRegressor,
    BertTokenClassifier,
    CheckpointError,
    CheckpointWarning,
)
from tests.conftest import save_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")


def edit(file: Path, **changes) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**content, **changes}))


def add_weights(folder: Path, **added: torch.Tensor) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file(weights | added, folder / "model.safetensors", metadata={"format": "pt"})


def refuses(folder: Path, words: str) -> None:
    for fit in (
        lambda: BertEmbedder(str(folder)).fit(["a"]),
        lambda: BertClassifier(str(folder), min_steps=1, max_epochs=1).fit(["a", "b"], [0, 1]),
    ):
        with pytest.raises(CheckpointError, match=words):
            fit()


class TestConfiguration:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"layer_norm_eps": 0}, "layer_norm_eps"),
            ({"hidden_dropout_prob": "0.1"}, "hidden_dropout_prob"),
            ({"num_attention_heads": 4.0}, "num_attention_heads"),
            ({"num_attention_heads": 5}, "not a multiple of the number of attention heads"),
            ({"num_attention_heads": 0}, "config|model"),
            ({"id2label": ["a", "b"]}, "config"),
            ({"dtype": "float99"}, "dtype='float99', expected a number format"),
            ({"torch_dtype": "softmax"}, "torch_dtype='softmax', expected a number format"),
            ({"hidden_act": "magic"}, "magic"),
            ({"model_type": "magic"}, "magic"),
            ({"model_type": None}, "config"),
            ({"vocab_size": 7}, "7"),
            ({"hidden_size": 64}, "64"),
            ({"max_position_embeddings": -3}, "config|model"),
            ({"architectures": "BertModel", "hidden_act": 3}, "hidden_act|architectures"),
        ],
    )
    def test_wrong_values(self, folder, changes, words):
        edit(folder / "config.json", **changes)
        refuses(folder, words)

    @pytest.mark.parametrize("content", ["{", "[]", '"a"', "", "3"])
    def test_the_tokenizer_is_not_blamed(self, folder, content):
        (folder / "config.json").write_text(content)
        with pytest.raises(CheckpointError, match=r"config\.json") as caught:
            BertEmbedder(str(folder)).fit(["a"])
        assert "tokenizer" not in str(caught.value).replace(str(folder), "")

    @pytest.mark.parametrize("kind", ["relative_key", "relative_key_query"])
    def test_relative_positions(self, folder, kind):
        edit(folder / "config.json", position_embedding_type=kind)
        refuses(folder, f"position_embedding_type='{kind}' is not computed")

    @pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
    def test_code_of_the_checkpoints_own_is_warned_of(self, folder, name, tmp_path):
        edit(folder / name, auto_map={"AutoModel": "mine.Model"})
        with pytest.warns(CheckpointWarning, match=rf"{name}: auto_map=.*mine\.Model.*not run"):
            BertEmbedder(str(folder)).fit(["a"])

    def test_code_of_the_checkpoints_own_is_not_carried_on(self, folder, tmp_path):
        edit(folder / "config.json", auto_map={"AutoModel": "mine.Model"})
        classifier = BertClassifier(str(folder), min_steps=1, max_epochs=1)
        with pytest.warns(CheckpointWarning, match="auto_map"):
            classifier.fit(["a", "b"], [0, 1])
        classifier.save_pretrained(tmp_path / "saved")
        assert "auto_map" not in json.loads((tmp_path / "saved" / "config.json").read_text())


class TestWeights:
    @pytest.mark.parametrize("prefix", ["", "bert."])
    @pytest.mark.parametrize(
        "name",
        [
            "encoder.layer.0.attention.self.distance_embedding.weight",
            "encoder.layer.1.attention.self.query.lora_A.default.weight",
            "encoder.layer.7.output.dense.weight",
            "embeddings.segment_embeddings.weight",
        ],
    )
    def test_inside_the_encoder_must_be_used(self, folder, name, prefix):
        add_weights(folder, **{prefix + name: torch.zeros(4, 4)})
        refuses(folder, f"1 weights of the encoder.*{name}")

    @pytest.mark.parametrize(
        "name",
        [
            "classifier.weight",
            "cls.predictions.bias",
            "bert.embeddings.position_ids",
            "mine.weight",
        ],
    )
    def test_heads_and_constants_need_not(self, folder, name):
        add_weights(folder, **{name: torch.zeros(4, 4)})
        BertEmbedder(str(folder)).fit(["a"])

    def test_fewer_layers_than_weights(self, folder):
        edit(folder / "config.json", num_hidden_layers=1)
        refuses(folder, r"weights of the encoder.*layer\.1")

    @pytest.mark.parametrize("peft_type", ["LORA", None])
    @pytest.mark.parametrize("whole", [True, False])
    def test_adapters(self, folder, whole, peft_type):
        edit(folder / "adapter_config.json", peft_type=peft_type, base_model_name_or_path="x/y")
        if not whole:
            (folder / "config.json").unlink()
            (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
        refuses(
            folder, r"adapter_config\.json: the folder contains an adapter.*merge_and_unload\(\)"
        )


class TestTokens:
    def test_more_than_embeddings(self, folder):
        edit(folder / "tokenizer_config.json", extra_special_tokens=["<url>", "<user>"])
        n_rows = json.loads((folder / "config.json").read_text())["vocab_size"]
        refuses(folder, rf"2 token\(s\) more .*'<url>' is number {n_rows}, .*{n_rows} rows")

    def test_numbers_with_a_gap(self, folder):
        said = json.loads((folder / "tokenizer.json").read_text())
        said["model"]["vocab"]["strange"] = 100_000
        (folder / "tokenizer.json").write_text(json.dumps(said))
        refuses(folder, "'strange' is number 100000")


def save_head(folder: Path, kind: str = "BertForSequenceClassification", **options) -> str:
    import transformers

    folder.mkdir(exist_ok=True)
    config = transformers.BertConfig(
        vocab_size=save_tokenizer(folder),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        **options,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        getattr(transformers, kind)(config).save_pretrained(folder)
    return str(folder)


class TestLabels:
    @pytest.mark.parametrize(
        ("make", "kind"),
        [
            (BertClassifier, "BertForSequenceClassification"),
            (BertTokenClassifier, "BertForTokenClassification"),
        ],
    )
    @pytest.mark.parametrize(
        ("labels", "words"),
        [
            ({"1": "a", "2": "b"}, "expected the numbers 0 to 1"),
            ({"0": "a", "5": "b"}, "expected the numbers 0 to 1"),
            ({"0": "a", "1": "a"}, "expected another name for each"),
        ],
    )
    def test_that_do_not_number_the_outputs(self, tmp_path, make, kind, labels, words):
        folder = save_head(tmp_path / "head", kind, num_labels=2)
        edit(tmp_path / "head" / "config.json", id2label=labels, label2id={})
        with pytest.raises(CheckpointError, match=rf"config\.json: id2label=.*{words}"):
            make.from_pretrained(folder)

    def test_another_number_than_the_head_has(self, tmp_path):
        folder = save_head(tmp_path / "head", num_labels=3)
        edit(tmp_path / "head" / "config.json", id2label={"0": "a", "1": "b"}, label2id={})
        with pytest.raises(CheckpointError, match=r"missing or has another shape"):
            BertClassifier.from_pretrained(folder)

    def test_a_regression_needs_no_names(self, tmp_path):
        folder = save_head(tmp_path / "head", num_labels=2, problem_type="regression")
        assert BertRegressor.from_pretrained(folder).predict(["a"]).shape == (1, 2)
