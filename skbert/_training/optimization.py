"""How a model is trained: epochs, batches, step sizes, optimizer."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from skbert._models import device as _device
from skbert._training.freezing import parameter_depths

# Where padding costs time, batches are cut from texts of similar length, sorted in pools of this
# many batches; of large data only: on 770 questions it cost three points of accuracy.
BATCHES_PER_POOL = 8
LEAST_POOLS = 64


@dataclass(frozen=True)
class Recipe:
    """How to train; the parameters of the estimators of the same names say more."""

    max_epochs: int
    min_steps: int
    learning_rate: float
    weight_decay: float
    warmup_fraction: float
    layer_decay: float
    batch_size: int
    accumulation: int
    max_grad_norm: float | None
    patience: int
    gradient_checkpointing: bool
    seed: int
    head_learning_rate: float | None = None

    def n_epochs(self, n_rows: int) -> int:
        """Count the epochs to run: more than `max_epochs` where the data is small."""
        if self.max_epochs == 0:  # the head's first weights are all that is asked for
            return 0
        return max(self.max_epochs, math.ceil(self.min_steps / self.n_updates(n_rows)))

    def n_updates(self, n_rows: int) -> int:
        """Count the updates of the weights in an epoch."""
        return math.ceil(math.ceil(n_rows / self.batch_size) / self.accumulation)


def shuffled_batches(
    lengths: NDArray[np.int64], batch_size: int, rng: np.random.Generator, *, group: bool
) -> Iterator[NDArray[np.int64]]:
    """Cut windows, in random order, into batches; each batch longest first.

    With ``group`` (where shorter windows are padded), batches hold windows of similar lengths: the
    windows are shuffled, sorted by length within pools of a few batches only, and the batches are
    shuffled again. Every window has its random place in the epoch, and new companions in each.
    """
    order = rng.permutation(len(lengths))
    n_batches = math.ceil(len(order) / batch_size)
    batches_per_pool = min(BATCHES_PER_POOL, n_batches // LEAST_POOLS) if group else 1
    pool = batch_size * max(1, batches_per_pool)
    for start in range(0, len(order), pool):
        part = order[start : start + pool]
        order[start : start + pool] = part[np.argsort(-lengths[part], kind="stable")]
    for batch in rng.permutation(n_batches):
        rows = order[batch * batch_size : (batch + 1) * batch_size]
        yield rows[np.argsort(-lengths[rows], kind="stable")]


def learning_rate_at(recipe: Recipe, step: int, n_steps: int) -> float:
    """Return the rate of a step: it rises, then falls linearly, as BERT was fine-tuned."""
    n_warmup = math.ceil(recipe.warmup_fraction * n_steps)
    if step < n_warmup:
        return recipe.learning_rate * (step + 1) / n_warmup
    return recipe.learning_rate * max(0.0, (n_steps - step) / max(1, n_steps - n_warmup))


def make_optimizer(model: Any, recipe: Recipe, device: torch.device) -> torch.optim.Optimizer:
    """Return AdamW with bias correction; matrices decay, biases and norms do not.

    Lower layers learn more slowly by ``layer_decay`` a layer (Howard and Ruder 2018,
    "Universal Language Model Fine-tuning", https://arxiv.org/abs/1801.06146).
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    depths = parameter_depths(model) if recipe.layer_decay != 1.0 else {}
    top = model.config.num_hidden_layers + 1
    of_head = (recipe.head_learning_rate or recipe.learning_rate) / recipe.learning_rate
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            factor = recipe.layer_decay ** (top - depths.get(name, top))
            if not name.startswith(model.base_model_prefix + "."):
                factor = of_head
            decay = recipe.weight_decay if parameter.ndim > 1 else 0.0
            groups.setdefault((factor, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr_factor": factor, "weight_decay": decay}
            for (factor, decay), parameters in groups.items()
        ],
        lr=recipe.learning_rate,
        fused=_device.has_fused_optimizer(device),
    )
