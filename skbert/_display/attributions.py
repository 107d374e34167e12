"""Integrated gradients over input embeddings: how much each token changes what a model gives.

Sundararajan, Taly and Yan (2017), "Axiomatic Attribution for Deep Networks",
https://arxiv.org/abs/1703.01365

Letters: L tokens of the window, H features of an input embedding, n copies at a time.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skbert._display.explained import Value
from skbert._exceptions import (
    CheckpointError,
    CompletenessWarning,
    DeviceError,
    stacklevel_of_caller,
)
from skbert._inference.loop import logits_of
from skbert._models.device import free_cached_memory
from skbert._optional import import_optional

# How far the sum of the importances may be from the change that they explain.
TOLERANCE = 0.02
# Of the outputs: a smaller change is lost in the rounding of float32.
ROUNDING = 1e-5

# Input embeddings, (n, L, H) → the number that is explained, (n,).
Forward = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Attribution:
    """Importance of each token, (L,), and the two outputs whose difference they sum to."""

    importances: NDArray[np.float64]
    output: float
    baseline_output: float
    n_steps: int


def attribute(
    model: Any,
    inputs: dict[str, Tensor],
    value: Value,
    *,
    fixed: NDArray[np.bool_],
    baseline_id: int | None,
    n_steps: int,
    max_steps: int,
    max_tokens: int,
) -> Attribution:
    """Compute integrated gradients, with twice the steps until they are complete.

    Parameters
    ----------
    model : transformers model
        With a head and plain layers.
    inputs : dict of str to Tensor
        "input_ids", (1, L), and what else the model reads.
    value : callable
        Takes the number that is explained from the logits.
    fixed : ndarray of bool, shape (L,)
        Tokens that are the same in the baseline: special ones.
    baseline_id : int or None
        The token that stands for all others in the baseline; None for embeddings of zeros.
    n_steps, max_steps : int
        Steps of the integral, at first and at most.
    max_tokens : int
        Tokens to compute at a time.

    Raises
    ------
    CheckpointError
        If the model does not compute the same from its input embeddings as from token ids.

    Warns
    -----
    CompletenessWarning
        If the importances do not sum to the change of the output within 2 %.
    """
    text, baseline = _ends(model, inputs["input_ids"], fixed, baseline_id)
    forward = _from_embeddings(model, inputs, value)
    with torch.no_grad():
        expected = float(value(logits_of(model(**inputs))))
        output, baseline_output = float(forward(text)), float(forward(baseline))
    _check_same(output, expected)
    change = output - baseline_output
    rounding = ROUNDING * max(abs(output), abs(baseline_output))
    accepted = max(TOLERANCE * abs(change), rounding)
    n_copies = max(1, max_tokens // text.shape[1])
    while True:
        gradients, n_copies = _integrated(forward, text, baseline, n_steps, n_copies)
        importances = gradients.double().sum(-1)[0].cpu().numpy()
        is_complete = abs(importances.sum() - change) <= accepted
        if is_complete or 2 * n_steps > max_steps:
            break
        n_steps *= 2
    if not is_complete:
        _warn_incomplete(float(importances.sum()), change, n_steps)
    return Attribution(importances, output, baseline_output, n_steps)


@torch.no_grad()
def _ends(
    model: Any, ids: Tensor, fixed: NDArray[np.bool_], baseline_id: int | None
) -> tuple[Tensor, Tensor]:
    """Return input embeddings of the text and of its baseline, (1, L, H) each."""
    embed = model.get_input_embeddings()
    text = embed(ids)
    empty = (
        torch.zeros_like(text) if baseline_id is None else embed(torch.full_like(ids, baseline_id))
    )
    stays = torch.from_numpy(fixed).to(ids.device)
    return text, torch.where(stays[None, :, None], text, empty)


def _from_embeddings(model: Any, inputs: dict[str, Tensor], value: Value) -> Forward:
    """Return the explained number, (n,), as a function of input embeddings, (n, L, H)."""
    others = {name: tensor for name, tensor in inputs.items() if name != "input_ids"}

    def forward(embeddings: Tensor) -> Tensor:
        shared = {name: tensor.expand(len(embeddings), -1) for name, tensor in others.items()}
        return value(logits_of(model(inputs_embeds=embeddings, **shared)))

    return forward


def _integrated(
    forward: Forward,
    text: Tensor,
    baseline: Tensor,
    n_steps: int,
    n_copies: int,
) -> tuple[Tensor, int]:
    """Return integrated gradients, (1, L, H), and how many copies of the text the memory held."""
    captum = import_optional("captum.attr", extra="explain", needed_by="TokenImportanceDisplay")
    while True:
        try:
            gradients = captum.IntegratedGradients(forward).attribute(
                text,
                baselines=baseline,
                n_steps=n_steps,
                method="gausslegendre",
                internal_batch_size=n_copies,
            )
            return gradients.detach(), n_copies
        except torch.OutOfMemoryError as error:
            if n_copies == 1:
                raise DeviceError(
                    f"The memory of {text.device} is too small for the gradients of one text of "
                    f"{text.shape[1]} tokens. Use a shorter text, or an "
                    'estimator with device="cpu".'
                ) from error
        n_copies //= 2
        free_cached_memory(text.device)


def _check_same(output: float, expected: float) -> None:
    if not np.isclose(output, expected, rtol=1e-3, atol=1e-3):
        raise CheckpointError(
            f"This model gives {output:.4g} for the text's input embeddings, but {expected:.4g} "
            "for its token ids: it uses the ids for more than embeddings, so integrated "
            "gradients cannot explain it. Use another model."
        )


def _warn_incomplete(total: float, change: float, n_steps: int) -> None:
    share = abs(total - change) / abs(change) if change else np.inf
    warnings.warn(
        f"The importances sum to {total:.4g}, but the text changes the output by {change:.4g}: "
        f"{share:.1%} apart after {n_steps} steps, expected at most {TOLERANCE:.0%}. Use a larger "
        "max_steps, or another baseline.",
        CompletenessWarning,
        stacklevel=stacklevel_of_caller(),
    )
