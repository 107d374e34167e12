"""EmbeddingDisplay: the right points, classes and names."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.manifold import TSNE
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skbert import BertEmbedder, InputError, MissingPackageError, ParameterError
from skbert.display import EmbeddingDisplay

matplotlib = pytest.importorskip("matplotlib")
from matplotlib import pyplot  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
TEXTS = ["the cat sat", "a dog", "a good film", "a bad film", "my bank card", "lost money"]
VECTORS = np.random.default_rng(0).normal(size=(12, 5))


@pytest.fixture(autouse=True)
def agg():
    with matplotlib.rc_context({"backend": "agg"}):
        yield
    pyplot.close("all")


def offsets(scatter):
    return np.asarray(scatter.get_offsets())


def test_draws_principal_components(tiny_bert):
    embedder = BertEmbedder(tiny_bert).fit(TEXTS)
    display = EmbeddingDisplay.from_estimator(embedder, TEXTS)
    pca = PCA(2, random_state=0).fit(embedder.transform(TEXTS))
    np.testing.assert_allclose(
        offsets(display.scatters_[0]), pca.transform(embedder.transform(TEXTS)), atol=1e-4
    )
    share = pca.explained_variance_ratio_[0]
    assert display.ax_.get_xlabel() == f"principal component 1 ({share:.0%} of variance)"
    assert display.legend_ is None


@pytest.mark.parametrize("y", [list("abacab"), pd.Series(list("abacab")), (1, 2, 1, 3, 1, 2)])
def test_each_class_has_its_points_and_name(tiny_bert, y):
    embedder = make_pipeline(BertEmbedder(tiny_bert), StandardScaler()).fit(TEXTS)
    display = EmbeddingDisplay.from_estimator(embedder, TEXTS, y)
    classes = np.unique(np.asarray(y))
    assert [text.get_text() for text in display.legend_.get_texts()] == [str(c) for c in classes]
    for label, scatter in zip(classes, display.scatters_, strict=True):
        np.testing.assert_allclose(offsets(scatter), display.points[np.asarray(y) == label])
    colours = [tuple(scatter.get_facecolor()[0]) for scatter in display.scatters_]
    assert len(set(colours)) == 3


def test_numbers_get_a_scale():
    numbers = np.linspace(0.5, 2.25, 12)
    display = EmbeddingDisplay.from_vectors(VECTORS, numbers)
    np.testing.assert_array_equal(display.scatters_[0].get_array(), numbers)
    assert display.colorbar_ is not None
    assert display.legend_ is None


def test_other_reducers():
    svd = TruncatedSVD(2, random_state=0)
    display = EmbeddingDisplay.from_vectors(VECTORS, reducer=svd)
    np.testing.assert_allclose(display.points, svd.transform(VECTORS), atol=1e-9)
    assert display.axis_names == ("TruncatedSVD 1", "TruncatedSVD 2")
    tsne = TSNE(perplexity=3, random_state=0)
    assert EmbeddingDisplay.from_vectors(VECTORS, reducer=tsne).points.shape == (12, 2)
    flat = EmbeddingDisplay.from_vectors(VECTORS[:, :2])
    np.testing.assert_array_equal(flat.points, VECTORS[:, :2])


def test_many_classes_differ_and_their_names_can_be_read():
    labels = [f"{'a very long name of a class, ' * 2}number {k % 77:02d}" for k in range(154)]
    vectors = np.random.default_rng(0).normal(size=(154, 3))
    display = EmbeddingDisplay.from_vectors(vectors, labels)
    looks = {
        (tuple(s.get_facecolor()[0]), s.get_paths()[0].vertices.tobytes())
        for s in display.scatters_
    }
    assert len(looks) == 77
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert len(set(names)) == 77
    display.figure_.draw_without_rendering()
    figure = display.figure_.bbox
    legend, axes = display.legend_.get_window_extent(), display.ax_.get_window_extent()
    assert legend.x1 <= figure.x1 + 1
    assert legend.y0 >= figure.y0
    assert legend.x0 >= axes.x1
    assert axes.width > 400
    boxes = [text.get_window_extent() for text in display.legend_.get_texts()]
    assert all(b.y1 <= a.y0 + 1 for a, b in pairwise(boxes[:20]))


def test_names_are_shown_as_they_are():
    display = EmbeddingDisplay.from_vectors(VECTORS[:4], ["_hidden", "$x_{", "_hidden", "c"])
    display.figure_.draw_without_rendering()
    names = [text.get_text() for text in display.legend_.get_texts()]
    assert names == [r"\$x_{", "\u200b_hidden", "c"]


def test_plots_again_on_given_axes():
    display = EmbeddingDisplay.from_vectors(VECTORS, list("ab") * 6, s=5)
    assert display.scatters_[0].get_sizes().tolist() == [5]
    _, ax = pyplot.subplots()
    before = ax.figure.get_size_inches().tolist()
    assert display.plot(ax=ax, alpha=0.5) is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert ax.figure.get_size_inches().tolist() == before


def test_mixed_classes_are_sorted_as_text():
    y = np.array(["b", 1, "a", 1], dtype=object)
    display = EmbeddingDisplay.from_vectors(VECTORS[:4], y)
    assert [text.get_text() for text in display.legend_.get_texts()] == ["1", "a", "b"]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (["a", None] * 6, r"6 missing value\(s\), the first at position 1"),
        ([["a"]] * 12, "shape"),
    ],
)
def test_bad_labels_are_refused(y, message):
    with pytest.raises(InputError, match=message):
        EmbeddingDisplay.from_vectors(VECTORS, y)


def test_labels_of_another_length_are_refused():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        EmbeddingDisplay.from_vectors(VECTORS, ["a"])


def test_what_gives_no_map_is_refused(tiny_bert, film_classifier):
    with pytest.raises(ParameterError, match="returns no vectors"):
        EmbeddingDisplay.from_estimator(film_classifier, TEXTS)
    tokens = BertEmbedder(tiny_bert, pooling=None).fit(TEXTS)
    with pytest.raises(ParameterError, match="one vector per token"):
        EmbeddingDisplay.from_estimator(tokens, TEXTS)
    with pytest.raises(ParameterError, match="no fit_transform"):
        EmbeddingDisplay.from_vectors(VECTORS, reducer="pca")
    with pytest.raises(ParameterError, match=r"shape \(12, 3\), expected \(12, 2\)"):
        EmbeddingDisplay.from_vectors(VECTORS, reducer=PCA(3))


@pytest.mark.usefixtures("no_matplotlib")
def test_missing_matplotlib_is_named():
    with pytest.raises(MissingPackageError, match="EmbeddingDisplay needs matplotlib"):
        EmbeddingDisplay.from_vectors(VECTORS)
