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
    """Base class of the errors of skbert."""


class InputError(SkbertError):
    """X, y or texts have a wrong type, shape or content."""


class TextTooLongError(InputError):
    """A text is longer than ``max_length``, with ``overflow="error"``."""


class ParameterError(SkbertError):
    """A parameter has an invalid value."""


class TrainingError(SkbertError):
    """The loss became NaN or infinite in training."""


class DeviceError(SkbertError):
    """The device or the precision is not available, or the memory of the device is full."""


class CacheError(SkbertError):
    """The file of an `EmbeddingCache` is damaged, locked, or not a cache; it was not changed."""


class DestinationError(SkbertError):
    """The folder of `embed_files` is locked, full, damaged, or contains something else."""


class MissingPackageError(SkbertError, ImportError):
    """A function needs a package that is not installed."""


class CheckpointError(SkbertError):
    """The files of a checkpoint cannot be used."""


class CheckpointNotFoundError(CheckpointError):
    """The checkpoint cannot be found: wrong name, missing folder, or no network."""


class CheckpointChangedError(CheckpointError):
    """The weights are not those that the estimator was fitted with."""


class SkbertWarning(UserWarning):
    """Base class of every warning that skbert issues."""


class TruncationWarning(SkbertWarning):
    """Some texts were longer than ``max_length`` and were truncated."""


class InterruptedTrainingWarning(SkbertWarning):
    """Training was stopped with Ctrl-C; the estimator keeps the weights so far."""


class CheckpointWarning(SkbertWarning):
    """The files of the checkpoint contain a step that skbert does not apply."""


class LabelWarning(SkbertWarning):
    """The labels of words do not fit the parameter ``outside``."""


class CompletenessWarning(SkbertWarning):
    """The importances of words do not sum to the change of the output."""


def stacklevel_of_caller() -> int:
    """Return stack level, for `warnings.warn` in the calling function, of the user's own line.

    scikit-learn wraps `transform`, so the number of frames between is not fixed.
    """
    inside = (str(Path(__file__).parent), str(Path(sklearn.__file__).parent))
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(inside):
        level, frame = level + 1, frame.f_back
    return level
