"""The same numbers as the libraries that users come from, on real and on tiny weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skbert import BertEmbedder

MIXED = [
    "How do I find my lost card?",
    "",
    "Rates went up again.",
    "The Panthers defense gave up just 308 points, ranking sixth in the league, while also "
    "leading the NFL in interceptions with 24 and boasting four Pro Bowl selections. " * 3,
    "naïve café 東京 🙂",
    "How do I find my lost card?",
    "ok",
    "It was the best of times, it was the worst of times, it was the age of wisdom. " * 40,
]


def hidden_states(folder, texts, max_length):
    """Outputs of transformers, one text at a time: nothing is padded."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
    for text in texts:
        inputs = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            yield model(**inputs, output_hidden_states=True)


def reference_pooling(output, pooling, layers, combine):
    if pooling == "pooler":
        return output.pooler_output[0].numpy()
    chosen = [output.hidden_states[layer][0].numpy() for layer in layers]
    tokens = np.mean(chosen, axis=0) if combine == "mean" else np.concatenate(chosen, axis=1)
    return {
        "mean": lambda: tokens.mean(0),
        "cls": lambda: tokens[0],
        "max": lambda: tokens.max(0),
        "mean_sqrt_len": lambda: tokens.sum(0) / np.sqrt(len(tokens)),
        None: lambda: tokens,
    }[pooling]()


CHOICES = [
    *[(pooling, (-1,), "mean") for pooling in ("mean", "cls", "max", "mean_sqrt_len", "pooler")],
    (None, (-1,), "mean"),
    ("mean", (0,), "mean"),
    ("cls", (1,), "mean"),
    ("mean", (0, -1), "mean"),
    ("max", (-1, -2), "concat"),
    (None, (1, 2), "concat"),
]


def compare_with_transformers(folder, texts, max_length):
    outputs = list(hidden_states(folder, texts, max_length))
    for pooling, layers, combine in CHOICES:
        embedder = BertEmbedder(
            str(folder),
            pooling=pooling,
            layers=layers if len(layers) > 1 else layers[0],
            combine_layers=combine,
            max_length=max_length,
            precision="float32",
            device="cpu",
        )
        ours = embedder.fit_transform(texts)
        for mine, output in zip(ours, outputs, strict=True):
            expected = reference_pooling(output, pooling, layers, combine)
            # mean_sqrt_len adds up: its numbers, and their rounding, grow with the length.
            scale = max(1.0, np.abs(expected).max() / 10)
            np.testing.assert_allclose(
                mine, expected, rtol=0, atol=1e-5 * scale, err_msg=f"{pooling} {layers} {combine}"
            )


@pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
def test_tiny_model_equals_transformers(tiny_bert, texts):
    compare_with_transformers(tiny_bert, [*texts, "the cat sat on the mat " * 30], 64)


@pytest.mark.minilm
@pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
def test_minilm_equals_transformers(minilm):
    compare_with_transformers(minilm, MIXED, 256)


@pytest.mark.minilm
@pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
def test_minilm_equals_sentence_transformers(minilm):
    sentence_transformers = pytest.importorskip("sentence_transformers")
    peer = sentence_transformers.SentenceTransformer(str(minilm), device="cpu")
    expected = peer.encode(MIXED, normalize_embeddings=True)
    ours = BertEmbedder(normalize=True, device="cpu").fit_transform(MIXED)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-5)


@pytest.mark.minilm
@pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
@pytest.mark.parametrize("batch_size", [1, 3, "auto"])
def test_minilm_ignores_order_and_batch_size(minilm, batch_size):
    expected = BertEmbedder(device="cpu").fit_transform(MIXED)
    order = np.random.default_rng(0).permutation(len(MIXED))
    embedder = BertEmbedder(device="cpu", batch_size=batch_size)
    shuffled = embedder.fit_transform([MIXED[i] for i in order])
    np.testing.assert_allclose(shuffled, expected[order], rtol=0, atol=1e-5)


@pytest.mark.minilm
def test_minilm_puts_like_beside_like(minilm):
    vectors = BertEmbedder(normalize=True).fit_transform(
        ["A cat sat on the mat.", "A kitten rests on a rug.", "Rates went up again."]
    )
    similarity = vectors @ vectors.T
    assert similarity[0, 1] > 0.5 > 0.2 > similarity[0, 2]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
def test_gpu_equals_cpu(minilm):
    on_cpu = BertEmbedder(str(minilm), device="cpu").fit_transform(MIXED)
    on_gpu = BertEmbedder(str(minilm), device="cuda", precision="float32").fit_transform(MIXED)
    np.testing.assert_allclose(on_gpu, on_cpu, rtol=0, atol=1e-4)
