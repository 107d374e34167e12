"""The rows of an embedding table that a training set uses, as a table of their own.

A training set uses a few thousand of an embedding table's 30,000 rows. The others would get a
gradient of zero, two moments and an update at every step all the same.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class UsedRows(nn.Module):
    """The rows of an embedding table that some texts use; ids stay what they are.

    Parameters
    ----------
    table : nn.Embedding
        The whole table; it is not changed until `put_back`.
    used : Tensor of int64
        Sorted ids that will be looked up.
    """

    def __init__(self, table: nn.Embedding, used: Tensor) -> None:
        super().__init__()
        device = table.weight.device
        # Other ids would be looked up beyond the end, which is an error.
        row_of_id = torch.full((table.num_embeddings,), len(used), device=device)
        row_of_id[used] = torch.arange(len(used), device=device)
        self.register_buffer("row_of_id", row_of_id, persistent=False)
        self.register_buffer("used", used, persistent=False)
        self.weight = nn.Parameter(
            table.weight.detach()[used].clone(), requires_grad=table.weight.requires_grad
        )
        padding = table.padding_idx
        is_used = padding is not None and bool((used == padding).any())
        self.padding_row = int(row_of_id[padding]) if is_used else None
        self.table = [table]  # in a list: no submodule, so no parameter and not trained

    def forward(self, ids: Tensor) -> Tensor:
        """Look up ids."""
        return nn.functional.embedding(self.row_of_id[ids], self.weight, self.padding_row)  # type: ignore[index]

    @torch.no_grad()
    def whole(self, decay: float) -> Tensor:
        """Return a whole table's weights: trained rows, and others times what weight decay left."""
        weight = self.table[0].weight * decay
        weight[self.used] = self.weight  # type: ignore[index]
        return weight

    def put_back(self, decay: float) -> nn.Embedding:
        """Return the table itself, with the weights that `whole` gives."""
        (table,) = self.table
        table.weight.data = self.whole(decay)
        return table
