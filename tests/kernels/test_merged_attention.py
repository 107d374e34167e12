"""Self-attention with one product for query, key and value against transformers' own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers import AutoModel

from skbert import BertEmbedder
from skbert._kernels import product_attention
from skbert._kernels.merged_attention import (
    MERGED_CLASSES,
    MergedSelfAttention,
    merge_projections,
)
from skbert._kernels.packed_heads import FirstTokenLayer
from skbert._kernels.packing import packed_inputs, use_packed_attention
from skbert._kernels.prepacked import computes_in_bfloat16
from tests.kernels.conftest import randn
from tests.kernels.test_packing import DISTIL_SIZE, SIZE, TEXTS, plain_loop, save_model

pytestmark = pytest.mark.usefixtures("one_thread")

# A configuration whose attention is of that class.
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "BertSelfAttention": ("BertConfig", SIZE),
    "RobertaSelfAttention": ("RobertaConfig", SIZE),
    "XLMRobertaSelfAttention": ("XLMRobertaConfig", SIZE),
    "CamembertSelfAttention": ("CamembertConfig", SIZE),
    "ElectraSelfAttention": ("ElectraConfig", {**SIZE, "embedding_size": 16}),
    "DistilBertSelfAttention": ("DistilBertConfig", DISTIL_SIZE),
    "PackedMPNetSelfAttention": ("MPNetConfig", {**SIZE, "pad_token_id": 1}),
}
OTHERS = {
    "albert": ("AlbertConfig", {**SIZE, "embedding_size": 16}),
    "modernbert": ("ModernBertConfig", SIZE),
}
# One text of 9 tokens, two of 4, one of 1.
RUNS = [(1, 9), (2, 4), (1, 1)]

needs_bfloat16 = pytest.mark.skipif(
    not computes_in_bfloat16(), reason="this CPU has no products in bfloat16"
)


@pytest.fixture(params=CONFIGS)
def class_name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def packed_model(config_name: str, options: dict[str, Any]) -> Any:
    """A tiny model that reads packed rows, not merged yet; its weights and biases are random."""
    config = getattr(transformers, config_name)(vocab_size=50, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModel.from_config(config).eval()
        for name, parameter in model.named_parameters():
            if name.endswith("bias"):
                nn.init.normal_(parameter, std=0.3)
    use_packed_attention(model)
    return model


def inputs_of(model: Any, runs: list[tuple[int, int]] = RUNS) -> dict[str, Any]:
    n_tokens = sum(n * length for n, length in runs)
    ids = torch.randint(3, 50, (1, n_tokens), generator=torch.Generator().manual_seed(3))
    return {"input_ids": ids, **packed_inputs(ids, runs, model.config, varlen=False)}


def read(model: Any, runs: list[tuple[int, int]] = RUNS) -> Tensor:
    with torch.inference_mode():
        return model(**inputs_of(model, runs)).last_hidden_state[0].float()


def parts_of(model: nn.Module, kind: type[nn.Module]) -> list[Any]:
    return [part for part in model.modules() if isinstance(part, kind)]


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


# The modules ------------------------------------------------------------------------------------


def test_every_class_is_tried_and_is_that_of_transformers(class_name):
    assert CONFIGS.keys() == MERGED_CLASSES.keys()
    model = packed_model(*CONFIGS[class_name])
    classes = [type(part).__name__ for part in model.modules()]
    assert classes.count(class_name) == 2


def test_attention_of_every_layer_is_replaced_and_computes_the_same(class_name):
    model = packed_model(*CONFIGS[class_name])
    expected = read(model)
    merge_projections(model)
    names = {type(part).__name__ for part in model.modules()}
    assert class_name not in names
    assert len(parts_of(model, MergedSelfAttention)) == 2
    torch.testing.assert_close(read(model), expected, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_module_computes_what_the_replaced_one_does(class_name):
    model = packed_model(*CONFIGS[class_name])
    attention = next(m for m in model.modules() if type(m).__name__ == class_name)
    before = {name: weight.clone() for name, weight in attention.named_parameters()}
    read(model)  # so that the row is known
    row = randn(1, sum(n * length for n, length in RUNS), 32)
    bias = randn(1, 4, 9, 9, seed=1) if class_name == "PackedMPNetSelfAttention" else None
    options = {} if bias is None else {"position_bias": bias}
    if bias is None:
        options |= {"runs": RUNS}
    expected = attention(row, attention_mask=None, **options)[0]
    merged = MergedSelfAttention(attention)
    actual, weights = merged(row, attention_mask=None, **options)
    assert weights is None
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)
    assert (expected[0, 9:13] - expected[0, 13:17]).abs().max() > 0.01
    for name, weight in attention.named_parameters():
        assert torch.equal(weight, before[name])


@pytest.mark.parametrize("name", OTHERS)
def test_other_attention_stays_as_it_is(name):
    model = packed_model(*OTHERS[name])
    expected = read(model)
    merge_projections(model)
    assert not parts_of(model, MergedSelfAttention)
    assert torch.equal(read(model), expected)


def test_last_layer_that_computes_first_tokens_stays_as_it_is(film_classifier):
    texts = ["a good cat", "it is bad !", "the dog sat on the mat"]
    expected = film_classifier.predict_proba(texts)
    model = film_classifier._loaded().model
    (last,) = parts_of(model, FirstTokenLayer)
    assert not parts_of(last, MergedSelfAttention)
    assert len(parts_of(model, MergedSelfAttention)) == 1
    alone = np.concatenate([film_classifier.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(expected, alone, rtol=0, atol=1e-5)


# In bfloat16 ------------------------------------------------------------------------------------


@needs_bfloat16
@pytest.mark.parametrize("runs", [RUNS, [(1, 60), (70, 5), (1, 1)]], ids=str)
def test_bfloat16_is_near_float32(class_name, runs):
    model = packed_model(*CONFIGS[class_name])
    expected = read(model, runs)
    model.to(torch.bfloat16)
    unmerged = relative_error(read(model, runs), expected)
    merge_projections(model)
    merged = relative_error(read(model, runs), expected)
    assert 0 < merged < max(0.05, 1.5 * unmerged)


# The estimators ---------------------------------------------------------------------------------


def mean_vectors(folder: str) -> np.ndarray:
    outputs = plain_loop(folder)
    return torch.stack([output.last_hidden_state[0].mean(0) for output in outputs]).numpy()


def test_embedder_gives_what_transformers_gives(class_name, tmp_path):
    folder = save_model(tmp_path, *CONFIGS[class_name])
    embedder = BertEmbedder(folder, device="cpu", precision="float32", pooling="mean")
    vectors = embedder.fit_transform(TEXTS)
    assert len(parts_of(embedder._loaded().model, MergedSelfAttention)) == 2
    np.testing.assert_allclose(vectors, mean_vectors(folder), rtol=0, atol=1e-5)


@needs_bfloat16
def test_embedder_in_bfloat16_is_near(class_name, tmp_path):
    folder = save_model(tmp_path, *CONFIGS[class_name])
    embedder = BertEmbedder(folder, device="cpu", precision="bfloat16", pooling="mean")
    expected = mean_vectors(folder)
    vectors = embedder.fit_transform(TEXTS)
    errors = np.linalg.norm(vectors - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert errors.max() < 0.1
    assert errors.mean() < 0.05
    alone = np.concatenate([embedder.transform([text]) for text in TEXTS])
    np.testing.assert_allclose(alone, vectors, rtol=0, atol=0.1)


# What is kept between layers --------------------------------------------------------------------


def kept() -> Any:
    return getattr(product_attention._KEPT, "groups", None)


@pytest.fixture
def in_bfloat16() -> Any:
    model = packed_model(*CONFIGS["BertSelfAttention"]).to(torch.bfloat16)
    merge_projections(model)
    return model


@needs_bfloat16
def test_layers_share_groups_and_forget_them_after_the_call(in_bfloat16):
    seen = []
    for layer in in_bfloat16.encoder.layer:
        layer.register_forward_hook(lambda *_: seen.append(kept()))
    read(in_bfloat16)
    assert seen[0] is not None
    assert seen[0] is seen[1]
    assert kept() is None


@needs_bfloat16
def test_groups_are_forgotten_after_an_error(in_bfloat16):
    def fail(*_):
        assert kept() is not None
        raise torch.OutOfMemoryError

    in_bfloat16.encoder.layer[1].register_forward_pre_hook(fail)
    with pytest.raises(torch.OutOfMemoryError):
        read(in_bfloat16)
    assert kept() is None


@needs_bfloat16
def test_groups_are_forgotten_whether_model_or_encoder_is_called():
    config = transformers.BertConfig(vocab_size=50, **SIZE)
    model = transformers.BertForTokenClassification(config).eval()
    use_packed_attention(model)
    model.to(torch.bfloat16)
    merge_projections(model)
    for part in (model, model.base_model):
        with torch.inference_mode():
            part(**inputs_of(model))
        assert kept() is None


@needs_bfloat16
def test_rows_in_turn_are_read_as_each_by_itself(in_bfloat16):
    rows = [RUNS, [(2, 9)], [(1, 18)], RUNS, [(18, 1)]]
    expected = [read(in_bfloat16, runs) for runs in rows]
    for runs, vectors in zip(rows[::-1], expected[::-1], strict=True):
        assert torch.equal(read(in_bfloat16, list(runs)), vectors)


@needs_bfloat16
def test_threads_may_share_a_model(in_bfloat16):
    rows = [[(1, 9), (k, 4), (1, 1)] for k in range(1, 9)] * 4
    expected = [read(in_bfloat16, runs) for runs in rows]
    with ThreadPoolExecutor(4) as threads:
        actual = list(threads.map(lambda runs: read(in_bfloat16, runs), rows))
    for ours, theirs in zip(actual, expected, strict=True):
        assert torch.equal(ours, theirs)
