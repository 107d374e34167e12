"""Token vectors → one vector a text, against cases computed by hand with plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from skbert._inference.pooling import POOLINGS, merge_windows, pool_with

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
    "weighted_mean": [[(1 + 4 + 18) / 6, (-8 + 8 + 3) / 6], [-5 / 3, -6 / 3]],
    "max": [[6, 4], [-1, 2]],
    "last": [[6, 1], [-1, -4]],
    "cls": [[1, -8], [-3, 2]],
    "pooler": [[1, -8], [-3, 2]],
}
UNMASKED_SECOND = {
    "mean": [32, 98 / 3],
    "mean_sqrt_len": [96 / 3**0.5, 98 / 3**0.5],
    "weighted_mean": [295 / 6, 294 / 6],
    "max": [100, 100],
    "last": [100, 100],
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
        "weighted_mean": lambda: (
            np.arange(1, len(tokens) + 1) @ tokens / sum(range(len(tokens) + 1))
        ),
        "last": lambda: tokens[-1],
        "max": lambda: np.array([max(column) for column in tokens.T]),
        "cls": lambda: tokens[0],
        "pooler": lambda: tokens[0],
    }[name]()


def test_every_pooling_has_a_case():
    assert set(POOLINGS) == set(BY_HAND) == set(UNMASKED_SECOND)


def merge(name, vectors, counts):
    counts = torch.from_numpy(np.asarray(counts, np.int64))
    return POOLINGS[name].merge(torch.from_numpy(vectors), counts).numpy()


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
    merged = merge(name, vectors, counts)
    np.testing.assert_allclose(merged, reference(name, tokens), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n_skipped", [0, 1, 3, 7])
@pytest.mark.parametrize("name", ["mean", "mean_sqrt_len", "weighted_mean", "max", "last"])
@pytest.mark.parametrize("counts", [[9], [5, 4], [1, 6, 3], [2, 1, 1, 1, 9]])
def test_places_count_through_all_windows_and_behind_a_prompt(name, counts, n_skipped):
    """The mask numbers the tokens of the text; those of a prompt, at the beginning, are 0."""
    rng = np.random.default_rng(sum(counts))
    tokens = rng.normal(size=(sum(counts), 3)).astype(np.float32)
    places = np.arange(1, len(tokens) + 1)
    mask = np.where(places > n_skipped, places, 0)
    borders = np.cumsum(counts)[:-1]
    windows = np.concatenate(
        [
            pool(name, window[None], part[None])
            for window, part in zip(np.split(tokens, borders), np.split(mask, borders), strict=True)
        ]
    )
    merged = merge_windows(
        [POOLINGS[name]],
        torch.from_numpy(windows),
        np.array([0, len(counts)]),
        np.array(counts),
        n_skipped,
    )
    weights = places[n_skipped:] / places[n_skipped:].sum()
    counted = tokens[n_skipped:]
    expected = weights @ counted if name == "weighted_mean" else reference(name, counted)
    np.testing.assert_allclose(merged[0], expected, rtol=1e-5, atol=1e-6)


def test_first_token_behind_a_prompt_and_of_a_later_window():
    hidden = np.arange(12, dtype=np.float32).reshape(3, 4, 1)
    mask = np.array([[0, 0, 3, 4], [0, 5, 6, 0], [1, 2, 0, 0]])
    np.testing.assert_array_equal(pool("cls", hidden, mask)[:, 0], [2, 4, 8])


@pytest.mark.parametrize("name", ["mean", "mean_sqrt_len", "weighted_mean", "max", "last"])
def test_no_token_that_counts_is_a_vector_of_zeros(name):
    """As in sentence-transformers, where a prompt is all that there is."""
    vectors = pool(name, HIDDEN, np.zeros((2, 3), np.int64))
    np.testing.assert_array_equal(vectors, np.zeros((2, 2)))
    nothing = np.zeros(2, np.int64)
    np.testing.assert_array_equal(merge(name, vectors, nothing), [0, 0])


def test_several_poolings_are_put_together():
    both = [POOLINGS["max"], POOLINGS["mean"]]
    tensor = torch.from_numpy(HIDDEN)
    windows = pool_with(both)(tensor, torch.from_numpy(MASK))
    np.testing.assert_allclose(windows, np.hstack([BY_HAND["max"], BY_HAND["mean"]]))
    merged = merge_windows(both, windows, np.array([0, 2]), np.array([3, 2]))
    np.testing.assert_allclose(merged, [[6, 4, (9 - 4) / 5, (-3 - 2) / 5]])


@pytest.mark.parametrize("name", ["cls", "pooler"])
def test_windows_count_equally_where_one_vector_stands_for_each(name):
    vectors = np.array([[1, 2], [3, 8], [5, 5]], np.float32)
    merged = merge(name, vectors, [10, 1, 1])
    np.testing.assert_allclose(merged, [3, 5])


@pytest.mark.parametrize("name", BY_HAND)
def test_pooling_leaves_the_token_vectors_as_they_were(name):
    hidden = HIDDEN.copy()
    pool(name, hidden, MASK)
    np.testing.assert_array_equal(hidden, HIDDEN)
