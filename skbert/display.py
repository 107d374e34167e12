"""Pictures of models and texts, in the form of scikit-learn's displays.

Each has class methods that compute and draw, such as ``from_estimator``, and ``plot(ax=None)``,
which draws again and gives the display itself, with ``ax_`` and ``figure_``. They need matplotlib:
``pip install "skbert[plot]"``.
"""

from skbert._display.attention import AttentionDisplay
from skbert._display.embedding import EmbeddingDisplay
from skbert._display.token_importance import TokenImportanceDisplay
from skbert._display.training_curve import TrainingCurveDisplay

__all__ = [
    "AttentionDisplay",
    "EmbeddingDisplay",
    "TokenImportanceDisplay",
    "TrainingCurveDisplay",
]

for _name in __all__:  # as in skbert/__init__.py
    globals()[_name].__module__ = __name__
