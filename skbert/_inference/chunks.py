"""Rows of X → encodings, chunk by chunk; on a GPU, one chunk ahead of the computation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from skbert._models import device as _device
from skbert._texts.encoding import TextTokenizer, chunks
from skbert._texts.inputs import Texts
from skbert._texts.pairs import PairEncodings, encode_pairs, refuse_long_pairs
from skbert._texts.question_encoding import encode_questions
from skbert._texts.windows import Encodings
from skbert._texts.word_labels import encode_words

S = TypeVar("S")
T = TypeVar("T")

# Sentences are tokenized this many at a time.
CHUNK_SENTENCES = 2_048


@dataclass(frozen=True)
class Reading:
    """How texts are read.

    Attributes
    ----------
    max_length, overflow, stride
        As `TextTokenizer.encode` takes them; pairs are truncated, or refused with "error".
    prompt : str
        Text that is put before each text, or before the first text of each pair.
    pairs_apart : bool
        Whether the two texts of a pair are read each by itself, one behind the other.
    """

    max_length: int
    overflow: str = "truncate"
    stride: int | None = None
    prompt: str = ""
    pairs_apart: bool = False

    @property
    def n_texts_a_row(self) -> int:
        """How many texts of the encodings are one row of X."""
        return 2 if self.pairs_apart else 1

    def encode(
        self,
        tokenizer: TextTokenizer,
        texts: Sequence[str],
        positions: Sequence[int] | NDArray[np.int64] | None = None,
        *,
        with_offsets: bool = False,
    ) -> Encodings:
        """Tokenize single texts; an error names a text by its number in ``positions``."""
        encodings = tokenizer.encode(
            [self.prompt + text for text in texts] if self.prompt else texts,
            max_length=self.max_length,
            overflow=self.overflow,
            stride=self.stride,
            with_offsets=with_offsets,
            positions=positions,
        )
        if encodings.offsets is None or not self.prompt:
            return encodings
        # Of the text alone: the prompt's tokens, like special ones, come from none of its parts.
        return replace(encodings, offsets=self._of_text(encodings.offsets))

    def encode_pairs(
        self, tokenizer: TextTokenizer, pairs: Texts, *, with_offsets: bool = False
    ) -> PairEncodings:
        """Tokenize pairs, both texts together."""
        assert pairs.second is not None
        encodings = encode_pairs(
            tokenizer,
            [self.prompt + text for text in pairs.first] if self.prompt else pairs.first,
            pairs.second,
            max_length=self.max_length,
            with_offsets=with_offsets,
        )
        if encodings.offsets is None or encodings.sequences is None or not self.prompt:
            return encodings
        is_first = encodings.sequences[:, None] == 0
        moved = self._of_text(encodings.offsets)
        return replace(encodings, offsets=np.where(is_first, moved, encodings.offsets))

    def _of_text(self, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
        """Turn characters of prompt and text into those of the text."""
        return np.maximum(offsets - len(self.prompt), 0)


def prefetch(
    function: Callable[[S], T], items: Iterable[S], *, device: torch.device
) -> Iterator[T]:
    """Map a function over items; on CUDA one item ahead, in a thread, while the GPU computes."""
    if not _device.computes_alone(device):
        yield from map(function, items)
        return
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting: deque[Future[T]] = deque()
        for item in items:
            waiting.append(thread.submit(function, item))
            if len(waiting) == 2:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def finished(started: Iterable[Callable[[], T]], *, device: torch.device) -> Iterator[T]:
    """Finish what was started; on CUDA after the next one was, so that the GPU has work meanwhile.

    Parameters
    ----------
    started : iterable of callable
        Each is started as it is taken from there, and finished as it is called.
    device : torch.device
        What computes.
    """
    most = 1 if _device.computes_alone(device) else 0
    waiting: deque[Callable[[], T]] = deque()
    for finish in started:
        waiting.append(finish)
        if len(waiting) > most:
            yield waiting.popleft()()
    while waiting:
        yield waiting.popleft()()


def encoded_texts(
    tokenizer: TextTokenizer,
    texts: Texts,
    reading: Reading,
    device: torch.device,
    positions: NDArray[np.int64] | None = None,
) -> Iterator[Encodings]:
    """Tokenize texts or pairs chunk by chunk; an error names one by its number in ``positions``.

    Raises
    ------
    TextTooLongError
        With ``overflow="error"``, for the first text or pair that is too long.
    """
    numbers = np.arange(len(texts)) if positions is None else positions

    def encode(part: slice) -> Encodings:
        chunk = texts.take(part).apart() if reading.pairs_apart else texts.take(part)
        if chunk.second is None:
            positions = np.repeat(numbers[part], reading.n_texts_a_row)
            encodings = reading.encode(tokenizer, chunk.first, positions)
            return replace(encodings, numbers=chunk.numbers)
        encodings = reading.encode_pairs(tokenizer, chunk)
        if reading.overflow == "error":
            refuse_long_pairs(encodings, reading.max_length, numbers[part])
        return encodings

    columns = [texts.first] if texts.second is None else [texts.first, texts.second]
    yield from prefetch(encode, chunks(*columns), device=device)


def encoded_words(
    tokenizer: TextTokenizer,
    sentences: Sequence[Sequence[str]],
    max_length: int,
    device: torch.device,
) -> Iterator[Encodings]:
    """Tokenize sentences of words chunk by chunk."""

    def encode(start: int) -> Encodings:
        chunk = sentences[start : start + CHUNK_SENTENCES]
        return encode_words(tokenizer, chunk, max_length=max_length)

    yield from prefetch(encode, range(0, len(sentences), CHUNK_SENTENCES), device=device)


def encoded_questions(
    tokenizer: TextTokenizer,
    questions: Texts,
    max_length: int,
    stride: int,
    device: torch.device,
) -> Iterator[Encodings]:
    """Tokenize questions with their contexts chunk by chunk."""
    assert questions.second is not None

    def encode(part: slice) -> Encodings:
        chunk = questions.take(part)
        assert chunk.second is not None
        return encode_questions(
            tokenizer, chunk.first, chunk.second, max_length=max_length, stride=stride
        )

    yield from prefetch(encode, chunks(questions.first, questions.second), device=device)
