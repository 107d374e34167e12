"""Attention by plain products against softmax, text by text, in float64."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor

from skbert._kernels.product_attention import attend, attend_by_products, forget_groups
from tests.kernels.conftest import randn

N_HEADS, N_FEATURES = 2, 8
# One length below, at and above the ends of the sizes that texts are filled up to; one beyond all.
LENGTHS = (1, 2, 15, 16, 17, 64, 65, 300, 600)
EACH_LENGTH = [(1, length) for length in reversed(LENGTHS)]
# Rounding of weights and results, each once, for values of about 1.
TOLERANCE = {torch.bfloat16: 0.03, torch.float32: 1e-5}

pytestmark = pytest.mark.usefixtures("one_thread", "nothing_kept")


@pytest.fixture
def nothing_kept():
    yield
    forget_groups()


def row_of(runs: list[tuple[int, int]], dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Queries, scaled, keys and values of all texts, (T, 3, A, D)."""
    row = randn(sum(n * length for n, length in runs), 3, N_HEADS, N_FEATURES, seed=len(runs))
    row[:, 0] *= N_FEATURES**-0.5
    return row.to(dtype)


def bias_of(runs: list[tuple[int, int]]) -> Tensor:
    longest = max(length for _, length in runs)
    return randn(N_HEADS, longest, longest, seed=5)


def texts_of(row: Tensor, runs: list[tuple[int, int]]) -> list[Tensor]:
    return list(torch.split(row, [length for n, length in runs for _ in range(n)]))


def by_softmax(text: Tensor, bias: Tensor | None = None) -> Tensor:
    """Attention of one text, (L, 3, A, D) to (L, A, D)."""
    q, k, v = text.double().permute(1, 2, 0, 3)
    scores = q @ k.mT
    if bias is not None:
        scores = scores + bias[:, : len(text), : len(text)].double()
    return (scores.softmax(-1) @ v).transpose(0, 1)


def all_by_softmax(row: Tensor, runs: list[tuple[int, int]], bias: Tensor | None = None) -> Tensor:
    return torch.cat([by_softmax(text, bias) for text in texts_of(row, runs)])


def assert_near(
    actual: Tensor, expected: Tensor, dtype: torch.dtype, largest_score: float = 0.0
) -> None:
    assert actual.dtype == dtype
    bound = TOLERANCE[dtype]
    if dtype == torch.bfloat16:
        bound += largest_score / 256  # scores are rounded, too
    torch.testing.assert_close(actual.double(), expected, rtol=bound, atol=bound)


# What softmax gives -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize(
    "runs",
    [
        *([(1, length)] for length in LENGTHS),
        EACH_LENGTH,
        [(70, 16)],  # more than are computed at once, and not a multiple
        [(70, 3)],
        [(5, 65), (3, 64), (67, 20), (2, 17), (1, 1)],  # several lengths of a size
        [(2, 600), (3, 513), (4, 512)],
        [(1, 7), (1, 9), (1, 7)],  # not in the order of length
    ],
    ids=str,
)
def test_result_is_softmax_attention_of_each_text(runs, with_bias, dtype):
    row, bias = row_of(runs, dtype), bias_of(runs) if with_bias else None
    own_bias = bias if bias is None else bias.to(dtype)
    expected = all_by_softmax(row, runs, own_bias)
    assert_near(attend_by_products(row, runs, own_bias), expected, dtype)


@pytest.mark.parametrize("runs", [[(3, 17)], [(2, 600), (1, 20)]], ids=str)
def test_bias_in_float32_beside_bfloat16(runs):
    """MPNet's is in float32 where linear layers are int8."""
    row, bias = row_of(runs), bias_of(runs)
    assert_near(
        attend_by_products(row, runs, bias), all_by_softmax(row, runs, bias), torch.bfloat16
    )


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_torchs_kernel_on_equally_long_texts(dtype):
    row, bias = row_of([(3, 9)], dtype), bias_of([(3, 9)]).to(dtype)
    actual = attend(row.view(3, 9, 3, N_HEADS, N_FEATURES), bias)
    assert_near(actual.flatten(0, 1), all_by_softmax(row, [(3, 9)], bias), dtype)


def test_inputs_stay_as_they_are():
    runs = [(2, 20), (3, 5)]
    row, bias = row_of(runs), bias_of(runs)
    before = row.clone(), bias.clone()
    attend_by_products(row, runs, bias)
    assert torch.equal(row, before[0])
    assert torch.equal(bias, before[1])


# Out of range -----------------------------------------------------------------------------------

SEVERAL = [(1, 20), (3, 18), (1, 4)]


def with_scores(row: Tensor, tokens: slice, score: float) -> Tensor:
    """Let all products of queries and keys of some tokens be about a score."""
    extreme = row.clone()
    extreme[tokens, 0] = abs(score) / N_FEATURES
    extreme[tokens, 1] = (row[tokens, 1] * 0.01 + 1) * (1 if score > 0 else -1)
    return extreme


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("score", [60, 75, 85, 87, 95, 500, 1e6, -60, -75, -85, -95, -500, -1e6])
@pytest.mark.parametrize("tokens", [slice(None), slice(20, 38), slice(74, 78)], ids=str)
def test_scores_that_leave_the_range_of_the_exponential(score, tokens, dtype):
    """Whether in all texts or in one; its neighbours in a group are right, too."""
    row = with_scores(row_of(SEVERAL, dtype), tokens, score)
    actual = attend_by_products(row, SEVERAL)
    assert actual.isfinite().all()
    # Where scores are so large that their own rounding picks the key, only their mean is sure.
    expected = all_by_softmax(row, SEVERAL)
    is_sure = torch.ones(len(row), dtype=torch.bool)
    if abs(score) > 100 and dtype == torch.float32:
        is_sure[tokens] = False
    in_range = abs(score) if abs(score) < 90 else 0.0
    assert_near(actual[is_sure], expected[is_sure], dtype, in_range)


@pytest.mark.parametrize("size", [1e3, 1e6])
@pytest.mark.parametrize("score", [60, 70, 76, 78, 80, 85])
def test_large_values_beside_large_scores(score, size):
    """The sum of weights is in range, that of weighted values might not be."""
    row = with_scores(row_of(SEVERAL), slice(None), score)
    row[:, 2] *= size
    actual = attend_by_products(row, SEVERAL)
    assert_near(actual / size, all_by_softmax(row, SEVERAL) / size, torch.bfloat16, score)


@pytest.mark.parametrize("score", [500, -500])
def test_bias_that_leaves_the_range(score):
    row = row_of(SEVERAL)
    bias = bias_of(SEVERAL) + score
    assert_near(
        attend_by_products(row, SEVERAL, bias), all_by_softmax(row, SEVERAL, bias), torch.bfloat16
    )


def test_one_key_far_above_all_others():
    """A weight of 1 beside weights that vanish."""
    row = row_of([(2, 10)], torch.float32)
    row[3, 1] = row[:10, 0].mean(0) * 100
    assert_near(attend_by_products(row, [(2, 10)]), all_by_softmax(row, [(2, 10)]), torch.float32)


# No number --------------------------------------------------------------------------------------


# Of an infinite key, torch's kernel may make a weight of 0.
@pytest.mark.parametrize(
    ("what", "number"), [(0, torch.nan), (1, torch.nan), (2, torch.nan), (2, torch.inf)]
)
def test_what_is_no_number_is_seen_in_its_text_only(what, number):
    runs = [(1, 20), (3, 18), (1, 600), (2, 5)]
    row = row_of(runs)
    expected = texts_of(attend_by_products(row, runs), runs)
    broken = row.clone()
    broken[20 + 18 + 2, what, 0, 3] = number  # the second text of 18
    actual = texts_of(attend_by_products(broken, runs), runs)
    for position, (ours, before) in enumerate(zip(actual, expected, strict=True)):
        if position == 2:
            assert not ours.isfinite().all()
        else:
            torch.testing.assert_close(ours, before, rtol=0.03, atol=0.03)
    # Nor is it kept for the next layer.
    again = texts_of(attend_by_products(row, runs), runs)
    assert all(torch.equal(ours, before) for ours, before in zip(again, expected, strict=True))


# Neighbours -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("runs", [EACH_LENGTH, [(70, 16), (3, 12)], [(3, 100), (5, 97)]], ids=str)
def test_a_text_does_not_depend_on_its_neighbours(runs, dtype):
    row = row_of(runs, dtype)
    texts = texts_of(row, runs)
    together = texts_of(attend_by_products(row, runs), runs)
    for text, ours in zip(texts, together, strict=True):
        alone = attend_by_products(text, [(1, len(text))])
        torch.testing.assert_close(ours, alone, rtol=TOLERANCE[dtype] / 4, atol=TOLERANCE[dtype])
    changed = row.clone()
    changed[len(texts[0]) :] *= -1
    first = attend_by_products(changed, runs)[: len(texts[0])]
    torch.testing.assert_close(first, together[0], rtol=0, atol=0)


# What is kept from layer to layer ---------------------------------------------------------------


def test_layers_that_read_a_row_have_each_its_own_result():
    runs = [(2, 20), (3, 5)]
    rows = [row_of(runs) * factor for factor in (1.0, 0.5, -1.0)]
    results = [attend_by_products(row, runs) for row in rows]
    for row, result in zip(rows, results, strict=True):  # none is written over by a later one
        assert_near(result, all_by_softmax(row, runs), torch.bfloat16)


def test_rows_that_are_read_in_turn_are_not_mixed_up():
    """Also not where they have as many tokens, or as many texts, or are equal lists."""
    all_runs = [[(1, 12), (2, 4)], [(2, 10)], [(4, 5)], [(20, 1)], [(1, 12), (2, 4)], [(3, 10)]]
    for runs in all_runs * 2:
        row = row_of(runs)
        assert_near(attend_by_products(row, runs), all_by_softmax(row, runs), torch.bfloat16)


def test_one_row_in_several_types_and_numbers_of_heads():
    runs = [(2, 10), (1, 3)]
    for dtype in (torch.bfloat16, torch.float32, torch.bfloat16):
        row = row_of(runs, dtype)
        assert_near(attend_by_products(row, runs), all_by_softmax(row, runs), dtype)
    for n_heads in (4, 2):
        other = row.reshape(len(row), 3, n_heads, -1)
        assert_near(attend_by_products(other, runs), all_by_softmax(other, runs), dtype)


def test_threads_do_not_share_what_is_kept():
    """Even where the runs are one and the same."""
    runs = [(8, 60), (3, 5)]
    rows = [row_of(runs) * factor for factor in (1.0, -1.0, 0.5, 2.0)]

    def read(row: Tensor) -> list[Tensor]:
        return [attend_by_products(row, runs) for layer in range(60)]

    expected = [attend_by_products(row, runs) for row in rows]
    with ThreadPoolExecutor(4) as threads:
        actual = list(threads.map(read, rows))
    for ours, theirs in zip(actual, expected, strict=True):
        assert all(torch.equal(one, theirs) for one in ours)
