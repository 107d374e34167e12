"""Packed attention of families that do not reach theirs through transformers' interface.

What a module of the model computes is replaced, the modules stay: their weights keep their names.

Letters: T tokens in the row, A attention heads, D features a head, n texts in a run, L tokens of
each, P relative positions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from skbert._kernels.packed_attention import packed_attention, split_heads, split_runs
from skbert._kernels.packed_row import row_that_is_read


def use_own_packed_attention(base: Any) -> None:
    """Let an encoder of one of these families read packed rows, and only these."""
    PACKED_BY_TYPE[base.config.model_type](base)


def _override(*modules: Any, **methods: Callable[..., Any]) -> None:
    """Give modules of one class other methods.

    By a class of their own: a method as a module's attribute would refer to the module, and keep
    its weights in memory until Python looks for such circles.
    """
    own = type(modules[0])
    packed = type(f"Packed{own.__name__}", (own,), methods)
    for module in modules:
        module.__class__ = packed


def _pack_mpnet(base: Any) -> None:
    own = type(base.encoder)

    def bias_of_longest(encoder: Any, hidden: Tensor) -> Tensor:
        return own.compute_position_bias(encoder, _as_long_as_longest(hidden))

    _override(base.encoder, compute_position_bias=bias_of_longest)
    _override(*(layer.attention.attn for layer in base.encoder.layer), forward=_attend_mpnet)


def _attend_mpnet(
    attention: Any,
    hidden: Tensor,
    attention_mask: Tensor | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor]:
    """Do what MPNetSelfAttention does: (1, T, H) and the bias (1, A, L, L) of the longest text."""
    runs, _ = row_that_is_read()
    query, key, value = (
        split_heads(projection(hidden), attention.attention_head_size)
        for projection in (attention.q, attention.k, attention.v)
    )
    assert position_bias is not None
    attended, _ = packed_attention(
        attention,
        query,
        key,
        value,
        None,
        runs=runs,
        dropout=attention.dropout.p if attention.training else 0.0,
        bias=position_bias[0],
    )
    return (attention.o(attended.flatten(2)),)


def _pack_deberta(base: Any) -> None:
    own = type(base.encoder)

    def positions_of_longest(encoder: Any, hidden: Tensor, *args: Any) -> Tensor | None:
        return own.get_rel_pos(encoder, _as_long_as_longest(hidden))

    def no_mask(encoder: Any, mask: Tensor) -> Tensor:  # it would be (T, T)
        return mask

    _override(base.encoder, get_rel_pos=positions_of_longest, get_attention_mask=no_mask)
    _override(*(layer.attention.self for layer in base.encoder.layer), forward=_attend_deberta)


def _attend_deberta(
    attention: Any,
    hidden: Tensor,
    attention_mask: Tensor,
    output_attentions: bool = False,
    *,
    relative_pos: Tensor | None = None,
    rel_embeddings: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Do what DisentangledSelfAttention does, whose positions (1, L, L) are the longest text's."""
    runs, _ = row_that_is_read()
    queries, keys, values = (
        _heads(projection(hidden[0]), attention)
        for projection in (attention.query_proj, attention.key_proj, attention.value_proj)
    )
    n_kinds = sum(kind in attention.pos_att_type for kind in ("c2p", "p2c"))
    factor = (queries.shape[-1] * (1 + n_kinds)) ** -0.5
    positions = _Positions.of(attention, relative_pos, rel_embeddings, factor)
    shapes = [(n_texts, length, length) for n_texts, length in runs]
    outputs = []
    for _, q, k, v in split_runs(queries * factor, keys, values, shapes):
        scores = positions.add_to(q @ k.transpose(2, 3), q, k)
        weights = attention.dropout(scores.softmax(-1))
        outputs.append((weights @ v).transpose(1, 2).flatten(0, 1))  # (n * L, A, D)
    return torch.cat(outputs).flatten(1).unsqueeze(0), None


class _Positions(NamedTuple):
    """What DeBERTa's tokens see of each other's relative positions.

    Attributes
    ----------
    relative : Tensor of int64, shape (L, L), or None
        Relative position of each query and key of the longest text; None where there are none.
    keys, queries : Tensor, shape (A, P, D), or None
        Of the relative positions: what tokens' queries, and tokens' keys, are multiplied with.
    """

    relative: Tensor | None
    keys: Tensor | None
    queries: Tensor | None

    @classmethod
    def of(
        cls, attention: Any, relative: Tensor | None, embeddings: Tensor | None, factor: float
    ) -> _Positions:
        if not attention.relative_attention or relative is None or embeddings is None:
            return cls(None, None, None)
        n_each_way = attention.pos_ebd_size
        embedded = attention.pos_dropout(embeddings)[: 2 * n_each_way]
        keys = queries = None
        if "c2p" in attention.pos_att_type:
            shared = attention.share_att_key
            projection = attention.key_proj if shared else attention.pos_key_proj
            keys = _heads(projection(embedded), attention).transpose(0, 1)
        if "p2c" in attention.pos_att_type:
            shared = attention.share_att_key
            projection = attention.query_proj if shared else attention.pos_query_proj
            queries = _heads(projection(embedded), attention).transpose(0, 1) * factor
        return cls((relative[0] + n_each_way).clamp(0, 2 * n_each_way - 1), keys, queries)

    def add_to(self, scores: Tensor, q: Tensor, k: Tensor) -> Tensor:
        """Add to the products (n, A, L, L) of a run's queries and keys (n, A, L, D)."""
        if self.relative is None:
            return scores
        length = q.shape[2]
        index = self.relative[:length, :length]
        # Only positions that texts of this length have: from the first query to the last key, ...
        low, high = int(index[0, -1]), int(index[-1, 0]) + 1
        index = (index - low).expand(scores.shape)
        if self.keys is not None:
            of_positions = q @ self.keys[:, low:high].transpose(1, 2)  # (n, A, L, P)
            scores = scores + of_positions.gather(-1, index)
        if self.queries is not None:
            of_positions = k @ self.queries[:, low:high].transpose(1, 2)
            scores = scores + of_positions.gather(-1, index.transpose(2, 3)).transpose(2, 3)
        return scores


def _heads(x: Tensor, attention: Any) -> Tensor:
    """Turn (T, A * D) into (T, A, D)."""
    return x.view(len(x), attention.num_attention_heads, -1)


def _as_long_as_longest(hidden: Tensor) -> Tensor:
    """Cut a row (1, T, H) to the length of its longest text: only its size will be looked at."""
    runs, _ = row_that_is_read()
    return hidden[:, : max(length for _, length in runs)]


PACKED_BY_TYPE: dict[str, Callable[[Any], None]] = {
    "deberta-v2": _pack_deberta,
    "mpnet": _pack_mpnet,
}
