"""BERT as ordinary scikit-learn estimators."""

from skbert._embedder import BertEmbedder
from skbert._exceptions import (
    CheckpointChangedError,
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointWarning,
    DeviceError,
    InputError,
    ParameterError,
    SkbertError,
    SkbertWarning,
    TextTooLongError,
    TruncationWarning,
)
from skbert._inspect import inspect_tokens

__version__ = "0.1.0"

__all__ = [
    "BertEmbedder",
    "CheckpointChangedError",
    "CheckpointError",
    "CheckpointNotFoundError",
    "CheckpointWarning",
    "DeviceError",
    "InputError",
    "ParameterError",
    "SkbertError",
    "SkbertWarning",
    "TextTooLongError",
    "TruncationWarning",
    "inspect_tokens",
]
