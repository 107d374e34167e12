"""TrainingCurveDisplay: the curves are the history."""

from __future__ import annotations

import pytest

from skbert import BertClassifier, BertEmbedder, InputError, MissingPackageError, ParameterError
from skbert.display import TrainingCurveDisplay

matplotlib = pytest.importorskip("matplotlib")
from matplotlib import pyplot  # noqa: E402

pytestmark = pytest.mark.usefixtures("one_thread")
HISTORY = [
    {"epoch": k, "loss": 1 / k, "learning_rate": 1e-5 * (5 - k),
     "validation_loss": loss, "validation_score": score}
    for k, (loss, score) in enumerate([(0.9, 0.5), (0.8, 0.7), (0.6, 0.7), (0.7, 0.6)], start=1)
]  # fmt: skip


@pytest.fixture(autouse=True)
def agg():
    with matplotlib.rc_context({"backend": "agg"}):
        yield
    pyplot.close("all")


def test_curves_are_the_history_of_a_fit(tiny_bert):
    texts = ["a good film", "a bad film"] * 8
    classifier = BertClassifier(
        tiny_bert, max_epochs=3, min_steps=0, early_stopping=True, validation_fraction=0.25,
        n_epochs_no_change=5, random_state=0,
    )  # fmt: skip
    display = TrainingCurveDisplay.from_estimator(classifier.fit(texts, [0, 1] * 8))
    assert set(display.lines_) == set(classifier.history_[0]) - {"epoch"}
    for name, line in display.lines_.items():
        assert list(line.get_xdata()) == [1, 2, 3]
        assert list(line.get_ydata()) == [entry[name] for entry in classifier.history_]


def test_panels():
    display = TrainingCurveDisplay.from_history(HISTORY)
    assert list(display.axes_) == ["loss", "validation score", "learning rate"]
    for name, keys in {
        "loss": ["loss", "validation_loss"],
        "validation score": ["validation_score"],
        "learning rate": ["learning_rate"],
    }.items():
        panel = display.axes_[name]
        assert panel.get_ylabel() == name
        assert all(display.lines_[key].axes is panel for key in keys)
    display.figure_.draw_without_rendering()
    boxes = [panel.get_window_extent() for panel in display.axes_.values()]
    assert boxes[0].y0 > boxes[1].y1
    assert boxes[1].y0 > boxes[2].y1


def test_the_kept_epoch_is_marked():
    # Epochs 2 and 3 score the same; 3 has the lower loss.
    display = TrainingCurveDisplay.from_history(HISTORY)
    for panel in display.axes_.values():
        (kept,) = [line for line in panel.lines if line.get_label() == "kept"]
        assert kept.get_xdata()[0] == 3
    legend = display.axes_["loss"].get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["training", "validation", "kept"]


def test_without_validation():
    plain = [{key: entry[key] for key in ("epoch", "loss", "learning_rate")} for entry in HISTORY]
    display = TrainingCurveDisplay.from_history(plain)
    assert list(display.axes_) == ["loss", "learning rate"]
    assert [len(panel.lines) for panel in display.axes_.values()] == [1, 1]


def test_one_epoch_can_be_seen_and_many_have_no_points():
    assert TrainingCurveDisplay.from_history(HISTORY[:1]).lines_["loss"].get_marker() == "o"
    many = [{**HISTORY[0], "epoch": k} for k in range(1, 60)]
    assert TrainingCurveDisplay.from_history(many).lines_["loss"].get_marker() == ""


def test_plots_again_in_the_place_of_given_axes():
    display = TrainingCurveDisplay.from_history(HISTORY, linestyle="--")
    assert display.lines_["loss"].get_linestyle() == "--"
    figure, axes = pyplot.subplots(1, 2)
    assert display.plot(ax=axes[1], color="black") is display
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert display.lines_["loss"].get_color() == "black"
    figure.draw_without_rendering()
    frame = axes[1].get_window_extent()
    for panel in display.axes_.values():
        box = panel.get_window_extent()
        assert box.x0 == pytest.approx(frame.x0)
        assert box.x1 == pytest.approx(frame.x1)
        assert frame.y0 - 0.5 <= box.y0 < box.y1 <= frame.y1 + 0.5


def test_a_history_that_is_empty_is_refused(film_classifier, tmp_path):
    film_classifier.save_pretrained(tmp_path)
    loaded = BertClassifier.from_pretrained(str(tmp_path))
    with pytest.raises(InputError, match="history is empty: the model was loaded"):
        TrainingCurveDisplay.from_estimator(loaded)


def test_estimators_that_do_not_train_are_refused(tiny_bert):
    with pytest.raises(ParameterError, match="is a BertEmbedder, which has no history_"):
        TrainingCurveDisplay.from_estimator(BertEmbedder(tiny_bert).fit(["a"]))


@pytest.mark.usefixtures("no_matplotlib")
def test_missing_matplotlib_is_named():
    with pytest.raises(MissingPackageError, match="TrainingCurveDisplay needs matplotlib"):
        TrainingCurveDisplay.from_history(HISTORY)
