"""Which int8 layers a model gets, by fixed scales or a token's own, and what they give."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from torch import Tensor, nn

from skbert import BertClassifier, BertEmbedder
from skbert._kernels.int8 import Int8Linear
from skbert._kernels.merged_attention import MergedSelfAttention, merge_projections
from skbert._kernels.packing import packed_inputs
from skbert._kernels.static_int8 import StaticInt8FeedForward, StaticInt8Linear
from skbert._models import rounding
from skbert._models.encoder import Encoder, make_encoder, read_packed
from skbert._models.loading import load_encoder_model
from skbert._models.rounding import CALIBRATION_TEXTS, round_to_int8
from skbert._models.tokenizer import load_tokenizer
from tests.conformity.checkpoints import FAMILIES, save_checkpoint
from tests.conftest import save_tiny_bert
from tests.kernels.conftest import needs_static_int8

pytestmark = [pytest.mark.usefixtures("one_thread"), needs_static_int8]

FIXED = (StaticInt8Linear, StaticInt8FeedForward)
RUNS = [(1, 9), (2, 4), (1, 1)]


@pytest.fixture
def load_anew(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let the next estimators share no model with those before."""

    def forget() -> None:
        monkeypatch.setattr("skbert._models.shared._SHARED", {})

    return forget


def in_int8(folder: str | Path, **parameters: Any) -> BertEmbedder:
    return BertEmbedder(str(folder), device="cpu", precision="int8", **parameters)


def count(model: nn.Module, *kinds: type[nn.Module]) -> int:
    return sum(isinstance(part, kinds) for part in model.modules())


def cosines(a: NDArray[Any], b: NDArray[Any]) -> NDArray[Any]:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def merged_encoder(folder: str | Path) -> Encoder:
    """A model that is laid out for a CPU, but not rounded yet."""
    folder = Path(folder)
    model = load_encoder_model(folder, torch.float32, None)
    device = torch.device("cpu")
    encoder = make_encoder(model.eval(), load_tokenizer(folder), folder, device, torch.int8)
    read_packed(encoder)
    merge_projections(encoder.model)
    return encoder


def round_encoder(encoder: Encoder) -> None:
    round_to_int8(encoder.model, encoder.tokenizer, encoder.longest_input, packed=True)


@torch.inference_mode()
def read(model: Any) -> Tensor:
    ids = torch.randint(5, 50, (1, 18), generator=torch.Generator().manual_seed(0))
    inputs = packed_inputs(ids, RUNS, model.config, varlen=False)
    return model(input_ids=ids, **inputs).last_hidden_state


# Fixed scales -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["bert", "roberta", "distilbert", "electra", "mpnet", "albert", "modernbert"]
)
def test_families_that_read_packed_rows_get_fixed_scales(name, tmp_path, texts):
    folder = save_checkpoint(tmp_path, FAMILIES[name])
    embedder = in_int8(folder, pooling="mean")
    vectors = embedder.fit_transform(texts)
    model = embedder._loaded().model
    assert count(model, *FIXED) > 0
    assert count(model, Int8Linear) == 0
    expected = BertEmbedder(str(folder), device="cpu", precision="float32", pooling="mean")
    assert cosines(vectors, expected.fit_transform(texts)).min() > 0.98


@pytest.mark.parametrize("name", ["roformer", "deberta", "xlnet"])
def test_families_that_read_padded_batches_get_a_scale_for_each_token(name, tmp_path, texts):
    embedder = in_int8(save_checkpoint(tmp_path, FAMILIES[name])).fit(texts)
    model = embedder._loaded().model
    assert not embedder._loaded().packed
    assert count(model, *FIXED, MergedSelfAttention) == 0
    assert count(model, Int8Linear) > 0


def test_rounded_model_is_near_the_one_before(tiny_bert):
    encoder = merged_encoder(tiny_bert)
    before = read(encoder.model)
    round_encoder(encoder)
    after = read(encoder.model)
    assert count(encoder.model, *FIXED) == 6
    assert torch.cosine_similarity(after, before, dim=-1).min() > 0.98
    assert not torch.equal(after, before)


@pytest.mark.parametrize("in_bfloat16", [True, False])
def test_attention_is_in_bfloat16_where_the_cpu_computes_in_it(tiny_bert, in_bfloat16, monkeypatch):
    monkeypatch.setattr(rounding, "computes_in_bfloat16", lambda: in_bfloat16)
    encoder = merged_encoder(tiny_bert)
    before = read(encoder.model)
    round_encoder(encoder)
    kinds = {
        part.projection.dtype
        for part in encoder.model.modules()
        if isinstance(part, MergedSelfAttention)
    }
    assert kinds == {torch.bfloat16 if in_bfloat16 else torch.float32}
    assert torch.cosine_similarity(read(encoder.model), before, dim=-1).min() > 0.98


# Where they do not do ---------------------------------------------------------------------------


def exceed(model: Any) -> None:
    """Let more features behind GELU be huge than are kept apart, and matter no more than others."""
    for layer in model.encoder.layer:
        with torch.no_grad():
            layer.intermediate.dense.weight[:10] *= 1e5
            layer.output.dense.weight[:, :10] /= 1e5


def spoil(model: Any) -> None:
    """Leave a weight that is no number, where no text comes near it."""
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[60, 3] = torch.nan


@pytest.mark.parametrize("reason", ["too far off", "huge features", "not finite", "no products"])
def test_model_is_as_it_was_and_then_gets_a_scale_for_each_token(tiny_bert, reason, monkeypatch):
    encoder = merged_encoder(tiny_bert)
    model = encoder.model
    if reason == "too far off":
        monkeypatch.setattr(rounding, "LEAST_COSINE", 1.1)
    elif reason == "huge features":
        exceed(model)
    elif reason == "not finite":
        spoil(model)
    else:
        monkeypatch.setattr(rounding, "has_static_products", lambda: False)
    modules, before = dict(model.named_modules()), read(model)
    with monkeypatch.context() as patch:
        patch.setattr(rounding, "use_int8_layers", lambda model: None)
        round_encoder(encoder)
    after = dict(model.named_modules())
    assert list(after) == list(modules)
    assert all(after[path] is module for path, module in modules.items())
    assert not any(module._forward_pre_hooks for path, module in after.items() if path)
    assert torch.equal(read(model), before)
    round_encoder(encoder)
    assert count(model, *FIXED) == 0
    assert count(model, Int8Linear) == 2 * 4
    if reason != "huge features":  # these cost all others in their token their precision, too
        assert torch.cosine_similarity(read(model), before, dim=-1).min() > 0.98


def test_huge_features_would_have_cost_too_much(tiny_bert, monkeypatch):
    """Else the test before would test nothing."""
    monkeypatch.setattr(rounding, "LEAST_COSINE", -1.0)
    encoder = merged_encoder(tiny_bert)
    exceed(encoder.model)
    before = read(encoder.model)
    round_encoder(encoder)
    assert count(encoder.model, StaticInt8FeedForward) == 2
    assert torch.cosine_similarity(read(encoder.model), before, dim=-1).mean() < 0.99


# The same model wherever it is loaded -----------------------------------------------------------


def test_two_loads_give_equal_bits(tiny_bert, texts, load_anew):
    load_anew()
    first = in_int8(tiny_bert).fit(texts)
    vectors = first.transform(texts)
    load_anew()
    second = in_int8(tiny_bert).fit(texts)
    assert second._loaded() is not first._loaded()
    np.testing.assert_array_equal(second.transform(texts), vectors)


def test_scales_do_not_depend_on_the_texts_of_fit(tiny_bert, texts, load_anew):
    load_anew()
    vectors = in_int8(tiny_bert).fit(["a"]).transform(texts)
    load_anew()
    np.testing.assert_array_equal(in_int8(tiny_bert).fit(texts * 9).transform(texts), vectors)


def test_pickles_clones_and_workers_give_the_same(tiny_bert, texts, load_anew):
    embedder = in_int8(tiny_bert).fit(texts)
    vectors, stored = embedder.transform(texts), pickle.dumps(embedder)
    load_anew()
    np.testing.assert_array_equal(pickle.loads(stored).transform(texts), vectors)
    load_anew()
    np.testing.assert_array_equal(clone(embedder).fit_transform(texts), vectors)
    with_workers = clone(embedder).set_params(n_jobs=2).fit(texts)
    np.testing.assert_allclose(with_workers.transform(texts), vectors, rtol=0, atol=1e-5)


# What the texts become --------------------------------------------------------------------------


def test_texts_are_different_and_of_all_kinds():
    assert len(set(CALIBRATION_TEXTS)) == len(CALIBRATION_TEXTS)
    assert {"", "a"} <= set(CALIBRATION_TEXTS)
    assert max(map(len, CALIBRATION_TEXTS)) > 300
    assert sum(not text.isascii() for text in CALIBRATION_TEXTS) >= 5


def test_tokenizer_without_special_tokens(tiny_bert, texts, folder):
    """An empty text has no tokens then."""
    path = folder / "tokenizer.json"
    said = json.loads(path.read_text())
    path.write_text(json.dumps({**said, "post_processor": None}))
    filled = [text for text in texts if text]
    embedder = in_int8(folder, pooling="mean")
    vectors = embedder.fit_transform(filled)
    assert len(embedder._loaded().tokenizer.backend.encode("").ids) == 0
    assert count(embedder._loaded().model, *FIXED) == 6
    expected = BertEmbedder(str(folder), device="cpu", pooling="mean", precision="float32")
    assert cosines(vectors, expected.fit_transform(filled)).min() > 0.98


def test_model_that_reads_few_tokens(tmp_path, texts):
    folder = save_tiny_bert(tmp_path / "short")
    model = load_encoder_model(folder, torch.float32, None)
    positions = model.embeddings.position_embeddings
    positions.weight = nn.Parameter(positions.weight[:7].clone())
    model.config.max_position_embeddings = 7
    model.save_pretrained(folder)
    embedder = in_int8(folder, max_length=7, overflow="windows", pooling="mean")
    vectors = embedder.fit_transform(texts)
    assert embedder._loaded().longest_input == 7
    assert count(embedder._loaded().model, *FIXED) == 6
    expected = clone(embedder).set_params(precision="float32").fit_transform(texts)
    assert cosines(vectors, expected).min() > 0.98


# Heads ------------------------------------------------------------------------------------------


def test_classifier_that_reads_first_tokens_is_near_float32(film_classifier, texts, tmp_path):
    film_classifier.save_pretrained(tmp_path)
    expected = film_classifier.predict_proba(texts)
    rounded = BertClassifier.from_pretrained(tmp_path, device="cpu", precision="int8")
    probabilities = rounded.predict_proba(texts)
    np.testing.assert_allclose(probabilities, expected, rtol=0, atol=0.05)
    assert np.abs(probabilities - expected).max() > 0
    model = rounded._loaded().model
    # Query, key and value of the last layer are three, of first tokens and of all.
    assert count(model, StaticInt8Linear) == 2 + 4
    assert count(model, StaticInt8FeedForward) == 2
    assert "Int8" not in type(model.classifier).__name__
    alone = np.concatenate([rounded.predict_proba([text]) for text in texts])
    np.testing.assert_allclose(alone, probabilities, rtol=0, atol=0.01)


@pytest.mark.minilm
def test_minilm_is_near_float32_with_fixed_scales(minilm):
    texts = [
        "I have been charged twice for the same purchase.",
        "Das Museum ist montags geschlossen.",
        "x",
        "The court dismissed the appeal on 3 June 2019; costs were reserved.",
        "for i in range(10): print(i)",
        "The film starts slowly, but after an hour nobody in the room could look away. " * 12,
    ]
    embedder = in_int8(minilm, max_length=256)
    vectors = embedder.fit_transform(texts)
    assert count(embedder._loaded().model, StaticInt8FeedForward) == 6
    expected = clone(embedder).set_params(precision="float32").fit_transform(texts)
    near = cosines(vectors, expected)
    assert near.mean() > 0.998
    assert near.min() > 0.99
