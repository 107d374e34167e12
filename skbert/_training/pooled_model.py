"""An encoder with a linear head on the pooled vector of each text, or of both of a pair.

Letters: n texts, F features of a pooled vector, M numbers beside a text, K outputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from skbert._models.loading import model_from_weights

# Features of a pair for each of a text.
N_OF_PAIR = 4


class PooledModel(nn.Module):
    """An encoder and a linear layer; to the training it is a transformers model with a head.

    Called, it gives what the encoder gives, `logits` makes those of pooled vectors. These are
    scaled to length ``sqrt(F)``: features of any checkpoint are then about as large as 1, so that
    one learning rate and one penalty suit them all.

    Parameters
    ----------
    encoder : transformers model
        Without a head.
    poolings : tuple of str
        Keys of POOLINGS, whose vectors are put together.
    in_pairs : bool, default=False
        Whether each two texts, one behind the other, are a row. The head then reads what their
        vectors u and v say of each other, (u, v, |u - v|, u * v), as InferSent's (Conneau et al.
        2017, https://arxiv.org/abs/1705.02364).
    n_numbers : int, default=0
        Numbers beside each text, which the head reads, too.

    Notes
    -----
    The head's weights are still to be set, by `reset_head` or from a checkpoint.
    """

    base_model_prefix = "encoder"

    def __init__(
        self,
        encoder: Any,
        poolings: tuple[str, ...],
        *,
        in_pairs: bool = False,
        n_numbers: int = 0,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.poolings = poolings
        self.in_pairs = in_pairs
        n_features = encoder.config.hidden_size * len(poolings)
        self.length = n_features**0.5
        n_features = n_features * (N_OF_PAIR if in_pairs else 1) + n_numbers
        # Not torch's random weights, which would be drawn from the caller's generator.
        n_outputs = encoder.config.num_labels
        self.head = nn.utils.skip_init(nn.Linear, n_features, n_outputs)  # type: ignore[no-untyped-call]

    def forward(self, **inputs: Any) -> Any:
        """Return the encoder's outputs."""
        return self.encoder(**inputs)

    def logits(self, vectors: Tensor, numbers: Tensor | None = None) -> Tensor:
        """Map pooled vectors (n, F), and numbers (n, M), to logits (n, K), (n / 2, K) of pairs."""
        features = functional.normalize(vectors.float(), dim=-1) * self.length
        if self.in_pairs:
            features = of_pairs(features)
        if numbers is not None:
            features = torch.cat([features, numbers], dim=-1)
        return self.head(features)

    @property
    def config(self) -> Any:
        """The encoder's configuration, which names the outputs, too."""
        return self.encoder.config

    @property
    def base_model(self) -> Any:
        """The encoder."""
        return self.encoder

    @property
    def pooler(self) -> Any:
        """The encoder's pooler, for the pooling of this name."""
        return self.encoder.pooler

    def get_input_embeddings(self) -> nn.Module:
        """Return the encoder's table of words."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, table: nn.Module) -> None:
        """Replace it."""
        self.encoder.set_input_embeddings(table)

    def set_attn_implementation(self, name: str) -> None:
        """Choose the encoder's attention."""
        self.encoder.set_attn_implementation(name)


def of_pairs(vectors: Tensor) -> Tensor:
    """Map vectors (n, F), of which each two are a pair, to what they say of it, (n / 2, 4 F)."""
    first, second = vectors[0::2], vectors[1::2]
    return torch.cat([first, second, (first - second).abs(), first * second], dim=-1)


@torch.inference_mode()
def logits_of_vectors(
    model: PooledModel, vectors: NDArray[np.float32], numbers: NDArray[np.float32] | None
) -> NDArray[np.float32]:
    """Map pooled vectors (n, F), and numbers (n, M), to logits, as `PooledModel.logits`."""
    device = next(model.encoder.parameters()).device
    beside = None if numbers is None else torch.from_numpy(numbers).to(device)
    return model.logits(torch.from_numpy(vectors).to(device), beside).float().cpu().numpy()


def readable_part(model: Any) -> Any:
    """Return what of a model is transformers' own: all of it, or the encoder of a pooled head."""
    return model.encoder if isinstance(model, PooledModel) else model


def pooled_from_weights(
    config: Any,
    weights: Mapping[str, Tensor],
    poolings: tuple[str, ...],
    *,
    in_pairs: bool = False,
    n_numbers: int = 0,
) -> PooledModel:
    """Build the model around weights; the encoder's are shared, not copied."""
    prefix = PooledModel.base_model_prefix + "."
    inside = {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
    encoder = model_from_weights(config, inside, "AutoModel")
    model = PooledModel(encoder, poolings, in_pairs=in_pairs, n_numbers=n_numbers)
    head = {
        name.removeprefix("head."): tensor.float()
        for name, tensor in weights.items()
        if name.startswith("head.")
    }
    model.head.load_state_dict(head)
    return model.eval()
