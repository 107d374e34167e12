"""Pairs of texts → ragged token ids with segments: ``[CLS] first [SEP] second [SEP]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from skbert._exceptions import CheckpointError, ParameterError, TextTooLongError
from skbert._texts.encoding import TextTokenizer
from skbert._texts.windows import Encodings, cumulative

T = TypeVar("T")


@dataclass(frozen=True)
class PairTemplate:
    """The special tokens of a pair, and the segment of each part.

    For BERT: ``[CLS] first [SEP]`` is segment 0, ``second [SEP]`` is segment 1.

    Attributes
    ----------
    before, between, after : list of int
        Ids of the special tokens before, between and after the two texts.
    segments : tuple of list of int
        Segments of ``before``, of a token of the first text, of ``between``, of a token of the
        second text, and of ``after``.
    """

    before: list[int]
    between: list[int]
    after: list[int]
    segments: tuple[list[int], list[int], list[int], list[int], list[int]]

    @property
    def n_special_tokens(self) -> int:
        """Special tokens that each pair needs."""
        return len(self.before) + len(self.between) + len(self.after)

    def room(self, max_length: int, what: str) -> int:
        """Return how many tokens of two texts fit beside the special tokens.

        Raises
        ------
        ParameterError
            If not one of each does; ``what`` names them in the message.
        """
        room = max_length - self.n_special_tokens
        if room < 2:
            raise ParameterError(
                f"max_length={max_length} leaves no room for {what}. Use at least "
                f"{self.n_special_tokens + 2}."
            )
        return room

    def around(self, first: list[T], second: list[T], special: T) -> list[T]:
        """Put something a token of two texts together, with `special` for the special tokens."""
        before, between, after = (
            [special] * len(ids) for ids in (self.before, self.between, self.after)
        )
        return [*before, *first, *between, *second, *after]

    def segments_of(self, n_first: int, n_second: int) -> list[int]:
        """Return segments of a whole pair whose texts have these numbers of tokens."""
        before, first, between, second, after = self.segments
        return before + first * n_first + between + second * n_second + after


def pair_template(tokenizer: TextTokenizer) -> PairTemplate:
    """Ask the tokenizer how it joins two texts.

    Raises
    ------
    CheckpointError
        If it joins only single texts.
    """
    probe = tokenizer.backend.encode("a", "a")
    texts, types = probe.sequence_ids, probe.type_ids
    if 0 not in texts or 1 not in texts:
        raise CheckpointError(
            "The checkpoint's tokenizer does not read pairs of texts. Choose another checkpoint."
        )
    a, b = texts.index(0), texts.index(1)
    a_stop, b_stop = (len(texts) - texts[::-1].index(text) for text in (0, 1))
    return PairTemplate(
        before=probe.ids[:a],
        between=probe.ids[a_stop:b],
        after=probe.ids[b_stop:],
        segments=(types[:a], [types[a]], types[a_stop:b], [types[b]], types[b_stop:]),
    )


@dataclass(frozen=True)
class PairEncodings(Encodings):
    """Encodings of pairs, one window a pair.

    Attributes
    ----------
    sequences : ndarray of int8, shape (n_tokens,), or None
        0 for tokens of a first text, 1 for those of a second one, -1 for special tokens; kept
        together with `offsets`, which count the characters of each token's own text.
    """

    sequences: NDArray[np.int8] | None = None


def encode_pairs(
    tokenizer: TextTokenizer,
    first: Sequence[str],
    second: Sequence[str],
    *,
    max_length: int,
    with_offsets: bool = False,
) -> PairEncodings:
    """Tokenize pairs; of a pair that is too long, tokens of its longer text are cut off.

    Parameters
    ----------
    tokenizer : TextTokenizer
        The checkpoint's tokenizer.
    first, second : sequence of str
        The texts of the pairs.
    max_length : int
        Tokens in the longest pair, special tokens included.
    with_offsets : bool, default=False
        Also keep the text and the characters that each token was made from (slower).

    Raises
    ------
    ParameterError
        If `max_length` leaves no room for one token of each text.
    """
    template = pair_template(tokenizer)
    room = template.room(
        max_length, f"two texts beside the {template.n_special_tokens} special tokens"
    )
    windows: list[list[int]] = []
    segments: list[list[int]] = []
    sequences: list[list[int]] = []
    offsets: list[list[tuple[int, int]]] = []
    lost: list[int] = []
    bodies = (_bodies(tokenizer, texts, with_offsets) for texts in (first, second))
    for (a, a_offsets), (b, b_offsets) in zip(*bodies, strict=True):
        n_a, n_b = longest_first(len(a), len(b), room)
        a_kept, b_kept = (_kept(tokenizer, ids, n) for ids, n in ((a, n_a), (b, n_b)))
        windows.append([*template.before, *a_kept, *template.between, *b_kept, *template.after])
        segments.append(template.segments_of(n_a, n_b))
        lost.append(len(a) + len(b) - n_a - n_b)
        if with_offsets:
            a_kept_offsets = _kept(tokenizer, a_offsets, n_a)
            b_kept_offsets = _kept(tokenizer, b_offsets, n_b)
            offsets.append(template.around(a_kept_offsets, b_kept_offsets, (0, 0)))
            sequences.append(template.around([0] * n_a, [1] * n_b, -1))
    lengths = [len(window) for window in windows]
    n_tokens = sum(lengths)
    return PairEncodings(
        ids=np.fromiter(chain.from_iterable(windows), np.int32, n_tokens),
        bounds=cumulative(lengths),
        owned=np.array([(0, length) for length in lengths], np.int64),
        text_bounds=np.arange(len(windows) + 1, dtype=np.int64),
        offsets=np.array(list(chain.from_iterable(offsets)), np.int64).reshape(-1, 2)
        if with_offsets
        else None,
        lost_tokens=np.array(lost, np.int64),
        segments=np.fromiter(chain.from_iterable(segments), np.int8, n_tokens)
        if tokenizer.has_segments
        else None,
        sequences=np.fromiter(chain.from_iterable(sequences), np.int8, n_tokens)
        if with_offsets
        else None,
    )


def _bodies(
    tokenizer: TextTokenizer, texts: Sequence[str], with_offsets: bool
) -> list[tuple[list[int], list[tuple[int, int]]]]:
    """Return ids and, if asked for, offsets of whole texts, without special tokens."""
    encodings = tokenizer.tokenize(texts, with_offsets=with_offsets, special_tokens=False)
    return [
        (encoding.ids, [] if encoding.offsets is None else encoding.offsets.tolist())
        for encoding in encodings
    ]


def _kept(tokenizer: TextTokenizer, tokens: list[T], n_kept: int) -> list[T]:
    """Return what truncation leaves of a text's tokens."""
    return tokens[len(tokens) - n_kept :] if tokenizer.keep_end else tokens[:n_kept]


def longest_first(n_first: int, n_second: int, room: int) -> tuple[int, int]:
    """Return how many tokens of each text are kept: the longer one gives way to equal lengths.

    The same numbers as ``truncation="longest_first"`` of transformers' fast tokenizers: 9 and 2
    tokens in a room of 7 become 5 and 2; 9 and 5 become 4 and 3.
    """
    if n_first + n_second <= room:
        return n_first, n_second
    shorter = min(n_first, n_second)
    if shorter <= room // 2:
        return (shorter, room - shorter) if n_first == shorter else (room - shorter, shorter)
    half = room // 2
    # The odd token goes to the longer text; to the second one where both are equally long.
    return (half, room - half) if n_first <= n_second else (room - half, half)


def refuse_long_pairs(encodings: Encodings, max_length: int, positions: NDArray[np.int64]) -> None:
    """Refuse pairs of which tokens were cut off.

    Raises
    ------
    TextTooLongError
        For the first one, by its number in ``positions``.
    """
    too_long = np.flatnonzero(encodings.lost_tokens)
    if len(too_long):
        first = too_long[0]
        n_tokens = encodings.lost_tokens[first] + encodings.lengths[first]
        raise TextTooLongError(
            f"X[{positions[first]}] has {n_tokens} tokens, more than max_length={max_length}. "
            'Shorten it, or use overflow="truncate".'
        )
