"""The only loop without gradients: windows of tokens → numpy, in the caller's order.

Letters: n windows in a batch, L tokens in its longest window, H features of a token vector,
F features of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from skbert._exceptions import DeviceError, ParameterError, SkbertError
from skbert._inference.batching import (
    PackedBatch,
    PaddedBatch,
    batch_stop,
    length_order,
    pack_batch,
    pad_batch,
    padded_places,
    parts_of_like_lengths,
)
from skbert._inference.finite import check_finite
from skbert._kernels.packed_heads import pool_first_tokens
from skbert._kernels.packing import packed_inputs
from skbert._models import device as _device
from skbert._models.encoder import Encoder
from skbert._models.trials import MODEL_ERRORS, unreadable
from skbert._texts.windows import Encodings

S = TypeVar("S")
T = TypeVar("T")
# (token vectors (n, L, H), places in the text of those that count (n, L), see pooling.py, or None
# for all) → results (m, F): one row a window, or one row a token that counts.
Head = Callable[[Tensor, Tensor | None], Tensor]
# Told the number of windows done after each batch.
Progress = Callable[[int], Any]


@dataclass(frozen=True)
class HiddenStates:
    """Which of the model's outputs the head gets to see.

    Attributes
    ----------
    layers : tuple of int
        Layers to combine; 0 is the input embeddings, ``n_layers`` the last layer.
    combine : {"mean", "concat"}
        How.
    pooler : bool
        The pooler's output instead, as one "token" a window, (n, 1, H).
    """

    layers: tuple[int, ...]
    combine: str = "mean"
    pooler: bool = False


class Logits(NamedTuple):
    """The head of `start_batches` gets to see what the model's own head gives.

    One "token" a window, (n, 1, K), where it reads whole texts; else one row a token, (n, L, K).
    """


Outputs = HiddenStates | Logits


class TokenPlaces(NamedTuple):
    """Which tokens each window owns, and where in its text they are."""

    owned: NDArray[np.int64]
    """As `Encodings.owned`, shape (n_windows, 2)."""
    firsts: NDArray[np.int64]
    """Tokens of the text before each window's first owned one, shape (n_windows,)."""
    n_skipped: int
    """Tokens at the beginning of each text that do not count."""

    def mask(self, rows: NDArray[np.int64], length: int, device: torch.device) -> Tensor | None:
        """Return the mask of some windows for a `Head`; None if all tokens of all count."""
        owned, firsts = self.owned[rows], self.firsts[rows]
        if not self.n_skipped and (owned == [0, length]).all() and not firsts.any():
            return None
        position = np.arange(length)
        place = position - owned[:, :1] + firsts[:, None]
        counts = (position >= owned[:, :1]) & (position < owned[:, 1:]) & (place >= self.n_skipped)
        return _device.to_device(torch.from_numpy(np.where(counts, place + 1, 0)), device)


def first_places(encodings: Encodings) -> NDArray[np.int64]:
    """Return the number of tokens of the text before each window's first owned one."""
    before = np.cumsum(encodings.n_owned) - encodings.n_owned
    first_windows = encodings.text_bounds[:-1]
    return before - np.repeat(before[first_windows], np.diff(encodings.text_bounds))


@torch.inference_mode()
def start_batches(
    encoder: Encoder,
    encodings: Encodings,
    outputs: Outputs,
    head: Head,
    *,
    batch_size: int | None,
    rows_per_window: NDArray[np.int64],
    n_skipped: int = 0,
    progress: Progress = lambda n_windows: None,
) -> Callable[[], NDArray[np.float32]]:
    """Tell the device to run the model over all windows; a CPU has done it at the end.

    Parameters
    ----------
    encoder : Encoder
        Model, tokenizer and device.
    encodings : Encodings
        The windows.
    outputs : HiddenStates or Logits
        What the head sees of the model's outputs.
    head : callable
        Turns the token vectors of some windows into rows of the result.
    batch_size : int or None
        Windows in a batch; None cuts batches by tokens.
    rows_per_window : ndarray of int64, shape (n_windows,)
        Rows that the head gives for each window.
    n_skipped : int, default=0
        Tokens at the beginning of each text that the model reads but the head does not count.
    progress : callable, optional
        Called with the number of windows done after each batch.

    Returns
    -------
    finish : callable
        Waits, and returns an ndarray of float32, shape (rows_per_window.sum(), F): rows in the
        order of the windows, whatever order they were computed in. Raises CheckpointError if the
        weights give numbers that are not finite, DeviceError if they overflow in the precision.

    Raises
    ------
    DeviceError
        If the device's memory does not hold even a batch of one window.
    """
    order = length_order(encodings)
    places = TokenPlaces(encodings.owned, first_places(encodings), n_skipped)
    lengths = encodings.lengths[order]
    done: list[Tensor] = []
    start = 0
    while start < len(order):
        stop = batch_stop(
            lengths,
            start,
            max_tokens=encoder.max_tokens,
            max_windows=batch_size,
            pad=not encoder.packed,
            equal=not encoder.can_pad,
            fill=encoder.reads_runs,
        )
        results = _try_batch(encoder, encodings, order[start:stop], outputs, head, places)
        if results is None:  # out of memory: go on from here with half as much at a time
            _check_divisible(stop - start, int(lengths[start]), encoder)
            encoder.max_tokens = min(encoder.max_tokens, int(lengths[start:stop].sum())) // 2
            batch_size = None if batch_size is None else (stop - start) // 2
            _device.free_cached_memory(encoder.device)
            continue
        done += results
        progress(stop - start)
        start = stop
    wait = _device.mark(encoder.device)

    def finish() -> NDArray[np.float32]:
        wait()
        _device.trim_heap(encoder.device)
        result = _in_order(done, order, rows_per_window)
        check_finite(result, encoder)
        return result

    return finish


def _try_batch(
    encoder: Encoder,
    encodings: Encodings,
    rows: NDArray[np.int64],
    outputs: Outputs,
    head: Head,
    places: TokenPlaces,
) -> list[Tensor] | None:
    """Return the results of a batch on their way to the CPU, or None if memory runs out."""
    try:
        blocks = forward_blocks(encoder, encodings, rows, outputs, places)
        return [_device.to_host(head(hidden, mask)) for hidden, mask in blocks]
    except torch.OutOfMemoryError:
        return None


def forward_blocks(
    encoder: Encoder,
    encodings: Encodings,
    rows: NDArray[np.int64],
    outputs: Outputs,
    places: TokenPlaces,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Run the model over some windows in one pass; gradients flow where they are not switched off.

    Returns
    -------
    blocks : iterator of (token vectors (n, L, H), places in the text (n, L) or None)
        What a `Head` takes, window after window in the order of ``rows``.
    """
    forward = _forward_runs if encoder.reads_runs else _forward_at_once
    return forward(encoder, encodings, rows, outputs, places)


def _forward_at_once(
    encoder: Encoder,
    encodings: Encodings,
    rows: NDArray[np.int64],
    outputs: Outputs,
    places: TokenPlaces,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Return the padded batch as one block, or the packed row as a few, as `forward_blocks`."""
    batch = (
        pack_batch(encodings, rows)
        if encoder.packed
        else pad_batch(encodings, rows, encoder.tokenizer.pad_id)
    )
    output = run_model(encoder, batch, output_hidden_states=needs_all_layers(encoder, outputs))
    vectors = token_vectors(output, encoder, outputs)
    if _is_one_a_window(vectors, outputs):
        yield vectors, None
        return
    is_pooler = isinstance(outputs, HiddenStates) and outputs.pooler
    if encoder.packed:
        yield from _spread_out(encoder, vectors, encodings, rows, is_pooler, places)
    elif is_pooler:
        yield output.pooler_output.float().unsqueeze(1), None
    else:
        yield vectors, places.mask(rows, int(encodings.lengths[rows].max()), encoder.device)


def _spread_out(
    encoder: Encoder,
    vectors: Tensor,
    encodings: Encodings,
    rows: NDArray[np.int64],
    is_pooler: bool,
    places: TokenPlaces,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Put the windows of a packed row (1, T, H) below each other again, a few blocks in all.

    A loop over short runs would leave a GPU waiting, and one block for all could be many times as
    large as the row.
    """
    lengths = encodings.lengths[rows]
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    for part in parts_of_like_lengths(lengths):
        tokens = bounds[part.start] + padded_places(lengths[part])
        block = vectors[0, _device.to_device(torch.from_numpy(tokens), encoder.device)]
        if is_pooler:
            yield _pooler_output(encoder, block), None
        else:
            yield block, places.mask(rows[part], int(lengths[part].max()), encoder.device)


def _forward_runs(
    encoder: Encoder,
    encodings: Encodings,
    rows: NDArray[np.int64],
    outputs: Outputs,
    places: TokenPlaces,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Return a block for each run of equally long windows, as `_forward_at_once` does for all."""
    batch = pack_batch(encodings, rows, fill_to=encoder.max_tokens)
    output = run_model(encoder, batch, output_hidden_states=needs_all_layers(encoder, outputs))
    vectors = token_vectors(output, encoder, outputs)
    if _is_one_a_window(vectors, outputs):
        yield vectors[: len(rows)], None
        return
    window = token = 0
    for n_windows, length in batch.own_runs:
        n_tokens = n_windows * length
        block = vectors[0, token : token + n_tokens].view(n_windows, length, -1)
        if isinstance(outputs, HiddenStates) and outputs.pooler:
            yield _pooler_output(encoder, block), None
        else:
            yield block, places.mask(rows[window : window + n_windows], length, encoder.device)
        window += n_windows
        token += n_tokens


def _pooler_output(encoder: Encoder, vectors: Tensor) -> Tensor:
    """Return what the model's pooler makes of the last layer (n, L, H), (n, 1, H)."""
    states = vectors.to(encoder.float_dtype)
    return pool_first_tokens(encoder.model.base_model, states).float().unsqueeze(1)


def run_model(encoder: Encoder, batch: PaddedBatch | PackedBatch, **options: Any) -> Any:
    """Return what the model gives for a batch.

    Raises
    ------
    CheckpointError
        If transformers' model cannot compute it.
    """
    inputs = model_inputs(batch, encoder)
    try:
        if not encoder.needs_autocast:
            return encoder.model(**inputs, **options)
        with _device.autocast(encoder.device, encoder.dtype):
            return encoder.model(**inputs, **options)
    except (torch.OutOfMemoryError, SkbertError):
        raise
    except MODEL_ERRORS as error:
        n_rows, length = batch.ids.shape
        what = f"{n_rows} text(s) of {length} tokens"
        raise unreadable(encoder.model, what, error, encoder.dtype) from error


def model_inputs(batch: PaddedBatch | PackedBatch, encoder: Encoder) -> dict[str, Any]:
    """Return the keyword arguments of the model for a batch, on its device."""
    inputs: dict[str, Any] = {"input_ids": batch.ids}
    if batch.segments is not None:
        inputs["token_type_ids"] = batch.segments
    if isinstance(batch, PackedBatch):
        inputs |= packed_inputs(
            batch.ids, batch.runs, encoder.model.config, varlen=not encoder.reads_runs
        )
    elif batch.mask is not None:
        inputs["attention_mask"] = batch.mask
    elif bool((batch.ids == encoder.tokenizer.pad_id).any()):
        # A text spells the padding token out, which XLM would take for padding.
        inputs["attention_mask"] = torch.ones_like(batch.ids)
    return _device.all_to_device(inputs, encoder.device)


def needs_all_layers(encoder: Encoder, outputs: Outputs) -> bool:
    return isinstance(outputs, HiddenStates) and outputs.layers != (encoder.n_layers,)


def token_vectors(output: Any, encoder: Encoder, outputs: Outputs) -> Tensor:
    """Return the token vectors from the asked layers, or logits, in float32, (n, L, H)."""
    if isinstance(outputs, Logits):
        logits = logits_of(output)
        return logits if logits.ndim == 3 else logits.unsqueeze(1)
    if not needs_all_layers(encoder, outputs):
        return output.last_hidden_state.float()
    _check_layers(output, encoder)
    chosen = [output.hidden_states[layer].float() for layer in outputs.layers]
    if outputs.combine == "concat":
        return torch.cat(chosen, dim=-1)
    return torch.stack(chosen).mean(0)


def _check_layers(output: Any, encoder: Encoder) -> None:
    """Refuse layers of a model that does not give one vector a token from each, as Funnel."""
    shapes = [tuple(states.shape) for states in output.hidden_states or ()]
    if shapes != [tuple(output.last_hidden_state.shape)] * (encoder.n_layers + 1):
        raise ParameterError(
            f"Models of type {encoder.model.config.model_type!r} do not return one vector per "
            f"token from each of their {encoder.n_layers} layers. Use layers=-1."
        )


def logits_of(output: Any) -> Tensor:
    """Return the logits of a head, in float32: (n, K), or (n, L, K) where it reads tokens."""
    if hasattr(output, "start_logits"):  # question answering: begin and end of the answer
        return torch.stack([output.start_logits, output.end_logits], dim=-1).float()
    return output.logits.float()


def _is_one_a_window(vectors: Tensor, outputs: Outputs) -> bool:
    return isinstance(outputs, Logits) and vectors.shape[1] == 1


def _in_order(
    done: list[Tensor], order: NDArray[np.int64], rows_per_window: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the rows of all batches, moved to where their windows stand in the caller's order."""
    counts = rows_per_window[order]
    first_row = np.cumsum(rows_per_window) - rows_per_window
    # Row j of the k-th window in `order` goes to first_row[order[k]] + j.
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    target = np.repeat(first_row[order], counts) + within
    result = np.empty((len(target), done[0].shape[-1]), np.float32)
    start = 0
    for block in done:
        result[target[start : start + len(block)]] = block.numpy()
        start += len(block)
    return result


def _check_divisible(n_windows: int, length: int, encoder: Encoder) -> None:
    if n_windows == 1:
        raise DeviceError(
            f"The memory of {encoder.device} is too small for one text of {length} tokens. "
            'Use a smaller max_length, precision="bfloat16", or device="cpu".'
        )
