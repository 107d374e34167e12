"""Pictures of models and texts, in the form of scikit-learn's displays.

Each has class methods that compute and draw, such as ``from_estimator``, and ``plot(ax=None)``,
which draws again and gives the display itself, with ``ax_`` and ``figure_``. They need matplotlib:
``pip install "skbert[plot]"``.
"""

from skbert._attention_display import AttentionDisplay
from skbert._embedding_display import EmbeddingDisplay
from skbert._token_importance_display import TokenImportanceDisplay
from skbert._training_curve_display import TrainingCurveDisplay

__all__ = [
    "AttentionDisplay",
    "EmbeddingDisplay",
    "TokenImportanceDisplay",
    "TrainingCurveDisplay",
]
