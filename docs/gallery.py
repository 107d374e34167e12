"""The order of the gallery: its sections, and the scripts of each, best first."""

from __future__ import annotations

from pathlib import Path

SECTIONS = {
    "embed": ["plot_semantic_search", "plot_clustering", "plot_token_vectors", "plot_pooling"],
    "tables": ["plot_grid_search", "plot_skrub", "plot_stacking"],
    "fine_tuning": [
        "plot_few_labels",
        "plot_token_importance",
        "plot_training_curves",
        "plot_pairs",
    ],
    "words_and_answers": ["plot_named_entities", "plot_question_answering"],
    "tools": [
        "plot_wrong_labels",
        "plot_prediction_sets",
        "plot_mlflow",
        "plot_calibration",
        "plot_engines",
    ],
}


class BestFirst:
    """Sort key for the scripts of a section, as sphinx-gallery calls it."""

    def __init__(self, src_dir: str) -> None:
        self.names = SECTIONS.get(Path(src_dir).name, [])

    def __call__(self, filename: str) -> int:
        """Return the place of a script; an error for one that is not in SECTIONS."""
        return self.names.index(Path(filename).stem)
