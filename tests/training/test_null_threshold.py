"""The threshold of \"no answer\" is the best one."""

from __future__ import annotations

import numpy as np
import pytest

from skbert._training.null_threshold import best_threshold


@pytest.mark.parametrize("seed", range(30))
def test_the_best_threshold_is_that_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 12))
    margins = rng.permutation(100)[:n].astype(float)
    with_answer, without = rng.random(n), rng.integers(0, 2, n).astype(float)

    def total(threshold):
        return np.where(margins > threshold, without, with_answer).sum()

    candidates = [-1.0, *(margins + 0.25)]
    threshold = best_threshold(margins, with_answer, without)
    assert total(threshold) == pytest.approx(max(map(total, candidates)))
    assert np.abs(margins - threshold).min() >= 0.5  # on no edge
