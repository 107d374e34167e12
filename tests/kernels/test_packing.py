"""Packed rows, and padded batches, against a plain transformers loop of one text at a time."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from skbert import BertClassifier, BertEmbedder, CheckpointError
from skbert._inference.batching import length_order, pack_batch
from skbert._inference.loop import model_inputs
from skbert._kernels.packable import PACKED_MODEL_TYPES, can_pack
from skbert._kernels.packed_attention import bounds_of_texts, first_tokens, packed_attention
from skbert._kernels.packed_heads import FirstTokenLayer
from skbert._kernels.packing import packed_positions
from skbert._kernels.training_layers import use_fast_layers
from skbert._models.device import switch_checkpointing
from skbert._models.encoder import Encoder, make_encoder, read_packed
from skbert._models.loading import load_model
from skbert._models.tokenizer import load_tokenizer
from skbert._training.freezing import set_training_mode
from tests.conftest import attend_text_by_text, save_tokenizer, stand_in_for_varlen

TEXTS = [
    "the cat sat on the mat .",
    "",
    "a",
    "it is not a very good film , and that is that !",
    "unbelievable",
    "the cat sat on the rug .",  # as long as the first: one run of two
    "[PAD] the [PAD] [PAD] cat",
    "dog [PAD]",
    "Größe 🙂 猫 the",
    "we lost the money " * 12,
]
SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 66,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
DISTIL_SIZE = {
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 48,
    "max_position_embeddings": 66,
    "initializer_range": 0.3,
}
MODERN = {**SIZE, "num_hidden_layers": 4}  # every third layer sees all tokens
ROTARY = {**SIZE, "initializer_range": 0.2}  # else values of 20, and rounding as large
ROPE = {"factor": 2.0, "rope_theta": 1e4}
DEBERTA = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"], "type_vocab_size": 0}

PACKED: dict[str, tuple[str, dict[str, Any]]] = {
    "bert": ("BertConfig", SIZE),
    "distilbert": ("DistilBertConfig", DISTIL_SIZE),
    "electra": ("ElectraConfig", {**SIZE, "embedding_size": 16}),
    "roberta": ("RobertaConfig", SIZE),
    "xlm-roberta": ("XLMRobertaConfig", SIZE),
    "camembert": ("CamembertConfig", SIZE),
    # Its padding id is then the tokenizer's [UNK]: texts with unknown words spell it out.
    "roberta, padding id 1": ("RobertaConfig", {**SIZE, "pad_token_id": 1}),
    "bert, setting of others": ("BertConfig", {**SIZE, "classifier_pooling": "mean"}),
    "bert, gelu_new": ("BertConfig", {**SIZE, "hidden_act": "gelu_new"}),
    "albert": ("AlbertConfig", {**SIZE, "embedding_size": 16}),
    "albert, groups": (
        "AlbertConfig",
        {**SIZE, "embedding_size": 16, "num_hidden_groups": 2, "inner_group_num": 1},
    ),
    # Long texts have more relative positions than buckets.
    "mpnet": ("MPNetConfig", {**SIZE, "pad_token_id": 1, "max_position_embeddings": 66}),
    # Its positions are counted from 2 all the same.
    "mpnet, padding id 0": ("MPNetConfig", SIZE),
    "modernbert": ("ModernBertConfig", {**MODERN, "local_attention": 8}),
    "modernbert, mean": (
        "ModernBertConfig",
        {**MODERN, "local_attention": 8, "classifier_pooling": "mean"},
    ),
    "modernbert, wide window": ("ModernBertConfig", {**MODERN, "local_attention": 200}),
    "modernbert, narrow": ("ModernBertConfig", {**MODERN, "local_attention": 2}),
    "modernbert, rotary types": (
        "ModernBertConfig",
        {
            **MODERN,
            "local_attention": 8,
            "rope_parameters": {
                "full_attention": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
    "deberta-v2": ("DebertaV2Config", {**SIZE, **DEBERTA, "position_buckets": 8}),
    "deberta-v3": (
        "DebertaV2Config",
        {
            **SIZE,
            **DEBERTA,
            "position_buckets": 8,
            "share_att_key": True,
            "norm_rel_ebd": "layer_norm",
            "position_biased_input": False,
        },
    ),
    "deberta-v2, one way": (
        "DebertaV2Config",
        {**SIZE, **DEBERTA, "pos_att_type": ["p2c"], "max_relative_positions": 6},
    ),
    "deberta-v2, other way": ("DebertaV2Config", {**SIZE, **DEBERTA, "pos_att_type": ["c2p"]}),
    "deberta-v2, no relative positions": (
        "DebertaV2Config",
        {**SIZE, "relative_attention": False, "pos_att_type": ["c2p"]},
    ),
    "eurobert": ("EuroBertConfig", {**ROTARY, "num_key_value_heads": 2}),
    "eurobert, mean": ("EuroBertConfig", {**ROTARY, "classifier_pooling": "mean"}),
    "eurobert, bos": ("EuroBertConfig", {**ROTARY, "classifier_pooling": "bos"}),
    "nomic_bert": ("NomicBertConfig", ROTARY),
    "nomic_bert, yarn": (
        "NomicBertConfig",
        {**ROTARY, "rope_parameters": ROPE | {"rope_type": "yarn"}},
    ),
}
PADDED: dict[str, tuple[str, dict[str, Any]]] = {
    "deberta": ("DebertaConfig", {**SIZE, **DEBERTA}),
    "deberta-v2, convolution": ("DebertaV2Config", {**SIZE, **DEBERTA, "conv_kernel_size": 3}),
    "bert, decoder": ("BertConfig", {**SIZE, "is_decoder": True}),
    "nomic_bert, dynamic": (
        "NomicBertConfig",
        {**ROTARY, "rope_parameters": ROPE | {"rope_type": "dynamic"}},
    ),
    "modernbert, dynamic": (
        "ModernBertConfig",
        {
            **MODERN,
            "rope_parameters": {
                "full_attention": ROPE | {"rope_type": "dynamic"},
                "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
            },
        },
    ),
}

POOLED: dict[str, Callable[[Any], Any]] = {
    "mean": lambda tokens: tokens.mean(0),
    "cls": lambda tokens: tokens[0],
    "max": lambda tokens: tokens.amax(0),
    "mean_sqrt_len": lambda tokens: tokens.sum(0) / len(tokens) ** 0.5,
}
CHOICES = [
    {"layers": -1},
    {"layers": 0},
    {"layers": (1, 2)},
    {"layers": (-1, 0), "combine_layers": "concat"},
]


# Their last layer computes first tokens only, where no more is read.
LIKE_BERT = {"bert", "electra", "roberta", "xlm-roberta", "camembert"}

# What is added to all keys alike changes no weight: no gradient.
KEY_BIASES = ("key.bias", "k_lin.bias", "attn.k.bias", "key_proj.bias", "k_proj.bias")

# One text of 5 tokens, three of 4, two of 1.
RUNS = [(1, 5), (3, 4), (2, 1)]


pytestmark = pytest.mark.usefixtures("one_thread")


def save_model(folder: Path, config_name: str, options: dict[str, Any]) -> str:
    config = getattr(transformers, config_name)(vocab_size=save_tokenizer(folder), **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModel.from_config(config).save_pretrained(folder)
    return str(folder)


@torch.no_grad()
def plain_loop(folder: str) -> list[Any]:
    """The reference: one text at a time, nothing padded."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    read = [tokenizer(text, return_tensors="pt") for text in TEXTS]
    return [
        model(
            input_ids=text["input_ids"],
            attention_mask=text["attention_mask"],
            output_hidden_states=True,
        )
        for text in read
    ]


def chosen_layers(output: Any, layers: int | tuple[int, ...], combine_layers: str = "mean") -> Any:
    """Token vectors of one text, (L, F)."""
    picked = [
        output.hidden_states[layer][0]
        for layer in (layers if isinstance(layers, tuple) else [layers])
    ]
    return torch.cat(picked, -1) if combine_layers == "concat" else torch.stack(picked).mean(0)


def assert_same_as_plain_loop(folder: str, *, packed: bool) -> None:
    outputs = plain_loop(folder)
    keep = BertEmbedder(folder, device="cpu").fit(TEXTS)  # so that the weights are loaded once
    assert keep._loaded().packed is packed
    for choice in CHOICES:
        tokens = [chosen_layers(output, **choice) for output in outputs]
        for pooling, pool in POOLED.items():
            embedder = BertEmbedder(folder, device="cpu", pooling=pooling, **choice)
            expected = torch.stack([pool(vectors) for vectors in tokens]).numpy()
            np.testing.assert_allclose(
                embedder.fit_transform(TEXTS),
                expected,
                rtol=0,
                atol=1e-5,
                err_msg=f"{pooling} {choice}",
            )
        embedder = BertEmbedder(folder, device="cpu", pooling=None, **choice)
        for vectors, expected in zip(embedder.fit_transform(TEXTS), tokens, strict=True):
            np.testing.assert_allclose(vectors, expected.numpy(), rtol=0, atol=1e-5)
    if keep._loaded().has_pooler:
        expected = torch.cat([output.pooler_output for output in outputs]).numpy()
        vectors = BertEmbedder(folder, device="cpu", pooling="pooler").fit_transform(TEXTS)
        np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


def test_every_packed_model_type_is_compared():
    types = {getattr(transformers, config)().model_type for config, _ in PACKED.values()}
    assert types == PACKED_MODEL_TYPES


@pytest.mark.parametrize("name", PACKED)
def test_packed_rows_give_what_each_text_alone_gives(name, tmp_path):
    assert_same_as_plain_loop(save_model(tmp_path, *PACKED[name]), packed=True)


@pytest.mark.parametrize("name", PADDED)
def test_padded_batches_give_what_each_text_alone_gives(name, tmp_path):
    assert_same_as_plain_loop(save_model(tmp_path, *PADDED[name]), packed=False)


@pytest.mark.parametrize("name", ["FNetConfig", "ConvBertConfig"])
def test_model_that_reads_its_padding_is_refused_or_never_padded(name, tmp_path):
    folder = save_model(tmp_path, name, {**SIZE, "embedding_size": 32})
    try:
        embedder = BertEmbedder(folder, device="cpu").fit(TEXTS)
    except CheckpointError:
        return
    alone = np.concatenate([embedder.transform([text]) for text in TEXTS])
    np.testing.assert_allclose(embedder.transform(TEXTS), alone, atol=1e-5)


# The rule and the pieces ------------------------------------------------------------------------


@pytest.mark.parametrize("name", PACKED)
def test_packed_types_can_be_packed(name):
    config, options = PACKED[name]
    assert can_pack(getattr(transformers, config)(**options))


@pytest.mark.parametrize("name", PADDED)
def test_other_types_are_not_packed(name):
    config, options = PADDED[name]
    assert not can_pack(getattr(transformers, config)(**options))


@pytest.mark.parametrize("kind", ["dynamic", "longrope", "of a later version"])
@pytest.mark.parametrize("in_layers", [True, False])
def test_rotary_positions_that_may_depend_on_other_texts_are_not_packed(kind, in_layers):
    config, other = transformers.EuroBertConfig(), {"rope_type": "default", "rope_theta": 1e4}
    one = {**other, "rope_type": kind}
    config.rope_parameters = {"sliding": other, "full": one} if in_layers else one
    assert not can_pack(config)


@pytest.mark.parametrize("settings", [None, {}, {"rope_theta": 1e4}, {"full": None}])
def test_rotary_positions_without_a_type_are_the_usual_ones(settings):
    config = transformers.EuroBertConfig()
    config.rope_parameters = settings
    assert can_pack(config)


@pytest.mark.parametrize("kind", ["relative_key", "relative_key_query"])
def test_relative_positions_are_not_packed(kind):
    config = transformers.BertConfig()
    config.position_embedding_type = kind
    assert not can_pack(config)


@pytest.mark.parametrize("window", [None, 1, 2, 4, 5])
@pytest.mark.parametrize("n_key_heads", [2, 1])
@pytest.mark.parametrize("scaling", [None, 0.25])
def test_packed_attention_is_block_diagonal_attention(scaling, n_key_heads, window, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    n_tokens, n_heads, n_features = 19, 2, 8
    query, key, value = torch.randn(3, 1, n_heads, n_tokens, n_features, generator=generator)
    key, value = key[:, :n_key_heads], value[:, :n_key_heads]
    place = torch.arange(n_tokens)
    near = (place - place[:, None]).abs() < (window or n_tokens)
    blocks = [torch.ones(length, length) for n_texts, length in RUNS for _ in range(n_texts)]
    logits = query @ key.transpose(-1, -2) * (n_features**-0.5 if scaling is None else scaling)
    logits = logits.masked_fill(torch.block_diag(*blocks) * near == 0, -torch.inf)
    expected = (logits.softmax(-1) @ value).transpose(1, 2)
    stand_in_for_varlen(monkeypatch, attend_text_by_text)
    for bounds in (None, bounds_of_texts(RUNS)):
        output, weights = packed_attention(
            torch.nn.Identity(), query, key, value, None,
            runs=RUNS, text_bounds=bounds, scaling=scaling, sliding_window=window,
        )  # fmt: skip
        assert weights is None
        torch.testing.assert_close(output, expected, rtol=0, atol=1e-6)


def test_bias_is_added_to_the_products_of_each_text():
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 19, 8, generator=generator)
    bias = torch.randn(2, 5, 5, generator=generator)
    blocks = [bias[:, :length, :length] for n_texts, length in RUNS for _ in range(n_texts)]
    added = torch.stack([torch.block_diag(*of_head) for of_head in zip(*blocks, strict=True)])
    same_text = torch.block_diag(*[torch.ones(block.shape[1:]) for block in blocks])
    logits = query @ key.transpose(-1, -2) * 8**-0.5 + added
    logits = logits.masked_fill(same_text == 0, -torch.inf)
    expected = (logits.softmax(-1) @ value).transpose(1, 2)
    output, _ = packed_attention(torch.nn.Identity(), query, key, value, None, runs=RUNS, bias=bias)
    torch.testing.assert_close(output, expected, rtol=0, atol=1e-6)


def test_positions_count_from_zero_in_each_text():
    ids = torch.tensor([[2, 0, 3, 2, 9, 3, 2, 3]])
    positions = packed_positions(ids, [(2, 3), (1, 2)], transformers.BertConfig(pad_token_id=0))
    assert positions.tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]


@pytest.mark.parametrize("pad", [0, 1, 5])
def test_roberta_positions_begin_after_the_padding_id_and_skip_it(pad):
    config = transformers.RobertaConfig(pad_token_id=pad)
    other = torch.tensor([[2, 9, 3, 2, 9, 3, 2, 3]])
    counted = [[pad + 1, pad + 2, pad + 3] * 2 + [pad + 1, pad + 2]]
    assert packed_positions(other, [(2, 3), (1, 2)], config).tolist() == counted
    spelled = torch.tensor([[2, pad, 3, 2, 9, 3, 2, 3]])
    counted[0][1:3] = [pad, pad + 2]
    assert packed_positions(spelled, [(2, 3), (1, 2)], config).tolist() == counted


def test_first_tokens_of_a_row():
    assert first_tokens([(2, 3), (1, 2), (3, 1)]).tolist() == [0, 3, 6, 8, 9, 10]


def test_attention_of_first_tokens_is_that_of_all(monkeypatch):
    """Queries of the texts' first tokens only, keys and values of all."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 1, 2, 19, 8, generator=generator)
    every, _ = packed_attention(torch.nn.Identity(), query, key, value, None, runs=RUNS)
    first = first_tokens(RUNS)
    stand_in_for_varlen(monkeypatch, attend_text_by_text)
    for bounds in (None, bounds_of_texts(RUNS)):
        some, _ = packed_attention(
            torch.nn.Identity(), query[:, :, first], key, value, None, runs=RUNS, text_bounds=bounds
        )
        torch.testing.assert_close(some, every[:, first], rtol=0, atol=1e-6)


@pytest.mark.parametrize("window", [None, 3])
def test_dropped_attention_keeps_its_mean(window):
    """Dropout acts on the weights: the mean of many draws is what there is without it."""
    generator = torch.Generator().manual_seed(0)
    runs = [(200, 5)]
    block = torch.randn(3, 1, 2, 5, 8, generator=generator).repeat(1, 1, 1, 200, 1)
    options = {"runs": runs, "sliding_window": window}
    plain, _ = packed_attention(torch.nn.Identity(), *block, None, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        draws = [
            packed_attention(torch.nn.Identity(), *block, None, **options, dropout=0.3)[0]
            for _ in range(10)
        ]
    dropped = torch.cat(draws).view(2000, 5, 2, 8)
    assert dropped.std(0).min() > 0.01
    torch.testing.assert_close(dropped.mean(0), plain.view(200, 5, 2, 8)[0], rtol=0, atol=0.06)


# With a classification head ---------------------------------------------------------------------


def save_classifier(folder: Path, config_name: str, options: dict[str, Any]) -> str:
    vocab_size = save_tokenizer(folder)
    config = getattr(transformers, config_name)(vocab_size=vocab_size, num_labels=3, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config)
        model.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module", params=PACKED)
def classifier_folder(request: pytest.FixtureRequest, tmp_path_factory) -> str:
    """Folder of a tiny model with a random head."""
    return save_classifier(tmp_path_factory.mktemp("classifier"), *PACKED[request.param])


def reference_model(folder: str, dropout: float = 0.0) -> Any:
    options = dict.fromkeys(dropouts(folder), dropout)
    return AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager", **options
    )


def dropouts(folder: str) -> list[str]:
    config = transformers.AutoConfig.from_pretrained(folder).to_dict()
    return [name for name, value in config.items() if "dropout" in name and value is not None]


def packed_model(folder: str, dropout: float = 0.0) -> Encoder:
    config = transformers.AutoConfig.from_pretrained(folder)
    for name in dropouts(folder):
        setattr(config, name, dropout)
    model, random = load_model(
        Path(folder),
        torch.float32,
        auto_class="AutoModelForSequenceClassification",
        config=config,
    )
    assert not random
    tokenizer = load_tokenizer(Path(folder))
    encoder = make_encoder(model, tokenizer, None, torch.device("cpu"), torch.float32)
    assert encoder.packed
    read_packed(encoder, first_tokens=True)
    return encoder


def packed_logits(encoder: Encoder) -> tuple[torch.Tensor, np.ndarray]:
    """Logits of all texts in one row, and which texts they are of."""
    encodings = encoder.tokenizer.encode(TEXTS, max_length=64)
    order = length_order(encodings)
    batch = pack_batch(encodings, order)
    assert len(batch.runs) > 3
    return encoder.model(**model_inputs(batch, encoder)).logits, order


def one_by_one(folder: str, model: Any) -> list[torch.Tensor]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    read = [tokenizer(text, return_tensors="pt", truncation=True, max_length=64) for text in TEXTS]
    return [
        model(input_ids=text["input_ids"], attention_mask=text["attention_mask"]).logits[0]
        for text in read
    ]


@torch.no_grad()
def test_packed_logits_are_those_of_each_text_alone(classifier_folder):
    encoder = packed_model(classifier_folder)
    logits, order = packed_logits(encoder)
    expected = torch.stack(one_by_one(classifier_folder, reference_model(classifier_folder).eval()))
    torch.testing.assert_close(logits, expected[order], rtol=0, atol=1e-5)
    assert expected.std(0).min() > 0.01


@pytest.mark.parametrize("fast_layers", [True, False])
def test_packed_gradients_are_those_of_each_text_alone(classifier_folder, fast_layers):
    encoder = packed_model(classifier_folder)
    if fast_layers:
        use_fast_layers(encoder.model, float32=True)
    set_training_mode(encoder.model)
    model = reference_model(classifier_folder).train()
    # Each text and class pulls in a direction of its own, so that none can cancel another.
    pull = torch.randn(len(TEXTS), 3, generator=torch.Generator().manual_seed(1))
    logits, order = packed_logits(encoder)
    (logits * pull[order]).sum().backward()
    for text, row in zip(one_by_one(classifier_folder, model), pull, strict=True):
        (text * row).sum().backward()
    found = {name: parameter.grad for name, parameter in encoder.model.named_parameters()}
    expected = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        assert gradient is not None
        assert (gradient.abs().max() > 1e-4) or name.endswith(KEY_BIASES), name
        # Sums of up to 200 tokens' gradients: the tolerance grows with what is summed.
        bound = 1e-5 * max(1.0, float(gradient.abs().max()))
        assert (found[name] - gradient).abs().max() <= bound, name


@pytest.mark.parametrize("name", ["deberta-v2", "modernbert", "eurobert", "nomic_bert", "bert"])
def test_layers_that_are_computed_again_give_the_same_gradients(name, tmp_path):
    gradients = []
    for again in (False, True):
        encoder = packed_model(save_classifier(tmp_path, *PACKED[name]))
        switch_checkpointing(encoder.model, on=again)
        set_training_mode(encoder.model)
        logits, _ = packed_logits(encoder)
        (logits * torch.arange(3)).sum().backward()
        gradients.append({key: weight.grad for key, weight in encoder.model.named_parameters()})
    for key, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][key], expected, rtol=1e-5, atol=1e-5, msg=key)


def test_model_goes_with_its_last_reference(classifier_folder):
    """Nothing that makes it read packed rows refers to it in a circle."""
    encoder = packed_model(classifier_folder)
    with torch.no_grad():
        packed_logits(encoder)
    weights = [weakref.ref(weight) for weight in encoder.model.parameters()]
    gc.disable()
    try:
        del encoder
        assert not any(reference() is not None for reference in weights)
    finally:
        gc.enable()


def test_unneeded_tokens_are_not_computed_by_the_last_layer(classifier_folder):
    encoder = packed_model(classifier_folder)
    layers = [m for m in encoder.model.modules() if isinstance(m, FirstTokenLayer)]
    assert len(layers) == (encoder.model.config.model_type in LIKE_BERT)
    shapes = []
    for layer in layers:
        layer.register_forward_hook(lambda layer, args, output: shapes.append(output.shape))
    with torch.no_grad():
        packed_logits(encoder)
    assert shapes == [(1, len(TEXTS), 32)] * len(layers)


def test_no_dropout_in_prediction(classifier_folder):
    """The layer that replaces the last one keeps its mode."""
    encoder = packed_model(classifier_folder, dropout=0.5)
    assert not any(module.training for module in encoder.model.modules())
    with torch.no_grad():
        expected = torch.stack(one_by_one(classifier_folder, reference_model(classifier_folder)))
        logits, order = packed_logits(encoder)
        torch.testing.assert_close(logits, expected[order], rtol=0, atol=1e-5)
        set_training_mode(encoder.model)
        assert (packed_logits(encoder)[0] - logits).abs().max() > 0.01
        encoder.model.eval()
        assert torch.equal(packed_logits(encoder)[0], logits)


@pytest.mark.parametrize("training", [True, False])
def test_first_token_layer_takes_over_the_mode(training):
    config = transformers.BertConfig(**SIZE, vocab_size=9)
    layer = transformers.BertModel(config).train(training).encoder.layer[-1]
    assert FirstTokenLayer(layer).training is training


def test_dropout_of_the_last_layer_is_that_of_the_others():
    """The rate of its attention weights: over many draws, outputs spread as the whole layer's."""
    config = transformers.BertConfig(
        **SIZE, vocab_size=9, attention_probs_dropout_prob=0.4, hidden_dropout_prob=0.0
    )
    config._attn_implementation = "eager"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = transformers.BertModel(config).encoder.layer[-1].train()
        hidden = torch.randn(1, 6, 32)
        first = FirstTokenLayer(layer)
        with torch.no_grad():
            row = hidden.repeat(1, 1500, 1)
            ours = first(row, runs=[(1500, 6)])[0]
            whole = layer(hidden.repeat(1500, 1, 1))
            whole = (whole[0] if isinstance(whole, tuple) else whole)[:, 0]
    assert ours.shape == whole.shape == (1500, 32)
    torch.testing.assert_close(ours.mean(0), whole.mean(0), rtol=0, atol=0.1)
    torch.testing.assert_close(ours.std(0), whole.std(0), rtol=0.15, atol=0)


def test_estimator_predicts_as_each_text_alone(classifier_folder):
    classifier = BertClassifier.from_pretrained(classifier_folder, device="cpu", max_length=64)
    with torch.no_grad():
        model = reference_model(classifier_folder).eval()
        expected = torch.stack(one_by_one(classifier_folder, model))
    scores = classifier.decision_function(TEXTS)
    np.testing.assert_allclose(scores, expected.numpy(), rtol=0, atol=1e-5)


# As a GPU reads them: all texts in one kernel --------------------------------------------------


def in_one_kernel(name: str) -> bool:
    """Attention with a bias has no such kernel."""
    return not name.startswith(("mpnet", "deberta"))


@pytest.mark.parametrize("name", PACKED)
def test_one_kernel_for_all_texts_gives_what_each_text_alone_gives(name, tmp_path, varlen_on_cpu):
    assert_same_as_plain_loop(save_model(tmp_path, *PACKED[name]), packed=in_one_kernel(name))


def test_kernel_without_windows_is_not_used_for_windows(tmp_path, varlen_on_cpu, monkeypatch):
    def first_version(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, *, scale):
        raise AssertionError

    stand_in_for_varlen(monkeypatch, first_version)
    assert_same_as_plain_loop(save_model(tmp_path, *PACKED["modernbert"]), packed=False)


def test_estimator_with_one_kernel_predicts_as_each_text_alone(classifier_folder, varlen_on_cpu):
    test_estimator_predicts_as_each_text_alone(classifier_folder)


@pytest.mark.parametrize("n_queries", [19, 6])
def test_kernel_is_called_as_torch_declares_it(n_queries):
    """On the meta device torch checks names, types and shapes, and computes nothing."""
    pytest.importorskip("torch.nn.attention.varlen")
    query, key, value = (
        torch.empty(1, 2, n, 8, dtype=torch.bfloat16, device="meta") for n in (n_queries, 19, 19)
    )
    bounds = bounds_of_texts(RUNS)
    assert bounds.tolist() == [0, 5, 9, 13, 17, 18, 19]
    output, _ = packed_attention(
        torch.nn.Identity(), query, key, value, None, runs=RUNS, text_bounds=bounds.to("meta")
    )
    assert output.shape == (1, n_queries, 2, 8)
    assert output.device.type == "meta"


@pytest.mark.parametrize("name", filter(in_one_kernel, PACKED))
def test_whole_model_and_its_inputs_are_on_one_device(name, tmp_path):
    """Real kernels are missing here, but a tensor left on the CPU is refused on meta, too."""
    pytest.importorskip("torch.nn.attention.varlen")
    encoder = packed_model(save_classifier(tmp_path, *PACKED[name]))
    encodings = encoder.tokenizer.encode(TEXTS, max_length=64)
    encoder.device = torch.device("meta")
    encoder.model.to("meta", torch.bfloat16)
    assert not encoder.reads_runs
    inputs = model_inputs(pack_batch(encodings, length_order(encodings)), encoder)
    tensors = {name for name, value in inputs.items() if isinstance(value, torch.Tensor)}
    assert {"input_ids", "position_ids", "text_bounds"} <= tensors
    assert all(inputs[name].device.type == "meta" for name in tensors)
    logits = encoder.model(**inputs).logits
    assert logits.shape == (len(TEXTS), 3)
    assert logits.device.type == "meta"


@pytest.fixture
def minilm_like(tmp_path) -> str:
    return save_model(tmp_path, "BertConfig", {**SIZE, "num_hidden_layers": 6})


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_rounding_alone_does_not_stop_packing(minilm_like, precision, varlen_on_cpu):
    assert BertEmbedder(minilm_like, device="cpu", precision=precision).fit(["a"])._loaded().packed


def mix_all(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale):
    """What a kernel does that ignores where texts end."""
    whole = torch.tensor([0, len(query)], dtype=torch.int32)
    return attend_text_by_text(query, key, value, whole, whole, len(query), len(query), scale=scale)


def mix_neighbours(query, key, value, cu_seq_q, cu_seq_k, max_q, max_k, *, scale):
    """What a kernel does for which each text begins one token late."""
    late = cu_seq_k.clone()
    late[1:-1] += 1
    longest = int(late.diff().max())
    return attend_text_by_text(query, key, value, late, late, longest, longest, scale=scale)


def no_kernel(query, *args, **kwargs):
    raise RuntimeError("FlashAttention only supports Ampere GPUs or newer.")


@pytest.mark.parametrize("kernel", [mix_all, mix_neighbours, no_kernel])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_gpu_whose_kernel_fails_or_mixes_texts_reads_padded_batches(
    minilm_like, kernel, precision, varlen_on_cpu, monkeypatch
):
    stand_in_for_varlen(monkeypatch, kernel)
    embedder = BertEmbedder(minilm_like, device="cpu", precision=precision).fit(["a"])
    encoder = embedder._loaded()
    assert not encoder.packed
    assert encoder.model.config._attn_implementation == "sdpa"
    if precision == "float32":
        expected = torch.stack(
            [output.last_hidden_state[0].mean(0) for output in plain_loop(minilm_like)]
        )
        np.testing.assert_allclose(embedder.transform(TEXTS), expected.numpy(), rtol=0, atol=1e-5)


def test_gpu_whose_kernel_has_no_windows_reads_padded_batches(tmp_path, varlen_on_cpu, monkeypatch):
    """They are wider than the texts that are tried."""
    folder = save_model(tmp_path, "ModernBertConfig", {**MODERN, "local_attention": 60})
    assert BertEmbedder(folder, device="cpu").fit(["a"])._loaded().packed

    def see_all(*args, window_size=(-1, -1), **kwargs):
        return attend_text_by_text(*args, **kwargs)

    stand_in_for_varlen(monkeypatch, see_all)
    monkeypatch.setattr("skbert._models.shared._SHARED", {})
    assert not BertEmbedder(folder, device="cpu").fit(["a"])._loaded().packed


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_packed_rows_on_a_gpu_give_what_float32_on_the_cpu_gives(minilm, precision):
    on_gpu = BertEmbedder(str(minilm), device="cuda", precision=precision).fit(TEXTS)
    assert on_gpu._loaded().packed is (torch.cuda.get_device_capability() >= (8, 0))
    on_cpu = BertEmbedder(str(minilm), device="cpu", precision="float32").fit_transform(TEXTS)
    vectors = on_gpu.transform(TEXTS)
    assert (np.linalg.norm(vectors - on_cpu, axis=1) / np.linalg.norm(on_cpu, axis=1)).max() < 0.05
    np.testing.assert_allclose(on_gpu.transform(TEXTS[:1]), vectors[:1], rtol=0, atol=0.05)
