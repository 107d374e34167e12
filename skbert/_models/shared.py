"""Encoders that this process holds: loaded once, shared by clones, freed with the last of them."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skbert._models.checkpoint import Checkpoint, files_version, find_same_checkpoint
from skbert._models.device import float_dtype, forked_generator
from skbert._models.encoder import Encoder, make_encoder, prepare_for_inference
from skbert._models.loading import load_config, load_encoder_model
from skbert._models.sentence_transformers import read_sentence_steps
from skbert._models.tokenizer import load_tokenizer

# Encoders of this process, shared by clones and freed with the last estimator that holds them.
_SHARED: weakref.WeakValueDictionary[Any, Encoder] = weakref.WeakValueDictionary()
# The last one on a CPU is held beyond that: a grid search fits one clone after another, and each
# would load it again. A GPU's memory is too scarce for that, but for a worker between two shards.
_HELD: list[Encoder] = []
_LOCK = threading.RLock()


def load_encoder(
    folder: Path,
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: torch.dtype,
    with_steps: bool = False,
) -> Encoder:
    """Load a checkpoint for inference, or give the one that this process already holds.

    Parameters
    ----------
    folder : Path
        Its files.
    checkpoint : Checkpoint
        What they are.
    device, dtype : torch.device, torch.dtype
        Where and in what precision to compute.
    with_steps : bool, default=False
        Whether its own pooling and further steps are needed, too (`Encoder.steps`).

    Raises
    ------
    CheckpointError
        If the tokenizer or the weights are missing, incomplete or of an unknown architecture.
    """
    key = (folder.resolve(), files_version(folder), checkpoint, str(device), dtype)
    encoder = _SHARED.get(key)
    if encoder is None:
        # In this order, as a fit that loads does, which holds the generator already.
        with forked_generator(), _LOCK:
            encoder = _SHARED.get(key)
            if encoder is None:
                clear_held_encoder()  # first, so that two are not held at once
                encoder = _load(folder, checkpoint, device, dtype)
                _SHARED[key] = encoder
    if with_steps and encoder.steps is None:
        with forked_generator(), _LOCK:  # torch's layers begin with random weights
            if encoder.steps is None:
                encoder.steps = read_sentence_steps(folder).to(device)
    if device.type == "cpu":
        hold_encoder(encoder)
    return encoder


def load_same(
    checkpoint: Checkpoint,
    files: Mapping[str, NDArray[np.uint8]] | None,
    device: torch.device,
    dtype: torch.dtype,
    with_steps: bool = False,
) -> Encoder:
    """Load a checkpoint that was used before: where it lies, or from the files that a pickle held.

    Raises
    ------
    CheckpointNotFoundError, CheckpointChangedError
        If it is no longer there, or its weights are others now.
    """
    with same_folder(checkpoint, files) as folder:
        return load_encoder(folder, checkpoint, device, dtype, with_steps)


def load_plain(
    checkpoint: Checkpoint, files: Mapping[str, NDArray[np.uint8]] | None, with_steps: bool = False
) -> Encoder:
    """Load a checkpoint that was used before as transformers makes it, in float32 on the CPU.

    Nobody else holds it: it may be changed.

    Raises
    ------
    CheckpointNotFoundError, CheckpointChangedError
        If it is no longer there, or its weights are others now.
    """
    with same_folder(checkpoint, files) as folder, forked_generator():
        encoder = _read(folder, torch.device("cpu"), torch.float32)
        if with_steps:
            encoder.steps = read_sentence_steps(folder)
    return encoder


@contextmanager
def same_folder(
    checkpoint: Checkpoint, files: Mapping[str, NDArray[np.uint8]] | None
) -> Iterator[Path]:
    """Return the folder of a checkpoint that was used before.

    Files that a pickle held are put into one for as long as it is needed.
    """
    if files is None:
        yield find_same_checkpoint(checkpoint)
        return
    with TemporaryDirectory(prefix="skbert-") as name:
        folder = Path(name)
        for relative, content in files.items():
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content.tobytes())
        find_same_checkpoint(Checkpoint(name, None, checkpoint.digest))
        yield folder


def hold_encoder(encoder: Encoder) -> None:
    """Hold an encoder, instead of the one held so far."""
    with _LOCK:
        _HELD[:] = [encoder]


def held_encoder(identity: str, device: torch.device) -> Encoder | None:
    """Return the encoder that is held, if it is this one on this device."""
    for encoder in list(_HELD):
        if encoder.device == device and encoder.identity == identity:
            return encoder
    return None


def clear_held_encoder() -> None:
    """Hold no encoder any more."""
    with _LOCK:
        _HELD.clear()


def _load(
    folder: Path, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
) -> Encoder:
    encoder = _read(folder, device, dtype)
    encoder.checkpoint = checkpoint
    prepare_for_inference(encoder)
    return encoder


def _read(folder: Path, device: torch.device, dtype: torch.dtype) -> Encoder:
    """Load model and tokenizer; they are not laid out for the device yet."""
    config = load_config(folder)
    tokenizer = load_tokenizer(folder, config)
    model = load_encoder_model(folder, float_dtype(dtype), config)
    return make_encoder(model, tokenizer, folder, device, dtype)
