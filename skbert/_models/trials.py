"""What a model does with texts, tried at loading: whether it reads them, and what padding changes.

Model types that are packed were compared with transformers' own in the tests; they need no trial.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from skbert._exceptions import CheckpointError, DeviceError
from skbert._models.adaptations import reads_sparsely
from skbert._models.device import autocast, float_dtype
from skbert._models.foreign import reason
from skbert._texts.encoding import TextTokenizer

# Texts of different lengths, an odd and an even number of tokens among them: some models pool pairs
# of tokens.
TRIAL_TEXTS = ("a", "a a", "a a a")
N_PADS = 3
HALF = (torch.bfloat16, torch.float16)
# What models raise that cannot read ids and a mask, or not in this precision.
MODEL_ERRORS = (
    RuntimeError,
    ValueError,
    TypeError,
    AttributeError,
    IndexError,
    KeyError,
    AssertionError,
)


class Trial(NamedTuple):
    """What was found out.

    Attributes
    ----------
    can_pad : bool
        Whether padding leaves the other tokens' vectors, and what a head makes of them, as they
        are.
    needs_autocast : bool
        Whether the model computes in its half precision only where torch chooses the type of each
        operation; its weights are float32 then.
    """

    can_pad: bool
    needs_autocast: bool


def try_model(model: Any, tokenizer: TextTokenizer, dtype: torch.dtype) -> Trial:
    """Let a model on the CPU read a few short texts.

    Raises
    ------
    CheckpointError
        If it cannot read them.
    DeviceError
        If it cannot in its precision.
    """
    is_half = any(weight.dtype in HALF for weight in model.parameters())
    try:
        return Trial(padding_is_masked(model, tokenizer), needs_autocast=False)
    except MODEL_ERRORS as error:
        if not is_half:
            raise unreadable(model, "texts", error, torch.float32) from error
    model.float()  # FNet's transform, for one, has no half precision
    try:
        with autocast(torch.device("cpu"), float_dtype(dtype)):
            return Trial(padding_is_masked(model, tokenizer), needs_autocast=True)
    except MODEL_ERRORS as error:
        raise unreadable(model, "texts", error, dtype) from error


def unreadable(
    model: Any, what: str, error: BaseException, dtype: torch.dtype
) -> CheckpointError | DeviceError:
    """Return the error that says that a model cannot read something, or not in this precision."""
    found = (
        f"transformers' {type(model).__name__} (model type {model.config.model_type!r}) cannot "
        f"read {what}"
    )
    if dtype in HALF:
        precision = str(dtype).removeprefix("torch.")
        return DeviceError(
            f'{found} in precision="{precision}": {reason(error)}. Use precision="float32".'
        )
    return CheckpointError(
        f"{found}: {reason(error)}. Leave such texts out, or use a checkpoint of another family."
    )


@torch.inference_mode()
def padding_is_masked(model: Any, tokenizer: TextTokenizer) -> bool:
    """Read short texts alone, and again with padding behind them, with its head and without."""
    if reads_sparsely(model.base_model):
        return False  # the attention of a text would depend on the length of the longest
    texts = [tokenizer.backend.encode(text).ids for text in TRIAL_TEXTS]
    longest = max(map(len, texts)) + N_PADS
    padded = torch.tensor([ids + [tokenizer.pad_id] * (longest - len(ids)) for ids in texts])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids in texts])
    return all(_is_equal(part, texts, padded, mask) for part in _parts(model))


def _parts(model: Any) -> list[Any]:
    """Return the encoder and the model with its head, which may be one and the same."""
    base = model.base_model
    if base is model or (model.config.is_encoder_decoder and hasattr(base, "decoder")):
        return [model]
    return [base, model]


def _is_equal(part: Any, texts: list[list[int]], padded: torch.Tensor, mask: torch.Tensor) -> bool:
    together = _first_output(part(input_ids=padded, attention_mask=mask))
    for row, ids in enumerate(texts):
        alone = _first_output(part(input_ids=torch.tensor([ids])))[0]
        # One row a token, or a head's one row a text.
        beside = together[row, : len(ids)] if alone.ndim == 2 else together[row]
        if beside.shape != alone.shape:  # Funnel's encoder gives fewer rows than tokens
            return False
        # Rounding in half precision stays far below this; a leak does not.
        if not bool((beside - alone).abs().max() < 0.02 * alone.abs().max()):
            return False
    return True


def _first_output(output: Any) -> torch.Tensor:
    """Return the token vectors, or what the head gives: (n, L, H) or (n, K)."""
    if "last_hidden_state" in output:
        return output["last_hidden_state"].float()
    first = output[0].float()
    return first.unsqueeze(-1) if "start_logits" in output else first
