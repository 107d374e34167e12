"""Heads that read a text's first token, or the mean of its tokens, on packed rows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skbert._kernels.packed_attention import Runs, first_tokens, packed_attention, split_heads
from skbert._kernels.packed_row import row_that_is_read


def show_head_texts(model: Any) -> None:
    """Let a classification head read each packed text, where it would read each row of a batch.

    Parameters
    ----------
    model : transformers model with a head
        Changed in place: what its encoder returns becomes one row of one "token" a text, the
        first or the mean, as the head reads them.
    """
    base, pooling = model.base_model, _pooling(model.config)
    if pooling == "late":  # EuroBERT's: of outputs that it has of all tokens; linear behind this
        model.activation.register_forward_hook(lambda module, args, output: _means(output))
    elif pooling == "mean":
        base.register_forward_hook(_means_as_rows)
    else:
        layers = getattr(getattr(base, "encoder", None), "layer", None)
        if layers is not None and FirstTokenLayer.can_replace(layers[-1]):
            layers[-1] = FirstTokenLayer(layers[-1])
        base.register_forward_hook(_first_tokens_as_rows)


def _pooling(config: Any) -> str:
    if config.model_type not in ("eurobert", "modernbert"):  # others do not look at this setting
        return "cls"
    return str(config.classifier_pooling)


def _means_as_rows(base: Any, args: Any, output: Any) -> Any:
    output.last_hidden_state = _means(output.last_hidden_state)
    return output


def _means(hidden: Tensor) -> Tensor:
    """Map the vectors of all tokens (1, T, H) to each text's mean, (n_texts, 1, H)."""
    runs, _ = row_that_is_read()
    blocks = torch.split(hidden[0], [n_texts * length for n_texts, length in runs])
    means = [
        block.view(n_texts, length, -1).mean(1, keepdim=True)
        for block, (n_texts, length) in zip(blocks, runs, strict=True)
    ]
    return torch.cat(means)


def _first_tokens_as_rows(base: Any, args: Any, output: Any) -> Any:
    hidden = output.last_hidden_state
    first = first_tokens(*row_that_is_read())
    if hidden.shape[1] != len(first):
        hidden = hidden[:, first]
    output.last_hidden_state = hidden.transpose(0, 1)  # (n_texts, 1, H)
    if getattr(base, "pooler", None) is not None:
        output.pooler_output = pool_first_tokens(base, output.last_hidden_state)
    return output


def pool_first_tokens(base: Any, hidden: Tensor) -> Tensor:
    """Return what a model's pooler makes of the last layer (n, L, H), (n, H)."""
    if hasattr(base, "pooler_activation"):  # ALBERT's pooler is a bare linear layer
        return base.pooler_activation(base.pooler(hidden[:, 0]))
    return base.pooler(hidden)


class FirstTokenLayer(nn.Module):
    """The last layer of a BERT whose head reads first tokens only: it computes no others.

    Keys and values are those of all tokens; a query, and all that follows, is needed for one
    token a text. In training, too, nothing else gets a gradient, so the result is the same.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.attention = layer.attention
        self.intermediate = layer.intermediate
        self.output = layer.output
        self.training = layer.training

    @staticmethod
    def can_replace(layer: Any) -> bool:
        """Return whether a layer is BERT's: not DistilBERT's, for one."""
        return hasattr(layer, "intermediate") and hasattr(
            getattr(layer.attention, "self", None), "query"
        )

    def forward(
        self,
        hidden_states: Tensor,
        *args: Any,
        runs: Runs,
        text_bounds: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Map (1, T, H) to (1, n_texts, H)."""
        attention = self.attention.self
        first = hidden_states[:, first_tokens(runs, text_bounds)]
        q, k, v = (
            split_heads(projection(tokens), attention.attention_head_size)
            for projection, tokens in (
                (attention.query, first),
                (attention.key, hidden_states),
                (attention.value, hidden_states),
            )
        )
        rate = attention.dropout.p if self.training else 0.0
        attended, _ = packed_attention(
            self,
            q,
            k,
            v,
            None,
            runs=runs,
            text_bounds=text_bounds,
            scaling=attention.scaling,
            dropout=rate,
        )
        attended = self.attention.output(attended.flatten(2), first)
        return self.output(self.intermediate(attended), attended)
