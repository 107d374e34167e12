"""Training: batches of rows and a loss → trained weights and a history. Never learns the task.

Read from the bottom up: `train` runs epochs, `_train_epoch` runs updates, `_update` runs one
update of the weights from one or several batches.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skbert._exceptions import (
    DeviceError,
    InterruptedTrainingWarning,
    TrainingError,
    stacklevel_of_caller,
)
from skbert._kernels.training_layers import use_fast_layers
from skbert._kernels.used_rows import UsedRows
from skbert._models import device as _device
from skbert._models.encoder import Encoder
from skbert._texts.windows import Encodings
from skbert._training.best_weights import BestWeights
from skbert._training.finite_weights import check_trained_weights
from skbert._training.freezing import set_training_mode
from skbert._training.optimization import Recipe, learning_rate_at, make_optimizer, shuffled_batches
from skbert._training.pooled_model import readable_part
from skbert._training.protocols import Callback, Objective, Validation
from skbert._training.readers import Reader, make_reader

# The losses of this many updates are looked at together: a look waits for the GPU.
LOG_EVERY = 16


@dataclass
class _Trainer:
    """What an update needs, put together once."""

    encoder: Encoder
    reader: Reader
    objective: Objective
    recipe: Recipe
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    n_updates: int  # in all epochs
    used_rows: UsedRows | None
    progress: Callable[[int, float | None], Any]
    step: int = 0
    # What weight decay left of the embeddings that no text uses (see UsedRows).
    decay: float = 1.0
    losses: list[Tensor] = field(default_factory=list)
    epoch_losses: list[float] = field(default_factory=list)


def train(
    encoder: Encoder,
    encodings: Encodings,
    objective: Objective,
    recipe: Recipe,
    *,
    validate: Validation | None = None,
    unseen: Encodings | None = None,
    n_skipped: int = 0,
    callback: Callback | None = None,
    progress: Callable[[int, float | None], Any] = lambda n_rows, loss: None,
) -> list[dict[str, float]]:
    """Train a model in place.

    Parameters
    ----------
    encoder : Encoder
        Model with a head, in float32, on its device.
    encodings : Encodings
        What it reads.
    objective : Objective
        What is minimised.
    recipe : Recipe
        How.
    validate : Validation, default=None
        If given, the weights of the best epoch are kept, and training stops after
        ``recipe.patience`` epochs without a better one.
    unseen : Encodings, default=None
        What the validation reads, if it reads other words.
    n_skipped : int, default=0
        Tokens at the beginning of each text, those of a prompt, that a pooled head does not count.
    callback : Callback, default=None
        Told about each epoch; training stops where it says so.
    progress : callable, optional
        Told how many rows were read and, from time to time, their loss.

    Returns
    -------
    history : list of dict
        One entry an epoch: "epoch", "loss", "learning_rate" (at its end) and, with validation,
        "validation_loss" and "validation_score".

    Raises
    ------
    TrainingError
        If the loss or a weight becomes NaN or infinite.
    DeviceError
        If the device's memory does not hold a batch.

    Warns
    -----
    InterruptedTrainingWarning
        If Ctrl-C ended the training; the weights are those of the last update.
    """
    used = [encodings.ids] if unseen is None else [encodings.ids, unseen.ids]
    reader = make_reader(encoder, encodings, n_skipped)
    trainer = _start(encoder, reader, objective, recipe, progress, np.concatenate(used))
    n_epochs = recipe.n_epochs(len(reader.lengths))
    history: list[dict[str, float]] = []
    best = BestWeights()
    try:
        for epoch in range(1, n_epochs + 1):
            if callback is not None:
                callback.on_epoch_begin()
            entry = {"epoch": epoch, **_train_epoch(trainer, epoch)}
            if validate is not None:
                entry |= _validated(trainer, validate)
                best.update(entry, _trained(trainer), trainer.decay)
            history.append(entry)
            stop = callback is not None and callback.on_epoch_end(entry, partial(_weights, trainer))
            if stop or best.n_epochs_no_change >= recipe.patience:
                break
    except KeyboardInterrupt:
        warnings.warn(
            f"Training was interrupted after {len(history)} of {n_epochs} epochs; the estimator "
            "keeps the weights so far.",
            InterruptedTrainingWarning,
            stacklevel=stacklevel_of_caller(),
        )
    except torch.OutOfMemoryError as error:
        raise DeviceError(
            f"The memory of {encoder.device} is too small to train on "
            f"{recipe.batch_size} texts at a time. Use a smaller train_batch_size with "
            "gradient_accumulation, a smaller max_length, or gradient_checkpointing=True."
        ) from error
    finally:
        reader.frozen.remove()
    trainer.decay = best.restore(_trained(trainer), trainer.decay)
    _finish(trainer)
    return history


def _start(
    encoder: Encoder,
    reader: Reader,
    objective: Objective,
    recipe: Recipe,
    progress: Callable[[int, float | None], Any],
    used_ids: NDArray[np.int32],
) -> _Trainer:
    model = encoder.model
    if encoder.device.type == "cpu":
        use_fast_layers(model, float32=encoder.dtype == torch.float32)
    if recipe.gradient_checkpointing:
        _device.switch_checkpointing(readable_part(model), on=True)
    used_rows = _train_used_rows_only(encoder, used_ids)
    n_rows = len(reader.lengths)
    return _Trainer(
        encoder=encoder,
        reader=reader,
        objective=objective,
        recipe=recipe,
        optimizer=make_optimizer(model, recipe, encoder.device),
        scaler=_device.gradient_scaler(encoder.device, encoder.dtype),
        n_updates=recipe.n_epochs(n_rows) * recipe.n_updates(n_rows),
        used_rows=used_rows,
        progress=progress,
    )


def _train_used_rows_only(encoder: Encoder, ids: NDArray[np.int32]) -> UsedRows | None:
    """Leave the embeddings of words that no text uses out of the training."""
    model = encoder.model
    table = model.get_input_embeddings()
    used = np.union1d(ids, [encoder.tokenizer.pad_id])
    if type(table) is not nn.Embedding or not table.weight.requires_grad:
        return None
    if table.max_norm is not None or len(used) > table.num_embeddings // 2:
        return None
    rows = UsedRows(table, torch.from_numpy(used).long().to(table.weight.device))
    model.set_input_embeddings(rows)
    return rows


def _train_epoch(trainer: _Trainer, epoch: int) -> dict[str, float]:
    """Read every row once."""
    set_training_mode(trainer.encoder.model)
    trainer.epoch_losses = []
    rng = np.random.default_rng([trainer.recipe.seed, epoch])
    lengths, batch_size = trainer.reader.lengths, trainer.recipe.batch_size
    group = not trainer.encoder.packed
    batches = list(shuffled_batches(lengths, batch_size, rng, group=group))
    for start in range(0, len(batches), trainer.recipe.accumulation):
        together = batches[start : start + trainer.recipe.accumulation]
        _set_learning_rate(trainer)
        _update(trainer, together)
        is_time = len(trainer.losses) == LOG_EVERY
        loss = _log_losses(trainer) if is_time else None
        trainer.progress(sum(map(len, together)), loss)
    trainer.progress(0, _log_losses(trainer))
    return {
        "loss": float(np.mean(trainer.epoch_losses)),
        "learning_rate": learning_rate_at(trainer.recipe, trainer.step - 1, trainer.n_updates),
    }


def _update(trainer: _Trainer, batches: list[NDArray[np.int64]]) -> None:
    """Change the weights once, by the mean loss of one or several batches."""
    divisor = max(1, sum(trainer.objective.divisor(rows) for rows in batches))
    losses = []
    for rows in batches:
        loss = _batch_loss(trainer, rows) / divisor
        trainer.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        losses.append(loss.detach())
    _clip_gradients(trainer)
    trainer.scaler.step(trainer.optimizer)
    trainer.scaler.update()
    trainer.optimizer.zero_grad(set_to_none=True)
    trainer.losses.append(torch.stack(losses).sum())
    trainer.step += 1


def _batch_loss(trainer: _Trainer, rows: NDArray[np.int64]) -> Tensor:
    """Sum the losses of some rows."""
    return trainer.objective.loss(trainer.reader.logits(rows), rows)


def _clip_gradients(trainer: _Trainer) -> None:
    if trainer.recipe.max_grad_norm is None:
        return
    trainer.scaler.unscale_(trainer.optimizer)
    parameters = [p for group in trainer.optimizer.param_groups for p in group["params"]]
    nn.utils.clip_grad_norm_(parameters, trainer.recipe.max_grad_norm)


def _set_learning_rate(trainer: _Trainer) -> None:
    rate = learning_rate_at(trainer.recipe, trainer.step, trainer.n_updates)
    for group in trainer.optimizer.param_groups:
        group["lr"] = rate * group["lr_factor"]
        rows = trainer.used_rows
        if rows is not None and any(p is rows.weight for p in group["params"]):
            trainer.decay *= 1 - group["lr"] * group["weight_decay"]


def _log_losses(trainer: _Trainer) -> float | None:
    """Fetch the losses since the last look; refuse those that are no numbers."""
    if not trainer.losses:
        return None
    values = torch.stack(trainer.losses).tolist()
    first_step = trainer.step - len(values) + 1
    trainer.losses = []
    for step, value in enumerate(values, first_step):
        if not math.isfinite(value):
            raise TrainingError(
                f"The loss became {value} at step {step} of {trainer.n_updates}, with "
                f"learning_rate={trainer.recipe.learning_rate}. Use a smaller learning_rate or "
                'max_grad_norm, or precision="float32"; check y and sample_weight for huge values.'
            )
    trainer.epoch_losses += values
    return float(np.mean(values))


def _validated(trainer: _Trainer, validate: Validation) -> dict[str, float]:
    check_trained_weights(trainer.encoder.model, trainer.recipe.learning_rate)
    trainer.encoder.model.eval()
    with _device.autocast(trainer.encoder.device, trainer.encoder.dtype):
        score, loss = validate()
    return {"validation_loss": loss, "validation_score": score}


def _weights(trainer: _Trainer) -> dict[str, Tensor]:
    """Copy all weights as they are now, under their names in a checkpoint, to the CPU."""
    model = trainer.encoder.model
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    rows = trainer.used_rows
    if rows is not None:
        (name,) = (n for n, p in model.named_parameters() if p is rows.weight)
        weights[name] = rows.whole(trainer.decay).cpu()
    return weights


def _trained(trainer: _Trainer) -> list[nn.Parameter]:
    return [p for p in trainer.encoder.model.parameters() if p.requires_grad]


def _finish(trainer: _Trainer) -> None:
    """Leave a whole model behind, in evaluation mode, without gradients."""
    model = trainer.encoder.model
    check_trained_weights(model, trainer.recipe.learning_rate)
    if trainer.used_rows is not None:
        model.set_input_embeddings(trainer.used_rows.put_back(trainer.decay))
    if trainer.recipe.gradient_checkpointing:
        _device.switch_checkpointing(readable_part(model), on=False)
    model.zero_grad(set_to_none=True)
    model.eval()
