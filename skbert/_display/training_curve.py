"""TrainingCurveDisplay: how a fit went, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sklearn.utils.validation import check_is_fitted

from skbert._exceptions import InputError, ParameterError
from skbert._optional import import_optional, new_axes

# Panels from top to bottom: the name of each, and its curves with their words and looks.
PANELS: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "loss": {"loss": ("training", "C0"), "validation_loss": ("validation", "C1")},
    "validation score": {"validation_score": ("validation", "C1")},
    "learning rate": {"learning_rate": ("at the epoch's end", "C7")},
}
GAP = 0.06  # between panels, of the height
MOST_MARKERS = 30


class TrainingCurveDisplay:
    """Plot of the loss, the learning rate and the validation score of each epoch.

    Create a display with `from_estimator` or `from_history`.

    Parameters
    ----------
    history : list of dict
        The `history_` of a fitted estimator: for each epoch "epoch", "loss", "learning_rate" and,
        with early stopping, "validation_loss" and "validation_score".

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes that the panels replace; it has the title of the plot.
    axes_ : dict of str to matplotlib Axes
        The panels: "loss", "learning rate" and, with early stopping, "validation score".
    lines_ : dict of str to matplotlib Line2D
        The curves, with their names in the history as keys.
    figure_ : matplotlib Figure
        Figure with the axes.

    See Also
    --------
    skbert.BertClassifier : Classifier with a `history_`.

    Examples
    --------
    >>> from skbert import BertClassifier
    >>> from skbert.display import TrainingCurveDisplay
    >>> texts = [
    ...     "A very good film.",
    ...     "A very bad film.",
    ...     "So good!",
    ...     "Bad, so bad.",
    ... ]
    >>> classifier = BertClassifier(max_epochs=4, min_steps=0, random_state=0)
    >>> classifier = classifier.fit(texts, ["good", "bad", "good", "bad"])
    >>> display = TrainingCurveDisplay.from_estimator(classifier)
    >>> list(display.lines_["loss"].get_ydata()) == classifier.loss_curve_
    True
    """

    def __init__(self, *, history: Sequence[Mapping[str, float]]) -> None:
        self.history = history

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, ax: Any = None, **line_kwargs: Any
    ) -> TrainingCurveDisplay:
        """Plot the last fit of an estimator.

        Parameters
        ----------
        estimator : BertClassifier, or another fitted estimator with a history
            The estimator.
        ax : matplotlib Axes, default=None
            Axes that the panels replace; by default those of a new figure.
        **line_kwargs
            Additional keyword arguments of matplotlib's `plot`.

        Returns
        -------
        display : TrainingCurveDisplay
            The display, after plotting.

        Raises
        ------
        SkbertError
            `MissingPackageError` without matplotlib; `ParameterError` for an estimator without a
            history; `InputError` if the history is empty, as after `from_pretrained`.
        """
        check_is_fitted(estimator)
        if not hasattr(estimator, "history_"):
            raise ParameterError(
                f"estimator is a {type(estimator).__name__}, which has no history_, expected one "
                "that trains: BertClassifier, BertRegressor, BertTokenClassifier or "
                "BertQuestionAnswerer."
            )
        return cls.from_history(estimator.history_, ax=ax, **line_kwargs)

    @classmethod
    def from_history(
        cls,
        history: Sequence[Mapping[str, float]],
        *,
        ax: Any = None,
        **line_kwargs: Any,
    ) -> TrainingCurveDisplay:
        """Plot a history.

        Parameters
        ----------
        history : list of dict
            The `history_` of a fitted estimator.
        ax : matplotlib Axes, default=None
            Axes that the panels replace; by default those of a new figure.
        **line_kwargs
            Additional keyword arguments of matplotlib's `plot`.

        Returns
        -------
        display : TrainingCurveDisplay
            The display, after plotting.

        Raises
        ------
        SkbertError
            `MissingPackageError` without matplotlib; `InputError` for an empty history.
        """
        import_optional("matplotlib", extra="plot", needed_by=cls.__name__)
        if not len(history):
            raise InputError(
                "The history is empty: the model was loaded (from_pretrained), or its training was "
                "interrupted in the first epoch. Call fit first."
            )
        return cls(history=history).plot(ax=ax, **line_kwargs)

    def plot(self, ax: Any = None, **line_kwargs: Any) -> TrainingCurveDisplay:
        """Plot the curves, in panels with a shared axis of epochs.

        A dotted line marks the epoch whose weights were kept by early stopping.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes that the panels replace; by default those of a new figure.
        **line_kwargs
            Additional keyword arguments of matplotlib's `plot`.

        Returns
        -------
        self : TrainingCurveDisplay
            The display, with `ax_`, `axes_`, `lines_` and `figure_`.

        Raises
        ------
        MissingPackageError
            If matplotlib is not installed.
        """
        known = self.history[0]
        panels = {
            name: {key: look for key, look in curves.items() if key in known}
            for name, curves in PANELS.items()
        }
        panels = {name: curves for name, curves in panels.items() if curves}
        ax = new_axes(ax, type(self).__name__, figsize=(6.4, 2 + 1.6 * len(panels)))
        self.axes_ = _stacked(ax, list(panels))
        self.lines_ = {}
        for name, curves in panels.items():
            for key, (label, colour) in curves.items():
                style = {"color": colour, "marker": self._marker(), "markersize": 4, **line_kwargs}
                self.lines_[key] = self._draw(self.axes_[name], key, label=label, **style)
            self._mark_kept(self.axes_[name])
        if len(panels.get("loss", ())) > 1:
            self.axes_["loss"].legend(loc="upper right", fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _draw(self, panel: Any, key: str, **style: Any) -> Any:
        epochs = [entry["epoch"] for entry in self.history]
        (line,) = panel.plot(epochs, [entry[key] for entry in self.history], **style)
        return line

    def _marker(self) -> str:
        """Return points where they are few: a curve of one epoch would be invisible without."""
        return "o" if len(self.history) <= MOST_MARKERS else ""

    def _mark_kept(self, panel: Any) -> None:
        """Mark the epoch of the best score and, where it is equal, of the lower loss."""
        if "validation_score" in self.history[0]:
            best = max(self.history, key=lambda e: (e["validation_score"], -e["validation_loss"]))
            panel.axvline(best["epoch"], color="0.5", linestyle=":", label="kept", zorder=0)


def _stacked(ax: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return panels below each other in the place of some axes, the first on top."""
    from matplotlib.ticker import MaxNLocator

    ax.set_axis_off()
    height = (1 + GAP) / len(names)
    panels = {}
    for number, name in enumerate(names):
        panel = ax.inset_axes((0, 1 + GAP - height * (number + 1), 1, height - GAP))
        panel.set_ylabel(name)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.tick_params(labelbottom=name == names[-1])
        if name == "learning rate":
            panel.ticklabel_format(axis="y", scilimits=(0, 0))
        panels[name] = panel
    panels[names[-1]].set_xlabel("epoch")
    return panels
