"""The model of a fitted estimator as transformers makes it: for gradients and attention weights.

The model that predicts is laid out for that only: it reads packed rows, and its linear layers have
no gradients.
"""

from __future__ import annotations

from typing import Any, Self

import torch

from skbert._estimators.trained import TrainedEstimator
from skbert._inference.pooling import POOLINGS, pool_with
from skbert._models.device import resolve_device
from skbert._models.loading import load_model
from skbert._models.shared import same_folder
from skbert._models.state import model_config, weight_tensors
from skbert._training.pooled_model import PooledModel


class _WholeTexts(PooledModel):
    """Gives logits itself, for texts of one window, as a transformers model with a head does."""

    @classmethod
    def of(cls, model: PooledModel) -> Self:
        """Give a model's encoder and head to one of this kind."""
        whole = cls(model.encoder, model.poolings)
        whole.head = model.head
        return whole.eval()

    def forward(self, **inputs: Any) -> Any:
        """Return the encoder's outputs, and ``logits``, (n, K)."""
        output = self.encoder(**inputs)
        hidden, mask = output.last_hidden_state, inputs.get("attention_mask")
        if "pooler" in self.poolings:
            hidden, mask = output.pooler_output.unsqueeze(1), None
        pool = pool_with([POOLINGS[name] for name in self.poolings])
        output.logits = self.logits(pool(hidden, None if mask is None else mask > 0))
        return output


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
        model = estimator._model_of(model_config(state), weight_tensors(state))
        if isinstance(model, PooledModel):
            model = _WholeTexts.of(model)
    else:
        with same_folder(estimator.checkpoint_, vars(estimator).get("_files")) as folder:
            model, _ = load_model(folder, torch.float32)
    if attention is not None:
        model.set_attn_implementation(attention)
    return model.to(resolve_device(estimator.device), torch.float32).requires_grad_(False)
