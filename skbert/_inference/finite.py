"""No number that is not finite leaves the inference loop."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skbert._exceptions import CheckpointError, DeviceError
from skbert._models.encoder import Encoder


def check_finite(
    result: NDArray[np.float32], encoder: Encoder, steps: Sequence[torch.nn.Module] = ()
) -> None:
    """Refuse results that are NaN or infinite.

    Parameters
    ----------
    result : ndarray of float32, shape (n, F)
        What was computed.
    encoder : Encoder
        By what.
    steps : sequence of torch.nn.Module, default=()
        What was computed with its vectors afterwards.

    Raises
    ------
    CheckpointError
        If the weights give such numbers.
    DeviceError
        If they come from the precision.
    """
    if np.isfinite(result).all():
        return
    rows = np.flatnonzero(~np.isfinite(result).all(axis=1))
    precision = str(encoder.dtype).removeprefix("torch.")
    found = (
        f"{len(rows)} of {len(result)} results of {encoder.model.config.model_type!r} in "
        f'precision="{precision}" are NaN or infinite'
    )
    nan_only = encoder.dtype != torch.float32
    names = (not_finite_weight(part, nan_only=nan_only) for part in (encoder.model, *steps))
    damaged = next(filter(None, names), None)
    if damaged is not None:
        raise CheckpointError(
            f"{found}, because the weights {damaged!r} are. Use an intact checkpoint, or fit again "
            "with a smaller learning_rate."
        )
    if encoder.dtype == torch.float16:
        raise DeviceError(
            f"{found}: its largest number is {torch.finfo(torch.float16).max:,.0f}. Use "
            'precision="bfloat16" or "float32", which reach to 3e38.'
        )
    if encoder.dtype != torch.float32:
        raise DeviceError(f'{found}. Use precision="float32".')
    raise CheckpointError(
        f"{found}, although the weights are not: these are too large. Use another checkpoint, or "
        "fit again with a smaller learning_rate."
    )


def not_finite_weight(model: Any, *, nan_only: bool = False) -> str | None:
    """Return the name of a layer with weights that are NaN or infinite, if there is one.

    Rounding to half precision makes large weights infinite, but none NaN.
    """
    for name, module in model.named_modules():
        for kind in ("weight", "bias", "weight_scales"):
            tensor = getattr(module, kind, None)
            if not isinstance(tensor, torch.Tensor) or not tensor.is_floating_point():
                continue
            bad = tensor.isnan() if nan_only else ~tensor.isfinite()
            if bool(bad.any()):
                return f"{name}.{'weight' if kind == 'weight_scales' else kind}".lstrip(".")
    return None
