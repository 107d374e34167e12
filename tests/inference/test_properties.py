"""Promises for any text whatever, tried on texts that hypothesis makes up."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from skbert import BertEmbedder, SkbertError, inspect_tokens
from skbert._models import encoder as loading_module

# Every code point, lone surrogates and control characters too; often words the model knows.
characters = st.characters(codec=None, categories=None)
known = st.sampled_from(["the", "cat", "un##ed", "unbelievable", "[PAD]", "[SEP]", "猫", "🙂", ","])
any_text = st.one_of(
    st.text(characters, max_size=30),
    st.lists(known | st.text(characters, max_size=3), max_size=30).map(" ".join),
)
any_texts = st.lists(any_text, min_size=1, max_size=8)
overflows = st.sampled_from([{"overflow": "windows", "max_length": 7}, {"overflow": "windows"}])
poolings = st.sampled_from(["mean", "cls", "max", "mean_sqrt_len", "pooler"])

some = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def make(tiny_bert):
    """Fitted embedders by their parameters, each made once."""
    made: dict[str, BertEmbedder] = {}

    def get(**parameters: Any) -> BertEmbedder:
        name = repr(sorted(parameters.items()))
        if name not in made:
            made[name] = BertEmbedder(tiny_bert, device="cpu", **parameters).fit(["a"])
        return made[name]

    return get


@pytest.mark.parametrize("category", ["Cs", "Cc", "Cn", "So"])
def test_strategy_reaches_surrogates_control_characters_and_symbols(category):
    enough = settings(max_examples=50_000, database=None)
    text = find(any_text, lambda text: category in map(unicodedata.category, text), settings=enough)
    assert text


@some
@given(texts=any_texts, overflow=overflows, pooling=poolings)
def test_any_text_gets_a_finite_vector(make, texts, overflow, pooling):
    vectors = make(pooling=pooling, **overflow).transform(texts)
    assert vectors.shape == (len(texts), 32)
    assert vectors.dtype == np.float32
    assert np.isfinite(vectors).all()
    assert np.abs(vectors).max(axis=1).min() > 1e-3


@some
@given(texts=any_texts, overflow=overflows, pooling=poolings, data=st.data())
def test_permuted_texts_get_permuted_vectors(make, texts, overflow, pooling, data):
    order = data.draw(st.permutations(range(len(texts))))
    embedder = make(pooling=pooling, **overflow)
    vectors = embedder.transform([texts[i] for i in order])
    np.testing.assert_allclose(vectors, embedder.transform(texts)[order], rtol=0, atol=1e-5)


@some
@given(texts=any_texts, overflow=overflows, pooling=poolings, batch_size=st.integers(1, 9))
def test_batch_size_does_not_change_the_vectors(make, texts, overflow, pooling, batch_size):
    expected = make(pooling=pooling, **overflow).transform(texts)
    vectors = make(pooling=pooling, batch_size=batch_size, **overflow).transform(texts)
    np.testing.assert_allclose(vectors, expected, rtol=0, atol=1e-5)


@some
@given(texts=any_texts, overflow=overflows, pooling=poolings)
def test_vector_does_not_depend_on_the_other_texts(make, texts, overflow, pooling):
    embedder = make(pooling=pooling, **overflow)
    alone = np.concatenate([embedder.transform([text]) for text in texts])
    np.testing.assert_allclose(embedder.transform(texts), alone, rtol=0, atol=1e-5)


@some
@given(texts=any_texts, overflow=overflows)
def test_token_vectors_line_up_with_the_inspected_tokens(make, texts, overflow):
    embedder = make(pooling=None, **overflow)
    tokens = inspect_tokens(texts, embedder)
    vectors = embedder.transform(texts)
    assert [len(array) for array in vectors] == [
        int((tokens["text"] == position).sum()) for position in range(len(texts))
    ]
    assert all(np.isfinite(array).all() for array in vectors)
    # The characters of a token are characters of its text, in order.
    for position, text in enumerate(texts):
        spans = tokens.loc[tokens["text"] == position, ["start", "end"]].to_numpy()[1:-1]
        assert ((spans >= 0) & (spans <= len(text))).all()
        assert (np.diff(spans[:, 0]) >= 0).all()


@some
@given(texts=any_texts, overflow=overflows)
def test_pooled_vectors_are_the_pooled_token_vectors(make, texts, overflow):
    tokens = make(pooling=None, **overflow).transform(texts)
    for pooling, pool in {
        "mean": lambda array: array.mean(0),
        "max": lambda array: array.max(0),
        "mean_sqrt_len": lambda array: array.sum(0) / len(array) ** 0.5,
    }.items():
        vectors = make(pooling=pooling, **overflow).transform(texts)
        np.testing.assert_allclose(vectors, [pool(array) for array in tokens], rtol=0, atol=1e-5)


# Texts to remember ------------------------------------------------------------------------------

REMARKABLE = {
    "empty": "",
    "spaces": "   ",
    "emoji": "🙂🙃👩‍👩‍👧‍👦",
    "NUL": "\x00",
    "control characters": "".join(map(chr, [*range(32), *range(127, 160)])),
    "bidi and zero width": "\u202e\u200b\u200d\ufeff",
    "lone high surrogate": "\ud83d",
    "lone low surrogate": "\ude00",
    "surrogates the wrong way round": "\ude00\ud83d",
    "not a character": "\ufffe\uffff",
    "last code point": "\U0010ffff",
    "combining marks": "a" + "\u0301" * 500,
    "special tokens": "[CLS] [SEP] [PAD] [MASK] [UNK]",
    "1 MB without a space": "x" * 1_000_000,
    "1 MB of surrogates": "\ud800" * 1_000_000,
}


@pytest.mark.parametrize("name", REMARKABLE)
@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_remarkable_text_among_others_gets_a_finite_vector(make, name, pooling):
    embedder = make(pooling=pooling, overflow="windows")
    ordinary = ["the cat sat", "dog"]
    vectors = embedder.transform([ordinary[0], REMARKABLE[name], ordinary[1]])
    assert np.isfinite(vectors).all()
    np.testing.assert_allclose(vectors[[0, 2]], embedder.transform(ordinary), rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        vectors[1], embedder.transform([REMARKABLE[name]])[0], rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("text", ["", "   ", "\x00", "\u200b"])
def test_text_without_a_word_is_read_as_the_special_tokens_alone(make, text):
    (vectors,) = make(pooling=None).transform([text])
    (empty,) = make(pooling=None).transform([""])
    assert len(vectors) == 2
    np.testing.assert_array_equal(vectors, empty)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("texts", [["the cat", ""], [""]], ids=["with another", "alone"])
def test_text_without_any_token_is_embedded_or_refused(
    tiny_bert, tmp_path, monkeypatch, packed, texts
):
    """Where the tokenizer adds no special tokens, an empty text has no tokens at all."""
    folder = Path(shutil.copytree(tiny_bert, tmp_path / "no-special-tokens"))
    for name, change in {
        "tokenizer.json": {"post_processor": None},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
    }.items():
        content = json.loads((folder / name).read_text(encoding="utf-8")) | change
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr(loading_module, "can_pack", lambda config: packed)
    try:
        vectors = BertEmbedder(str(folder), device="cpu").fit_transform(texts)
    except SkbertError:
        return
    assert np.isfinite(vectors).all()


def test_text_of_twenty_thousand_words_is_read_whole(make):
    words = ["the", "cat", "dog", "sat", "on", "mat", "rug", "not"]
    picked = np.random.default_rng(0).integers(len(words), size=20_000)
    text = " ".join(words[i] for i in picked)
    (tokens,) = make(pooling=None, overflow="windows").transform([text])
    assert len(tokens) == 20_002
    mean = make(overflow="windows").transform([text])[0]
    np.testing.assert_allclose(mean, tokens.mean(0, dtype=np.float64), rtol=0, atol=1e-5)
    # ... to its last word.
    changed = make(overflow="windows").transform([text[: text.rindex(" ")] + " bad"])[0]
    assert np.abs(changed - mean).max() > 1e-6
