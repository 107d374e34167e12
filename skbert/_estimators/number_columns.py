"""Numbers beside texts → features of about the size of those of the texts."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NumberColumns:
    """Standardises columns; a missing number becomes the mean, and is told by a column of its own.

    Attributes
    ----------
    mean, scale : ndarray of float64, shape (n_columns,)
        Of the numbers that are there; a constant column has scale 1.
    indicated : ndarray of int64, shape (n_indicators,)
        Columns that had missing numbers in `fit`.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    indicated: NDArray[np.int64]

    @classmethod
    def fitted(cls, table: NDArray[np.float64], weights: NDArray[np.float64]) -> NumberColumns:
        """Fit to a table (n, n_columns); a row counts as much as its weight."""
        there = ~np.isnan(table)
        of_cells = there * weights[:, None]
        total = of_cells.sum(0)
        total[total == 0] = 1  # nothing is there: the mean is 0
        filled = np.where(there, table, 0)
        mean = (of_cells * filled).sum(0) / total
        scale = np.sqrt((of_cells * (filled - mean) ** 2).sum(0) / total)
        # What only differs by rounding is constant.
        scale[scale <= 10 * np.finfo(float).eps * np.abs(mean)] = 1
        return cls(mean, scale, np.flatnonzero((~there)[weights > 0].any(0)))

    @property
    def n_features(self) -> int:
        """Columns that `features` gives."""
        return len(self.mean) + len(self.indicated)

    def features(self, table: NDArray[np.float64]) -> NDArray[np.float32]:
        """Turn a table (n, n_columns) into features (n, n_features)."""
        standardised = np.nan_to_num((table - self.mean) / self.scale)
        is_missing = np.isnan(table[:, self.indicated])
        return np.hstack([standardised, is_missing]).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return the attributes as lists."""
        return {name: values.tolist() for name, values in asdict(self).items()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> NumberColumns:
        """Make it of what `to_json` gave."""
        return cls(
            np.array(content["mean"], float),
            np.array(content["scale"], float),
            np.array(content["indicated"], np.int64),
        )
