"""The model of a fitted estimator as transformers makes it: for gradients and attention weights.

The model that predicts is laid out for that only: it reads packed rows, and its linear layers have
no gradients.
"""

from __future__ import annotations

from typing import Any

import torch

from skbert._estimators.trained import TrainedEstimator
from skbert._models.device import resolve_device
from skbert._models.loading import load_model, model_from_weights
from skbert._models.shared import same_folder
from skbert._models.state import model_config, weight_tensors


def plain_model(estimator: Any, *, attention: str | None = None) -> Any:
    """Build the model of a fitted estimator anew, in float32, on the estimator's device.

    Parameters
    ----------
    estimator : fitted estimator
        Its weights are read, not changed.
    attention : str, default=None
        Implementation of attention, as transformers names it; "eager" gives attention weights.

    Returns
    -------
    model : transformers model
        In evaluation mode, its weights without gradients; with a head, if the estimator has one.
    """
    if isinstance(estimator, TrainedEstimator):
        state = estimator._state
        model = model_from_weights(
            model_config(state), weight_tensors(state), estimator._auto_class
        )
    else:
        with same_folder(estimator.checkpoint_, vars(estimator).get("_files")) as folder:
            model, _ = load_model(folder, torch.float32)
    if attention is not None:
        model.set_attn_implementation(attention)
    return model.to(resolve_device(estimator.device), torch.float32).requires_grad_(False)
