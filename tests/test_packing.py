"""Packed rows, and padded batches, against a plain transformers loop of one text at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModel, AutoTokenizer

from skbert import BertEmbedder, CheckpointError
from skbert._packing import (
    PACKED_MODEL_TYPES,
    can_pack,
    packed_attention,
    packed_positions,
)
from tests.conftest import save_tokenizer

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
    "bert, gelu_new": ("BertConfig", {**SIZE, "hidden_act": "gelu_new"}),
}
PADDED: dict[str, tuple[str, dict[str, Any]]] = {
    "mpnet": ("MPNetConfig", SIZE),
    "albert": ("AlbertConfig", {**SIZE, "embedding_size": 16}),
    "deberta": ("DebertaConfig", {**SIZE, **DEBERTA}),
    "deberta-v2": ("DebertaV2Config", {**SIZE, **DEBERTA, "position_buckets": 8}),
    "modernbert": ("ModernBertConfig", {**SIZE, "local_attention": 8}),
    "bert, decoder": ("BertConfig", {**SIZE, "is_decoder": True}),
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


@pytest.mark.parametrize("kind", ["relative_key", "relative_key_query"])
def test_relative_positions_are_not_packed(kind):
    config = transformers.BertConfig()
    config.position_embedding_type = kind
    assert not can_pack(config)


@pytest.mark.parametrize("scaling", [None, 0.25])
def test_packed_attention_is_block_diagonal_attention(scaling):
    generator = torch.Generator().manual_seed(0)
    runs = [(1, 5), (3, 4), (2, 1)]
    n_tokens, n_heads, n_features = 19, 2, 8
    query, key, value = torch.randn(3, 1, n_heads, n_tokens, n_features, generator=generator)
    output, weights = packed_attention(
        torch.nn.Identity(), query, key, value, None, runs=runs, scaling=scaling
    )
    blocks = [torch.ones(length, length) for n_texts, length in runs for _ in range(n_texts)]
    logits = query @ key.transpose(-1, -2) * (n_features**-0.5 if scaling is None else scaling)
    logits = logits.masked_fill(torch.block_diag(*blocks) == 0, -torch.inf)
    expected = (logits.softmax(-1) @ value).transpose(1, 2)
    assert weights is None
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
