"""Faster layers for training, compared with torch's own: values, gradients and statistics."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from skbert import BertClassifier
from skbert._kernels import fast_layers as fast_layers_module
from skbert._kernels.dropout import LEVELS, FastDropout, dropout
from skbert._kernels.linear import OneDnnLinear
from skbert._kernels.prepacked import can_prepack
from skbert._kernels.training_layers import use_fast_layers
from skbert._kernels.used_rows import UsedRows

pytestmark = pytest.mark.usefixtures("one_thread")

needs_onednn = pytest.mark.skipif(not can_prepack(torch.float32), reason="no such kernels here")
RATES = [0.0001, 0.001, 0.1, 0.25, 0.5, 0.9, 0.999]


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


# Dropout ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", RATES)
def test_rate_and_scale(p):
    """The share of zeros is p, within five standard errors, and the mean stays what it was."""
    n = 1_000_003
    dropped = dropout(torch.ones(n), p)
    rate = (dropped == 0).double().mean().item()
    error = math.sqrt(p * (1 - p) / n)
    assert abs(rate - p) < 5 * error + 0.5 / LEVELS
    kept = dropped[dropped != 0]
    assert (kept == kept[0]).all()
    assert kept[0].item() == pytest.approx(1 / (1 - p), rel=1 / LEVELS / (1 - p))
    assert abs(dropped.double().mean().item() - 1) < 5 * error / (1 - p)


@pytest.mark.parametrize("p", [1 / LEVELS, 100 / LEVELS, 0.5, 1 - 1 / LEVELS])
def test_scale_is_exactly_that_of_the_rate(p):
    """The mean is kept exactly: a rate that is a multiple of 1/65,536 is not rounded."""
    dropped = dropout(torch.ones(3_000_000), p)
    assert dropped.max().item() == pytest.approx(1 / (1 - p), rel=1e-6)


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_each_of_four_lanes_is_dropped_at_the_rate(p):
    """One 64-bit random number serves four values: all of its bits must be random."""
    lanes = (dropout(torch.ones(400_000, 4), p) == 0).double()
    error = math.sqrt(p * (1 - p) / len(lanes))
    assert (lanes.mean(0) - p).abs().max() < 5 * error
    correlation = torch.corrcoef(lanes.T) - torch.eye(4)
    assert correlation.abs().max() < 5 / math.sqrt(len(lanes))


def test_neighbours_in_a_lane_are_independent():
    zeros = (dropout(torch.ones(1_000_000), 0.3) == 0).double()
    for lag in (1, 2, 3, 4, 5, 8, 64, 384):
        pair = torch.stack([zeros[:-lag], zeros[lag:]])
        assert abs(torch.corrcoef(pair)[0, 1]) < 5 / math.sqrt(len(zeros)), lag


def test_statistics_are_those_of_torch():
    x = randn(1000, 500)
    ours, theirs = dropout(x, 0.1), nn.functional.dropout(x, 0.1)
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.01)
    assert ours.mean().item() == pytest.approx(theirs.mean().item(), abs=0.01)


@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (5,), (1, 1), (7, 3), (2, 3, 5), (2, 4, 9, 9)])
def test_any_shape_and_the_gradient_uses_the_same_mask(shape):
    x = (randn(*shape).abs() + 1).requires_grad_()
    upstream = randn(*shape, seed=1)
    y = dropout(x, 0.5)
    assert y.shape == x.shape
    y.backward(upstream)
    scale = y.detach() / x.detach()
    assert set(scale.flatten().round(decimals=4).tolist()) <= {0.0, 2.0}
    torch.testing.assert_close(x.grad, upstream * scale)


def test_empty_values():
    assert dropout(torch.ones(0, 3), 0.5).shape == (0, 3)


def test_values_that_do_not_lie_behind_each_other():
    for x in (
        torch.ones(300, 500).T,
        torch.ones(300, 1000)[:, ::2],
        torch.ones(1, 500).expand(300, 500),
    ):
        assert not x.is_contiguous()
        y = dropout(x, 0.25)
        assert y.shape == x.shape
        assert (y == 0).double().mean().item() == pytest.approx(0.25, abs=0.01)
        assert (x == 1).all()  # not changed in place


def test_gradient_that_does_not_lie_behind_each_other():
    x = torch.ones(40, 60, requires_grad=True)
    y = dropout(x, 0.5)
    y.T.sum().backward()
    assert torch.equal(x.grad, y.detach())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_type_is_kept(dtype):
    x = torch.ones(100_000, dtype=dtype, requires_grad=True)
    y = dropout(x, 0.1)
    y.sum().backward()
    assert y.dtype == x.grad.dtype == dtype
    assert torch.equal(x.grad, y.detach())
    assert y.detach().double().mean().item() == pytest.approx(1, abs=0.01)


def test_seed_gives_the_same_mask_and_each_call_another():
    x = torch.ones(1000)
    draws = []
    for _ in range(2):
        torch.manual_seed(5)
        draws.append((dropout(x, 0.5), dropout(x, 0.5)))
    assert torch.equal(draws[0][0], draws[1][0])
    assert torch.equal(draws[0][1], draws[1][1])
    agree = (draws[0][0] == draws[0][1]).double().mean().item()
    assert agree == pytest.approx(0.5, abs=0.1)
    torch.manual_seed(6)
    assert not torch.equal(dropout(x, 0.5), draws[0][0])


def test_global_generator_advances_as_little_as_needed():
    """Nothing is drawn where nothing is dropped: then two runs stay in step."""
    before = torch.get_rng_state()
    x = torch.ones(10)
    assert dropout(x, 0.0) is x
    assert dropout(x, 0.1 / LEVELS) is x  # rounded to no drop at all
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("p", [1 - 0.1 / LEVELS, 1.0])
def test_rate_that_rounds_to_one_drops_as_torch_does(p):
    x = torch.ones(1000, requires_grad=True)
    y = dropout(x, p)
    y.sum().backward()
    assert torch.isfinite(y).all()
    assert (y == 0).double().mean() > 0.99
    assert torch.equal(x.grad, y.detach())


def test_module_drops_in_training_only():
    layer = FastDropout(0.5)
    x = torch.ones(1000)
    assert (layer(x) == 0).any()
    assert layer.eval()(x) is x
    assert FastDropout(0.0)(x) is x


def test_one_mask_is_kept_for_each_call():
    """Two uses of a layer in one graph each keep their own mask."""
    layer = FastDropout(0.5)
    x = torch.ones(1000, requires_grad=True)
    y, z = layer(x), layer(x)
    (y + 10 * z).sum().backward()
    torch.testing.assert_close(x.grad, y.detach() + 10 * z.detach())


# Linear layers ----------------------------------------------------------------------------------


@needs_onednn
@pytest.mark.parametrize(
    "n_in_out", [(24, 40), (40, 24), (16, 16), (1, 5), (5, 1), (384, 1536), (1536, 384)]
)
@pytest.mark.parametrize("shape", [(1,), (7,), (3, 5), (1, 19), (2, 3, 4)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_linear_and_its_gradients(n_in_out, shape, bias):
    linear = nn.Linear(*n_in_out, bias=bias)
    fast = OneDnnLinear(copy.deepcopy(linear))
    x, x_fast = (randn(*shape, n_in_out[0]).requires_grad_() for _ in range(2))
    upstream = randn(*shape, n_in_out[1], seed=1)
    y, y_fast = linear(x), fast(x_fast)
    assert_close(y_fast, y)
    y.backward(upstream)
    y_fast.backward(upstream)
    assert_close(x_fast.grad, x.grad)
    assert_close(fast.weight.grad, linear.weight.grad)
    if bias:
        assert_close(fast.bias.grad, linear.bias.grad)
    else:
        assert fast.bias is None


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert actual.shape == expected.shape
    actual, expected = actual.detach(), expected.detach()
    assert (actual - expected).abs().max() <= 1e-5 * max(1.0, float(expected.abs().max()))


@needs_onednn
def test_linear_with_a_summed_loss():
    """The gradient of a sum is one number, shown at every place."""
    linear = nn.Linear(24, 40)
    fast = OneDnnLinear(copy.deepcopy(linear))
    x = randn(3, 5, 24)
    linear(x).sum().backward()
    fast(x).sum().backward()
    assert_close(fast.weight.grad, linear.weight.grad)
    assert_close(fast.bias.grad, linear.bias.grad)


@needs_onednn
def test_linear_of_rows_that_do_not_lie_behind_each_other():
    linear = nn.Linear(24, 40)
    fast = OneDnnLinear(copy.deepcopy(linear))
    for base, view in (
        (randn(24, 6), lambda t: t.T),
        (randn(6, 48), lambda t: t[:, ::2]),
        (randn(3, 5, 24), lambda t: t.transpose(0, 1)),
        (randn(9, 24), lambda t: t[::2]),
        (randn(1, 24), lambda t: t.expand(4, 24)),
    ):
        bases = [base.clone().requires_grad_() for _ in range(2)]
        linear.zero_grad()
        fast.zero_grad()
        for layer, leaf in zip((linear, fast), bases, strict=True):
            y = layer(view(leaf))
            # Upstream gradients, too, are views: of a transposed result.
            (y.transpose(0, 1) * randn(*y.transpose(0, 1).shape, seed=3)).sum().backward()
        assert_close(bases[1].grad, bases[0].grad)
        assert_close(fast.weight.grad, linear.weight.grad)


@needs_onednn
@pytest.mark.parametrize(
    "frozen", [("weight",), ("bias",), ("x",), ("weight", "bias"), ("x", "weight"), ("x", "bias")]
)
def test_frozen_parts_get_no_gradient(frozen):
    linear = nn.Linear(8, 6)
    fast = OneDnnLinear(copy.deepcopy(linear))
    gradients = []
    for layer in (linear, fast):
        x = randn(5, 8).requires_grad_("x" not in frozen)
        layer.weight.requires_grad_("weight" not in frozen)
        layer.bias.requires_grad_("bias" not in frozen)
        layer(x).square().sum().backward()
        gradients.append({"x": x.grad, "weight": layer.weight.grad, "bias": layer.bias.grad})
    for name, expected in gradients[0].items():
        assert (expected is None) == (name in frozen) == (gradients[1][name] is None)
        if expected is not None:
            assert_close(gradients[1][name], expected)


@needs_onednn
def test_weights_that_change_in_place_are_read_anew():
    """Nothing is laid out once and kept: the optimizer changes weights in place."""
    fast = OneDnnLinear(nn.Linear(4, 3))
    x = randn(2, 4)
    before = fast(x).detach()
    with torch.no_grad():
        fast.weight.mul_(2)
        fast.bias.mul_(2)
    torch.testing.assert_close(fast(x).detach(), 2 * before)


# Used rows --------------------------------------------------------------------------------------

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

    monkeypatch.setattr(fast_layers_module.UsedRows, "forward", watched)
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


# In a model -------------------------------------------------------------------------------------


def tiny_model(**options: Any) -> nn.Module:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(
        BertConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            **options,
        )
    )


def test_every_dropout_and_linear_layer_is_replaced():
    model = tiny_model(hidden_dropout_prob=0.3)
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    n_linear = sum(type(module) is nn.Linear for module in model.modules())
    n_dropout = sum(type(module) is nn.Dropout for module in model.modules())
    parameters = dict(model.named_parameters())
    use_fast_layers(model, float32=True)
    kinds = [type(module) for module in model.modules()]
    assert kinds.count(nn.Dropout) == 0
    assert kinds.count(FastDropout) == n_dropout > 3
    if can_prepack(torch.float32):
        assert kinds.count(nn.Linear) == 0
        assert kinds.count(OneDnnLinear) == n_linear > 10
    assert {name: tensor.shape for name, tensor in model.state_dict().items()} == shapes
    for name, parameter in model.named_parameters():
        assert parameter is parameters[name]
    assert model.bert.embeddings.dropout.p == 0.3


def test_linear_layers_stay_under_autocast():
    model = tiny_model()
    use_fast_layers(model, float32=False)
    kinds = {type(module) for module in model.modules()}
    assert nn.Linear in kinds
    assert OneDnnLinear not in kinds


def test_subclasses_are_left_alone():
    class Other(nn.Linear):
        pass

    class OtherDropout(nn.Dropout):
        pass

    model = nn.Sequential(Other(3, 3), OtherDropout(0.5))
    use_fast_layers(model, float32=True)
    assert [type(layer) for layer in model] == [Other, OtherDropout]


def test_model_with_fast_layers_computes_the_same():
    model = tiny_model(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    fast = copy.deepcopy(model)
    use_fast_layers(fast, float32=True)
    ids = torch.randint(5, 50, (3, 11), generator=torch.Generator().manual_seed(2))
    for m in (model, fast):
        m(input_ids=ids).logits.square().sum().backward()
    gradients = dict(fast.named_parameters())
    for name, parameter in model.named_parameters():
        np.testing.assert_allclose(gradients[name].grad, parameter.grad, atol=1e-5, err_msg=name)
