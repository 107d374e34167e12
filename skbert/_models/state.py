"""A trained model as plain data: JSON and numpy arrays, fit for pickles of any kind.

No torch object is pickled: `joblib.hash` of the state is stable, joblib can map the arrays from
disk and send them to workers without copies, and reading a state runs no code of torch's.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skbert._exceptions import CheckpointChangedError
from skbert._models.tokenizer import load_tokenizer, readable_elsewhere


@dataclass(frozen=True, eq=False)
class ModelState:
    """Configuration, tokenizer and weights of a model.

    Attributes
    ----------
    config : str
        The model's configuration, JSON.
    tokenizer : dict of str to str
        The tokenizer's files, JSON by name.
    weights : dict of str to ndarray
        Weights by name; those in bfloat16, which numpy lacks, as int16 with the same bits.
    bfloat16 : tuple of str
        Names of the weights that are bfloat16.
    digest : str
        SHA-256 of all the above.
    """

    config: str
    tokenizer: Mapping[str, str]
    weights: Mapping[str, NDArray[Any]]
    bfloat16: tuple[str, ...]
    digest: str

    def __getstate__(self) -> dict[str, Any]:
        # A tokenizer of a megabyte in one str is more than skops' visualize can show.
        files = {
            name: np.frombuffer(text.encode(), np.uint8) for name, text in self.tokenizer.items()
        }
        return {**vars(self), "tokenizer": files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        files = {name: bytes(content).decode() for name, content in state["tokenizer"].items()}
        for name, value in {**state, "tokenizer": files}.items():
            object.__setattr__(self, name, value)
        self.verify()

    def verify(self) -> None:
        """Compare the digest with the data.

        Raises
        ------
        CheckpointChangedError
            If they differ.
        """
        found = _digest(self.config, self.tokenizer, self.weights, self.bfloat16)
        if found != self.digest:
            raise CheckpointChangedError(
                "The saved state of this model was altered or is incomplete: its SHA-256 is "
                f"{found[:12]}..., expected {self.digest[:12]}... Load an intact copy or fit again."
            )


def state_of(
    model: Any, tokenizer: Any, weights: Mapping[str, torch.Tensor] | None = None
) -> ModelState:
    """Take the state of a transformers model; the arrays share the memory of a CPU model.

    ``weights`` are taken instead of the model's own where they are given.
    """
    arrays, bfloat16 = {}, []
    for name, tensor in (model.state_dict() if weights is None else weights).items():
        tensor = tensor.detach().cpu().contiguous()
        if tensor.dtype == torch.bfloat16:
            bfloat16.append(name)
            tensor = tensor.view(torch.int16)
        arrays[name] = tensor.numpy()
    config = model.config.to_json_string(use_diff=False)
    return new_state(config, _tokenizer_files(tokenizer), arrays, tuple(bfloat16))


def new_state(
    config: str,
    tokenizer: Mapping[str, str],
    weights: Mapping[str, NDArray[Any]],
    bfloat16: tuple[str, ...] = (),
) -> ModelState:
    """Put a state together, with its digest."""
    digest = _digest(config, tokenizer, weights, bfloat16)
    return ModelState(config, tokenizer, weights, bfloat16, digest)


def weight_tensors(state: ModelState) -> dict[str, torch.Tensor]:
    """Return the weights as tensors that share the arrays' memory: read them only."""
    with warnings.catch_warnings():
        # Arrays mapped from a file may be read-only, which torch cannot express.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensors = {name: torch.from_numpy(array) for name, array in state.weights.items()}
    return tensors | {name: tensors[name].view(torch.bfloat16) for name in state.bfloat16}


def model_config(state: ModelState) -> Any:
    """Return the transformers configuration of a state."""
    from transformers import AutoConfig

    return AutoConfig.for_model(**json.loads(state.config))


def tokenizer_of(state: ModelState) -> Any:
    """Return the transformers tokenizer of a state."""
    with tempfile.TemporaryDirectory(prefix="skbert-") as name:
        for file, content in state.tokenizer.items():
            (Path(name) / file).write_text(content, encoding="utf-8")
        return load_tokenizer(Path(name))


def _tokenizer_files(tokenizer: Any) -> dict[str, str]:
    """Return the JSON files of a tokenizer, without the truncation and padding of earlier calls."""
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    with tempfile.TemporaryDirectory(prefix="skbert-") as name:
        tokenizer.save_pretrained(name)
        files = {
            file.name: file.read_text(encoding="utf-8")
            for file in sorted(Path(name).iterdir())
            if file.suffix in (".json", ".txt")
        }
    name = "tokenizer_config.json"
    settings = readable_elsewhere(json.loads(files[name]), tokenizer)
    return files | {name: json.dumps(settings, indent=2, ensure_ascii=False)}


def _digest(
    config: str,
    tokenizer: Mapping[str, str],
    weights: Mapping[str, NDArray[Any]],
    bfloat16: tuple[str, ...],
) -> str:
    plain = json.dumps(
        [
            config,
            dict(tokenizer),
            bfloat16,
            [(name, str(array.dtype), array.shape) for name, array in weights.items()],
        ]
    )
    digest = hashlib.sha256(plain.encode())
    for array in weights.values():
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
