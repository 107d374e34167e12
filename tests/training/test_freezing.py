"""Which layer a parameter belongs to, and what freezing does to training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn
from transformers import AutoModelForSequenceClassification

from skbert import BertClassifier, ParameterError
from skbert._kernels.dropout import FastDropout
from skbert._kernels.packed_heads import FirstTokenLayer
from skbert._models.state import weight_tensors
from skbert._training import loop as training_module
from skbert._training.freezing import freeze_parameters, parameter_depths, set_training_mode
from tests.conformity.checkpoints import FAMILIES, XLM

pytestmark = pytest.mark.usefixtures("one_thread")

N_LAYERS = 3
SIZE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "pad_token_id": 0,
}
DISTIL_SIZE = {"vocab_size": 50, "dim": 32, "n_layers": N_LAYERS, "n_heads": 4, "hidden_dim": 48}
RELATIVE = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8}

# Model type: its configuration, and which parameters (by the beginnings of their names) belong to
# the embeddings, to layer i, and to the head.
MODELS: dict[str, tuple[str, dict[str, Any], list[str], str, list[str]]] = {
    "bert": (
        "BertConfig",
        SIZE,
        ["bert.embeddings."],
        "bert.encoder.layer.{}.",
        ["bert.pooler.", "classifier."],
    ),
    "roberta": (
        "RobertaConfig",
        SIZE,
        ["roberta.embeddings."],
        "roberta.encoder.layer.{}.",
        ["classifier."],
    ),
    "electra": (
        "ElectraConfig",
        {**SIZE, "embedding_size": 16},
        ["electra.embeddings.", "electra.embeddings_project."],
        "electra.encoder.layer.{}.",
        ["classifier."],
    ),
    "distilbert": (
        "DistilBertConfig",
        DISTIL_SIZE,
        ["distilbert.embeddings."],
        "distilbert.transformer.layer.{}.",
        ["pre_classifier.", "classifier."],
    ),
    "modernbert": (
        "ModernBertConfig",
        SIZE,
        ["model.embeddings."],
        "model.layers.{}.",
        ["model.final_norm.", "head.", "classifier."],
    ),
    "deberta-v2": (
        "DebertaV2Config",
        {**SIZE, **RELATIVE, "type_vocab_size": 0, "norm_rel_ebd": "layer_norm"},
        ["deberta.embeddings.", "deberta.encoder.rel_embeddings.", "deberta.encoder.LayerNorm."],
        "deberta.encoder.layer.{}.",
        ["pooler.", "classifier."],
    ),
}


def make_model(config_name: str, options: dict[str, Any]) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = getattr(transformers, config_name)(**options)
        return AutoModelForSequenceClassification.from_config(config).eval()


@pytest.fixture(params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def expected_depth(kind: str, name: str) -> int:
    _, _, embeddings, layer, head = MODELS[kind]
    depths = [0 for start in embeddings if name.startswith(start)]
    depths += [i + 1 for i in range(N_LAYERS) if name.startswith(layer.format(i))]
    depths += [N_LAYERS + 1 for start in head if name.startswith(start)]
    (depth,) = depths
    return depth


def test_depths(kind):
    model = make_model(*MODELS[kind][:2])
    depths = parameter_depths(model)
    assert depths == {name: expected_depth(kind, name) for name, _ in model.named_parameters()}
    assert set(depths.values()) == set(range(N_LAYERS + 2))


def trained(model: Any) -> set[str]:
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def test_nothing_is_frozen_by_default(kind):
    model = make_model(*MODELS[kind][:2])
    freeze_parameters(model, None)
    assert trained(model) == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize("freeze", [0, 1, 2, N_LAYERS, np.int64(1)])
def test_embeddings_and_lowest_layers_are_frozen(kind, freeze):
    model = make_model(*MODELS[kind][:2])
    freeze_parameters(model, freeze)
    assert trained(model) == {
        name for name, _ in model.named_parameters() if expected_depth(kind, name) > freeze
    }


def test_all_but_the_head_is_frozen(kind):
    """The pooler belongs to the head; a norm after the last layer to the encoder."""
    model = make_model(*MODELS[kind][:2])
    freeze_parameters(model, "encoder")
    inside = ("bert.pooler.", *(start for start in MODELS[kind][4] if "norm" not in start))
    names = {name for name, _ in model.named_parameters() if name.startswith(inside)}
    assert trained(model) == names
    assert any("classifier" in name for name in names)


def test_embeddings_are_frozen(kind):
    model = make_model(*MODELS[kind][:2])
    freeze_parameters(model, "embeddings")
    frozen = {name for name, _ in model.named_parameters()} - trained(model)
    assert frozen == {name for name in frozen if ".embeddings." in name}
    assert model.get_input_embeddings().weight.requires_grad is False
    assert not any(".embeddings." in name for name in trained(model))


@pytest.mark.parametrize("freeze", [N_LAYERS + 1, 99])
def test_more_layers_than_there_are(kind, freeze):
    message = rf'freeze={freeze} is more than the {N_LAYERS} layers.*at most {N_LAYERS}, or "enc'
    with pytest.raises(ParameterError, match=message):
        freeze_parameters(make_model(*MODELS[kind][:2]), freeze)


class TestAlbert:
    """Its layers are one and the same: none can be frozen alone."""

    def model(self) -> Any:
        return make_model("AlbertConfig", {**SIZE, "embedding_size": 16})

    def test_layers_are_refused(self):
        with pytest.raises(ParameterError, match=r"'albert' have no separate layers.*\"encoder\""):
            parameter_depths(self.model())
        with pytest.raises(ParameterError, match="'albert' have no separate layers"):
            freeze_parameters(self.model(), 1)

    @pytest.mark.parametrize("freeze", [None, "embeddings", "encoder"])
    def test_the_rest_is_not(self, freeze):
        model = self.model()
        freeze_parameters(model, freeze)
        assert "classifier.weight" in trained(model)
        table = model.get_input_embeddings().weight
        assert table.requires_grad is (freeze is None)


# Frozen parts compute as in prediction ----------------------------------------------------------


def modes(model: nn.Module, kind: type[nn.Module]) -> dict[str, bool]:
    return {name: m.training for name, m in model.named_modules() if isinstance(m, kind)}


def test_no_dropout_in_frozen_layers(kind):
    dropout = {"embedding_dropout": 0.5, "attention_dropout": 0.5, "mlp_dropout": 0.5}
    options = {**MODELS[kind][1], **(dropout if kind == "modernbert" else {})}
    model = make_model(MODELS[kind][0], options)
    freeze_parameters(model, 1)
    set_training_mode(model)
    found = modes(model, nn.Dropout)
    assert found
    layer = MODELS[kind][3]
    for name, training in found.items():
        is_frozen = name.startswith((*MODELS[kind][2], layer.format(0)))
        assert training is not is_frozen, name
    assert {False, True} <= set(found.values())


def test_all_dropout_acts_where_nothing_is_frozen(kind):
    model = make_model(*MODELS[kind][:2])
    set_training_mode(model)
    assert all(module.training for module in model.modules())


def test_frozen_encoder_gives_the_same_vectors_in_training():
    model = make_model(*MODELS["bert"][:2])
    freeze_parameters(model, "encoder")
    set_training_mode(model)
    ids = torch.randint(5, 50, (3, 9), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        first, second = (model.bert(input_ids=ids).last_hidden_state for _ in range(2))
        assert torch.equal(first, second)
        first, second = (model(input_ids=ids).logits for _ in range(2))
        assert not torch.equal(first, second)  # the head's own dropout


@pytest.mark.parametrize(
    ("freeze", "n_frozen"), [(None, 0), ("embeddings", 0), (1, 1), (2, 2), ("encoder", 2)]
)
def test_dropout_of_packed_and_replaced_layers_while_a_fit_runs(
    tiny_bert, monkeypatch, freeze, n_frozen
):
    """Also in the layer that computes first tokens only, and with the faster dropout."""
    seen = {}
    update = training_module._update

    def watched(trainer: Any, batches: Any) -> None:
        model = trainer.encoder.model
        seen["dropout"] = modes(model, FastDropout)
        seen["first tokens"] = modes(model, FirstTokenLayer)
        return update(trainer, batches)

    monkeypatch.setattr(training_module, "_update", watched)
    BertClassifier(tiny_bert, freeze=freeze, min_steps=0, max_epochs=1).fit(["a", "b"], [0, 1])
    for name, training in seen["dropout"].items():
        frozen = [f"layer.{i}." for i in range(n_frozen)]
        frozen += [] if freeze is None else [".embeddings."]
        assert training is not any(part in name for part in frozen), name
    assert set(seen["first tokens"].values()) == {n_frozen < 2}
    assert len(seen["dropout"]) > 5


# In a fit ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [
        (None, ()),
        ("embeddings", ("bert.embeddings.",)),
        (0, ("bert.embeddings.",)),
        (1, ("bert.embeddings.", "bert.encoder.layer.0.")),
        (2, ("bert.embeddings.", "bert.encoder.")),
        ("encoder", ("bert.embeddings.", "bert.encoder.")),
    ],
)
def test_frozen_parameters_stay_and_all_others_move(tiny_bert, freeze, frozen):
    """Weight decay, too, leaves frozen ones alone."""
    start = AutoModelForSequenceClassification.from_pretrained(tiny_bert).state_dict()
    classifier = BertClassifier(
        tiny_bert,
        freeze=freeze,
        min_steps=0,
        max_epochs=2,
        learning_rate=1e-2,
        weight_decay=0.1,
        random_state=0,
    )
    classifier.fit(["the cat", "a red dog", "the mat"] * 3, [0, 1, 0] * 3)
    for name, tensor in weight_tensors(classifier._state).items():
        if name.startswith("classifier."):  # random at the start
            continue
        assert torch.equal(tensor, start[name]) is bool(frozen and name.startswith(frozen)), name


def test_each_part_of_a_layer_is_frozen_with_it():
    """XLM keeps the parts of its layers in lists of their own."""
    config = transformers.XLMConfig(**XLM, vocab_size=40, num_labels=2)
    model = transformers.XLMForSequenceClassification(config)
    freeze_parameters(model, 1)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    for part in ("attentions", "layer_norm1", "ffns", "layer_norm2"):
        assert not [name for name in trained if f"{part}.0." in name]
        assert [name for name in trained if f"{part}.1." in name]


def test_a_pooler_made_before_the_layers_belongs_to_the_head():
    config = transformers.NomicBertConfig(**SIZE)
    model = transformers.NomicBertForSequenceClassification(config)
    freeze_parameters(model, 2)
    depths = parameter_depths(model)
    assert all(depths[name] == N_LAYERS + 1 for name in depths if "pooler" in name)


@pytest.mark.parametrize("name", ["gpt2", "t5", "qwen3", "xlnet", "eurobert"])
def test_embeddings_are_found_whatever_they_are_called(name):
    family = FAMILIES[name]
    config = getattr(transformers, family.config)(
        vocab_size=40, num_labels=2, pad_token_id=0, **family.options
    )
    model = transformers.AutoModelForSequenceClassification.from_config(config)
    freeze_parameters(model, "embeddings")
    frozen = [p for p in model.parameters() if not p.requires_grad]
    assert any(p is model.get_input_embeddings().weight for p in frozen)
    assert len(frozen) == (2 if name == "gpt2" else 1)  # GPT-2's positions, too
