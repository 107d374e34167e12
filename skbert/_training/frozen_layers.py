"""What frozen layers make of a window is the same in every epoch: it is computed once and kept.

An epoch then costs the upper layers only. With three of MiniLM's six layers frozen that is half of
a full one. Only packed rows of one kind of layers are kept, as `can_pack` knows them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skbert._kernels.packed_heads import FirstTokenLayer
from skbert._models.encoder import Encoder
from skbert._texts.windows import Encodings
from skbert._training.freezing import layer_stacks

# More is kept in a file, which the system holds in memory as far as there is room.
MOST_BYTES_IN_MEMORY = 2**30


def frozen_layers(encoder: Encoder) -> list[nn.Module]:
    """Return the lowest layers that are not trained, if the embeddings below are not either."""
    base = encoder.model.base_model
    stacks = layer_stacks(base, encoder.n_layers)
    if not encoder.reads_runs or not stacks or _is_trained(_embeddings(base)):
        return []
    layers = list(base.get_submodule(stacks[0]))
    if isinstance(layers[-1], FirstTokenLayer):  # it gives one token a text
        layers.pop()
    trained = [position for position, layer in enumerate(layers) if _is_trained(layer)]
    return layers[: trained[0] if trained else len(layers)]


def _embeddings(base: Any) -> Any:
    """Return what is called with the token ids."""
    return base.embeddings if hasattr(base, "embeddings") else base.get_input_embeddings()


def _is_trained(module: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in module.parameters())


class FrozenLayers:
    """The outputs of a model's frozen layers for the windows of a training set.

    While windows are read inside `reading`, those that are known all skip the frozen layers.

    Parameters
    ----------
    encoder : Encoder
        Its layers' ``forward`` is replaced until `remove`.
    encodings : Encodings
        All windows.
    """

    def __init__(self, encoder: Encoder, encodings: Encodings) -> None:
        self.bounds = encodings.bounds
        self.rows: NDArray[np.int64] | None = None
        self.is_known = np.zeros(len(encodings.lengths), bool)
        self.layers = frozen_layers(encoder)
        if not self.layers:
            return
        self.size = encoder.hidden_size
        self.kept = _room(int(self.bounds[-1]), self.size)
        self.embedding_size = self.size  # smaller in some ELECTRAs, seen at the first reading
        self.beside: int | None = None  # what layers return beside the vectors, so many in a tuple
        self.embeddings = _embeddings(encoder.model.base_model)
        below = self.layers[:-1]
        self._replace(self.embeddings, self._embed)
        for layer in below:
            self._replace(layer, self._pass_on)
        self._replace(self.layers[-1], self._last)

    @contextmanager
    def reading(self, rows: NDArray[np.int64]) -> Iterator[None]:
        """Read these windows, in this order, in one pass."""
        self.rows = rows if self.layers else None
        try:
            yield
        finally:
            self.rows = None

    def remove(self) -> None:
        """Let the layers compute again."""
        for module in (self.embeddings, *self.layers) if self.layers else ():
            del module.forward
        self.layers = []

    def _replace(self, module: Any, forward: Any) -> None:
        own = module.forward
        module.forward = lambda *args, **kwargs: forward(own, *args, **kwargs)

    @property
    def _is_skipped(self) -> bool:
        return self.rows is not None and bool(self.is_known[self.rows].all())

    def _embed(self, own: Any, *args: Any, **kwargs: Any) -> Any:
        if not self._is_skipped:
            embedded = own(*args, **kwargs)
            self.embedding_size = embedded.shape[-1]
            return embedded
        ids = kwargs["input_ids"] if "input_ids" in kwargs else args[0]
        return torch.zeros(()).expand(*ids.shape, self.embedding_size)  # only its shape counts

    def _pass_on(self, own: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        return self._as_output(hidden) if self._is_skipped else own(hidden, *args, **kwargs)

    def _last(self, own: Any, hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.rows is None:
            return own(hidden, *args, **kwargs)
        places = [slice(*self.bounds[row : row + 2].tolist()) for row in self.rows]
        if self._is_skipped:
            # A filled-up row is longer than its windows.
            result = torch.zeros(*hidden.shape[:-1], self.size)
            known = torch.cat([self.kept[place] for place in places])
            result[0, : len(known)] = known
            return self._as_output(result)
        output = own(hidden, *args, **kwargs)
        self.beside = None if isinstance(output, Tensor) else len(output) - 1
        states = output if isinstance(output, Tensor) else output[0]
        start = 0
        for place in places:
            n_tokens = place.stop - place.start
            self.kept[place] = states[0, start : start + n_tokens].detach()
            start += n_tokens
        self.is_known[self.rows] = True
        return output

    def _as_output(self, hidden: Tensor) -> Any:
        """Return vectors as a layer does: MPNet's and DeBERTa's return tuples."""
        return hidden if self.beside is None else (hidden, *[None] * self.beside)


def _room(n_tokens: int, size: int) -> Tensor:
    """Return room for one vector a token, in memory or in a file that ends with the process."""
    if 4 * n_tokens * size <= MOST_BYTES_IN_MEMORY:
        return torch.empty(n_tokens, size)
    with tempfile.TemporaryFile(prefix="skbert-") as file:
        return torch.from_numpy(np.memmap(file, np.float32, "w+", shape=(n_tokens, size)))
