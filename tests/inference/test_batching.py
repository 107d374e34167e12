"""Ragged windows → batches: order, cuts, padding and packing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skbert._inference.batching import (
    batch_stop,
    gather_tokens,
    length_order,
    pack_batch,
    pad_batch,
    padded_places,
    parts_of_like_lengths,
    round_length,
)
from skbert._texts.windows import Encodings

PAD = 0
windows_of_ids = st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=6), max_size=25)
lengths_down = st.lists(st.integers(1, 30), min_size=1, max_size=60).map(
    lambda lengths: np.array(sorted(lengths, reverse=True), np.int64)
)


def encodings_of(windows: list[list[int]], segments: list[list[int]] | None = None) -> Encodings:
    """Each window a text of its own, owned whole."""
    lengths = [len(window) for window in windows]
    bounds = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Encodings(
        ids=np.array([token for window in windows for token in window], np.int32),
        bounds=bounds,
        owned=np.array([[0, length] for length in lengths], np.int64).reshape(-1, 2),
        text_bounds=np.arange(len(windows) + 1, dtype=np.int64),
        offsets=None,
        lost_tokens=np.zeros(len(windows), np.int64),
        segments=None
        if segments is None
        else np.array([segment for window in segments for segment in window], np.int8),
    )


def cuts(lengths: np.ndarray, **options: object) -> list[tuple[int, int]]:
    """All batches, as (start, stop)."""
    found, start = [], 0
    while start < len(lengths):
        stop = batch_stop(lengths, start, **options)
        assert start < stop <= len(lengths)
        found.append((start, stop))
        start = stop
    return found


# Order ------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(windows=windows_of_ids, data=st.data())
def test_order_is_the_same_whatever_order_the_windows_come_in(windows, data):
    shuffled = data.draw(st.permutations(windows))
    contents = [windows[i] for i in length_order(encodings_of(windows))] if windows else []
    again = [shuffled[i] for i in length_order(encodings_of(shuffled))] if windows else []
    assert again == contents


@settings(max_examples=50, deadline=None)
@given(windows=windows_of_ids.filter(bool))
def test_order_holds_every_window_once_longest_first(windows):
    order = length_order(encodings_of(windows)).tolist()
    assert sorted(order) == list(range(len(windows)))
    lengths = [len(windows[i]) for i in order]
    assert lengths == sorted(lengths, reverse=True)


# Cuts -------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(lengths=lengths_down, max_tokens=st.integers(1, 100))
def test_packed_batches_keep_the_budget_and_use_it(lengths, max_tokens):
    for start, stop in cuts(lengths, max_tokens=max_tokens):
        tokens = lengths[start:stop].sum()
        assert tokens <= max_tokens or stop == start + 1
        assert stop == len(lengths) or tokens + lengths[stop] > max_tokens


@settings(max_examples=150, deadline=None)
@given(lengths=lengths_down, max_tokens=st.integers(1, 100))
def test_padded_batches_keep_the_budget_with_padding_counted(lengths, max_tokens):
    for start, stop in cuts(lengths, max_tokens=max_tokens, pad=True):
        longest = lengths[start]
        assert (stop - start) * longest <= max_tokens or stop == start + 1
        full = stop == len(lengths) or (stop - start + 1) * longest > max_tokens
        half_full_of_equals = (
            (lengths[start:stop] == longest).all()
            and lengths[min(stop, len(lengths) - 1)] < longest
            and (stop - start) * longest >= max_tokens // 2
        )
        assert full or half_full_of_equals


@pytest.mark.parametrize("pad", [False, True])
@pytest.mark.parametrize("max_windows", [1, 2, 3, 7, 100])
def test_a_number_of_windows_overrides_the_budget(pad, max_windows):
    lengths = np.array([9, 9, 8, 5, 5, 5, 1], np.int64)
    stops = [stop for _, stop in cuts(lengths, max_tokens=1, max_windows=max_windows, pad=pad)]
    assert stops == [min(stop, 7) for stop in range(max_windows, 7 + max_windows, max_windows)]


def test_padded_batch_ends_where_lengths_change_once_it_is_half_full():
    lengths = np.array([10] * 5 + [9] * 20, np.int64)
    # 5 of 10 tokens are half of 100: better without a mask than five windows more.
    assert batch_stop(lengths, 0, max_tokens=100, pad=True) == 5
    # ... but not half of 120: filled up, with a mask.
    assert batch_stop(lengths, 0, max_tokens=120, pad=True) == 12
    assert batch_stop(lengths, 0, max_tokens=100) == 10


# Batches ----------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(windows=windows_of_ids.filter(bool), data=st.data())
def test_padded_batch_holds_the_windows_and_padding_on_the_right(windows, data):
    rows = data.draw(st.lists(st.integers(0, len(windows) - 1), min_size=1, max_size=8))
    batch = pad_batch(encodings_of(windows), np.array(rows), PAD)
    longest = max(len(windows[row]) for row in rows)
    assert batch.ids.tolist() == [
        windows[row] + [PAD] * (longest - len(windows[row])) for row in rows
    ]
    all_equal = len({len(windows[row]) for row in rows}) == 1
    assert (batch.mask is None) == all_equal
    if batch.mask is not None:
        # The ids are never PAD here, so the mask can be read off them.
        assert batch.mask.tolist() == (batch.ids != PAD).long().tolist()


def test_padded_batch_uses_the_given_padding_and_masks_only_that():
    batch = pad_batch(encodings_of([[7, 7, 7], [7, 5]]), np.array([1, 0]), 7)
    assert batch.ids.tolist() == [[7, 5, 7], [7, 7, 7]]
    assert batch.mask.tolist() == [[1, 1, 0], [1, 1, 1]]


@settings(max_examples=80, deadline=None)
@given(windows=windows_of_ids.filter(bool))
def test_packed_batch_holds_the_windows_behind_each_other(windows):
    encodings = encodings_of(windows)
    order = length_order(encodings)
    batch = pack_batch(encodings, order)
    assert batch.ids.tolist() == [[token for row in order for token in windows[row]]]
    lengths = [length for n_windows, length in batch.runs for _ in range(n_windows)]
    assert lengths == [len(windows[row]) for row in order]
    assert all(run[1] > following[1] for run, following in pairwise(batch.runs))


@settings(max_examples=80, deadline=None)
@given(windows=windows_of_ids.filter(bool), with_segments=st.booleans())
def test_filled_batch_is_the_packed_one_with_single_tokens_behind(windows, with_segments):
    segments = [[1] * len(window) for window in windows] if with_segments else None
    encodings = encodings_of(windows, segments)
    rows = np.arange(len(windows))
    plain, filled = pack_batch(encodings, rows), pack_batch(encodings, rows, fill_to=10_000)
    n_tokens = plain.ids.shape[1]
    assert filled.ids.shape[1] == round_length(n_tokens) == n_tokens + filled.n_filler
    assert torch.equal(filled.ids[:, :n_tokens], plain.ids)
    assert PAD not in filled.ids  # with the padding's id, positions of RoBERTa's kind would change
    assert filled.own_runs == plain.runs == plain.own_runs
    behind = [(filled.n_filler, 1)] if filled.n_filler else []
    assert filled.runs == plain.runs + behind
    if with_segments:
        expected = torch.cat(
            [plain.segments, torch.zeros((1, filled.n_filler), dtype=torch.int64)], 1
        )
        assert torch.equal(filled.segments, expected)
    else:
        assert filled.segments is None


@pytest.mark.parametrize(("fill_to", "n_filler"), [(0, 0), (14, 0), (15, 0), (17, 1), (99, 9)])
def test_batch_is_filled_up_to_what_memory_allows(fill_to, n_filler):
    encodings = encodings_of([[1] * 15] if fill_to < 99 else [[1] * 15, [2] * 8])
    batch = pack_batch(encodings, np.arange(len(encodings.owned)), fill_to=fill_to)
    assert batch.n_filler == n_filler


def test_round_lengths_are_few_and_near():
    lengths = np.arange(1, 2**14 + 1)
    rounded = np.array([round_length(int(length)) for length in lengths])
    added = rounded - lengths
    assert (added >= 0).all()
    assert (added < np.maximum(16, lengths / 2)).all()
    assert (rounded % 16 == 0).all()
    assert (np.diff(rounded) >= 0).all()
    assert len(np.unique(rounded[:4096])) == 16
    assert len(np.unique(rounded)) == 16 + 2 * 2
    assert {round_length(2**power) for power in range(4, 15)} == {
        2**power for power in range(4, 15)
    }


@settings(max_examples=80, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=400),
    max_tokens=st.sampled_from([300, 512, 2048, 4096]),
)
def test_last_windows_are_cut_rather_than_filled_up_far(lengths, max_tokens):
    lengths = np.sort(np.array(lengths, np.int64))[::-1]
    batches = [lengths[slice(*cut)] for cut in cuts(lengths, max_tokens=max_tokens, fill=True)]
    assert np.concatenate(batches).tolist() == lengths.tolist()
    for batch in batches:
        n_tokens = int(batch.sum())
        n_fillers = min(round_length(n_tokens), max_tokens) - n_tokens
        # A row ends with a whole window, the next of which may be as long as this one's last.
        assert n_fillers <= max(32, n_tokens // 8, batch[-1])
    full = cuts(lengths, max_tokens=max_tokens)[:-1]
    assert cuts(lengths, max_tokens=max_tokens, fill=True)[: len(full)] == full


def test_rows_of_one_long_window_are_not_cut():
    assert batch_stop(np.array([1100], np.int64), 0, max_tokens=4096, fill=True) == 1
    # 1,100 tokens would need 436 more, or one row of 1,024 and one of 96.
    ones = np.ones(1100, np.int64)
    assert cuts(ones, max_tokens=4096, fill=True) == [(0, 1024), (1024, 1100)]
    assert cuts(np.ones(1400, np.int64), max_tokens=4096, fill=True) == [(0, 1400)]
    assert cuts(ones, max_tokens=1200, fill=True) == [(0, 1100)]  # 100 more at most


@settings(max_examples=80, deadline=None)
@given(lengths=lengths_down, max_tokens=st.integers(1, 100), pad=st.booleans())
def test_batches_of_equal_lengths_never_mix_lengths(lengths, max_tokens, pad):
    for start, stop in cuts(lengths, max_tokens=max_tokens, pad=pad, equal=True):
        longest = lengths[start]
        assert (lengths[start:stop] == longest).all()
        assert (stop - start) * longest <= max_tokens or stop == start + 1
    for start, stop in cuts(lengths, max_tokens=1, max_windows=4, pad=pad, equal=True):
        assert (lengths[start:stop] == lengths[start]).all()


# Segments ---------------------------------------------------------------------------------------

WINDOWS = [[7, 1, 2, 9], [7, 9], [7, 3, 4, 5, 9], [7, 8, 8, 9]]
SEGMENTS = [[0, 0, 1, 1], [0, 0], [0, 1, 1, 1, 1], [0, 0, 0, 1]]


def test_segments_are_padded_as_the_ids_are():
    batch = pad_batch(encodings_of(WINDOWS, SEGMENTS), np.array([2, 1, 0]), PAD)
    assert batch.segments.tolist() == [[0, 1, 1, 1, 1], [0, 0, 0, 0, 0], [0, 0, 1, 1, 0]]
    assert batch.segments.dtype == batch.ids.dtype == torch.int64
    assert batch.ids.tolist()[2] == [7, 1, 2, 9, PAD]


def test_padding_is_of_segment_zero_whatever_its_id():
    batch = pad_batch(encodings_of(WINDOWS, SEGMENTS), np.array([2, 1]), 5)
    assert batch.ids.tolist() == [[7, 3, 4, 5, 9], [7, 9, 5, 5, 5]]
    assert batch.segments.tolist() == [[0, 1, 1, 1, 1], [0] * 5]


def test_segments_are_packed_as_the_ids_are():
    batch = pack_batch(encodings_of(WINDOWS, SEGMENTS), np.array([2, 3, 0, 1]))
    assert batch.ids.tolist() == [[7, 3, 4, 5, 9, 7, 8, 8, 9, 7, 1, 2, 9, 7, 9]]
    assert batch.segments.tolist() == [[0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 0]]
    assert batch.segments.dtype == torch.int64
    assert batch.runs == [(1, 5), (2, 4), (1, 2)]


def test_no_segments_where_the_model_is_told_none():
    encodings = encodings_of(WINDOWS)
    assert pad_batch(encodings, np.array([0, 1]), PAD).segments is None
    assert pack_batch(encodings, np.array([0, 1])).segments is None


@settings(max_examples=60, deadline=None)
@given(windows=windows_of_ids.filter(bool), data=st.data())
def test_each_token_keeps_its_segment(windows, data):
    """Segments that can be told from the ids: odd and even ones."""
    encodings = encodings_of(windows, [[token % 2 for token in window] for window in windows])
    rows = np.array(data.draw(st.lists(st.integers(0, len(windows) - 1), min_size=1, max_size=8)))
    padded, packed = pad_batch(encodings, rows, PAD), pack_batch(encodings, rows)
    assert torch.equal(padded.segments, padded.ids % 2)  # PAD is even
    assert torch.equal(packed.segments, packed.ids % 2)


# Below each other again --------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(windows=windows_of_ids.filter(len), data=st.data())
def test_gathered_tokens_are_those_of_the_windows(windows, data):
    rows = data.draw(st.lists(st.sampled_from(range(len(windows))), min_size=1))
    encodings = encodings_of(windows)
    gathered = gather_tokens(encodings.ids, encodings.bounds, np.array(rows))
    assert gathered.tolist() == [token for row in rows for token in windows[row]]
    assert gathered.dtype == np.int64


@settings(max_examples=100, deadline=None)
@given(lengths=lengths_down)
def test_parts_hold_every_window_once_and_padding_does_not_double_them(lengths):
    parts = parts_of_like_lengths(lengths)
    assert [row for part in parts for row in range(part.start, part.stop)] == [*range(len(lengths))]
    for part in parts:
        places = padded_places(lengths[part])
        assert places.size <= 2 * lengths[part].sum()
        assert places.max() < lengths[part].sum()
    assert len(parts) <= 1 + np.log2(lengths[0] / lengths[-1])
