"""scikit-learn's callbacks, where its version has them (1.9, experimental)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

__all__ = ["CallbackSupportMixin", "FitCallbacks", "callback_data", "with_callbacks"]

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
        self.context = None
        if hasattr(estimator, "_init_callback_context"):
            self.context = estimator._init_callback_context(max_subtasks=n_epochs)
            self.context.call_on_fit_task_begin(estimator=estimator, **data)

    def on_epoch_begin(self) -> None:
        """Begin a subtask."""
        if self.context is not None:
            self.epoch = self.context.subcontext(task_name="epoch")
            self.epoch.call_on_fit_task_begin(estimator=self.estimator, **self.data)

    def on_epoch_end(
        self, entry: dict[str, float], weights: Callable[[], dict[str, Tensor]]
    ) -> bool:
        """End the subtask; give whether a callback asks to stop."""
        if self.context is None:
            return False
        return bool(
            self.epoch.call_on_fit_task_end(
                estimator=self.estimator,
                reconstruction_attributes=lambda: self.attributes_from(weights()),
                **self.data,
            )
        )

    def on_fit_end(self) -> None:
        """End the task of the whole fit."""
        if self.context is not None:
            self.context.call_on_fit_task_end(
                estimator=self.estimator, reconstruction_attributes={}, **self.data
            )


def callback_data(X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Return what scikit-learn's callbacks may ask for."""
    metadata = None if sample_weight is None else {"sample_weight": sample_weight}
    return {"X": X, "y": y, "metadata": metadata}
