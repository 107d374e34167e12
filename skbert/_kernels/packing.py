"""Texts side by side in one row, without padding.

A packed batch is one row of tokens, ``input_ids`` of shape (1, T). Everything in an encoder but
attention looks at one token at a time, so it does no work on padding. Attention keeps the texts
apart (packed_attention.py). It is registered through transformers' attention interface
(https://huggingface.co/docs/transformers/attention_interface), or put in place of a family's own
(own_attention.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from skbert._kernels.own_attention import use_own_packed_attention
from skbert._kernels.packable import OWN_ATTENTION_TYPES, POSITIONS_FROM_ZERO
from skbert._kernels.packed_attention import (
    Runs,
    bounds_of_texts,
    lengths_of_texts,
    packed_attention,
)
from skbert._kernels.packed_row import note_rows

ATTENTION_NAME = "skbert_packed"


def use_packed_attention(model: Any) -> None:
    """Let a transformers model read packed rows, and only these, from now on."""
    from transformers import AttentionInterface

    for part in {model, model.base_model}:  # either may be called
        note_rows(part)
    AttentionInterface.register(ATTENTION_NAME, packed_attention)
    if model.config.model_type in OWN_ATTENTION_TYPES:
        use_own_packed_attention(model.base_model)
    # Not by `set_attn_implementation`: it looks for a word in the model's source, and where it does
    # not find it, as in transformers 5.4's ModernBERT, it only warns.
    model.config._attn_implementation = ATTENTION_NAME


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
        # does not count it. MPNet's is 1 where positions are counted, whatever its configuration.
        pad = 1 if config.model_type == "mpnet" else config.pad_token_id
        is_token = (ids[0].numpy() != pad).astype(np.int64)
        before = np.concatenate([[0], np.cumsum(is_token)])
        positions = (before[1:] - np.repeat(before[starts], lengths)) * is_token + pad
    return torch.from_numpy(positions).unsqueeze(0)
