"""Every family of models × what skbert does with it: as transformers alone, or one clear error."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skbert import (
    BertClassifier,
    BertEmbedder,
    BertQuestionAnswerer,
    BertTokenClassifier,
    SkbertError,
)
from skbert._kernels.int8 import _products_are_exact
from skbert._kernels.packable import PACKED_MODEL_TYPES
from skbert._models.foreign import quiet_transformers
from skbert._models.state import weight_tensors
from skbert._texts.question_encoding import encode_questions
from skbert._texts.word_labels import encode_words
from skbert._training.freezing import freeze_parameters
from tests.conformity.checkpoints import FAMILIES
from tests.conformity.reference import (
    load,
    logits_alone,
    logits_of_windows,
    read_alone,
)

pytestmark = pytest.mark.usefixtures("one_thread")

PLAIN = [
    "the cat sat on the mat .",
    "a",
    "it is not a very good film , and that is that !",
    "unbelievable",
    "the cat sat on the rug .",
    "my card is lost ! where is the bank ? we lost the money in it and it is down again",
    "two dogs",
    "the house is red",
]
# Special tokens, spelled out; no text at all.
TEXTS = [*PLAIN, "[PAD] </s> <pad> <|endoftext|> the cat !", ""]
LABELS = list("abababab")
PAIRS = [(text, PLAIN[2]) for text in PLAIN]
SENTENCES = [text.split() for text in PLAIN]
WORD_LABELS = [["X" if len(word) > 2 else "O" for word in words] for words in SENTENCES]
QUESTIONS = [
    ("where is the cat ?", PLAIN[0]),
    ("what is it ?", PLAIN[2]),
    ("where ?", PLAIN[5] + " </s> [SEP] " + PLAIN[5]),
]
ANSWERS = ["mat", "film", "bank"]
# Two updates of each model.
QUICK = {"max_epochs": 1, "min_steps": 0, "learning_rate": 1e-3, "random_state": 0, "device": "cpu"}
POOLED: dict[str, Callable[[Any], Any]] = {
    "mean": lambda tokens: tokens.mean(0),
    "cls": lambda tokens: tokens[0],
    "max": lambda tokens: tokens.amax(0),
    "mean_sqrt_len": lambda tokens: tokens.sum(0) / len(tokens) ** 0.5,
}
CHOICES = [0, 1, (1, 2), -1]


@contextmanager
def possible(name: str, deed: str) -> Iterator[None]:
    """Let a family do something, or be refused in the words that are written beside it."""
    reason = FAMILIES[name].cannot.get(deed)
    if reason is None:
        yield
    else:
        with pytest.raises(SkbertError, match=reason):
            yield


def assert_near(computed: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(computed), np.asarray(expected), rtol=1e-5, atol=1e-5)


def texts_of(name: str) -> list[str]:
    return TEXTS[:-1] if "empty text" in FAMILIES[name].cannot else TEXTS


@pytest.mark.parametrize("name", FAMILIES)
def test_embeds(name: str, checkpoint: Callable[[str], Path]) -> None:
    texts = texts_of(name)
    alone, folder = read_alone(checkpoint(name), tuple(texts)), str(checkpoint(name))

    def vectors(**params: Any) -> Any:
        return BertEmbedder(folder, device="cpu", **params).fit(texts).transform(texts)

    held = BertEmbedder(folder, device="cpu", pooling="mean").fit(texts)
    assert held._loaded().packed == (name in PACKED_MODEL_TYPES)
    for pooling, pool in POOLED.items():
        assert_near(vectors(pooling=pooling), torch.stack([pool(text.last) for text in alone]))
    for tokens, text in zip(vectors(pooling=None), alone, strict=True):
        assert_near(tokens, text.last)
    means = vectors(pooling="mean")
    assert_near(held.transform(texts[::-1])[::-1], means)
    assert_near(vectors(pooling="mean", batch_size=1), means)
    assert_near(vectors(pooling="mean", batch_size=3), means)
    assert_near(pickle.loads(pickle.dumps(held)).transform(texts), means)
    with possible(name, "empty text"):
        held.transform([""])


@pytest.mark.parametrize("name", FAMILIES)
def test_embeds_at_every_layer(name: str, checkpoint: Callable[[str], Path]) -> None:
    texts = texts_of(name)
    alone, folder = read_alone(checkpoint(name), tuple(texts)), str(checkpoint(name))
    with possible(name, "layers"):
        for layers in CHOICES:
            picked = layers if isinstance(layers, tuple) else (layers,)
            expected = [
                torch.stack([text.layers[layer] for layer in picked]).mean((0, 1)) for text in alone
            ]
            embedder = BertEmbedder(folder, device="cpu", pooling="mean", layers=layers)
            assert_near(embedder.fit(texts).transform(texts), torch.stack(expected))
    with_pooler = BertEmbedder(folder, device="cpu", pooling="pooler")
    if alone[0].pooled is None:
        with pytest.raises(SkbertError, match="no trained pooler"):
            with_pooler.fit(texts)
    else:
        expected = [text.pooled for text in alone if text.pooled is not None]
        assert_near(with_pooler.fit(texts).transform(texts), torch.stack(expected))


@pytest.mark.parametrize("name", FAMILIES)
def test_classifies(name: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    with possible(name, "classify"):
        first, again = (
            BertClassifier(str(checkpoint(name)), train_batch_size=4, **QUICK).fit(PLAIN, LABELS)
            for _ in range(2)
        )
        assert np.isfinite(first.loss_curve_).all()
        for weights, same in zip(
            weight_tensors(first._state).values(),
            weight_tensors(again._state).values(),
            strict=True,
        ):
            assert torch.equal(weights, same)
        logits = first._predict_logits(PLAIN)
        first.save_pretrained(tmp_path)
        expected = logits_alone(tmp_path, "AutoModelForSequenceClassification", PLAIN)
        assert_near(logits, expected)
        assert_near(pickle.loads(pickle.dumps(first))._predict_logits(PLAIN), logits)
        loaded = BertClassifier.from_pretrained(str(tmp_path), batch_size=3, device="cpu")
        assert_near(loaded._predict_logits(PLAIN), logits)


@pytest.mark.parametrize("name", FAMILIES)
def test_classifies_pairs(name: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    with possible(name, "classify"):
        classifier = BertClassifier(str(checkpoint(name)), train_batch_size=4, **QUICK)
        classifier.fit(PAIRS, LABELS).save_pretrained(tmp_path)
        expected = logits_alone(tmp_path, "AutoModelForSequenceClassification", PAIRS)
        assert_near(classifier._predict_logits(PAIRS), expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_tags(name: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    with possible(name, "tag"):
        tagger = BertTokenClassifier(str(checkpoint(name)), train_batch_size=4, **QUICK)
        tagger.fit(SENTENCES, WORD_LABELS).save_pretrained(tmp_path)
        encoder = tagger._loaded()
        encodings = encode_words(encoder.tokenizer, SENTENCES, max_length=tagger.max_length_)
        expected = logits_of_windows(tmp_path, "AutoModelForTokenClassification", encodings)
        assert_near(tagger._run(encoder, encodings), expected)
        loaded = BertTokenClassifier.from_pretrained(str(tmp_path), device="cpu")
        for copy in (loaded, pickle.loads(pickle.dumps(tagger))):
            for computed, same in zip(
                copy.predict_proba(SENTENCES), tagger.predict_proba(SENTENCES), strict=True
            ):
                assert_near(computed, same)


@pytest.mark.parametrize("name", FAMILIES)
def test_answers(name: str, checkpoint: Callable[[str], Path], tmp_path: Path) -> None:
    size = {"max_length": 40, "stride": 8}
    with possible(name, "answer"):
        answerer = BertQuestionAnswerer(str(checkpoint(name)), train_batch_size=2, **size, **QUICK)
        answerer.fit(QUESTIONS[:2], ANSWERS[:2]).save_pretrained(tmp_path)
        encoder = answerer._loaded()
        columns = [list(column) for column in zip(*QUESTIONS[:2], strict=True)]
        encodings = encode_questions(encoder.tokenizer, *columns, **size)
        expected = logits_of_windows(tmp_path, "AutoModelForQuestionAnswering", encodings)
        assert_near(answerer._run(encoder, encodings), expected)
        loaded = BertQuestionAnswerer.from_pretrained(str(tmp_path), device="cpu", **size)
        for copy in (loaded, pickle.loads(pickle.dumps(answerer))):
            answers = copy.predict_answers(QUESTIONS)
            for computed, same in zip(answers, answerer.predict_answers(QUESTIONS), strict=True):
                assert computed[0][:3] == same[0][:3]
                assert_near(computed[0].score, same[0].score)


@pytest.mark.parametrize("name", FAMILIES)
def test_freezes(name: str, checkpoint: Callable[[str], Path]) -> None:
    folder = checkpoint(name)

    def frozen(freeze: Any) -> set[str]:
        with quiet_transformers():
            model = load(folder, "AutoModelForSequenceClassification")
        freeze_parameters(model, freeze)
        return {name for name, p in model.named_parameters() if not p.requires_grad}

    with quiet_transformers():
        model = load(folder, "AutoModelForSequenceClassification")
    inside = model.base_model_prefix + "."
    words = [n for n, p in model.named_parameters() if p is model.get_input_embeddings().weight]
    everything = {n for n, _ in model.named_parameters() if n.startswith(inside)}
    of_embeddings, of_encoder = frozen("embeddings"), frozen("encoder")
    assert set(words) <= of_embeddings < of_encoder
    assert of_encoder == {name for name in everything if "pooler" not in name}
    with possible(name, "freeze layers"):
        of_first, of_both = frozen(1), frozen(2)
        assert of_embeddings < of_first < of_both <= of_encoder


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_embeds_with_fewer_bits(
    name: str,
    precision: str,
    checkpoint: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if not _products_are_exact():  # else slow, without VNNI, but right
        pytest.skip("torch's int8 products are wrong on this CPU")
    monkeypatch.setattr("skbert._models.rounding.check_int8", lambda: None)
    params: dict[str, Any] = {"device": "cpu", "pooling": "mean"}
    exact = BertEmbedder(str(checkpoint(name)), **params).fit(PLAIN).transform(PLAIN)
    with possible(name, precision):
        embedder = BertEmbedder(str(checkpoint(name)), precision=precision, **params)
        rounded = embedder.fit(PLAIN).transform(PLAIN)
        assert np.linalg.norm(rounded - exact) < 0.1 * np.linalg.norm(exact)
        assert not np.array_equal(rounded, exact)


# Families that are packed, one that is padded, those that mix types, and one that cannot.
@pytest.mark.parametrize(
    "name",
    [
        *["bert", "mpnet", "deberta-v2", "modernbert", "eurobert", "nomic_bert", "albert"],
        *["roformer", "fnet", "xlnet", "t5", "qwen3", "deberta"],
    ],
)
def test_fine_tunes_in_bfloat16(name: str, checkpoint: Callable[[str], Path]) -> None:
    with possible(name, "bfloat16"):
        classifier = BertClassifier(
            str(checkpoint(name)), train_batch_size=4, precision="bfloat16", **QUICK
        )
        assert np.isfinite(classifier.fit(PLAIN, LABELS).decision_function(PLAIN)).all()
