"""scikit-learn's callbacks, where its version has them (1.9, experimental)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Self

from torch import Tensor

__all__ = [
    "CallbackSupportMixin",
    "FitCallbacks",
    "callback_data",
    "history_attributes",
    "with_callbacks",
]

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9: estimators have no `set_callbacks`

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """Stands in for scikit-learn's."""

    def with_callbacks(method: Any) -> Any:
        """Stand in for scikit-learn's: call nothing."""
        return method


class FitCallbacks:
    """Tells scikit-learn's callbacks about a fit and its epochs; a `Callback` of the training.

    Around the training it is a context.

    Parameters
    ----------
    estimator : estimator
        That is fitted.
    n_epochs : int
        Epochs that there will be at most.
    attributes_from : callable
        Makes, of the weights, the attributes of an estimator that predicts with them.
    data : mapping
        What callbacks may ask for: X, y and metadata.
    """

    def __init__(
        self,
        estimator: Any,
        n_epochs: int,
        attributes_from: Callable[[dict[str, Tensor]], dict[str, Any]],
        data: Mapping[str, Any],
    ) -> None:
        self.estimator = estimator
        self.attributes_from = attributes_from
        self.data = data
        self.history: list[dict[str, float]] = []
        self.context = None
        if hasattr(estimator, "_init_callback_context"):
            self.context = estimator._init_callback_context(max_subtasks=n_epochs)
            self.context.call_on_fit_task_begin(estimator=estimator, **data)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Leave no history of a training that failed."""
        for name in history_attributes([]) if kind is not None else ():
            vars(self.estimator).pop(name, None)

    def on_epoch_begin(self) -> None:
        """Begin a subtask."""
        if self.context is not None:
            self.epoch = self.context.subcontext(task_name="epoch")
            self.epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_epoch_end(
        self, entry: dict[str, float], weights: Callable[[], dict[str, Tensor]]
    ) -> bool:
        """End the subtask; give whether a callback asks to stop.

        The estimator has its `history_`, `loss_curve_` and `n_iter_` so far: a callback that looks
        at no prediction, as one that prunes, need not wait for the weights.
        """
        if self.context is None:
            return False
        self.history.append(entry)
        shown = history_attributes(self.history)
        vars(self.estimator).update(shown)
        return bool(
            self.epoch.call_on_fit_task_end(
                estimator=self.estimator,
                reconstruction_attributes=lambda: self.attributes_from(weights()) | shown,
                **self.data,
            )
        )

    def on_fit_end(self) -> None:
        """End the task of the whole fit."""
        if self.context is not None:
            self.context.call_on_fit_task_end(
                estimator=self.estimator, reconstruction_attributes={}, **self.data
            )


def history_attributes(history: list[dict[str, float]]) -> dict[str, Any]:
    """Return what a fitted estimator tells of its epochs."""
    return {
        "history_": list(history),
        "loss_curve_": [entry["loss"] for entry in history],
        "n_iter_": len(history),
    }


def callback_data(X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Return what scikit-learn's callbacks may ask for."""
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    return {"X": X, "y": y, "metadata": metadata}
