"""The types that a saved estimator is made of, for formats that ask which ones to trust."""

from __future__ import annotations

from skbert._cache.cache import EmbeddingCache
from skbert._estimators.classifier import BertClassifier
from skbert._estimators.components import Components
from skbert._estimators.embedder import BertEmbedder
from skbert._estimators.number_columns import NumberColumns
from skbert._estimators.question_answerer import BertQuestionAnswerer
from skbert._estimators.regressor import BertRegressor
from skbert._estimators.token_classifier import BertTokenClassifier
from skbert._inference.loop import HiddenStates
from skbert._models.checkpoint import Checkpoint
from skbert._models.state import ModelState

_PUBLIC = (
    BertClassifier,
    BertEmbedder,
    BertQuestionAnswerer,
    BertRegressor,
    BertTokenClassifier,
    EmbeddingCache,
)
_PRIVATE = (Checkpoint, Components, HiddenStates, ModelState, NumberColumns)
#: Names of the types that a saved estimator of skbert holds: pass them as ``trusted`` to skops,
#: as ``skops_trusted_types`` to mlflow. The path of a cache is one of pathlib's.
SKOPS_TRUSTED_TYPES = [
    *(f"skbert.{kind.__name__}" for kind in _PUBLIC),
    *(f"{kind.__module__}.{kind.__qualname__}" for kind in _PRIVATE),
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
]
