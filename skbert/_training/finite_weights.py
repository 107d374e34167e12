"""A training that leaves weights that are no numbers has failed, whatever its losses were."""

from __future__ import annotations

from typing import Any

import torch

from skbert._exceptions import TrainingError


@torch.no_grad()
def check_trained_weights(model: Any, learning_rate: float) -> None:
    """Refuse trained weights that are NaN or infinite: the last update's loss does not show them.

    Raises
    ------
    TrainingError
        If there are some.
    """
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    sums = torch.stack([weights.sum() for weights in trained.values()])
    for name, total in zip(trained, sums.tolist(), strict=True):
        # A sum is not finite where a weight is not; the other way round it may have overflowed.
        if total - total != 0 and not bool(trained[name].isfinite().all()):
            raise TrainingError(
                f"The weights {name!r} became NaN or infinite, with learning_rate={learning_rate}. "
                'Use a smaller learning_rate or max_grad_norm, or precision="float32"; check y and '
                "sample_weight for huge values."
            )
