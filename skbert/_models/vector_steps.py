"""Steps of sentence-transformers behind the pooling: dense layers and norms on a text's vector."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from skbert._exceptions import CheckpointError
from skbert._models.foreign import checkpoint_errors
from skbert._models.json_files import read_json


@dataclass(frozen=True, eq=False)
class VectorStep:
    """One step.

    Attributes
    ----------
    kind : str
        Key of STEPS, or "Cut".
    layer : nn.Module
        (n, F) → (n, F').
    n_in, n_out : int or None
        Features that it reads and gives; None for as many as there are.
    unapplied : str
        The setting, if any, that asks for code of the checkpoint's own.
    """

    kind: str
    layer: nn.Module
    n_in: int | None = None
    n_out: int | None = None
    unapplied: str = ""

    def n_features_out(self, n_features: int) -> int:
        """Return the number of features that it makes of so many.

        Raises
        ------
        CheckpointError
            If it reads another number.
        """
        if self.n_in not in (None, n_features):
            raise CheckpointError(
                f"The checkpoint's {self.kind} layer reads {self.n_in} features, but the pooled "
                f"vector has {n_features}. Use layers=-1, or a pooling of your own instead of "
                '"auto".'
            )
        if isinstance(self.layer, Cut):
            return min(self.layer.size, n_features)
        return n_features if self.n_out is None else self.n_out


class Dense(nn.Module):
    """A linear layer and an activation, perhaps with a connection around both."""

    def __init__(
        self, n_in: int, n_out: int, *, bias: bool, activation: nn.Module, residual: bool
    ) -> None:
        super().__init__()
        self.linear = nn.Linear(n_in, n_out, bias=bias)
        self.activation_function = activation
        self.has_residual = residual
        if residual and n_in != n_out:
            self.residual = nn.Linear(n_in, n_out, bias=False)

    def forward(self, vectors: Tensor) -> Tensor:
        """Compute (n, n_in) → (n, n_out)."""
        output = self.activation_function(self.linear(vectors))
        if not self.has_residual:
            return output
        return output + (self.residual(vectors) if hasattr(self, "residual") else vectors)


class Norm(nn.Module):
    """Layer normalization."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size)

    def forward(self, vectors: Tensor) -> Tensor:
        """Compute (n, F) → (n, F)."""
        return self.norm(vectors)


class UnitLength(nn.Module):
    """Scaling to Euclidean length 1."""

    def forward(self, vectors: Tensor) -> Tensor:
        """Compute (n, F) → (n, F)."""
        return nn.functional.normalize(vectors, dim=-1)


class Cut(nn.Module):
    """The first features only."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, vectors: Tensor) -> Tensor:
        """Compute (n, F) → (n, size)."""
        return vectors[:, : self.size]


def _dense(folder: Path) -> VectorStep:
    file, config = folder / "config.json", _config(folder, "in_features", "out_features")
    n_in, n_out = config["in_features"], config["out_features"]
    path = config.get("activation_function", DEFAULT_ACTIVATION)
    is_own = path is not None and not str(path).startswith("torch.")
    layer = Dense(
        n_in,
        n_out,
        bias=bool(config.get("bias", True)),
        # sentence-transformers, too, takes its default instead of code that it must not run.
        activation=activation(DEFAULT_ACTIVATION if is_own else path, file),
        residual=bool(config.get("use_residual", False)),
    )
    unapplied = f"{file}: activation_function={path!r}" if is_own else ""
    return VectorStep("Dense", _with_weights(layer, folder), n_in, n_out, unapplied)


def _layer_norm(folder: Path) -> VectorStep:
    size = _config(folder, "dimension")["dimension"]
    return VectorStep("LayerNorm", _with_weights(Norm(size), folder), size, size)


def _normalize(folder: Path) -> VectorStep:
    return VectorStep(NORMALIZE, UnitLength())


NORMALIZE = "Normalize"
DEFAULT_ACTIVATION = "torch.nn.modules.activation.Tanh"
STEPS: dict[str, Callable[[Path], VectorStep]] = {
    "Dense": _dense,
    "LayerNorm": _layer_norm,
    NORMALIZE: _normalize,
}


def activation(path: str | None, file: Path) -> nn.Module:
    """Return an activation by its name, such as ``torch.nn.modules.activation.Tanh``.

    Raises
    ------
    CheckpointError
        If it is none of torch's: other code is not run.
    """
    found: Any = (
        nn.Identity if path is None else torch if str(path).startswith("torch.nn.") else None
    )
    for name in str(path or "").split(".")[1:]:
        found = getattr(found, name, None)
    if not (inspect.isclass(found) and issubclass(found, nn.Module)):
        raise CheckpointError(
            f"{file}: the activation {path!r} is not one of torch.nn, expected one such as "
            "'torch.nn.modules.activation.Tanh'. Other code is not run; use another checkpoint."
        )
    with checkpoint_errors(f"{file}: the activation {path!r} cannot be made", "Correct the file."):
        return found()


def _config(folder: Path, *sizes: str) -> dict[str, Any]:
    file = folder / "config.json"
    config = read_json(file)
    for name in sizes:
        value = config.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise CheckpointError(
                f"{file}: {name}={value!r}, expected a number from 1 on. Put an intact copy there, "
                "or set the pooling, e.g. pooling='mean'."
            )
    return config


def _with_weights(layer: nn.Module, folder: Path) -> nn.Module:
    from safetensors.torch import load_file

    file = folder / "model.safetensors"
    if not file.is_file():
        raise CheckpointError(
            f"{file} is not there: the weights of this step of modules.json. Weights in other "
            "formats can run code when they are read and are not supported. Put the file there, or "
            "set the pooling, e.g. pooling='mean'."
        )
    with checkpoint_errors(f"{file} cannot be read", "Put an intact copy there."):
        weights = {name: tensor.float() for name, tensor in load_file(file).items()}
        layer.load_state_dict(weights)
    return layer.eval().requires_grad_(False)


def steps_digest(steps: Sequence[VectorStep]) -> str:
    """Return the SHA-256 of the settings and weights of steps."""
    digest = hashlib.sha256()
    for step in steps:
        digest.update(f"{step.layer!r} {step.n_in} {step.n_out}".encode())
        digest.update(repr(getattr(step.layer, "size", None)).encode())
        digest.update(repr(getattr(step.layer, "has_residual", None)).encode())
        for name, tensor in step.layer.state_dict().items():
            digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()
