"""Pairs of texts → ragged token ids with segments: ``[CLS] first [SEP] second [SEP]``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from skbert._encoding import Encodings, TextTokenizer, cumulative
from skbert._exceptions import CheckpointError, ParameterError


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

    def segments_of(self, n_first: int, n_second: int) -> list[int]:
        """Segments of a whole pair whose texts have these numbers of tokens."""
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


def encode_pairs(
    tokenizer: TextTokenizer, first: Sequence[str], second: Sequence[str], *, max_length: int
) -> Encodings:
    """Tokenise pairs; of a pair that is too long, tokens of its longer text are cut off.

    Parameters
    ----------
    tokenizer : TextTokenizer
        The checkpoint's tokenizer.
    first, second : sequence of str
        The texts of the pairs.
    max_length : int
        Tokens in the longest pair, special tokens included.

    Raises
    ------
    ParameterError
        If `max_length` leaves no room for one token of each text.
    """
    template = pair_template(tokenizer)
    room = max_length - template.n_special_tokens
    if room < 2:
        raise ParameterError(
            f"max_length={max_length} leaves no room for two texts beside the "
            f"{template.n_special_tokens} special tokens. Use at least "
            f"{template.n_special_tokens + 2}."
        )
    windows: list[list[int]] = []
    segments: list[list[int]] = []
    lost: list[int] = []
    bodies = (
        [encoding.ids for encoding in tokenizer.tokenise(texts, special_tokens=False)]
        for texts in (first, second)
    )
    for a, b in zip(*bodies, strict=True):
        n_a, n_b = longest_first(len(a), len(b), room)
        a_kept, b_kept = (
            ids[len(ids) - n :] if tokenizer.keep_end else ids[:n]
            for ids, n in ((a, n_a), (b, n_b))
        )
        windows.append([*template.before, *a_kept, *template.between, *b_kept, *template.after])
        segments.append(template.segments_of(n_a, n_b))
        lost.append(len(a) + len(b) - n_a - n_b)
    lengths = [len(window) for window in windows]
    n_tokens = sum(lengths)
    return Encodings(
        ids=np.fromiter(chain.from_iterable(windows), np.int32, n_tokens),
        bounds=cumulative(lengths),
        owned=np.array([(0, length) for length in lengths], np.int64),
        text_bounds=np.arange(len(windows) + 1, dtype=np.int64),
        offsets=None,
        lost_tokens=np.array(lost, np.int64),
        segments=np.fromiter(chain.from_iterable(segments), np.int8, n_tokens)
        if tokenizer.has_segments
        else None,
    )


def longest_first(n_first: int, n_second: int, room: int) -> tuple[int, int]:
    """Tokens of each text that are kept: the longer one gives way until both are equally long.

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
