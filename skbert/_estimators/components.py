"""Fewer features a column: principal components, fitted to the vectors of its training texts.

The features are scaled to equal spread before: the best of the three ways that
benchmarks/embedding/components.py compares, as STRABLE does on 108 tables
(https://arxiv.org/abs/2605.12292).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from skbert._exceptions import InputError


def check_n_components(n_components: int, n_texts: int, n_features: int) -> None:
    """Refuse more components than there are texts in a column, or features of a text.

    Raises
    ------
    InputError
        If there are.
    """
    if n_components > min(n_texts, n_features):
        raise InputError(
            f"n_components={n_components} needs at least as many texts per column and features per "
            f"text, but there are {n_texts} texts and {n_features} features. Use a smaller "
            "n_components, or None."
        )


class Components:
    """Principal components of each column's vectors, of features of equal spread.

    Parameters
    ----------
    n_components : int
        How many.
    """

    def __init__(self, n_components: int) -> None:
        self.n_components = n_components
        self.columns: list[Pipeline] = []

    def fit(self, vectors: NDArray[np.float32], is_missing: NDArray[np.bool_]) -> Components:
        """Fit to vectors (n, n_columns, F); missing texts, (n, n_columns), are left out."""
        self.columns = [
            make_pipeline(StandardScaler(), PCA(self.n_components, random_state=0)).fit(
                vectors[~is_missing[:, column], column]
            )
            for column in range(vectors.shape[1])
        ]
        return self

    def transform(
        self, vectors: NDArray[np.float32], is_missing: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Turn vectors (n, n_columns, F) into (n, n_columns, n_components); missing ones are 0."""
        result = np.zeros((*vectors.shape[:2], self.n_components), np.float32)
        for column, steps in enumerate(self.columns):
            there = ~is_missing[:, column]
            if there.any():
                result[there, column] = steps.transform(vectors[there, column])
        return result

    def as_layer(self) -> nn.Linear:
        """Return what is done to the vectors of the only column, as one linear layer."""
        ((scaler, pca),) = ([step for _, step in steps.steps] for steps in self.columns)
        weight = pca.components_ / scaler.scale_
        bias = -weight @ scaler.mean_ - pca.components_ @ pca.mean_
        layer = nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0])  # type: ignore[no-untyped-call]
        layer.load_state_dict(
            {"weight": torch.from_numpy(weight).float(), "bias": torch.from_numpy(bias).float()}
        )
        return layer
