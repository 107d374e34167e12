"""Self-attention whose queries, keys and values come from one product, for inference on a CPU.

One product of three times the width takes less time than three, and its result is read in place.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from skbert._kernels.packed_attention import Runs, attend_runs
from skbert._kernels.packed_heads import FirstTokenLayer
from skbert._kernels.packed_row import row_that_is_read
from skbert._kernels.prepacked import computes_in_bfloat16
from skbert._kernels.product_attention import attend_by_products, forget_groups

# Self-attentions that project, attend, perhaps with a bias, and project the output if it is theirs
# to do: names of the layers for query, key, value and output.
BERT, DISTILBERT, MPNET = (
    ("query", "key", "value", None),
    ("q_lin", "k_lin", "v_lin", "out_lin"),
    ("q", "k", "v", "o"),
)
MERGED_CLASSES = {
    "BertSelfAttention": BERT,
    "RobertaSelfAttention": BERT,
    "XLMRobertaSelfAttention": BERT,
    "CamembertSelfAttention": BERT,
    "ElectraSelfAttention": BERT,
    "DistilBertSelfAttention": DISTILBERT,
    "PackedMPNetSelfAttention": MPNET,
}


class MergedSelfAttention(nn.Module):
    """Self-attention of a packed row.

    Parameters
    ----------
    attention : nn.Module
        The module to replace, one of `MERGED_CLASSES`; it is not changed.
    """

    def __init__(self, attention: Any) -> None:
        super().__init__()
        *names, output = MERGED_CLASSES[type(attention).__name__]
        query, key, value = (getattr(attention, str(name)) for name in names)
        self.n_features = attention.attention_head_size
        with torch.device("meta"):
            self.projection = nn.Linear(query.in_features, 3 * query.out_features)
        factor = self.n_features**-0.5
        weights = (query.weight * factor, key.weight, value.weight)
        biases = (query.bias * factor, key.bias, value.bias)
        self.projection.weight = nn.Parameter(torch.cat(weights).detach())
        self.projection.bias = nn.Parameter(torch.cat(biases).detach())
        self.output = nn.Identity() if output is None else getattr(attention, output)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        position_bias: Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        """Map (1, T, H) to (1, T, H), and no weights; a bias is that of the longest text."""
        runs, _ = row_that_is_read()
        merged = self.projection(hidden_states)[0].view(
            hidden_states.shape[1], 3, -1, self.n_features
        )
        by_products = merged.dtype == torch.bfloat16 and computes_in_bfloat16()
        compute = attend_by_products if by_products else _attend_runs
        attended = compute(merged, runs, None if position_bias is None else position_bias[0])
        return self.output(attended.flatten(1).unsqueeze(0)), None


def _attend_runs(merged: Tensor, runs: Runs, bias: Tensor | None) -> Tensor:
    """Do what `attend_by_products` does, run by run."""
    queries, keys, values = merged.unbind(1)
    shapes = [(n_texts, length, length) for n_texts, length in runs]
    return attend_runs(queries, keys, values, shapes, 1.0, bias=bias, window=None)


def merge_projections(model: Any) -> None:
    """Replace each self-attention inside a model that reads packed rows, in place.

    The model can then only be used for inference. A last layer that computes first tokens only
    stays as it is: it needs fewer queries than keys.
    """
    _merge_inside(model)
    # Also where memory runs out. Of a model with a head, either may be called.
    for part in {model, model.base_model}:
        part.register_forward_hook(lambda *_: forget_groups(), always_call=True)


def _merge_inside(module: nn.Module) -> None:
    for name, child in list(module.named_children()):
        if type(child).__name__ in MERGED_CLASSES:
            setattr(module, name, MergedSelfAttention(child))
        elif not isinstance(child, FirstTokenLayer):
            _merge_inside(child)
