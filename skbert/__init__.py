"""BERT as ordinary scikit-learn estimators."""

from skbert import display
from skbert._cache.cache import EmbeddingCache
from skbert._display.inspect import inspect_tokens
from skbert._estimators.classifier import BertClassifier
from skbert._estimators.embedder import BertEmbedder
from skbert._estimators.question_answerer import BertQuestionAnswerer
from skbert._estimators.regressor import BertRegressor
from skbert._estimators.token_classifier import BertTokenClassifier
from skbert._estimators.trusted_types import SKOPS_TRUSTED_TYPES
from skbert._exceptions import (
    CacheError,
    CheckpointChangedError,
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointWarning,
    CompletenessWarning,
    DestinationError,
    DeviceError,
    InputError,
    InterruptedTrainingWarning,
    LabelWarning,
    MissingPackageError,
    ParameterError,
    SkbertError,
    SkbertWarning,
    TextTooLongError,
    TrainingError,
    TruncationWarning,
)
from skbert._files.embed_files import EmbeddedFiles, embed_files
from skbert._texts.answers import Answer
from skbert._texts.entities import Entity

__version__ = "0.1.0"

__all__ = [
    "SKOPS_TRUSTED_TYPES",
    "Answer",
    "BertClassifier",
    "BertEmbedder",
    "BertQuestionAnswerer",
    "BertRegressor",
    "BertTokenClassifier",
    "CacheError",
    "CheckpointChangedError",
    "CheckpointError",
    "CheckpointNotFoundError",
    "CheckpointWarning",
    "CompletenessWarning",
    "DestinationError",
    "DeviceError",
    "EmbeddedFiles",
    "EmbeddingCache",
    "Entity",
    "InputError",
    "InterruptedTrainingWarning",
    "LabelWarning",
    "MissingPackageError",
    "ParameterError",
    "SkbertError",
    "SkbertWarning",
    "TextTooLongError",
    "TrainingError",
    "TruncationWarning",
    "display",
    "embed_files",
    "inspect_tokens",
]

# Errors, pickles and representations name what users import, not the file that it is written in.
for _name in __all__:
    if callable(globals()[_name]):
        globals()[_name].__module__ = __name__
