"""Texts → vectors in one process: what is asked of an encoder, as plain data, and its computing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import starmap
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skbert._inference.chunks import Reading, finished, prefetch
from skbert._inference.finite import check_finite
from skbert._inference.loop import Head, HiddenStates, Progress, start_batches
from skbert._inference.pooling import (
    POOLINGS,
    every_token,
    l2_normalize,
    merge_windows,
    pool_with,
)
from skbert._models import device as _device
from skbert._models.encoder import NO_LIMIT, Encoder
from skbert._texts.distinct import Embedded, Vectors
from skbert._texts.encoding import TextTokenizer, chunks
from skbert._texts.windows import Encodings

# Part of every cache key. Add one where the same settings give other vectors than before.
VECTORS_VERSION = 1


@dataclass(frozen=True)
class Settings:
    """How texts are read and what becomes of their token vectors.

    Plain data: it is sent to workers, and all of it but ``batch_size`` is part of cache keys.

    Attributes
    ----------
    max_length, overflow, stride
        As `TextTokenizer.encode` takes them.
    states : HiddenStates
        Layers to read.
    pooling : tuple of str or None
        Keys of POOLINGS, whose vectors are put together, or None for one vector a token.
    steps : str
        Digest of the checkpoint's own steps behind the pooling; "" where none are done.
    prompt : str
        Text that is put before each text.
    include_prompt : bool
        Whether the prompt's tokens are pooled.
    normalize : bool
        Whether vectors are scaled to length 1.
    batch_size : int or None
        Windows in a batch; None cuts batches by tokens.
    """

    max_length: int
    overflow: str
    stride: int | None
    states: HiddenStates
    pooling: tuple[str, ...] | None
    normalize: bool
    batch_size: int | None
    steps: str = ""
    prompt: str = ""
    include_prompt: bool = True

    @property
    def needs_steps(self) -> bool:
        """Return whether the encoder must hold the checkpoint's own steps."""
        return self.steps != ""

    def encode(
        self,
        tokenizer: TextTokenizer,
        texts: Sequence[str],
        positions: Sequence[int] | NDArray[np.int64] | None = None,
        *,
        with_offsets: bool = False,
    ) -> Encodings:
        """Tokenize texts; an error names a text by its number in ``positions``."""
        return self.reading.encode(tokenizer, texts, positions, with_offsets=with_offsets)

    @property
    def reading(self) -> Reading:
        """How texts are read."""
        return Reading(self.max_length, self.overflow, self.stride, self.prompt)

    def n_skipped(self, tokenizer: TextTokenizer) -> int:
        """Return the number of tokens at the beginning of each text that are not pooled.

        As in sentence-transformers, these are the tokens of the prompt read alone, without the
        special token behind it.
        """
        if self.include_prompt or not self.prompt or self.pooling is None:
            return 0
        longest = NO_LIMIT if self.overflow == "windows" else self.max_length
        ids = tokenizer.encode([self.prompt], max_length=longest).ids.tolist()
        token = tokenizer.backend.get_added_tokens_decoder().get(ids[-1])
        return len(ids) - (token is not None and token.special)


def embed_texts(
    encoder: Encoder,
    settings: Settings,
    texts: Sequence[str],
    positions: NDArray[np.int64],
    bar: Any,
    *,
    max_characters: int | None = None,
) -> Iterator[Embedded]:
    """Compute vectors chunk by chunk, so that memory stays bounded.

    Parameters
    ----------
    encoder : Encoder
        Loaded weights.
    settings : Settings
        What to compute.
    texts : sequence of str
        Clean texts.
    positions : ndarray of int64, shape (n_texts,)
        Their numbers in the caller's X, for errors.
    bar : tqdm bar
        Counts the windows.
    max_characters : int, default=None
        Size of a chunk, if not the usual one.

    Yields
    ------
    part : Embedded
        The rows count from the first of ``texts``.
    """

    def encode(part: slice) -> tuple[slice, Encodings]:
        return part, settings.encode(encoder.tokenizer, texts[part], positions[part])

    def start(part: slice, encodings: Encodings) -> Callable[[], Embedded]:
        bar.total += len(encodings.owned) - len(encodings.lost_tokens)  # extra windows
        begin = _start_token_vectors if settings.pooling is None else _start_text_vectors
        finish = begin(encoder, settings, encodings, bar.update)
        rows = np.arange(part.start, part.stop)
        return lambda: Embedded(rows, finish(), encodings.lost_tokens)

    growing = _device.computes_alone(encoder.device)
    parts = chunks(texts, max_characters=max_characters, growing=growing)
    encoded = prefetch(encode, parts, device=encoder.device)
    yield from finished(starmap(start, encoded), device=encoder.device)


def text_vectors(
    encoder: Encoder,
    settings: Settings,
    encodings: Encodings,
    progress: Progress = lambda n_windows: None,
) -> NDArray[np.float32]:
    """Return one vector a text, (n_texts, F)."""
    return _start_text_vectors(encoder, settings, encodings, progress)()


def _start_text_vectors(
    encoder: Encoder, settings: Settings, encodings: Encodings, progress: Progress
) -> Callable[[], NDArray[np.float32]]:
    """Tell the device to compute; return what waits and gives one vector a text, (n_texts, F)."""
    assert settings.pooling is not None
    poolings = [POOLINGS[name] for name in settings.pooling]
    one_a_window = np.ones_like(encodings.n_owned)
    n_skipped = settings.n_skipped(encoder.tokenizer)
    windows = _start(
        encoder, settings, encodings, pool_with(poolings), one_a_window, progress, n_skipped
    )

    def finish() -> NDArray[np.float32]:
        of_windows = torch.from_numpy(windows())
        vectors = merge_windows(
            poolings, of_windows, encodings.text_bounds, encodings.n_owned, n_skipped
        ).numpy()
        if settings.needs_steps:
            vectors = _after_steps(encoder, vectors)
        return l2_normalize(vectors) if settings.normalize else vectors

    return finish


@torch.inference_mode()
def _after_steps(encoder: Encoder, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the checkpoint's own steps behind the pooling."""
    assert encoder.steps is not None
    tensor = torch.from_numpy(vectors).to(encoder.device)
    for step in encoder.steps.steps:
        tensor = step.layer(tensor)
    result = tensor.float().cpu().numpy()
    check_finite(result, encoder, [step.layer for step in encoder.steps.steps])
    return result


def _start_token_vectors(
    encoder: Encoder, settings: Settings, encodings: Encodings, progress: Progress
) -> Callable[[], Vectors]:
    """As `_start_text_vectors`, with one array of token vectors a text, (n_tokens_i, F)."""
    tokens = _start(encoder, settings, encodings, every_token, encodings.n_owned, progress)

    def finish() -> Vectors:
        rows = l2_normalize(tokens()) if settings.normalize else tokens()
        last_row = np.concatenate([[0], np.cumsum(encodings.n_owned)])
        # Copies, so that one text's vectors do not keep the whole chunk in memory.
        return [part.copy() for part in np.split(rows, last_row[encodings.text_bounds[1:-1]])]

    return finish


def _start(
    encoder: Encoder,
    settings: Settings,
    encodings: Encodings,
    head: Head,
    rows_per_window: NDArray[np.int64],
    progress: Progress,
    n_skipped: int = 0,
) -> Callable[[], NDArray[np.float32]]:
    return start_batches(
        encoder,
        encodings,
        settings.states,
        head,
        batch_size=settings.batch_size,
        rows_per_window=rows_per_window,
        n_skipped=n_skipped,
        progress=progress,
    )


def cache_keys(encoder: Encoder, settings: Settings, texts: Sequence[str]) -> list[bytes]:
    """Return the SHA-256 of each text together with everything that decides its vector.

    These are the weights, configuration, tokenizer and precision (`Encoder.identity`) and the
    settings. Left out is what changes a vector by rounding only: batches, device, threads.
    """
    said = asdict(settings)
    del said["batch_size"]
    if settings.overflow == "windows":
        said["stride"] = encoder.tokenizer.window_room(settings.max_length, settings.stride)[1]
    else:
        del said["stride"]
    context = json.dumps([VECTORS_VERSION, encoder.identity, said], sort_keys=True)
    # The digest of the context has a fixed length, so no text can be mistaken for a part of it.
    prefix = hashlib.sha256(hashlib.sha256(context.encode()).digest())
    keys = []
    for text in texts:
        key = prefix.copy()
        key.update(text.encode("utf-8", "surrogatepass"))
        keys.append(key.digest())
    return keys
