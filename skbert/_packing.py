"""Texts side by side in one row, without padding: attention that keeps them apart.

A packed batch is one row of tokens, ``input_ids`` of shape (1, T). Everything in an encoder but
attention looks at one token at a time, so it does no work on padding. Attention is computed here,
for each run of equally long texts at once and without a mask. It is registered through
transformers' attention interface
(https://huggingface.co/docs/transformers/attention_interface).

Only model types that were compared with the padded path (tests/test_packing.py) are packed:
a model that mixes tokens anywhere else would silently mix texts.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

ATTENTION_NAME = "skbert_packed"

# Runs of equal length: [(number of texts, their length), ...], in the order of the row.
Runs = list[tuple[int, int]]

# Model types whose packed results were compared with their padded ones, and what comes before the
# first position: RoBERTa's family starts counting positions after its padding id.
POSITIONS_FROM_ZERO = frozenset({"bert", "distilbert", "electra"})
POSITIONS_AFTER_PAD = frozenset({"roberta", "xlm-roberta", "camembert"})
PACKED_MODEL_TYPES = POSITIONS_FROM_ZERO | POSITIONS_AFTER_PAD


def can_pack(config: Any) -> bool:
    """Whether texts of a model with this transformers configuration may be packed."""
    absolute = getattr(config, "position_embedding_type", "absolute") in ("absolute", None)
    decoder = getattr(config, "is_decoder", False)
    return config.model_type in PACKED_MODEL_TYPES and absolute and not decoder


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    runs: Runs,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention inside each text of a packed row.

    Letters: T tokens in the row, A attention heads, D features a head.

    Parameters
    ----------
    module, attention_mask, kwargs
        Part of transformers' attention interface; not used.
    query, key, value : Tensor, shape (1, A, T, D)
        As the model projects them.
    runs : list of (int, int)
        Number of texts and their length, for each run of equally long texts.
    scaling : float, default=None
        Factor on the products of queries and keys; ``D ** -0.5`` by default.

    Returns
    -------
    output : Tensor, shape (1, T, A, D)
    weights : None
    """
    heads = [x[0].transpose(0, 1) for x in (query, key, value)]  # (T, A, D)
    output = torch.empty_like(heads[0])
    start = 0
    for n_texts, length in runs:
        tokens = slice(start, start + n_texts * length)
        shape = (n_texts, length, *output.shape[1:])
        q, k, v = (x[tokens].view(shape).transpose(1, 2) for x in heads)  # (n, A, L, D)
        attended = scaled_dot_product_attention(q, k, v, scale=scaling)
        output[tokens].view(shape).copy_(attended.transpose(1, 2))
        start = tokens.stop
    return output.unsqueeze(0), None


def use_packed_attention(model: Any) -> None:
    """Let a transformers model read packed rows, and only these, from now on."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION_NAME, packed_attention)
    model.set_attn_implementation(ATTENTION_NAME)


def packed_positions(ids: Tensor, runs: Runs, config: Any) -> Tensor:
    """Position of each token in its own text, as the model type counts.

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
    counted = [torch.arange(length).repeat(n_texts) for n_texts, length in runs]
    if config.model_type in POSITIONS_FROM_ZERO:
        return torch.cat(counted).unsqueeze(0)
    pad = config.pad_token_id
    if not bool((ids == pad).any()):
        return torch.cat(counted).unsqueeze(0) + (pad + 1)
    # A text may spell out the padding token; fairseq's rule gives it the position `pad` and does
    # not count it.
    positions, start = [], 0
    for n_texts, length in runs:
        block = ids[0, start : start + n_texts * length].view(n_texts, length)
        is_token = (block != pad).long()
        positions.append((is_token.cumsum(1) * is_token + pad).view(-1))
        start += n_texts * length
    return torch.cat(positions).unsqueeze(0)
