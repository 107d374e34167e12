"""Token vectors → one vector a text, against cases computed by hand with plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skbert._inference.pooling import POOLINGS

# Two windows of three tokens with two features; of the second the last token does not count.
HIDDEN = np.array(
    [
        [[1.0, -8.0], [2.0, 4.0], [6.0, 1.0]],
        [[-3.0, 2.0], [-1.0, -4.0], [100.0, 100.0]],
    ],
    np.float32,
)
MASK = np.array([[True, True, True], [True, True, False]])

BY_HAND = {
    "mean": [[3, -1], [-2, -1]],
    "mean_sqrt_len": [[9 / 3**0.5, -3 / 3**0.5], [-4 / 2**0.5, -2 / 2**0.5]],
    "max": [[6, 4], [-1, 2]],
    "cls": [[1, -8], [-3, 2]],
    "pooler": [[1, -8], [-3, 2]],
}
UNMASKED_SECOND = {
    "mean": [32, 98 / 3],
    "mean_sqrt_len": [96 / 3**0.5, 98 / 3**0.5],
    "max": [100, 100],
    "cls": [-3, 2],
    "pooler": [-3, 2],
}


def pool(name: str, hidden: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    tensor = None if mask is None else torch.from_numpy(mask)
    return POOLINGS[name].pool(torch.from_numpy(hidden), tensor).numpy()


def reference(name: str, tokens: np.ndarray) -> np.ndarray:
    """One vector for the tokens (L, H) of one text, in float64."""
    tokens = tokens.astype(np.float64)
    return {
        "mean": lambda: tokens.sum(0) / len(tokens),
        "mean_sqrt_len": lambda: tokens.sum(0) / np.sqrt(len(tokens)),
        "max": lambda: np.array([max(column) for column in tokens.T]),
        "cls": lambda: tokens[0],
        "pooler": lambda: tokens[0],
    }[name]()


def test_every_pooling_has_a_case():
    assert set(POOLINGS) == set(BY_HAND) == set(UNMASKED_SECOND)


@pytest.mark.parametrize("name", BY_HAND)
def test_masked_tokens_do_not_count(name):
    np.testing.assert_allclose(pool(name, HIDDEN, MASK), BY_HAND[name], rtol=1e-6)


@pytest.mark.parametrize("name", BY_HAND)
def test_without_a_mask_all_tokens_count(name):
    expected = [BY_HAND[name][0], UNMASKED_SECOND[name]]
    np.testing.assert_allclose(pool(name, HIDDEN, None), expected, rtol=1e-6)


@pytest.mark.parametrize("name", BY_HAND)
def test_no_mask_means_a_mask_of_ones(name):
    hidden = np.random.default_rng(0).normal(size=(4, 7, 5)).astype(np.float32)
    everything = np.ones((4, 7), bool)
    np.testing.assert_allclose(
        pool(name, hidden, None), pool(name, hidden, everything), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["mean", "mean_sqrt_len", "max"])
def test_any_mask_gives_what_the_counted_tokens_alone_give(name):
    rng = np.random.default_rng(1)
    hidden = rng.normal(size=(6, 9, 4)).astype(np.float32)
    mask = rng.random((6, 9)) < 0.5
    mask[:, 3] = True  # at least one counts
    expected = [
        reference(name, tokens[counts]) for tokens, counts in zip(hidden, mask, strict=True)
    ]
    np.testing.assert_allclose(pool(name, hidden, mask), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", BY_HAND)
def test_one_token_is_its_own_pooling(name):
    hidden = np.random.default_rng(2).normal(size=(3, 1, 4)).astype(np.float32)
    np.testing.assert_array_equal(pool(name, hidden, None), hidden[:, 0])


@pytest.mark.parametrize("name", ["mean", "mean_sqrt_len", "max"])
@pytest.mark.parametrize("counts", [[1], [5, 4], [1, 6, 3], [2, 1, 1, 1, 9]])
def test_merged_windows_equal_all_tokens_at_once(name, counts):
    rng = np.random.default_rng(sum(counts))
    tokens = rng.normal(size=(sum(counts), 3)).astype(np.float32)
    windows = np.split(tokens, np.cumsum(counts)[:-1])
    vectors = np.concatenate([pool(name, window[None], None) for window in windows])
    merged = POOLINGS[name].merge(vectors, np.array(counts, np.int64))
    np.testing.assert_allclose(merged, reference(name, tokens), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["cls", "pooler"])
def test_windows_count_equally_where_one_vector_stands_for_each(name):
    vectors = np.array([[1, 2], [3, 8], [5, 5]], np.float32)
    merged = POOLINGS[name].merge(vectors, np.array([10, 1, 1], np.int64))
    np.testing.assert_allclose(merged, [3, 5])


@pytest.mark.parametrize("name", BY_HAND)
def test_pooling_leaves_the_token_vectors_as_they_were(name):
    hidden = HIDDEN.copy()
    pool(name, hidden, MASK)
    np.testing.assert_array_equal(hidden, HIDDEN)
