"""Fewer features a column of texts."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbert import BertEmbedder, InputError, ParameterError
from skbert._estimators import embedder as embedder_module

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["the cat sat", "a good film", "a bad film", "the dog sat", "on the mat", "a", "b", "good"]


def test_those_of_the_vectors_of_each_column(tiny_bert):
    frame = pd.DataFrame({"title": TEXTS, "body": TEXTS[::-1]})
    embedder = BertEmbedder(tiny_bert, n_components=3)
    reduced = embedder.fit_transform(frame)
    assert reduced.shape == (8, 6)
    assert reduced.dtype == np.float32
    vectors = BertEmbedder(tiny_bert).fit_transform(TEXTS)
    steps = make_pipeline(StandardScaler(), PCA(3, random_state=0))
    expected = steps.fit_transform(vectors)
    np.testing.assert_allclose(reduced[:, :3], expected, atol=1e-4)
    np.testing.assert_allclose(reduced[:, :3], reduced[::-1, 3:], atol=1e-4)
    assert embedder.get_feature_names_out().tolist() == [
        *("title_0", "title_1", "title_2"),
        *("body_0", "body_1", "body_2"),
    ]


def test_new_texts_are_projected_alone(tiny_bert):
    embedder = BertEmbedder(tiny_bert, n_components=3).fit(TEXTS)
    np.testing.assert_allclose(
        embedder.transform(TEXTS), clone(embedder).fit_transform(TEXTS), atol=1e-5
    )
    np.testing.assert_allclose(
        embedder.transform(TEXTS[2:3]), embedder.transform(TEXTS)[2:3], atol=1e-5
    )
    assert embedder.transform([]).shape == (0, 3)
    again = pickle.loads(pickle.dumps(embedder))
    np.testing.assert_array_equal(again.transform(TEXTS), embedder.transform(TEXTS))


def test_fit_transform_embeds_once(tiny_bert, monkeypatch):
    calls = []
    compute = embedder_module.embed_texts
    monkeypatch.setattr(
        embedder_module,
        "embed_texts",
        lambda *args, **kwargs: calls.append(len(args[2])) or compute(*args, **kwargs),
    )
    BertEmbedder(tiny_bert, n_components=2).fit_transform(TEXTS)
    assert calls == [len(TEXTS)]
    BertEmbedder(tiny_bert).fit(TEXTS)
    assert calls == [len(TEXTS)]


def test_missing_texts_are_zeros_and_not_fitted_to(tiny_bert):
    texts = [*TEXTS, None]
    embedder = BertEmbedder(tiny_bert, n_components=3, missing="zero")
    reduced = embedder.fit_transform(texts)
    assert (reduced[-1] == 0).all()
    np.testing.assert_allclose(
        reduced[:-1], BertEmbedder(tiny_bert, n_components=3).fit_transform(TEXTS), atol=1e-5
    )


def test_too_many(tiny_bert):
    embedder = BertEmbedder(tiny_bert, n_components=9)
    with pytest.raises(InputError, match=r"n_components=9 needs .* 8 texts and 32 features"):
        embedder.fit(TEXTS)
    assert not hasattr(embedder, "n_features_out_")
    with pytest.raises(ParameterError, match="n_components=0"):
        BertEmbedder(tiny_bert, n_components=0).fit(TEXTS)
    with pytest.raises(ParameterError, match="pooling=None gives one per token"):
        BertEmbedder(tiny_bert, n_components=2, pooling=None).fit(TEXTS)
