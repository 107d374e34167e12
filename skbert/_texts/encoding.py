"""Texts → ragged token ids, by the checkpoint's fast tokenizer, cut into windows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from skbert._exceptions import CheckpointError, ParameterError, TextTooLongError
from skbert._texts.offsets import repaired_offsets, untrimmed
from skbert._texts.windows import Encodings, cumulative, owned_tokens, window_spans

# Texts are tokenized this many at a time: the tokenizer's own objects are large.
CHUNK_TEXTS = 16_384
CHUNK_CHARACTERS = 2_000_000
# Where a GPU waits for the first chunk, that is a part of a full one, and each next one is so much
# larger: tokenizing is faster than a GPU, but not twice as fast.
FIRST_CHUNK, CHUNK_GROWTH = 1 / 8, 1.5

T = TypeVar("T")

# Offsets of a token that stands for an empty text.
NO_CHARACTERS = np.zeros((1, 2), np.int64)
SURROGATES = re.compile("[\ud800-\udfff]")


class TokenizedText(NamedTuple):
    """A whole text as tokens."""

    ids: list[int]
    """Their numbers in the vocabulary."""
    offsets: NDArray[np.int64] | None = None
    """Characters of each, repaired (see offsets.py), shape (n_tokens, 2)."""
    word_ids: list[int | None] | None = None
    """What the tokenizer takes for words: the number of each token's word."""


class TextTokenizer:
    """A fast tokenizer without truncation and padding, which are done here.

    Parameters
    ----------
    tokenizer : tokenizers.Tokenizer
        The tokenizer of the checkpoint; it is copied, since it keeps the truncation and padding
        that somebody switched on once.
    pad_id : int
        Id of the padding token.
    keep_end : bool, default=False
        Whether truncation cuts off the beginning of a text, not its end, as few checkpoints ask.
    has_segments : bool, default=False
        Whether the model is told which text of a pair a token belongs to.
    unknown_id : int, default=None
        Id of the token for unknown words; the padding token where there is none.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        pad_id: int,
        *,
        keep_end: bool = False,
        has_segments: bool = False,
        unknown_id: int | None = None,
    ) -> None:
        self.backend = Tokenizer.from_str(tokenizer.to_str())
        self.backend.no_truncation()
        self.backend.no_padding()
        self.pad_id = pad_id
        self.keep_end = keep_end
        self.has_segments = has_segments
        self.unknown_id = pad_id if unknown_id is None else unknown_id
        self.prefix, self.suffix, self.segments = self._special_tokens()

    @cached_property
    def _untrimmed(self) -> Tokenizer:
        return untrimmed(self.backend)

    def _special_tokens(self) -> tuple[list[int], list[int], tuple[list[int], ...]]:
        """Return what stands around a text.

        Ids of the special tokens before and after it, ``[101], [102]`` for BERT, and the segments
        of those before it, of the text's own tokens, and of those after it.
        """
        probe = self.backend.encode("a")
        is_body = [not special for special in probe.special_tokens_mask]
        if True not in is_body:
            raise CheckpointError(
                'The tokenizer returns no token for the text "a". Is its vocabulary empty? '
                "Choose another checkpoint."
            )
        first = is_body.index(True)
        stop = len(is_body) - is_body[::-1].index(True)
        types = probe.type_ids
        segments = (types[:first], types[first : first + 1], types[stop:])
        return probe.ids[:first], probe.ids[stop:], segments

    @property
    def digest(self) -> str:
        """SHA-256 of all that decides which tokens it makes of a text."""
        side = "end" if self.keep_end else "beginning"
        return hashlib.sha256(f"{side} {self.backend.to_str()}".encode()).hexdigest()

    @property
    def n_special_tokens(self) -> int:
        """Special tokens that each window needs beside its body."""
        return len(self.prefix) + len(self.suffix)

    def encode(
        self,
        texts: Sequence[str],
        *,
        max_length: int,
        overflow: str = "truncate",
        stride: int | None = None,
        with_offsets: bool = False,
        positions: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> Encodings:
        """Tokenize texts and cut them into windows.

        Parameters
        ----------
        texts : sequence of str
            The texts.
        max_length : int
            Tokens in the longest window, special tokens included.
        overflow : {"truncate", "windows", "error"}, default="truncate"
            What happens to a longer text.
        stride : int, default=None
            Tokens by which windows overlap; a quarter of the room for the body by default.
        with_offsets : bool, default=False
            Also keep the characters that each token was made from (slower).
        positions : sequence of int, default=None
            Numbers of the texts in the caller's X, for error messages; from 0 on by default.

        Raises
        ------
        ParameterError
            If a window has no room for the body or no step forward.
        TextTooLongError
            With ``overflow="error"``, for the first text that is too long.
        """
        if overflow != "windows" and not with_offsets:
            ids = [encoding.ids for encoding in self._encode(self.backend.encode_batch_fast, texts)]
            return self._one_window_each(
                ids, max_length=max_length, overflow=overflow, positions=positions
            )
        tokenized = self.tokenize(texts, with_offsets=with_offsets)
        return self.windows(
            [_body(encoding.ids, self.prefix, self.suffix) for encoding in tokenized],
            max_length=max_length,
            overflow=overflow,
            stride=stride,
            offsets=[
                encoding.offsets[len(self.prefix) : len(encoding.ids) - len(self.suffix)]
                for encoding in tokenized
                if encoding.offsets is not None
            ]
            if with_offsets
            else None,
            positions=positions,
        )

    def windows(
        self,
        bodies: Sequence[list[int]],
        *,
        max_length: int,
        overflow: str = "truncate",
        stride: int | None = None,
        offsets: Sequence[NDArray[np.int64]] | None = None,
        positions: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> Encodings:
        """Cut tokenized texts, given without special tokens, into windows; else as `encode`."""
        room, overlap = self.window_room(max_length, stride if overflow == "windows" else 0)
        windows: list[list[int]] = []
        all_offsets: list[NDArray[np.int64]] = [np.empty((0, 2), np.int64)]
        owned: list[tuple[int, int]] = []
        n_windows, lost = [], []
        for position, body in enumerate(bodies):
            if not body and not self.n_special_tokens:
                body = [self.pad_id]  # a model cannot read nothing
            if len(body) > room and overflow == "error":
                number = position if positions is None else positions[position]
                raise self._too_long(number, len(body) + self.n_special_tokens, max_length)
            spans = window_spans(
                len(body), room, overlap if overflow == "windows" else None, self.keep_end
            )
            windows += [self.prefix + body[start:stop] + self.suffix for start, stop in spans]
            owned += owned_tokens(spans, len(self.prefix), len(self.suffix))
            n_windows.append(len(spans))
            lost.append(len(body) - (spans[-1][1] - spans[0][0]))
            if offsets is not None:
                outer = (len(self.prefix), len(self.suffix))
                of_body = (
                    offsets[position] if len(offsets[position]) else NO_CHARACTERS[: len(body)]
                )
                all_offsets += [
                    np.pad(of_body[start:stop], (outer, (0, 0))) for start, stop in spans
                ]
        lengths = [len(window) for window in windows]
        return Encodings(
            ids=np.fromiter(chain.from_iterable(windows), np.int32, sum(lengths)),
            bounds=cumulative(lengths),
            owned=np.array(owned, np.int64).reshape(-1, 2),
            text_bounds=cumulative(n_windows),
            offsets=None if offsets is None else np.concatenate(all_offsets),
            lost_tokens=np.array(lost, np.int64),
            segments=self._segments_of(lengths),
        )

    def _one_window_each(
        self,
        ids: list[list[int]],
        *,
        max_length: int,
        overflow: str,
        positions: Sequence[int] | NDArray[np.int64] | None,
    ) -> Encodings:
        """As `windows`, of whole texts with special tokens: a loop over the too long ones only."""
        room, _ = self.window_room(max_length, 0)
        lengths = np.fromiter(map(len, ids), np.int64, len(ids))
        longest = min(max_length, int(lengths.max(initial=1)))  # no limit is no int64
        for position in np.flatnonzero(lengths > longest).tolist():
            if overflow == "error":
                number = position if positions is None else positions[position]
                raise self._too_long(number, len(ids[position]), max_length)
            body = _body(ids[position], self.prefix, self.suffix)
            ((start, stop),) = window_spans(len(body), room, None, self.keep_end)
            ids[position] = self.prefix + body[start:stop] + self.suffix
        for position in np.flatnonzero(lengths == 0).tolist():
            ids[position] = [self.pad_id]  # a model cannot read nothing
        read = lengths.clip(1, longest)
        return Encodings(
            ids=np.fromiter(chain.from_iterable(ids), np.int32, int(read.sum())),
            bounds=cumulative(read),
            owned=np.stack([np.zeros_like(read), read], axis=1),
            text_bounds=np.arange(len(ids) + 1),
            offsets=None,
            lost_tokens=(lengths - longest).clip(min=0),
            segments=self._segments_of(read.tolist()),
        )

    def _too_long(self, number: int, n_tokens: int, max_length: int) -> TextTooLongError:
        return TextTooLongError(
            f"X[{number}] has {n_tokens} tokens, more than max_length={max_length}. Shorten it, or "
            'use overflow="windows" (reads the whole text) or overflow="truncate".'
        )

    def _segments_of(self, lengths: Sequence[int]) -> NDArray[np.int8] | None:
        """Return the segments of windows, where a single text has others than 0, as XLNet's."""
        if not (self.has_segments and any(chain.from_iterable(self.segments))):
            return None
        before, own, after = self.segments
        parts = [before + own * (length - self.n_special_tokens) + after for length in lengths]
        return np.fromiter(chain.from_iterable(parts), np.int8, sum(lengths))

    def window_room(self, max_length: int, stride: int | None) -> tuple[int, int]:
        """Return body tokens in a window, and how many of them the next window repeats.

        Raises
        ------
        ParameterError
            If there is no room, or no step forward.
        """
        room = max_length - self.n_special_tokens
        if room < 1:
            raise ParameterError(
                f"max_length={max_length} leaves no room for text beside the "
                f"{self.n_special_tokens} special tokens. Use at least "
                f"{self.n_special_tokens + 1}."
            )
        overlap = room // 4 if stride is None else stride
        if overlap >= room:
            raise ParameterError(
                f"stride={stride} must be smaller than the {room} tokens of text in a window of "
                f"max_length={max_length}: windows must move forward."
            )
        return room, overlap

    def tokenize(
        self,
        texts: Sequence[str],
        *,
        with_offsets: bool = False,
        special_tokens: bool = True,
    ) -> list[TokenizedText]:
        """Tokenize whole texts, however long."""
        encode = self._untrimmed.encode_batch if with_offsets else self.backend.encode_batch_fast
        encodings = self._encode(encode, texts, special_tokens)
        if not with_offsets:
            return [TokenizedText(encoding.ids) for encoding in encodings]
        return [
            TokenizedText(encoding.ids, repaired_offsets(text, encoding.offsets), encoding.word_ids)
            for text, encoding in zip(texts, encodings, strict=True)
        ]

    @staticmethod
    def _encode(encode: Any, texts: Sequence[str], special_tokens: bool = True) -> list[Any]:
        """Let the tokenizer encode whole texts; returned are its own objects."""
        try:
            return encode(list(texts), add_special_tokens=special_tokens)
        except TypeError:
            # A lone surrogate ("\ud83d", half an emoji) is no Unicode text: read it as the
            # replacement character, one for one, so that offsets stay true.
            clean = [SURROGATES.sub("\ufffd", text) for text in texts]
            return encode(clean, add_special_tokens=special_tokens)


def chunks(
    *columns: Sequence[str], max_characters: int | None = None, growing: bool = False
) -> Iterator[slice]:
    """Cut many rows of texts into slices that are tokenized and computed one after another.

    With ``growing``, the first slices are shorter: nothing computes while the first is tokenized.
    """
    max_characters = CHUNK_CHARACTERS if max_characters is None else max_characters
    start = characters = 0
    share = FIRST_CHUNK if growing else 1.0
    for position, row in enumerate(zip(*columns, strict=True)):
        length = sum(map(len, row))
        n_texts, n_characters = position - start, characters + length
        full = n_texts >= share * CHUNK_TEXTS or n_characters > share * max_characters
        if full and position > start:
            yield slice(start, position)
            start, characters, share = position, 0, min(1.0, CHUNK_GROWTH * share)
        characters += length
    yield slice(start, len(columns[0]))


def _body(tokens: list[T], prefix: list[int], suffix: list[int]) -> list[T]:
    return tokens[len(prefix) : len(tokens) - len(suffix)]
