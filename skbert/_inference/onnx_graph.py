"""Token ids → what an estimator gives, as one graph: all `start_batches` does around the model.

The graph is made by torch's exporter from a model as transformers makes it, with attention written
out ("eager"): what is laid out for prediction (packed rows, prepacked layers) has no ONNX form.
What comes out is compared with the model, since an exporter may write down how one example went
where a model chooses its way by the length of the texts.

Letters: n texts, L tokens in the longest, F features of the result.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skbert._exceptions import ParameterError
from skbert._inference.batching import pad_batch
from skbert._inference.loop import HiddenStates, Outputs, needs_all_layers, token_vectors
from skbert._inference.pooling import POOLINGS, pool_with
from skbert._models.encoder import TRIAL_TEXTS, Encoder
from skbert._models.foreign import quiet_transformers, reason
from skbert._optional import import_optional

# All packages of the extra "onnx".
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
# What logs while a graph is made: advice to authors of models and exporters.
NOISY = ("torch.onnx", "torch.fx", "torch.fx.experimental.symbolic_shapes", "onnxscript")
# The exporter would give up on these, too, after minutes and pages of its own.
FILLED_UP = ("longformer", "led")
# A file of protobuf, with the weights in it, holds at most 2 GiB; above, they get a file beside it.
MOST_BYTES = 1_900_000_000
# Longer texts are not tried: memory of attention that is written out grows with their square.
LONGEST_TRIAL = 1_024
FATAL = 4  # onnxruntime's level of logging
# A graph that took another way differs by far more, rounding by far less.
TOLERANCE = 1e-3


class TextGraph(nn.Module):
    """A model, its pooling and what follows, without batching: one row a text.

    Parameters
    ----------
    encoder : Encoder
        A model as transformers makes it, with its head or without, in float32 on the CPU.
    outputs : HiddenStates or Logits
        What is read of it.
    poolings : tuple of str or None
        Keys of POOLINGS, whose vectors are put together; None for a head's logits, or for one
        vector a token.
    steps : sequence of callable
        What is done with the pooled vectors, or the logits, in this order.
    """

    def __init__(
        self,
        encoder: Encoder,
        outputs: Outputs,
        poolings: tuple[str, ...] | None,
        steps: Sequence[Any] = (),
    ) -> None:
        super().__init__()
        self.model = encoder.model
        self.encoder = encoder
        self.outputs = outputs
        self.poolings = poolings
        self.steps = list(steps)
        # For the exporter to find their weights.
        self.layers = nn.ModuleList(step for step in steps if isinstance(step, nn.Module))

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, in the order in which `forward` takes them."""
        segments = ["token_type_ids"] if self.encoder.tokenizer.has_segments else []
        return ["input_ids", "attention_mask", *segments]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Tensor:
        """Compute ids, mask and segments (n, L) → (n, F), or (n, L, F) with one vector a token."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        is_all = needs_all_layers(self.encoder, self.outputs)
        result = self._pooled(self.model(**inputs, output_hidden_states=is_all), attention_mask)
        for step in self.steps:
            result = step(result)
        return result

    def _pooled(self, output: Any, mask: Tensor) -> Tensor:
        if isinstance(self.outputs, HiddenStates) and self.outputs.pooler:
            return output.pooler_output.float()
        vectors = token_vectors(output, self.encoder, self.outputs)
        if self.poolings is not None:
            return pool_with([POOLINGS[name] for name in self.poolings])(vectors, mask > 0)
        return vectors if isinstance(self.outputs, HiddenStates) else vectors.squeeze(1)


class Columns(nn.Module):
    """Outputs in another order."""

    def __init__(self, columns: NDArray[np.int64]) -> None:
        super().__init__()
        self.register_buffer("columns", torch.as_tensor(columns, dtype=torch.int64))

    def forward(self, outputs: Tensor) -> Tensor:
        """Compute (n, K) → (n, K)."""
        return outputs.index_select(1, self.get_buffer("columns"))


class InUnit(nn.Module):
    """Standardised numbers in the unit of the targets."""

    def __init__(self, scale: NDArray[np.float64], mean: NDArray[np.float64]) -> None:
        super().__init__()
        self.register_buffer("scale", torch.from_numpy(scale).float())
        self.register_buffer("mean", torch.from_numpy(mean).float())

    def forward(self, outputs: Tensor) -> Tensor:
        """Compute (n, K) → (n, K)."""
        return outputs * self.get_buffer("scale") + self.get_buffer("mean")


def check_packages(needed_by: str) -> None:
    """Import the packages that are needed.

    Raises
    ------
    MissingPackageError
        If one is not installed.
    """
    for package in PACKAGES:
        import_optional(package, extra="onnx", needed_by=needed_by)


def write_graph(graph: TextGraph, output_name: str, max_length: int, file: Path) -> None:
    """Write a graph with its weights to a file, and compare it with the model.

    Parameters
    ----------
    graph : TextGraph
        What is to be written.
    output_name : str
        The name that its result gets.
    max_length : int
        Tokens in the longest text that it is going to read.
    file : Path
        Replaced if it is there.

    Raises
    ------
    ParameterError
        If the model has no such form: the message says why.
    """
    graph.eval().requires_grad_(False)
    _check_padding(graph)
    try:
        with quiet_transformers():
            graph.model.set_attn_implementation("eager")
        program = _exported(graph, output_name)
    except Exception as error:
        raise _no_graph(graph, f"torch's exporter gives up ({_first_reason(error)})") from error
    n_bytes = sum(tensor.nbytes for tensor in graph.state_dict().values())
    program.save(str(file), external_data=n_bytes > MOST_BYTES)
    try:
        _compare(graph, file, max_length)
    except ParameterError:
        file.unlink()
        raise


def _check_padding(graph: TextGraph) -> None:
    """Refuse a model whose batches must not be padded: a graph has nobody to sort by length."""
    if graph.encoder.model.config.model_type in FILLED_UP:
        raise _no_graph(graph, "it fills up texts itself, and then cuts them by their length")
    if not graph.encoder.can_pad:
        raise _no_graph(graph, "padding changes its results, so texts of two lengths do not mix")


def _exported(graph: TextGraph, output_name: str) -> Any:
    # Two texts of unequal length: of a size 1, torch would believe that it is always 1.
    inputs = _inputs(graph, list(TRIAL_TEXTS), max_length=LONGEST_TRIAL)
    with _quiet_exporter(), torch.no_grad():
        return torch.onnx.export(
            graph,
            (),
            kwargs=inputs,
            input_names=list(inputs),
            output_names=[output_name],
            dynamic_shapes={name: {0: "batch", 1: "length"} for name in inputs},
            dynamo=True,
            verbose=False,
        )


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Leave out, for a moment, what the exporter says of itself and of other packages."""
    loggers = [logging.getLogger(name) for name in NOISY]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _inputs(graph: TextGraph, texts: Sequence[str], max_length: int) -> dict[str, Tensor]:
    """Return the graph's inputs for texts, padded."""
    tokenizer = graph.encoder.tokenizer
    encodings = tokenizer.encode(texts, max_length=min(max_length, graph.encoder.longest_input))
    batch = pad_batch(encodings, np.arange(len(texts)), tokenizer.pad_id)
    ids, mask, segments = batch.ids, batch.mask, batch.segments
    values = {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids) if mask is None else mask,
        "token_type_ids": torch.zeros_like(ids) if segments is None else segments,
    }
    return {name: values[name] for name in graph.input_names}


def _compare(graph: TextGraph, file: Path, max_length: int) -> None:
    """Let onnxruntime read texts of several lengths, beside each other and alone."""
    most = min(max_length, LONGEST_TRIAL)
    short, longer = TRIAL_TEXTS
    texts = ["a", short, longer, " ".join([longer] * most)]
    compute = _reader(graph, file)
    alone = [_computed(graph, _inputs(graph, [text], most)) for text in texts]
    for rows in ([0], [3], [0, 1, 2, 3], [1, 1]):
        found = compute(_inputs(graph, [texts[row] for row in rows], most))
        for row, result in zip(rows, found, strict=True):
            expected = alone[row][0]
            if graph.poolings is None and expected.ndim == 2:  # beyond it is padding
                result = result[: len(expected)]
            if not _is_equal(result, expected):
                length = int(_inputs(graph, [texts[row]], most)["input_ids"].shape[1])
                what = f"the graph's result for a text of {length} tokens is not the model's"
                raise _no_graph(graph, what)


def _reader(graph: TextGraph, file: Path) -> Callable[[dict[str, Tensor]], NDArray[np.float32]]:
    """Return what computes a graph's result for inputs, by onnxruntime."""
    runtime = import_optional("onnxruntime", extra="onnx", needed_by="to_onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = FATAL  # an error is raised, too

    def compute(inputs: dict[str, Tensor]) -> NDArray[np.float32]:
        values = {name: tensor.numpy() for name, tensor in inputs.items()}
        try:
            return session.run(None, values)[0]
        except Exception as error:
            raise _no_graph(graph, f"onnxruntime cannot compute it ({reason(error)})") from error

    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise _no_graph(graph, f"onnxruntime cannot read it ({reason(error)})") from error
    return compute


def _computed(graph: TextGraph, inputs: dict[str, Tensor]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return graph(**inputs).numpy()


def _is_equal(result: NDArray[np.float32], expected: NDArray[np.float32]) -> bool:
    largest = np.abs(expected).max()
    return bool(np.abs(result - expected).max() <= TOLERANCE * max(largest, TOLERANCE))


def _no_graph(graph: TextGraph, why: str) -> ParameterError:
    kind = graph.encoder.model.config.model_type
    return ParameterError(
        f"A model of type {kind!r} cannot be written as an ONNX graph: {why}. Use a model of "
        'another family, such as "bert", "roberta", "distilbert" or "mpnet".'
    )


def _first_reason(error: BaseException) -> str:
    """Return what was raised first; the exporter puts advice to its authors around it."""
    while error.__cause__ is not None:
        error = error.__cause__
    return reason(error).partition(" Next steps:")[0]
