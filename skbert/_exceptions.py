"""Every error and warning of skbert.

::

    ValueError
    └── SkbertError                 catch this one for all of them
        ├── InputError              X is not what the estimator reads
        │   └── TextTooLongError    ... because a text exceeds max_length (overflow="error")
        ├── ParameterError          a constructor parameter has an unusable value
        ├── TrainingError           the loss became NaN or infinite in `fit`
        ├── DeviceError             the asked device is not there, or its memory is full
        ├── CacheError              the file of a cache cannot be used
        ├── DestinationError        the folder of `embed_files` cannot be written to, or go on
        ├── MissingPackageError     an optional package is not installed (also an ImportError)
        └── CheckpointError         the model's files cannot be used
            ├── CheckpointNotFoundError   ... because they cannot be found or reached
            └── CheckpointChangedError    ... because they are not the ones that were fitted
    UserWarning
    └── SkbertWarning
        ├── TruncationWarning       the end of some texts was not read
        ├── InterruptedTrainingWarning   Ctrl-C ended a `fit` before its last epoch
        ├── CheckpointWarning       the checkpoint asks for something that is not applied
        ├── LabelWarning            the labels of words may mean something else than is assumed
        └── CompletenessWarning     attributions do not sum to what they explain
"""

import sys
from pathlib import Path

import sklearn


class SkbertError(ValueError):
    """Base class of every error that skbert raises on purpose."""


class InputError(SkbertError):
    """The data passed as ``X`` (or ``texts``) is not what the estimator reads."""


class TextTooLongError(InputError):
    """A text is longer than ``max_length`` and ``overflow="error"`` was asked for."""


class ParameterError(SkbertError):
    """A constructor parameter has a value that cannot be used."""


class TrainingError(SkbertError):
    """The loss became NaN or infinite while a model was trained."""


class DeviceError(SkbertError):
    """The asked device or precision is not available, or its memory is full."""


class CacheError(SkbertError):
    """The file of an `EmbeddingCache` is damaged, locked, or not one; it was not changed."""


class DestinationError(SkbertError):
    """The folder that `embed_files` writes to is locked, of something else, full or damaged."""


class MissingPackageError(SkbertError, ImportError):
    """A function needs a package that is not installed."""


class CheckpointError(SkbertError):
    """The files of a checkpoint cannot be used."""


class CheckpointNotFoundError(CheckpointError):
    """The checkpoint cannot be found: wrong name, missing folder, or no network."""


class CheckpointChangedError(CheckpointError):
    """The weights found now are not the ones that the estimator was fitted with."""


class SkbertWarning(UserWarning):
    """Base class of every warning that skbert issues."""


class TruncationWarning(SkbertWarning):
    """Some texts were longer than ``max_length``; their ends were not read."""


class InterruptedTrainingWarning(SkbertWarning):
    """Ctrl-C ended a training; the estimator keeps what it learned so far."""


class CheckpointWarning(SkbertWarning):
    """The checkpoint's own files ask for a step that skbert does not apply."""


class LabelWarning(SkbertWarning):
    """No label of words, or another one than the others suggest, is outside all entities."""


class CompletenessWarning(SkbertWarning):
    """The importances of a text's words do not sum to the change that they explain."""


def stacklevel_of_caller() -> int:
    """Return stack level, for `warnings.warn` in the calling function, of the user's own line.

    scikit-learn wraps `transform`, so the number of frames between is not fixed.
    """
    inside = (str(Path(__file__).parent), str(Path(sklearn.__file__).parent))
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        level, frame = level + 1, frame.f_back
    return level
