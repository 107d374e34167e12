"""Texts → ragged token ids, cut into windows that the model can read.

A text that fits is one window, ``[CLS] body [SEP]``. A longer one is truncated, refused, or read
in overlapping windows. With room for 5 body tokens and ``stride=2`` tokens of overlap, the body
``a b c d e f g h`` becomes::

    window 0   [CLS] a b c d e [SEP]            owns [CLS] a b c d
    window 1         [CLS] d e f g h [SEP]      owns e f g h [SEP]

(The last window is moved back so that it is full.) In the overlap ``d e`` each token is owned by
the window in whose middle it lies more nearly: there it has most context on both sides. So every
token of the text is owned exactly once, in order.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from skbert._exceptions import CheckpointError, ParameterError, TextTooLongError

# Texts are tokenised this many at a time: the tokenizer's own objects are large.
CHUNK_TEXTS = 16_384
CHUNK_CHARACTERS = 2_000_000

T = TypeVar("T")

SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Encodings:
    """Windows of token ids, ragged: window w is ``ids[bounds[w]:bounds[w + 1]]``.

    Attributes
    ----------
    ids : ndarray of int32, shape (n_tokens,)
        The ids of all windows, one after another, special tokens included.
    bounds : ndarray of int64, shape (n_windows + 1,)
        Where each window begins and ends.
    owned : ndarray of int64, shape (n_windows, 2)
        First token, and one after the last, that each window owns, counted in the window.
    text_bounds : ndarray of int64, shape (n_texts + 1,)
        Windows of text t: ``text_bounds[t]`` to ``text_bounds[t + 1]``.
    offsets : ndarray of int64, shape (n_tokens, 2), or None
        Characters of the text that each token was made from; (0, 0) for special tokens.
    lost_tokens : ndarray of int64, shape (n_texts,)
        Tokens of each text that no window holds: what truncation cut off.
    segments : ndarray of int8, shape (n_tokens,), or None
        Which text of a pair each token belongs to, as the model was trained on it; None where
        the model tells no segments apart, or reads single texts only.
    first_pieces : ndarray of int64, shape (n_words,), or None
        Where texts are given as words: which of all owned tokens is each word's first.
    """

    ids: NDArray[np.int32]
    bounds: NDArray[np.int64]
    owned: NDArray[np.int64]
    text_bounds: NDArray[np.int64]
    offsets: NDArray[np.int64] | None
    lost_tokens: NDArray[np.int64]
    segments: NDArray[np.int8] | None = None
    first_pieces: NDArray[np.int64] | None = None

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens in each window, shape (n_windows,)."""
        return np.diff(self.bounds)

    @property
    def n_owned(self) -> NDArray[np.int64]:
        """Tokens that each window owns, shape (n_windows,)."""
        return self.owned[:, 1] - self.owned[:, 0]


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
        self.prefix, self.suffix = self._special_tokens()

    def _special_tokens(self) -> tuple[list[int], list[int]]:
        """Ids of the special tokens before and after a text: ``[101], [102]`` for BERT."""
        probe = self.backend.encode("a")
        is_body = [not special for special in probe.special_tokens_mask]
        if True not in is_body:
            raise CheckpointError(
                'The tokenizer makes no token of the text "a". Is its vocabulary empty? '
                "Choose another checkpoint."
            )
        first = is_body.index(True)
        stop = len(is_body) - is_body[::-1].index(True)
        return probe.ids[:first], probe.ids[stop:]

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
        """Tokenise texts and cut them into windows.

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
        tokenised = self.tokenize(texts, with_offsets=with_offsets)
        return self.windows(
            [_body(encoding.ids, self.prefix, self.suffix) for encoding in tokenised],
            max_length=max_length,
            overflow=overflow,
            stride=stride,
            offsets=[_body(encoding.offsets, self.prefix, self.suffix) for encoding in tokenised]
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
        offsets: Sequence[list[tuple[int, int]]] | None = None,
        positions: Sequence[int] | NDArray[np.int64] | None = None,
    ) -> Encodings:
        """Cut tokenised texts, given without special tokens, into windows; else as `encode`."""
        room, overlap = self.window_room(max_length, stride if overflow == "windows" else 0)
        windows: list[list[int]] = []
        all_offsets: list[list[tuple[int, int]]] = []
        owned: list[tuple[int, int]] = []
        n_windows, lost = [], []
        for position, body in enumerate(bodies):
            if not body and not self.n_special_tokens:
                body = [self.pad_id]  # a model cannot read nothing
            if len(body) > room and overflow == "error":
                number = position if positions is None else positions[position]
                raise TextTooLongError(
                    f"X[{number}] has {len(body) + self.n_special_tokens} "
                    f"tokens, more than max_length={max_length}. Shorten it, or use "
                    'overflow="windows" (reads it whole) or overflow="truncate".'
                )
            spans = window_spans(
                len(body), room, overlap if overflow == "windows" else None, self.keep_end
            )
            windows += [self.prefix + body[start:stop] + self.suffix for start, stop in spans]
            owned += _owned_tokens(spans, len(self.prefix), len(self.suffix))
            n_windows.append(len(spans))
            lost.append(len(body) - (spans[-1][1] - spans[0][0]))
            if offsets is not None:
                of_body = offsets[position] or [(0, 0)]
                before, after = [(0, 0)] * len(self.prefix), [(0, 0)] * len(self.suffix)
                all_offsets += [before + of_body[start:stop] + after for start, stop in spans]
        lengths = [len(window) for window in windows]
        return Encodings(
            ids=np.fromiter(chain.from_iterable(windows), np.int32, sum(lengths)),
            bounds=cumulative(lengths),
            owned=np.array(owned, np.int64).reshape(-1, 2),
            text_bounds=cumulative(n_windows),
            offsets=None
            if offsets is None
            else np.array(list(chain.from_iterable(all_offsets)), np.int64).reshape(-1, 2),
            lost_tokens=np.array(lost, np.int64),
        )

    def window_room(self, max_length: int, stride: int | None) -> tuple[int, int]:
        """Body tokens in a window, and how many of them the next window repeats.

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
    ) -> list[Encoding]:
        """Tokenise whole texts, however long."""
        encode = self.backend.encode_batch if with_offsets else self.backend.encode_batch_fast
        try:
            return list(encode(list(texts), add_special_tokens=special_tokens))
        except TypeError:
            # A lone surrogate ("\ud83d", half an emoji) is no Unicode text: read it as the
            # replacement character, one for one, so that offsets stay true.
            clean = [SURROGATES.sub("\ufffd", text) for text in texts]
            return list(encode(clean, add_special_tokens=special_tokens))


def chunks(*columns: Sequence[str], max_characters: int | None = None) -> Iterator[slice]:
    """Cut many rows of texts into slices that are tokenised and computed one after another."""
    max_characters = CHUNK_CHARACTERS if max_characters is None else max_characters
    start = characters = 0
    for position, row in enumerate(zip(*columns, strict=True)):
        length = sum(map(len, row))
        full = position - start >= CHUNK_TEXTS or characters + length > max_characters
        if full and position > start:
            yield slice(start, position)
            start, characters = position, 0
        characters += length
    yield slice(start, len(columns[0]))


def concatenate(parts: Sequence[Encodings]) -> Encodings:
    """Put the encodings of chunks together."""
    if len(parts) == 1:
        return parts[0]
    owned_before = cumulative([int(part.n_owned.sum()) for part in parts])
    return Encodings(
        ids=np.concatenate([part.ids for part in parts]),
        bounds=cumulative(np.concatenate([part.lengths for part in parts])),
        owned=np.concatenate([part.owned for part in parts]),
        text_bounds=cumulative(np.concatenate([np.diff(part.text_bounds) for part in parts])),
        offsets=None
        if parts[0].offsets is None
        else np.concatenate([part.offsets for part in parts if part.offsets is not None]),
        lost_tokens=np.concatenate([part.lost_tokens for part in parts]),
        segments=None
        if parts[0].segments is None
        else np.concatenate([part.segments for part in parts if part.segments is not None]),
        first_pieces=None
        if parts[0].first_pieces is None
        else np.concatenate(
            [
                part.first_pieces + before
                for part, before in zip(parts, owned_before, strict=False)
                if part.first_pieces is not None
            ]
        ),
    )


def _body(tokens: list[T], prefix: list[int], suffix: list[int]) -> list[T]:
    return tokens[len(prefix) : len(tokens) - len(suffix)]


def window_spans(
    n_tokens: int, room: int, overlap: int | None, keep_end: bool = False
) -> list[tuple[int, int]]:
    """Cut ``n_tokens`` body tokens into spans; one truncated span where overlap is None."""
    last = n_tokens - room
    if last <= 0:
        return [(0, n_tokens)]
    if overlap is None:
        return [(last, n_tokens)] if keep_end else [(0, room)]
    starts = [*range(0, last, room - overlap), last]
    return [(start, start + room) for start in starts]


def _owned_tokens(
    spans: list[tuple[int, int]], n_prefix: int, n_suffix: int
) -> list[tuple[int, int]]:
    """Tokens of each window that it owns: up to the middle of each overlap."""
    borders = [(start + stop) // 2 for (_, stop), (start, _) in pairwise(spans)]
    owned = [
        (n_prefix + left - start, n_prefix + right - start)
        for (start, _), left, right in zip(
            spans, [spans[0][0], *borders], [*borders, spans[-1][1]], strict=True
        )
    ]
    owned[0] = (0, owned[0][1])
    owned[-1] = (owned[-1][0], owned[-1][1] + n_suffix)
    return owned


def cumulative(counts: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Bounds of runs of these lengths, from 0 on, shape (n_runs + 1,)."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).astype(np.int64)
