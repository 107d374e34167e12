"""Texts side by side in one row, without padding: attention that keeps them apart.

A packed batch is one row of tokens, ``input_ids`` of shape (1, T). Everything in an encoder but
attention looks at one token at a time, so it does no work on padding. Attention is computed here,
without a mask: on a CPU for each run of equally long texts at once, on a GPU for all texts at once
by torch's kernel for texts of varying length
(https://docs.pytorch.org/docs/stable/nn.attention.varlen.html). It is registered through
transformers' attention interface
(https://huggingface.co/docs/transformers/attention_interface).

Only model types that were compared with the padded path (tests/kernels/test_packing.py) are packed:
a model that mixes tokens anywhere else would silently mix texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from skbert._kernels.dropped_attention import Shape, dropped_attention

ATTENTION_NAME = "skbert_packed"

# Runs of equal length: [(number of texts, their length), ...], in the order of the row.
Runs = list[tuple[int, int]]

# Model types whose packed results were compared with their padded ones, and what comes before the
# first position: RoBERTa's family starts counting positions after its padding id.
POSITIONS_FROM_ZERO = frozenset({"bert", "distilbert", "electra"})
POSITIONS_AFTER_PAD = frozenset({"roberta", "xlm-roberta", "camembert"})
PACKED_MODEL_TYPES = POSITIONS_FROM_ZERO | POSITIONS_AFTER_PAD


def can_pack(config: Any) -> bool:
    """Return whether texts of a model with this transformers configuration may be packed."""
    absolute = getattr(config, "position_embedding_type", "absolute") in ("absolute", None)
    decoder = getattr(config, "is_decoder", False)
    return config.model_type in PACKED_MODEL_TYPES and absolute and not decoder


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    runs: Runs,
    text_bounds: Tensor | None = None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Compute attention inside each text of a packed row.

    Letters: T tokens in the row, A attention heads, D features a head.

    Parameters
    ----------
    module, attention_mask, kwargs
        Part of transformers' attention interface; not used.
    query : Tensor, shape (1, A, T, D), or (1, A, n_texts, D) for the texts' first tokens only
        As the model projects it.
    key, value : Tensor, shape (1, A, T, D)
        As the model projects them.
    runs : list of (int, int)
        Number of texts and their length, for each run of equally long texts.
    text_bounds : Tensor of int32, shape (n_texts + 1,), default=None
        Where each text begins, and the end of the last; if given, the kernel for texts of varying
        length is used, which has no dropout.
    scaling : float, default=None
        Factor on the products of queries and keys; ``D ** -0.5`` by default.
    dropout : float, default=0.0
        Probability to drop an attention weight, in training.

    Returns
    -------
    output : Tensor, shape (1, T, A, D), or (1, n_texts, A, D) as `query` has
    weights : None
    """
    queries, keys, values = (x[0].transpose(0, 1) for x in (query, key, value))  # (T, A, D)
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    if text_bounds is not None:
        longest = max(length for _, length in runs)
        attended = _attend_varlen(queries, keys, values, text_bounds, longest, factor=factor)
        return attended.unsqueeze(0), None
    all_tokens = len(queries) == len(keys)
    shapes = [(n_texts, length if all_tokens else 1, length) for n_texts, length in runs]
    attend = partial(dropped_attention, dropout=dropout) if dropout else _attend
    return attend(queries, keys, values, shapes, factor=factor).unsqueeze(0), None


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, shapes: Sequence[Shape], *, factor: float
) -> Tensor:
    """Compute attention of each text's queries to its own keys, (Q, A, D), without a mask."""
    # Split, not sliced: the gradient of each slice would be as large as the whole row.
    parts = zip(
        shapes,
        torch.split(queries, [n_texts * n_queries for n_texts, n_queries, _ in shapes]),
        torch.split(keys, [n_texts * n_keys for n_texts, _, n_keys in shapes]),
        torch.split(values, [n_texts * n_keys for n_texts, _, n_keys in shapes]),
        strict=True,
    )
    outputs = []
    for (n_texts, _, _), *block in parts:
        q, k, v = (x.reshape(n_texts, -1, *x.shape[1:]).transpose(1, 2) for x in block)
        attended = scaled_dot_product_attention(q, k, v, scale=factor)  # (n_texts, A, L, D)
        outputs.append(attended.transpose(1, 2).flatten(0, 1))  # (n_queries, A, D)
    return torch.cat(outputs)


def _attend_varlen(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    text_bounds: Tensor,
    longest: int,
    *,
    factor: float,
) -> Tensor:
    """Do what `_attend` does, in one kernel for all texts; on CUDA, in half precision."""
    from torch.nn.attention.varlen import varlen_attn

    query_bounds, most_queries = text_bounds, longest
    if len(queries) < len(keys):  # one a text
        query_bounds = torch.arange(len(queries) + 1, dtype=torch.int32, device=queries.device)
        most_queries = 1
    return varlen_attn(  # type: ignore[return-value]  # the weights are not asked for
        queries.contiguous(),
        keys.contiguous(),
        values.contiguous(),
        query_bounds,
        text_bounds,
        most_queries,
        longest,
        scale=factor,
    )


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
            _split_heads(projection(tokens), attention.attention_head_size)
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


def _split_heads(x: Tensor, head_size: int) -> Tensor:
    """Turn (1, T, A * D) into (1, A, T, D)."""
    return x.view(*x.shape[:-1], -1, head_size).transpose(1, 2)


def lengths_of_texts(runs: Runs) -> NDArray[np.int64]:
    """Return the number of tokens of each text of a packed row, (n_texts,)."""
    n_texts, lengths = np.array(runs, np.int64).T
    return np.repeat(lengths, n_texts)


def bounds_of_texts(runs: Runs) -> Tensor:
    """Return where each text begins in a packed row, and the last's end: int32, (n_texts + 1,)."""
    ends = np.cumsum(lengths_of_texts(runs), dtype=np.int32)
    return torch.from_numpy(np.concatenate([np.zeros(1, np.int32), ends]))


def first_tokens(runs: Runs, text_bounds: Tensor | None = None) -> Tensor:
    """Place of each text's first token in a packed row, shape (n_texts,)."""
    return (bounds_of_texts(runs) if text_bounds is None else text_bounds)[:-1]


def show_head_first_tokens(base: Any) -> None:
    """Let a classification head, which reads position 0 of each row, read each packed text's.

    Parameters
    ----------
    base : transformers model
        The encoder inside a model with a head; what it returns changes, in place, to one row of
        one token a text.
    """
    layers = getattr(getattr(base, "encoder", None), "layer", None)
    if layers is not None and hasattr(layers[-1], "intermediate"):  # all but DistilBERT's
        layers[-1] = FirstTokenLayer(layers[-1])
    base.register_forward_hook(_first_tokens_as_rows, with_kwargs=True)


def _first_tokens_as_rows(base: Any, args: Any, kwargs: Any, output: Any) -> Any:
    hidden = output.last_hidden_state
    first = first_tokens(kwargs["runs"], kwargs.get("text_bounds"))
    if hidden.shape[1] != len(first):
        hidden = hidden[:, first]
    output.last_hidden_state = hidden.transpose(0, 1)  # (n_texts, 1, H)
    if getattr(base, "pooler", None) is not None:
        output.pooler_output = base.pooler(output.last_hidden_state)
    return output


def use_packed_attention(model: Any) -> None:
    """Let a transformers model read packed rows, and only these, from now on."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION_NAME, packed_attention)
    model.set_attn_implementation(ATTENTION_NAME)


def packed_inputs(ids: Tensor, runs: Runs, config: Any, *, varlen: bool) -> dict[str, Any]:
    """Return the keyword arguments of the model that tell the texts of a packed row apart.

    Parameters
    ----------
    ids, runs, config
        As `packed_positions` takes them.
    varlen : bool
        Whether the kernel for texts of varying length is to be used.
    """
    inputs: dict[str, Any] = {"position_ids": packed_positions(ids, runs, config), "runs": runs}
    if varlen:
        inputs["text_bounds"] = bounds_of_texts(runs)
    return inputs


def packed_positions(ids: Tensor, runs: Runs, config: Any) -> Tensor:
    """Return the position of each token in its own text, as the model type counts.

    Parameters
    ----------
    ids : Tensor of int64, shape (1, T)
        Token ids of a packed row.
    runs : list of (int, int)
        Number of texts and their length, for each run.
    config : transformers configuration
        Of the model that reads the row.

    Returns
    -------
    positions : Tensor of int64, shape (1, T)
    """
    # In numpy: beside a thread that tokenizes, each call of torch may wait for Python's lock.
    lengths = lengths_of_texts(runs)
    starts = np.cumsum(lengths) - lengths
    if config.model_type in POSITIONS_FROM_ZERO:
        positions = np.arange(lengths.sum()) - np.repeat(starts, lengths)
    else:
        # A text may spell out the padding token; fairseq's rule gives it the position `pad` and
        # does not count it.
        pad = config.pad_token_id
        is_token = (ids[0].numpy() != pad).astype(np.int64)
        before = np.concatenate([[0], np.cumsum(is_token)])
        positions = (before[1:] - np.repeat(before[starts], lengths)) * is_token + pad
    return torch.from_numpy(positions).unsqueeze(0)
