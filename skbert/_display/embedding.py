"""EmbeddingDisplay: vectors of texts on a map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_array, check_consistent_length, check_is_fitted

from skbert._exceptions import InputError, ParameterError
from skbert._optional import import_optional, new_axes
from skbert._texts.inputs import is_missing_value

# Ten colours that differ for most eyes, each with every marker: 80 classes that look different.
MARKERS = "os^DvPX*"
LEGEND_ROWS = 20
LONGEST_NAME = 30


class EmbeddingDisplay:
    """Scatter plot of vectors in two dimensions, with one point per text.

    Create a display with `from_estimator` or `from_vectors`.

    Parameters
    ----------
    points : ndarray, shape (n_texts, 2)
        Coordinates of the points.
    labels : ndarray, shape (n_texts,), default=None
        Classes, shown by colors and markers, or real numbers, shown by a colormap.
    axis_names : tuple of str, default=("", "")
        Labels of the two axes.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the points.
    figure_ : matplotlib Figure
        Figure with the axes.
    scatters_ : list of matplotlib PathCollection
        Points, with one collection per class, in the order of the sorted classes.
    legend_ : matplotlib Legend or None
        Legend with the classes; None if there is none.
    colorbar_ : matplotlib Colorbar or None
        Colorbar of real numbers; None if there is none.

    See Also
    --------
    skbert.BertEmbedder : Vectors of texts.

    Examples
    --------
    >>> from skbert import BertEmbedder
    >>> from skbert.display import EmbeddingDisplay
    >>> texts = [
    ...     "I lost my card",
    ...     "My card was stolen",
    ...     "Rates for dollars?",
    ...     "Is the pound up?",
    ... ]
    >>> labels = ["card", "card", "rate", "rate"]
    >>> display = EmbeddingDisplay.from_estimator(
    ...     BertEmbedder().fit(texts), texts, labels
    ... )
    >>> display.points.shape
    (4, 2)
    """

    def __init__(
        self,
        *,
        points: NDArray[Any],
        labels: NDArray[Any] | None = None,
        axis_names: tuple[str, str] = ("", ""),
    ) -> None:
        self.points = points
        self.labels = labels
        self.axis_names = axis_names

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        reducer: Any = None,
        ax: Any = None,
        **scatter_kwargs: Any,
    ) -> EmbeddingDisplay:
        """Embed texts and plot their vectors.

        Parameters
        ----------
        estimator : BertEmbedder, or any fitted transformer
            Transformer that returns one vector per text; also a pipeline that ends with a
            transformer.
        X : sequence of str, of length n_texts
            Texts, or any other input of the estimator.
        y : array-like, shape (n_texts,), default=None
            Classes or numbers, shown by colors.
        reducer : transformer, default=None
            Transformer to two features, such as ``TSNE()``; by default the first two principal
            components. It is fitted to the vectors.
        ax : matplotlib Axes, default=None
            Axes to plot on; by default those of a new figure.
        **scatter_kwargs
            Additional keyword arguments of matplotlib's `scatter`.

        Returns
        -------
        display : EmbeddingDisplay
            The display, after plotting.

        Raises
        ------
        SkbertError
            `MissingPackageError` without matplotlib; `ParameterError` for an estimator or reducer
            that returns no vectors; `InputError` for a y that cannot be shown.
        """
        import_optional("matplotlib", extra="plot", needed_by=cls.__name__)
        if not hasattr(estimator, "transform"):
            raise ParameterError(
                f"estimator is a {type(estimator).__name__}, which returns no vectors, expected a "
                "BertEmbedder or another transformer. For existing vectors, use from_vectors."
            )
        check_is_fitted(estimator)
        vectors = estimator.transform(X)
        if isinstance(vectors, list):
            raise ParameterError(
                "estimator gives one vector per token, expected one per text. Use a BertEmbedder "
                'with pooling="mean".'
            )
        return cls.from_vectors(vectors, y, reducer=reducer, ax=ax, **scatter_kwargs)

    @classmethod
    def from_vectors(
        cls,
        vectors: Any,
        y: Any = None,
        *,
        reducer: Any = None,
        ax: Any = None,
        **scatter_kwargs: Any,
    ) -> EmbeddingDisplay:
        """Plot vectors.

        Parameters
        ----------
        vectors : array-like, shape (n_texts, n_features)
            The vectors. Vectors with two features are plotted without a reducer.
        y : array-like, shape (n_texts,), default=None
            Classes or numbers, shown by colors.
        reducer : transformer, default=None
            Transformer to two features, such as ``TSNE()``; by default the first two principal
            components. It is fitted to the vectors.
        ax : matplotlib Axes, default=None
            Axes to plot on; by default those of a new figure.
        **scatter_kwargs
            Additional keyword arguments of matplotlib's `scatter`.

        Returns
        -------
        display : EmbeddingDisplay
            The display, after plotting.

        Raises
        ------
        SkbertError
            As in `from_estimator`.
        """
        import_optional("matplotlib", extra="plot", needed_by=cls.__name__)
        vectors = check_array(vectors, ensure_min_samples=2, ensure_min_features=2)
        labels = None if y is None else _check_labels(y, len(vectors))
        points, names = _reduced(vectors, reducer)
        display = cls(points=points, labels=labels, axis_names=names)
        return display.plot(ax=ax, **scatter_kwargs)

    def plot(self, ax: Any = None, **scatter_kwargs: Any) -> EmbeddingDisplay:
        """Plot the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; by default those of a new figure.
        **scatter_kwargs
            Additional keyword arguments of matplotlib's `scatter`.

        Returns
        -------
        self : EmbeddingDisplay
            The display, with `ax_`, `figure_`, `scatters_`, `legend_` and `colorbar_`.

        Raises
        ------
        MissingPackageError
            If matplotlib is not installed.
        """
        is_new = ax is None
        ax = new_axes(ax, type(self).__name__, figsize=(6.5, 5))
        style = {"s": 24, "alpha": 0.8, "linewidths": 0, **scatter_kwargs}
        self.legend_ = self.colorbar_ = None
        if self.labels is None:
            self.scatters_ = [ax.scatter(*self.points.T, **style)]
        elif is_numeric_scale(self.labels):
            self.scatters_ = [ax.scatter(*self.points.T, **{"c": self.labels, **style})]
            self.colorbar_ = ax.figure.colorbar(self.scatters_[0], ax=ax)
        else:
            self.scatters_ = _scatter_classes(ax, self.points, self.labels, style)
            self.legend_ = _draw_legend(ax, len(self.scatters_), widen=is_new)
        ax.set(xlabel=self.axis_names[0], ylabel=self.axis_names[1])
        self.ax_, self.figure_ = ax, ax.figure
        return self


def is_numeric_scale(labels: NDArray[Any]) -> bool:
    """Return whether labels are real numbers, not classes, as scikit-learn tells them apart."""
    return bool(type_of_target(labels) == "continuous")


def _check_labels(y: Any, n_texts: int) -> NDArray[Any]:
    labels = np.asarray(y)
    if labels.ndim != 1:
        raise InputError(f"y has shape {labels.shape}, expected one class or number a text.")
    check_consistent_length(labels, np.empty(n_texts))
    missing = [
        position for position, label in enumerate(labels.tolist()) if is_missing_value(label)
    ]
    if missing:
        raise InputError(
            f"y has {len(missing)} missing value(s), the first at position {missing[0]}. Fill "
            "them in, or leave these texts out."
        )
    return labels if labels.dtype != object else _plain(labels)


def _plain(labels: NDArray[Any]) -> NDArray[Any]:
    """Return classes of mixed types as str, so that they can be sorted."""
    kinds = {type(label) for label in labels.tolist()}
    return np.array(labels.tolist()) if len(kinds) == 1 else labels.astype(str)


def _reduced(vectors: NDArray[Any], reducer: Any) -> tuple[NDArray[Any], tuple[str, str]]:
    """Return two features of each vector, and their names."""
    if reducer is None:
        if vectors.shape[1] == 2:
            return vectors, ("feature 0", "feature 1")
        reducer = PCA(n_components=2, random_state=0)
    if not hasattr(reducer, "fit_transform"):
        raise ParameterError(
            f"reducer={reducer!r} has no fit_transform, expected a transformer such as PCA(2)."
        )
    points = np.asarray(reducer.fit_transform(vectors))
    if points.shape != (len(vectors), 2):
        raise ParameterError(
            f"reducer={reducer!r} gives an array of shape {points.shape}, expected "
            f"({len(vectors)}, 2). Use n_components=2."
        )
    if isinstance(reducer, PCA):
        first, second = (f"{share:.0%}" for share in reducer.explained_variance_ratio_)
        return points, (
            f"principal component 1 ({first} of variance)",
            f"principal component 2 ({second} of variance)",
        )
    kind = type(reducer).__name__
    return points, (f"{kind} 1", f"{kind} 2")


def _scatter_classes(
    ax: Any, points: NDArray[Any], labels: NDArray[Any], style: dict[str, Any]
) -> list[Any]:
    """Draw the points of each class, in the order of the sorted classes."""
    scatters = []
    for number, label in enumerate(np.unique(labels)):
        look = {"color": f"C{number % 10}", "marker": MARKERS[number // 10 % len(MARKERS)]}
        place = points[labels == label].T
        scatters.append(ax.scatter(*place, label=_short(label), **{**look, **style}))
    return scatters


def _short(label: Any) -> str:
    """Return the name of a class for the legend; what differs is often at an end."""
    name = str(label)
    if len(name) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        name = f"{name[: half - 1]}…{name[-half:]}"
    name = name.replace("$", r"\$")
    # A label that begins with "_" would be left out of the legend.
    return "\u200b" + name if name.startswith("_") else name


def _draw_legend(ax: Any, n_classes: int, *, widen: bool) -> Any:
    """Write the names of the classes beside the map, in columns where they are many."""
    legend = ax.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0,
        ncols=-(-n_classes // LEGEND_ROWS),
        fontsize=9 if n_classes <= LEGEND_ROWS else 7,
        columnspacing=1,
        handletextpad=0.2,
    )
    if widen:  # the map keeps its size
        width, height = ax.figure.get_size_inches()
        of_legend = legend.get_window_extent().width / ax.figure.dpi
        ax.figure.set_size_inches(width + of_legend, height)
    return legend
