"""TokenImportanceDisplay: importances of real predictions, drawn and as HTML."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from skbert import (
    BertClassifier,
    BertEmbedder,
    BertQuestionAnswerer,
    BertRegressor,
    InputError,
    MissingPackageError,
    ParameterError,
    TruncationWarning,
)
from skbert._display.token_importance import sum_by_word
from skbert.display import TokenImportanceDisplay

matplotlib = pytest.importorskip("matplotlib")
pytest.importorskip("captum")
from matplotlib import pyplot  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
TEXT = "Unbelievable, a very good film!"


@pytest.fixture(autouse=True)
def agg():
    with matplotlib.rc_context({"backend": "agg"}):
        yield
    pyplot.close("all")


def check_complete(display):
    change = display.output - display.baseline_output
    assert abs(display.token_importances.sum() - change) <= 0.02 * abs(change)
    assert np.nansum(display.word_importances) == pytest.approx(display.token_importances.sum())
    is_special = np.isin(display.tokens, ["[CLS]", "[SEP]"])
    assert (display.token_importances[is_special] == 0).all()
    assert (display.token_importances[~is_special] != 0).any()


@pytest.mark.parametrize("baseline", ["pad", "zero"])
def test_class(film_classifier, baseline):
    good, bad = (
        TokenImportanceDisplay.from_estimator(
            film_classifier, [TEXT], target=target, baseline=baseline
        )
        for target in ("good", "bad")
    )
    check_complete(good)
    check_complete(bad)
    (difference,) = film_classifier.decision_function([TEXT])
    assert good.output - bad.output == pytest.approx(difference, abs=1e-4)
    assert good.tokens[1:4] == ["un", "##believ", "##able"]
    assert good.word_importances[0] == pytest.approx(good.token_importances[1:4].sum())
    words = [TEXT[start:end] for _, start, end in good.words]
    assert words == ["Unbelievable", ",", "a", "very", "good", "film", "!"]


def test_is_the_same_for_every_batch(film_classifier, monkeypatch):
    whole = TokenImportanceDisplay.from_estimator(film_classifier, [TEXT])
    monkeypatch.setattr(film_classifier._loaded(), "max_tokens", 20)
    parts = TokenImportanceDisplay.from_estimator(film_classifier, [TEXT])
    np.testing.assert_allclose(parts.token_importances, whole.token_importances, atol=1e-5)


def test_regressor_on_pairs(tiny_bert):
    pairs = [("a good film", "the cat"), ("a bad film", "a dog")]
    regressor = BertRegressor(tiny_bert, max_epochs=1, min_steps=4, random_state=0)
    regressor.fit(pairs, [500.0, 300.0])
    display = TokenImportanceDisplay.from_estimator(regressor, pairs[:1])
    check_complete(display)
    assert display.output == pytest.approx(regressor.predict(pairs[:1])[0], rel=1e-4)
    assert [word.text for word in display.words] == [0, 0, 0, 1, 1]
    shown = [artist.get_text() for artist in display.text_artists_]
    assert shown == ["first text", "a", "good", "film", "second text", "the", "cat"]


def test_answer_in_windows(tiny_bert):
    context = "the cat sat on the mat . " * 12
    reader = BertQuestionAnswerer(tiny_bert, max_length=24, stride=4, max_epochs=1, min_steps=0)
    reader.fit([("where is the cat ?", context)], ["mat"])
    display = TokenImportanceDisplay.from_estimator(reader, [("where is it ?", context)])
    check_complete(display)
    (answer,) = reader.predict_answers([("where is it ?", context)])[0]
    assert display.answer == (answer.start, answer.end)
    assert np.isnan(display.word_importances).any()  # other windows
    framed = [a.get_text() for a in display.text_artists_ if a.get_bbox_patch().get_edgecolor()[3]]
    assert " ".join(framed) == answer.text


def test_words_that_are_not_read_have_no_importance(tiny_bert):
    classifier = BertClassifier(tiny_bert, max_length=5, max_epochs=1, min_steps=0)
    classifier.fit(["a good", "a bad"], [0, 1])
    with pytest.warns(TruncationWarning):
        display = TokenImportanceDisplay.from_estimator(classifier, ["a very good film !"])
    assert np.isnan(display.word_importances).tolist() == [False] * 3 + [True] * 2
    assert display.text_artists_[-1].get_color() == "0.45"


def test_plots_again_on_given_axes(film_classifier):
    display = TokenImportanceDisplay.from_estimator(film_classifier, [TEXT])
    _, ax = pyplot.subplots()
    assert display.plot(ax=ax, colorbar=False) is display
    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert display.colorbar_ is None
    shown = [artist.get_text() for artist in display.text_artists_]
    assert "".join(shown) == TEXT.replace(" ", "")
    assert ax.get_title(loc="left").startswith(f"{display.name}: {display.output:.2f}")


def test_html_escapes_texts_and_names(film_classifier):
    text = '<img src=x onerror="alert(1)"> good & bad'
    display = TokenImportanceDisplay.from_estimator(film_classifier, [text])
    display.name = "<script>"
    page = display._repr_html_()
    assert "<img" not in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "&amp;" in page
    strongest = np.nanmax(np.abs(display.word_importances))
    assert page.count("title=") == len(display.words)
    assert f"{strongest:.4g}" in page


def test_html_needs_no_matplotlib(film_classifier, request):
    display = TokenImportanceDisplay.from_estimator(film_classifier, [TEXT])
    pyplot.close("all")
    request.getfixturevalue("no_matplotlib")
    assert "film" in display._repr_html_()
    with pytest.raises(MissingPackageError, match="TokenImportanceDisplay needs matplotlib"):
        display.plot()
    with pytest.raises(MissingPackageError, match="TokenImportanceDisplay needs matplotlib"):
        TokenImportanceDisplay.from_estimator(film_classifier, [TEXT])


def test_missing_captum_is_named(film_classifier, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingPackageError, match=r"needs captum.*skbert\[explain\]"):
        TokenImportanceDisplay.from_estimator(film_classifier, [TEXT])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"baseline": "mask"}, r"baseline='mask'.*'pad', 'zero'"),
        ({"n_steps": 0}, "n_steps=0 .* from 1"),
        ({"n_steps": 64, "max_steps": 32}, "max_steps=32 .* from n_steps=64"),
        ({"target": "ugly"}, "not a class"),
    ],
)
def test_bad_settings_are_refused(film_classifier, settings, message):
    with pytest.raises(ParameterError, match=message):
        TokenImportanceDisplay.from_estimator(film_classifier, [TEXT], **settings)


def test_what_cannot_be_explained_is_refused(film_classifier, tiny_bert):
    with pytest.raises(ParameterError, match="cannot be explained"):
        TokenImportanceDisplay.from_estimator(BertEmbedder(tiny_bert).fit(["a"]), ["a"])
    with pytest.raises(InputError, match="expected one"):
        TokenImportanceDisplay.from_estimator(film_classifier, ["a", "b"])


def test_sum_by_word():
    sums = sum_by_word(np.array([9.0, 1.0, 2.0, 4.0]), np.array([-1, 0, 0, 2]), 4)
    np.testing.assert_array_equal(sums, [3, np.nan, 4, np.nan])
