"""int8 layers with fixed scales against float32 ones and against rounding by hand."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import transformers
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers import AutoModel

from skbert._kernels.static_int8 import (
    FEATURES_TO_ONE_APART,
    FEED_FORWARDS,
    MARGIN,
    SMOOTHING,
    Range,
    StaticInt8FeedForward,
    StaticInt8Linear,
    empty_range,
    inputs_observed,
    use_static_int8_layers,
)
from tests.kernels.conftest import needs_static_int8, randn

pytestmark = [pytest.mark.usefixtures("one_thread"), needs_static_int8]

Array = NDArray[np.float64]


def linear_layer(n_in: int = 24, n_out: int = 40, *, bias: bool = True) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(n_in)
        return nn.Linear(n_in, n_out, bias=bias)


def range_of(rows: Tensor) -> Range:
    return empty_range(rows.shape[-1]).joined(rows.reshape(-1, rows.shape[-1]))


def static_layer(linear: nn.Linear, sample: Tensor) -> StaticInt8Linear:
    return StaticInt8Linear(linear, range_of(sample))


def static_block(first: nn.Linear, second: nn.Linear, sample: Tensor) -> StaticInt8FeedForward:
    return StaticInt8FeedForward(
        first, second, range_of(sample), range_of(gelu(first(sample)).detach())
    )


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).norm() / expected.norm())


# By hand ----------------------------------------------------------------------------------------


class Rounded(NamedTuple):
    values: Array  # what the levels stand for
    step: float


def in_numpy(x: Tensor) -> Array:
    return x.detach().double().numpy()


def round_inputs(x: Array, low: float, high: float) -> Rounded:
    low, high = min(MARGIN * low, 0.0), max(MARGIN * high, 0.0)
    step = (high - low) / 255
    zero = np.rint(-low / step)
    return Rounded((np.clip(np.rint(x / step + zero), 0, 255) - zero) * step, step)


def round_weights(weight: Array) -> Rounded:
    steps = np.abs(weight).max(1, keepdims=True) / 127
    return Rounded(np.rint(weight / steps) * steps, steps.max())


class ByHand(NamedTuple):
    inputs: Rounded  # smoothed, as are the weights
    weight: Rounded
    outputs: Array


def layer_by_hand(linear: nn.Linear, sample: Tensor, x: Tensor) -> ByHand:
    weight, seen = in_numpy(linear.weight), in_numpy(sample)
    factors = np.abs(seen).max(0) ** SMOOTHING / np.abs(weight).max(0) ** (1 - SMOOTHING)
    smoothed = seen / factors
    inputs = round_inputs(in_numpy(x) / factors, smoothed.min(), smoothed.max())
    rounded = round_weights(weight * factors)
    bias = 0.0 if linear.bias is None else in_numpy(linear.bias)
    return ByHand(inputs, rounded, inputs.values @ rounded.values.T + bias)


def largest_features(between: Array) -> NDArray[np.int64]:
    n_apart = max(1, between.shape[1] // FEATURES_TO_ONE_APART)
    return np.argsort(-np.abs(between).max(0))[:n_apart]


def block_by_hand(first: nn.Linear, second: nn.Linear, sample: Tensor, x: Tensor) -> Array:
    between = in_numpy(gelu(torch.from_numpy(layer_by_hand(first, sample, x).outputs)))
    seen, weight = in_numpy(gelu(first(sample))), in_numpy(second.weight)
    apart = largest_features(seen)
    seen_others, rounded = np.delete(seen, apart, 1), round_weights(np.delete(weight, apart, 1))
    others = round_inputs(np.delete(between, apart, 1), seen_others.min(), seen_others.max())
    bias = 0.0 if second.bias is None else in_numpy(second.bias)
    return others.values @ rounded.values.T + between[:, apart] @ weight[:, apart].T + bias


# One layer --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("n_in", "n_out"), [(3, 5), (24, 40), (384, 96), (1536, 48)])
@torch.inference_mode()
def test_layer_is_what_rounding_by_hand_gives(n_in, n_out, bias):
    linear, sample, x = linear_layer(n_in, n_out, bias=bias), randn(90, n_in), randn(50, n_in)
    sample[:, 0] *= 30
    sample += 0.5  # lopsided
    x[:25] = sample[:25]
    actual = in_numpy(static_layer(linear, sample)(x))
    np.testing.assert_allclose(
        actual, layer_by_hand(linear, sample, x).outputs, rtol=1e-5, atol=1e-5
    )
    assert np.abs(actual - in_numpy(linear(x))).max() > 1e-3


@pytest.mark.parametrize("shape", [(1,), (2,), (1, 33), (2, 3, 5), (1025,)], ids=str)
@torch.inference_mode()
def test_layer_is_as_near_to_float_as_its_steps_allow(shape):
    linear, x = linear_layer(), randn(*shape, 24)
    actual, expected = static_layer(linear, x)(x), linear(x)
    assert actual.shape == expected.shape
    assert actual.dtype == torch.float32
    rows = x.reshape(-1, 24)
    inputs, weight, _ = layer_by_hand(linear, rows, rows)
    bound = inputs.step / 2 * np.abs(weight.values).sum(1).max()
    bound += weight.step / 2 * np.abs(inputs.values).sum(1).max()
    bound += inputs.step * weight.step * 24
    assert (actual - expected).abs().max() <= bound


@torch.inference_mode()
def test_outputs_have_the_type_of_the_weights():
    linear, x = linear_layer(), randn(9, 24)
    layer, expected = static_layer(linear, x), linear(x)
    assert layer(x.bfloat16()).dtype == torch.float32
    layer.dtype = torch.bfloat16
    assert layer(x).dtype == torch.bfloat16
    assert relative_error(layer(x).float(), expected) < 0.02


@torch.inference_mode()
def test_rows_that_do_not_lie_behind_each_other():
    layer = static_layer(linear_layer(), randn(9, 24))
    for x in (randn(24, 6).T, randn(6, 48)[:, ::2], randn(3, 5, 24).transpose(0, 1)):
        assert not x.is_contiguous()
        assert torch.equal(layer(x), layer(x.contiguous()))


@torch.inference_mode()
def test_replaced_layers_are_not_changed():
    first, second = linear_layer(), linear_layer(40, 24)
    before = [weight.clone() for weight in (*first.parameters(), *second.parameters())]
    static_layer(first, randn(9, 24))(randn(5, 24))
    static_block(first, second, randn(9, 24))(randn(5, 24))
    after = [*first.parameters(), *second.parameters()]
    assert all(torch.equal(*pair) for pair in zip(after, before, strict=True))


# A feed-forward block ---------------------------------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("n_in", "width"), [(24, 40), (96, 384)])
@torch.inference_mode()
def test_block_is_what_rounding_by_hand_gives(n_in, width, bias):
    first = linear_layer(n_in, width, bias=bias)
    second = linear_layer(width, n_in, bias=bias)
    sample, x = randn(90, n_in), randn(50, n_in, seed=1)
    sample[:, 1] *= 20
    x[:25] = sample[:25]
    actual = in_numpy(static_block(first, second, sample)(x))
    expected = block_by_hand(first, second, sample, x)
    # GELU of the one and of the other may fall on two sides of a step's middle.
    assert np.abs(actual - expected).max() < 0.01 * np.abs(expected).max()
    assert np.linalg.norm(actual - expected) < 1e-3 * np.linalg.norm(expected)


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 33), (2, 3, 5), (1025,)], ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@torch.inference_mode()
def test_block_is_near_float(shape, dtype):
    first, second, sample = linear_layer(), linear_layer(40, 24), randn(200, 24)
    x = randn(*shape, 24, seed=2).to(dtype)
    actual = static_block(first, second, sample)(x)
    expected = second(gelu(first(x.float())))
    assert actual.shape == expected.shape
    assert actual.dtype == torch.float32
    assert relative_error(actual, expected) < 0.03


@torch.inference_mode()
def test_block_is_as_near_to_float_as_its_steps_allow():
    first, second, x = linear_layer(), linear_layer(40, 24), randn(60, 24)
    actual, expected = static_block(first, second, x)(x), second(gelu(first(x)))
    inputs, weight, _ = layer_by_hand(first, x, x)
    off = inputs.step / 2 * np.abs(weight.values).sum(1).max()
    off += weight.step / 2 * np.abs(inputs.values).sum(1).max() + 24 * inputs.step * weight.step
    between, of_second = in_numpy(gelu(first(x))), round_weights(in_numpy(second.weight))
    # GELU is nowhere steeper than 1.13.
    off = 1.13 * off + MARGIN * (between.max() - between.min()) / 255 / 2
    bound = off * np.abs(of_second.values).sum(1).max()
    bound += of_second.step / 2 * (np.abs(between).sum(1).max() + 40 * off)
    assert (actual - expected).abs().max() <= bound


# Outliers ---------------------------------------------------------------------------------------


@torch.inference_mode()
def test_a_feature_that_is_always_larger_costs_the_others_little():
    linear, sample = linear_layer(64, 48), randn(200, 64)
    sample[:, 7] *= 100
    linear.weight[:, 7] /= 100  # else it would be all that is seen
    x, expected = sample[:100], linear(sample[:100])
    plain = round_inputs(in_numpy(x), float(sample.min()), float(sample.max())).values
    unsmoothed = torch.from_numpy(plain @ in_numpy(linear.weight).T + in_numpy(linear.bias))
    assert relative_error(unsmoothed.float(), expected) > 0.3
    assert relative_error(static_layer(linear, sample)(x), expected) < 0.03


@torch.inference_mode()
def test_features_behind_gelu_that_are_larger_cost_the_others_little():
    first, second, sample = linear_layer(24, 96), linear_layer(96, 24), randn(200, 24)
    first.weight[[3, 50]] *= 100
    second.weight[:, [3, 50]] /= 100
    x = sample[:100]
    between, expected = gelu(first(x)), second(gelu(first(x)))
    plain = round_inputs(in_numpy(between), float(between.min()), float(between.max())).values
    rounded = torch.from_numpy(plain @ in_numpy(second.weight).T + in_numpy(second.bias))
    assert relative_error(rounded.float(), expected) > 0.1
    assert relative_error(static_block(first, second, sample)(x), expected) < 0.03


@torch.inference_mode()
def test_inputs_outside_the_seen_range_become_its_ends():
    linear, sample = linear_layer(bias=False), randn(90, 24)
    sample = torch.cat([sample, -sample])
    layer = static_layer(linear, sample)
    x = randn(20, 24, seed=3)
    x = x.sign() * (x.abs() + 1) * 1e3
    actual = layer(x)
    np.testing.assert_allclose(
        in_numpy(actual), layer_by_hand(linear, sample, x).outputs, rtol=1e-4, atol=1e-4
    )
    assert torch.equal(actual, layer(x * 1e3))
    assert torch.equal(actual, layer(x.sign() * torch.inf))


# What a row may see -----------------------------------------------------------------------------


@torch.inference_mode()
def test_rows_do_not_see_each_other():
    first, second, sample = linear_layer(), linear_layer(40, 24), randn(90, 24)
    for layer in (static_layer(first, sample), static_block(first, second, sample)):
        x = randn(37, 24)
        alone = torch.cat([layer(row) for row in x.split(1)])
        torch.testing.assert_close(layer(x), alone, rtol=1e-6, atol=1e-6)
        x[:20] *= 1e6
        torch.testing.assert_close(layer(x)[20:], alone[20:], rtol=1e-6, atol=1e-6)


@torch.inference_mode()
def test_zeros_stay_zeros():
    first, second, sample = linear_layer(), linear_layer(40, 24, bias=False), randn(90, 24) + 1
    zeros = torch.zeros(3, 24)
    torch.testing.assert_close(static_layer(first, sample)(zeros), first(zeros))
    unbiased = linear_layer(bias=False)
    assert not static_layer(unbiased, sample)(zeros).any()
    assert not static_block(unbiased, second, sample)(zeros).any()


@torch.inference_mode()
def test_layer_that_saw_nothing_but_zeros():
    first, second, zeros = linear_layer(), linear_layer(40, 24), torch.zeros(3, 24)
    torch.testing.assert_close(static_layer(first, zeros)(zeros), first(zeros))
    block = static_block(first, second, zeros)
    torch.testing.assert_close(block(zeros), second(gelu(first(zeros))), rtol=0, atol=0.01)
    assert static_layer(first, zeros)(randn(3, 24)).isfinite().all()
    assert block(randn(3, 24)).isfinite().all()


@torch.inference_mode()
def test_features_and_weights_that_are_always_zero():
    linear, sample = linear_layer(), randn(90, 24)
    sample[:, 5] = 0
    linear.weight[:, 6] = 0
    linear.weight[7] = 0
    linear.weight[:, 8] = sample[:, 8] = 0
    assert relative_error(static_layer(linear, sample)(sample), linear(sample)) < 0.02


# A model's layers -------------------------------------------------------------------------------

SIZE: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "initializer_range": 0.2,
}
# Configuration, and the number of feed-forward blocks and of other layers.
MODELS: dict[str, tuple[str, dict[str, Any], int, int]] = {
    "bert": ("BertConfig", SIZE, 2, 8),
    "electra": ("ElectraConfig", {**SIZE, "embedding_size": 32}, 2, 8),
    "mpnet": ("MPNetConfig", SIZE, 2, 8),
    "distilbert": (
        "DistilBertConfig",
        {
            "vocab_size": 50,
            "dim": 32,
            "n_layers": 2,
            "n_heads": 4,
            "hidden_dim": 64,
            "initializer_range": 0.2,
        },
        2,
        8,
    ),
    # Its layers share their weights.
    "albert": ("AlbertConfig", {**SIZE, "embedding_size": 16, "hidden_act": "gelu"}, 1, 4),
    # Its own activation is no exact GELU.
    "albert, gelu_new": ("AlbertConfig", {**SIZE, "embedding_size": 16}, 0, 6),
    "bert, relu": ("BertConfig", {**SIZE, "hidden_act": "relu"}, 0, 12),
    "bert, gelu_new": ("BertConfig", {**SIZE, "hidden_act": "gelu_new"}, 0, 12),
    # Two products are multiplied between its layers.
    "modernbert": ("ModernBertConfig", {**SIZE, "pad_token_id": 0}, 0, 8),
}


def model_and_ids(name: str) -> tuple[Any, Tensor]:
    config_name, options, *_ = MODELS[name]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModel.from_config(getattr(transformers, config_name)(**options)).eval()
        return model, torch.randint(5, 50, (6, 20))


def count(model: nn.Module, kind: type[nn.Module]) -> int:
    return sum(isinstance(part, kind) for part in model.modules())


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_layers_of_the_stack_are_replaced_and_the_model_is_near_float(name):
    model, ids = model_and_ids(name)
    with inputs_observed(model) as seen:
        expected = model(ids).last_hidden_state
    use_static_int8_layers(model, seen)
    n_blocks, n_others = MODELS[name][2:]
    assert count(model, StaticInt8FeedForward) == n_blocks
    assert count(model, StaticInt8Linear) == n_others
    actual = model(ids).last_hidden_state
    assert torch.cosine_similarity(actual, expected, dim=-1).min() > 0.99
    assert not torch.equal(actual, expected)


@pytest.mark.parametrize("name", ["bert", "distilbert", "albert"])
def test_nothing_is_left_where_gelu_and_the_second_layer_were(name):
    model, ids = model_and_ids(name)
    with inputs_observed(model) as seen, torch.inference_mode():
        model(ids)
    use_static_int8_layers(model, seen)
    names = dict(zip(("bert", "distilbert", "albert"), FEED_FORWARDS, strict=True))[name]
    paths = [path for path, part in model.named_modules() if type(part) is StaticInt8FeedForward]
    for path in paths:
        block = model.get_submodule(path.removesuffix(names[0]).rstrip("."))
        assert [type(block.get_submodule(part)) for part in names[1:]] == [nn.Identity] * 2


@torch.inference_mode()
def test_pooler_and_layers_that_saw_nothing_stay_as_they_are():
    model, ids = model_and_ids("bert")
    with inputs_observed(model) as seen:
        model(ids)
    assert len(seen) == 12
    without_input = model.encoder.layer[0].output.dense
    del seen[without_input]
    use_static_int8_layers(model, seen)
    assert type(model.pooler.dense) is nn.Linear
    assert model.encoder.layer[0].output.dense is without_input
    assert type(model.encoder.layer[0].intermediate.dense) is StaticInt8Linear  # GELU still behind
    assert model(ids).last_hidden_state.isfinite().all()


@torch.inference_mode()
def test_ranges_hold_all_that_was_seen_and_no_more_is_noted_afterwards():
    stack = nn.ModuleList([nn.Linear(3, 2)])
    model = nn.ModuleDict({"layers": stack, "head": nn.Linear(2, 2)})
    with inputs_observed(model) as seen:
        stack[0](torch.tensor([[1.0, -2, 3], [0, -1, 4]]))
        stack[0](torch.tensor([[[5.0, -1, 3.5]]]))
        model["head"](stack[0](torch.tensor([0.5, -1, 3.5])))
    assert set(seen) == {stack[0]}
    assert seen[stack[0]].low.tolist() == [0, -2, 3]
    assert seen[stack[0]].high.tolist() == [5, -1, 4]
    assert seen[stack[0]].largest.tolist() == [5, 2, 4]
    stack[0](torch.full((1, 3), 100.0))
    assert seen[stack[0]].high.tolist() == [5, -1, 4]


def test_hooks_are_removed_after_an_error():
    model = nn.ModuleDict({"layers": nn.ModuleList([nn.Linear(3, 2)])})
    with pytest.raises(ValueError, match="no texts"), inputs_observed(model):
        raise ValueError("no texts")
    assert not model["layers"][0]._forward_pre_hooks
