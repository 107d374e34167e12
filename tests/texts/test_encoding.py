"""Texts → ragged windows of ids, compared with transformers' own tokenizer."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoTokenizer

from skbert import BertEmbedder, ParameterError, TextTooLongError, TruncationWarning
from skbert._texts import encoding as encoding_module
from skbert._texts.encoding import TextTokenizer, chunks
from skbert._texts.offsets import whole_characters
from skbert._texts.windows import Encodings

CLS, SEP = 2, 3  # lines of conftest's vocabulary
TEXTS = [
    "the cat sat on the mat .",
    "",
    "unbelievable !",
    "Größe 猫 🙂 é e\u0301",
    "a [SEP] b [PAD] c [MASK] [CLS] [UNK]",
    "the dog " * 40,
    "\x00\t \n\u200b",
    "x" * 300,
]


@pytest.fixture(scope="module")
def reference(tiny_bert):
    return AutoTokenizer.from_pretrained(tiny_bert)


@pytest.fixture(scope="module")
def tokenizer(reference):
    return TextTokenizer(reference.backend_tokenizer, reference.pad_token_id)


def windows_of(encodings: Encodings, text: int) -> list[list[int]]:
    """Ids of each window of one text."""
    first, stop = encodings.text_bounds[text : text + 2]
    return [
        encodings.ids[begin:end].tolist()
        for begin, end in pairwise(encodings.bounds[first : stop + 1].tolist())
    ]


def letters(n_tokens: int) -> str:
    """A text of so many tokens; token i is the character 2 * i."""
    return " ".join("abcdefghijklmnopqrstuvwxyz"[i % 26] for i in range(n_tokens))


# As transformers tokenises ----------------------------------------------------------------------


@pytest.mark.parametrize("max_length", [3, 8, 64])
def test_ids_and_offsets_are_those_of_transformers(tokenizer, reference, max_length):
    encodings = tokenizer.encode(TEXTS, max_length=max_length, with_offsets=True)
    for text in range(len(TEXTS)):
        expected = reference(
            TEXTS[text], truncation=True, max_length=max_length, return_offsets_mapping=True
        )
        (window,) = windows_of(encodings, text)
        assert window == expected["input_ids"]
        begin, end = encodings.bounds[text : text + 2]
        assert encodings.offsets[begin:end].tolist() == [
            # Ours include the marks that transformers drops.
            [start, whole_characters(TEXTS[text], start, end)[1] if end else 0]
            for start, end in expected["offset_mapping"]
        ]


def test_ids_are_the_same_with_and_without_offsets(tokenizer):
    fast = tokenizer.encode(TEXTS, max_length=9, overflow="windows")
    slow = tokenizer.encode(TEXTS, max_length=9, overflow="windows", with_offsets=True)
    assert fast.offsets is None
    np.testing.assert_array_equal(fast.ids, slow.ids)
    np.testing.assert_array_equal(fast.bounds, slow.bounds)


def test_special_tokens_are_found(tokenizer):
    assert (tokenizer.prefix, tokenizer.suffix) == ([CLS], [SEP])
    assert tokenizer.n_special_tokens == 2
    encodings = tokenizer.encode(["", "a"], max_length=64)
    assert windows_of(encodings, 0) == [[CLS, SEP]]
    assert [len(window) for window in windows_of(encodings, 1)] == [3]


def test_truncation_and_padding_that_others_switched_on_change_nothing(tiny_bert, tokenizer):
    used = AutoTokenizer.from_pretrained(tiny_bert)
    used(["a", "the cat sat on"], truncation=True, max_length=4, padding="max_length")
    assert used.backend_tokenizer.truncation is not None
    assert used.backend_tokenizer.padding is not None
    ours = TextTokenizer(used.backend_tokenizer, used.pad_token_id)
    expected = tokenizer.encode(TEXTS, max_length=64)
    encodings = ours.encode(TEXTS, max_length=64)
    np.testing.assert_array_equal(encodings.ids, expected.ids)
    np.testing.assert_array_equal(encodings.bounds, expected.bounds)
    # ... and theirs stays as they set it.
    assert used.backend_tokenizer.truncation["max_length"] == 4
    assert used.backend_tokenizer.padding["length"] == 4


def test_lone_surrogates_are_read_as_the_replacement_character(tokenizer):
    broken = ["a \ud83d b", "the cat", "\udc00\ud800"]
    mended = ["a \ufffd b", "the cat", "\ufffd\ufffd"]
    encodings = tokenizer.encode(broken, max_length=64, with_offsets=True)
    expected = tokenizer.encode(mended, max_length=64, with_offsets=True)
    np.testing.assert_array_equal(encodings.ids, expected.ids)
    np.testing.assert_array_equal(encodings.offsets, expected.offsets)


def test_offsets_count_python_characters_beyond_the_basic_plane(tokenizer):
    text = "🙂🙂 cat é dog"
    encodings = tokenizer.encode([text], max_length=64, with_offsets=True)
    words = [text[start:end] for start, end in encodings.offsets[1:-1].tolist()]
    assert words[-3:] == ["cat", "é", "dog"]


# Windows ----------------------------------------------------------------------------------------


def test_the_example_of_the_module(tokenizer):
    """Room for 5, overlap 2, body of 8: the picture at the top of _texts/windows.py."""
    encodings = tokenizer.encode([letters(8)], max_length=7, overflow="windows", stride=2)
    body = tokenizer.encode([letters(8)], max_length=64).ids[1:-1].tolist()
    assert windows_of(encodings, 0) == [[CLS, *body[:5], SEP], [CLS, *body[3:], SEP]]
    assert encodings.owned.tolist() == [[0, 5], [2, 7]]


@settings(max_examples=150, deadline=None)
@given(
    n_tokens=st.integers(0, 60),
    room=st.integers(1, 20),
    overlap=st.none() | st.integers(0, 19),
)
def test_windows_own_each_token_once_where_it_has_most_context(tokenizer, n_tokens, room, overlap):
    if overlap is not None:
        overlap %= room
    text = letters(n_tokens)
    encodings = tokenizer.encode(
        [text], max_length=room + 2, overflow="windows", stride=overlap, with_offsets=True
    )
    whole = tokenizer.encode([text], max_length=1_000).ids.tolist()
    windows = windows_of(encodings, 0)
    assert encodings.lost_tokens.tolist() == [0]
    assert {(window[0], window[-1]) for window in windows} == {(CLS, SEP)}
    assert all(len(window) == min(room, n_tokens) + 2 for window in windows)

    # Each token of the text once, in order, [CLS] and [SEP] included.
    owned = [
        window[first:stop]
        for window, (first, stop) in zip(windows, encodings.owned.tolist(), strict=True)
    ]
    assert all(owned)
    assert [token for part in owned for token in part] == whole
    np.testing.assert_array_equal(encodings.n_owned, [len(part) for part in owned])

    # No other window has a token further from its edges than the one that owns it.
    body = encodings.offsets[:, 0] // 2
    margins: dict[int, list[int]] = {token: [] for token in range(n_tokens)}
    owner_margin = {}
    for (begin, end), (first, stop) in zip(
        pairwise(encodings.bounds.tolist()), encodings.owned.tolist(), strict=True
    ):
        for place in range(1, end - begin - 1):
            token, margin = int(body[begin + place]), min(place - 1, end - begin - 2 - place)
            margins[token].append(margin)
            if first <= place < stop:
                owner_margin[token] = margin
    assert owner_margin == {token: max(found) for token, found in margins.items()}

    # Neighbours overlap by what was asked, the last two by at least that.
    starts = [int(body[begin + 1]) for begin in encodings.bounds[:-1]] if n_tokens else [0]
    asked = room // 4 if overlap is None else overlap
    steps = np.diff(starts).tolist()
    assert all(step == room - asked for step in steps[:-1])
    assert all(1 <= step <= room - asked for step in steps)


def test_windows_of_many_texts_do_not_mix(tokenizer):
    texts = [letters(n) for n in (3, 0, 40, 7, 12)]
    together = tokenizer.encode(texts, max_length=9, overflow="windows", stride=3)
    assert together.text_bounds[-1] == len(together.lengths) == len(together.owned)
    for position, text in enumerate(texts):
        alone = tokenizer.encode([text], max_length=9, overflow="windows", stride=3)
        assert windows_of(together, position) == windows_of(alone, 0)
        first, stop = together.text_bounds[position : position + 2]
        np.testing.assert_array_equal(together.owned[first:stop], alone.owned)


# Truncation, refusal ----------------------------------------------------------------------------


@pytest.mark.parametrize("n_tokens", [0, 1, 4, 5, 6, 30])
def test_truncation_counts_what_is_lost(tokenizer, n_tokens):
    encodings = tokenizer.encode([letters(n_tokens), "a"], max_length=7)
    assert encodings.lost_tokens.tolist() == [max(0, n_tokens - 5), 0]
    (window,) = windows_of(encodings, 0)
    assert (
        window[1:-1] == tokenizer.encode([letters(n_tokens)], max_length=64).ids[1:-1][:5].tolist()
    )


def test_truncation_warning_counts_texts_and_tokens(tiny_bert):
    embedder = BertEmbedder(tiny_bert, max_length=7).fit(["a"])
    with pytest.warns(
        TruncationWarning, match=r"2 of 4 texts .*max_length=7: 26 of their"
    ) as caught:
        embedder.transform([letters(6), "a", letters(30), letters(5)])
    assert len(caught) == 1


def test_overflow_error_names_the_text_and_its_length(tokenizer):
    with pytest.raises(TextTooLongError, match=r"X\[12\] has 8 tokens.*max_length=7.*windows"):
        tokenizer.encode(
            ["a", letters(5), letters(6)], max_length=7, overflow="error", positions=[5, 7, 12]
        )
    assert len(tokenizer.encode([letters(5)], max_length=7, overflow="error").lengths) == 1


@pytest.mark.parametrize("stride", [5, 6, 1000])
def test_windows_that_do_not_move_forward_are_refused(tokenizer, stride):
    with pytest.raises(ParameterError, match=rf"stride={stride} must be smaller than the 5 tokens"):
        tokenizer.encode(["a"], max_length=7, overflow="windows", stride=stride)


@pytest.mark.parametrize("max_length", [1, 2])
@pytest.mark.parametrize("overflow", ["truncate", "windows", "error"])
def test_window_without_room_is_refused(tokenizer, max_length, overflow):
    with pytest.raises(ParameterError, match=rf"max_length={max_length} leaves no room.*least 3"):
        tokenizer.encode(["a"], max_length=max_length, overflow=overflow)


# Chunks -----------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), max_size=30),
    most_texts=st.integers(1, 6),
    max_characters=st.integers(1, 20),
)
def test_chunks_hold_every_text_once_and_stay_small(sizes, most_texts, max_characters):
    texts = ["x" * size for size in sizes]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(encoding_module, "CHUNK_TEXTS", most_texts)
        patch.setattr(encoding_module, "CHUNK_CHARACTERS", max_characters)
        parts = list(chunks(texts))
    assert [text for part in parts for text in texts[part]] == texts
    assert [part.stop for part in parts[:-1]] == [part.start for part in parts[1:]]
    for part in parts:
        inside = sizes[part]
        assert inside or not texts
        assert len(inside) <= most_texts
        assert len(inside) == 1 or sum(inside) <= max_characters
    for part, following in pairwise(parts):  # none is cut smaller than it must be
        inside = sizes[part]
        full = len(inside) == most_texts or sum(inside) + sizes[following.start] > max_characters
        assert full


@pytest.mark.parametrize("pooling", ["mean", None])
def test_chunks_do_not_change_the_result(tiny_bert, texts, monkeypatch, pooling):
    embedder = BertEmbedder(tiny_bert, pooling=pooling, max_length=8, overflow="windows")
    expected = embedder.fit_transform(texts)
    monkeypatch.setattr(encoding_module, "CHUNK_TEXTS", 2)
    vectors = embedder.transform(texts)
    assert len(vectors) == len(expected) == len(texts)
    for ours, theirs in zip(vectors, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_error_in_a_later_chunk_names_the_position_in_x(tiny_bert, monkeypatch):
    monkeypatch.setattr(encoding_module, "CHUNK_TEXTS", 2)
    embedder = BertEmbedder(tiny_bert, max_length=7, overflow="error").fit(["a"])
    with pytest.raises(TextTooLongError, match=r"X\[5\] has"):
        embedder.transform(["a"] * 5 + [letters(6)])


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    room=st.integers(1, 9),
    keep_end=st.booleans(),
)
def test_one_window_a_text_is_what_cutting_into_windows_gives(tokenizer, sizes, room, keep_end):
    tokenizer = TextTokenizer(tokenizer.backend, tokenizer.pad_id, keep_end=keep_end)
    texts = [letters(size) for size in sizes]
    max_length = room + tokenizer.n_special_tokens
    bodies = [tokenizer.tokenize([text])[0].ids[1:-1] for text in texts]
    expected = tokenizer.windows(bodies, max_length=max_length)
    assert_equal_encodings(tokenizer.encode(texts, max_length=max_length), expected)


def test_text_without_any_token_is_read_as_padding():
    backend = Tokenizer(models.WordLevel({"[PAD]": 0, "a": 1}, unk_token="[PAD]"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = TextTokenizer(backend, pad_id=0)
    encodings = tokenizer.encode(["", "a a", ""], max_length=2)
    assert_equal_encodings(encodings, tokenizer.windows([[], [1, 1], []], max_length=2))
    assert encodings.ids.tolist() == [0, 1, 1, 0]


def assert_equal_encodings(ours: Encodings, expected: Encodings) -> None:
    for name in ("ids", "bounds", "owned", "text_bounds", "lost_tokens"):
        found, other = getattr(ours, name), getattr(expected, name)
        assert found.dtype == other.dtype, name
        np.testing.assert_array_equal(found, other, err_msg=name)
    assert ours.segments is expected.segments is None
    assert ours.offsets is expected.offsets is None


def test_growing_chunks_begin_short_so_that_a_gpu_has_work_soon():
    texts = ["a"] * 100_000
    sizes = [part.stop - part.start for part in chunks(texts, growing=True)]
    assert sum(sizes) == len(texts)
    assert sizes[0] == encoding_module.CHUNK_TEXTS // 8
    growth = [b / a for a, b in pairwise(sizes[:-1])]
    assert all(1 <= each < 1.51 for each in growth)
    assert max(sizes) == encoding_module.CHUNK_TEXTS
    by_characters = [
        part.stop for part in chunks(["a" * 1000] * 9, max_characters=4000, growing=True)
    ]
    assert by_characters[:2] == [1, 2]
