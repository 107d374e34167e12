"""An encoder with a linear head on the pooled vector of each text, to be trained.

Letters: n texts, F features of a pooled vector, K outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from skbert._models.loading import model_from_weights


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
    config : mapping
        Settings of the outputs, "id2label" among them. They are those of this model only: the
        encoder computes, and is known to a cache, as before.
    """

    base_model_prefix = "encoder"

    def __init__(self, encoder: Any, poolings: tuple[str, ...], config: Mapping[str, Any]) -> None:
        super().__init__()
        self.encoder = encoder
        self.poolings = poolings
        self.config = copy.deepcopy(encoder.config)
        for name, value in config.items():
            setattr(self.config, name, value)
        n_outputs = len(config["id2label"])
        self.head = nn.Linear(encoder.config.hidden_size * len(poolings), n_outputs)
        nn.init.normal_(self.head.weight, std=getattr(encoder.config, "initializer_range", 0.02))
        nn.init.zeros_(self.head.bias)

    def forward(self, **inputs: Any) -> Any:
        """Return the encoder's outputs."""
        return self.encoder(**inputs)

    def logits(self, vectors: Tensor) -> Tensor:
        """Map pooled vectors (n, F) to logits (n, K)."""
        return self.head(head_features(vectors))

    @property
    def base_model(self) -> Any:
        """The encoder."""
        return self.encoder

    @property
    def pooler(self) -> Any:
        """The encoder's pooler, for the pooling of this name."""
        return self.encoder.pooler

    @property
    def supports_gradient_checkpointing(self) -> bool:
        """Whether the encoder can compute activations again."""
        return bool(self.encoder.supports_gradient_checkpointing)

    def get_input_embeddings(self) -> nn.Module:
        """Return the encoder's table of words."""
        return self.encoder.get_input_embeddings()

    def set_input_embeddings(self, table: nn.Module) -> None:
        """Replace it."""
        self.encoder.set_input_embeddings(table)

    def set_attn_implementation(self, name: str) -> None:
        """Choose the encoder's attention."""
        self.encoder.set_attn_implementation(name)

    def gradient_checkpointing_enable(self, options: Any) -> None:
        """Compute the encoder's activations again instead of keeping them."""
        self.encoder.gradient_checkpointing_enable(options)

    def gradient_checkpointing_disable(self) -> None:
        """Keep them."""
        self.encoder.gradient_checkpointing_disable()


@torch.inference_mode()
def logits_of_vectors(model: PooledModel, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Map pooled vectors (n, F) to logits (n, K)."""
    tensor = torch.from_numpy(vectors).to(next(model.encoder.parameters()).device)
    return model.logits(tensor).float().cpu().numpy()


def readable_part(model: Any) -> Any:
    """Return what of a model is transformers' own: all of it, or the encoder of a pooled head."""
    return model.encoder if isinstance(model, PooledModel) else model


def pooled_from_weights(
    config: Any, weights: Mapping[str, Tensor], poolings: tuple[str, ...]
) -> PooledModel:
    """Build the model around weights; the encoder's are shared, not copied."""
    prefix = PooledModel.base_model_prefix + "."
    inside = {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
    labels = {name: getattr(config, name) for name in ("id2label", "label2id", "problem_type")}
    model = PooledModel(model_from_weights(config, inside, "AutoModel"), poolings, labels)
    head = {
        name.removeprefix("head."): tensor.float()
        for name, tensor in weights.items()
        if name.startswith("head.")
    }
    model.head.load_state_dict(head)
    return model.eval()


def head_features(vectors: Tensor) -> Tensor:
    """Scale vectors (n, F) to length ``sqrt(F)``; those of zeros stay as they are."""
    return functional.normalize(vectors.float(), dim=-1) * vectors.shape[-1] ** 0.5
