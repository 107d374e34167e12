"""How sure the model must be that a context holds no answer."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def best_threshold(
    margins: NDArray[np.float64], with_answer: NDArray[np.float64], without: NDArray[np.float64]
) -> float:
    """Return the threshold of best F1: "no answer" is given where it is better by more than this.

    The middle between two neighbouring margins, so that neither is on the edge.
    """
    order = np.argsort(margins, kind="stable")
    # Entry k: the k questions of the lowest margins are answered, the others not.
    scores = np.concatenate([[0], np.cumsum(with_answer[order])]) + np.concatenate(
        [np.cumsum(without[order][::-1])[::-1], [0]]
    )
    edges = np.clip(margins[order], -1e6, 1e6)
    # No threshold lies between equal margins.
    scores[1:-1][edges[:-1] == edges[1:]] = -np.inf
    k = int(scores.argmax())
    low = edges[k - 1] if k > 0 else edges[0] - 1
    high = edges[k] if k < len(edges) else edges[-1] + 1
    return float((low + high) / 2)
