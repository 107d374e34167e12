"""AttentionDisplay: the weights that transformers computes, on a labelled map."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from transformers import AutoModel

from skbert import (
    BertEmbedder,
    BertQuestionAnswerer,
    BertTokenClassifier,
    CheckpointError,
    InputError,
    MissingPackageError,
    ParameterError,
)
from skbert.display import AttentionDisplay

matplotlib = pytest.importorskip("matplotlib")
from matplotlib import pyplot  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
TEXT = ["Unbelievable, the cat!"]
TOKENS = ["[CLS]", "un", "##believ", "##able", ",", "the", "cat", "!", "[SEP]"]


@pytest.fixture(autouse=True)
def agg():
    with matplotlib.rc_context({"backend": "agg"}):
        yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def embedder(tiny_bert):
    return BertEmbedder(tiny_bert).fit(TEXT)


@pytest.mark.parametrize(("layer", "head"), [(1, 0), (2, 3), (-2, None), (-1, 1)])
def test_gives_the_weights_of_transformers(embedder, tiny_bert, layer, head):
    display = AttentionDisplay.from_estimator(embedder, TEXT, layer=layer, head=head)
    model = AutoModel.from_pretrained(tiny_bert, attn_implementation="eager")
    ids = torch.tensor([embedder._loaded().tokenizer.backend.encode(TEXT[0]).ids])
    with torch.no_grad():
        attentions = model(ids, output_attentions=True).attentions
    expected = attentions[layer - 1 if layer > 0 else layer][0]
    expected = expected.mean(0) if head is None else expected[head]
    np.testing.assert_allclose(display.weights, expected, atol=1e-6)
    np.testing.assert_allclose(display.weights.sum(1), 1, atol=1e-5)
    assert display.tokens == TOKENS
    assert display.layer == layer % 3


def test_draws_the_weights_and_their_tokens(embedder):
    display = AttentionDisplay.from_estimator(embedder, TEXT, layer=1)
    np.testing.assert_array_equal(display.image_.get_array(), display.weights)
    for axis in (display.ax_.xaxis, display.ax_.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == TOKENS
    assert display.ax_.get_title() == "Layer 1, mean over heads"
    assert display.colorbar_ is not None
    _, ax = pyplot.subplots()
    assert display.plot(ax=ax, colorbar=False, cmap="viridis") is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.colorbar_ is None
    assert display.image_.get_cmap().name == "viridis"


def test_labels_do_not_touch():
    tokens = [f"token{k}" for k in range(90)]
    display = AttentionDisplay(weights=np.eye(90, dtype=np.float32), tokens=tokens).plot()
    display.figure_.draw_without_rendering()
    boxes = [label.get_window_extent() for label in display.ax_.get_yticklabels()]
    assert all(below.y1 <= above.y0 + 1 for above, below in pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


def test_dollars_are_no_mathematics():
    display = AttentionDisplay(weights=np.eye(2, dtype=np.float32), tokens=["$x_{", "$"]).plot()
    display.figure_.draw_without_rendering()
    assert display.ax_.get_xticklabels()[0].get_text() == r"\$x_{"


def test_of_pairs_words_and_questions(film_classifier, tiny_bert):
    display = AttentionDisplay.from_estimator(film_classifier, ["the cat"], head=0)
    assert display.tokens == ["[CLS]", "the", "cat", "[SEP]"]
    words = [["the", "cat"], ["a"]]
    tagger = BertTokenClassifier(tiny_bert, max_epochs=1, min_steps=0)
    tagger.fit(words, [["x", "y"], ["x"]])
    assert AttentionDisplay.from_estimator(tagger, words[:1]).weights.shape == (4, 4)
    question = [("where ?", "the cat")]
    reader = BertQuestionAnswerer(tiny_bert, max_length=12, stride=2, max_epochs=1, min_steps=0)
    reader.fit(question, ["cat"])
    display = AttentionDisplay.from_estimator(reader, question)
    assert display.tokens == ["[CLS]", "where", "?", "[SEP]", "the", "cat", "[SEP]"]
    with pytest.raises(InputError, match=r"read in \d windows, expected one"):
        AttentionDisplay.from_estimator(reader, [("where ?", "the cat sat on the mat " * 3)])


@pytest.mark.parametrize("layer", [0, 3, -3, 1.5, None])
def test_layers_that_are_not_there_are_refused(embedder, layer):
    with pytest.raises(ParameterError, match="from 1 to 2, or from -1"):
        AttentionDisplay.from_estimator(embedder, TEXT, layer=layer)


@pytest.mark.parametrize("head", [4, -1, "all"])
def test_heads_that_are_not_there_are_refused(embedder, head):
    with pytest.raises(ParameterError, match="from 0 to 3"):
        AttentionDisplay.from_estimator(embedder, TEXT, head=head)


def test_models_without_weights_are_refused(embedder, monkeypatch):
    class Silent:
        def __call__(self, **inputs):
            return type("Output", (), {"attentions": None})

    monkeypatch.setattr("skbert._display.attention.plain_model", lambda *a, **k: Silent())
    with pytest.raises(CheckpointError, match="returns no attention weights"):
        AttentionDisplay.from_estimator(embedder, TEXT)


@pytest.mark.usefixtures("no_matplotlib")
def test_missing_matplotlib_is_named(embedder):
    with pytest.raises(MissingPackageError, match="AttentionDisplay needs matplotlib"):
        AttentionDisplay.from_estimator(embedder, TEXT)
