"""Training the used rows of an embedding table is training the whole table."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from skbert import BertClassifier
from skbert._kernels import used_rows as used_rows_module
from skbert._kernels.used_rows import UsedRows
from tests.kernels.conftest import randn

pytestmark = pytest.mark.usefixtures("one_thread", "fixed_seed")


USED = [0, 3, 4, 9, 17]


def table_and_rows(padding_idx: int | None = None, n: int = 20) -> tuple[nn.Embedding, UsedRows]:
    table = nn.Embedding(n, 6, padding_idx=padding_idx)
    nn.init.normal_(table.weight)
    return table, UsedRows(table, torch.tensor(USED))


def test_used_rows_are_looked_up_by_their_ids():
    table, rows = table_and_rows()
    ids = torch.tensor([[3, 17, 0], [9, 3, 4]])
    assert torch.equal(rows(ids), table(ids))
    assert rows.weight.shape == (5, 6)
    assert [name for name, _ in rows.named_parameters()] == ["weight"]


@pytest.mark.parametrize("padding_idx", [None, 0, 4, 5])
def test_gradient_is_that_of_the_used_rows(padding_idx):
    """Padding gets none; also where the padding id is not used at all."""
    table, rows = table_and_rows(padding_idx)
    ids = torch.tensor([[3, 17, 0], [9, 3, 4]])
    upstream = randn(2, 3, 6)
    table(ids).backward(upstream)
    rows(ids).backward(upstream)
    torch.testing.assert_close(rows.weight.grad, table.weight.grad[USED])
    unused = [row for row in range(20) if row not in USED]
    assert not table.weight.grad[unused].any()


def test_table_is_not_changed_until_it_is_put_back():
    table, rows = table_and_rows()
    before = table.weight.detach().clone()
    with torch.no_grad():
        rows.weight.add_(1)
    assert torch.equal(table.weight, before)
    whole = rows.whole(0.5)
    assert torch.equal(table.weight, before)
    assert not whole.requires_grad
    torch.testing.assert_close(whole[USED], before[USED] + 1)
    unused = [row for row in range(20) if row not in USED]
    torch.testing.assert_close(whole[unused], before[unused] * 0.5)
    assert rows.put_back(0.5) is table
    assert torch.equal(table.weight, whole)
    assert table.weight.requires_grad
    assert isinstance(table.weight, nn.Parameter)


def test_frozen_table_has_frozen_rows():
    table = nn.Embedding(20, 6).requires_grad_(False)
    assert not UsedRows(table, torch.tensor(USED)).weight.requires_grad


@pytest.mark.parametrize("padding_idx", [None, 0, 5])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_training_used_rows_is_training_the_whole_table(padding_idx, weight_decay):
    """With AdamW, a changing learning rate and weight decay: all rows end up the same."""
    table, rows = table_and_rows(padding_idx)
    dense, heads = copy.deepcopy(table), [nn.Linear(6, 2)]
    heads.append(copy.deepcopy(heads[0]))
    optimizers = [
        torch.optim.AdamW([*layer.parameters(), *head.parameters()], weight_decay=weight_decay)
        for layer, head in zip((dense, rows), heads, strict=True)
    ]
    generator = torch.Generator().manual_seed(2)
    decay, start = 1.0, table.weight.detach().clone()
    for step in range(30):
        rate = 0.05 * (1 - step / 30)
        ids = torch.tensor(USED)[torch.randint(0, len(USED), (4, 3), generator=generator)]
        target = torch.randn(4, 2, generator=generator)
        for layer, head, optimizer in zip((dense, rows), heads, optimizers, strict=True):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad(set_to_none=True)
            (head(layer(ids).mean(1)) - target).square().mean().backward()
            optimizer.step()
        decay *= 1 - rate * weight_decay
    whole = rows.put_back(decay).weight
    torch.testing.assert_close(whole, dense.weight, rtol=0, atol=1e-6)
    assert (dense.weight[USED] - start[USED]).abs().max() > 0.1
    unused = [row for row in range(20) if row not in USED]
    moved = (dense.weight[unused] - start[unused]).abs().max()
    assert (moved > 0.01) == (weight_decay > 0)


def test_words_of_the_held_out_texts_are_looked_up(tiny_bert, monkeypatch):
    """Texts held out for early stopping have words that no other text has."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    forward = UsedRows.forward

    def watched(self: UsedRows, ids: torch.Tensor) -> torch.Tensor:
        vectors = forward(self, ids)
        if not self.training:
            seen.append((vectors.detach().clone(), self.table[0](ids).detach().clone()))
        return vectors

    monkeypatch.setattr(used_rows_module.UsedRows, "forward", watched)
    texts = ["the cat", "a dog", "red rug", "blue house", "green tree", "money bank", "card lost"]
    classifier = BertClassifier(
        tiny_bert,
        early_stopping=True,
        validation_fraction=0.5,
        min_steps=0,
        max_epochs=1,
        learning_rate=1e-9,
        weight_decay=0.0,
        random_state=0,
    )
    classifier.fit(texts * 2, [0, 1] * 7)
    assert seen
    for found, expected in seen:
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
