"""Prepacked linear layers against torch's own."""

from __future__ import annotations

import copy
import platform

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import gelu
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from skbert import BertEmbedder
from skbert._kernels import prepacked as prepack_module
from skbert._kernels.prepacked import PrepackedLinear, can_prepack, prepack_linear_layers
from skbert._models import encoder as loading_module

needs_prepacking = pytest.mark.skipif(
    not can_prepack(torch.float32), reason="torch has no prepacked kernels here"
)
SHAPES = [(1,), (2,), (1, 1), (7,), (1, 33), (4, 9), (2, 3, 5), (1025,)]


def linear_layer(n_in: int = 24, n_out: int = 40, *, bias: bool = True) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(n_in)
        return nn.Linear(n_in, n_out, bias=bias)


def rows(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    assert actual.shape == expected.shape
    assert (actual - expected).abs().max() <= 1e-6 * expected.abs().max()


@needs_prepacking
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("with_gelu", [False, True])
@torch.inference_mode()
def test_prepacked_layer_computes_what_linear_does(shape, bias, with_gelu):
    linear = linear_layer(bias=bias)
    x = rows(*shape, 24)
    expected = gelu(linear(x)) if with_gelu else linear(x)
    assert_close(PrepackedLinear(linear, gelu=with_gelu)(x), expected)


@needs_prepacking
@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (3, 5), (384, 1536), (1536, 384)])
@torch.inference_mode()
def test_any_number_of_features(n_in, n_out):
    linear = linear_layer(n_in, n_out)
    x = rows(5, n_in)
    assert_close(PrepackedLinear(linear)(x), linear(x))


@needs_prepacking
@torch.inference_mode()
def test_rows_that_do_not_lie_behind_each_other():
    linear = linear_layer()
    packed = PrepackedLinear(linear)
    for x in (rows(24, 6).T, rows(6, 48)[:, ::2], rows(3, 5, 24).transpose(0, 1), rows(9, 24)[::2]):
        assert not x.is_contiguous()
        assert_close(packed(x), linear(x))


@needs_prepacking
@torch.inference_mode()
def test_large_values_pass_gelu_as_they_are():
    linear = linear_layer(1, 1)
    linear.weight.fill_(1)
    linear.bias.fill_(0)
    x = torch.tensor([[-1e4], [-1.0], [0.0], [1.0], [1e4]])
    assert_close(PrepackedLinear(linear, gelu=True)(x), gelu(x))


@needs_prepacking
def test_layer_that_is_replaced_is_not_changed():
    linear = linear_layer()
    before = copy.deepcopy(linear.state_dict())
    with torch.inference_mode():
        PrepackedLinear(linear, gelu=True)(rows(3, 24))
    for name, value in linear.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)


def tiny_model(kind: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "distilbert":
            return DistilBertModel(
                DistilBertConfig(vocab_size=50, dim=32, n_layers=2, n_heads=4, hidden_dim=48)
            ).eval()
        return BertModel(
            BertConfig(
                vocab_size=50,
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=48,
                hidden_act=kind,
            )
        ).eval()


@needs_prepacking
@pytest.mark.parametrize(
    ("kind", "n_fused"),
    [("gelu", 2), ("distilbert", 2), ("gelu_new", 0), ("relu", 0), ("gelu_fast", 0), ("silu", 0)],
)
@torch.inference_mode()
def test_every_linear_layer_is_replaced_and_only_exact_gelu_is_fused(kind, n_fused):
    model = tiny_model(kind)
    ids = torch.randint(5, 50, (3, 11), generator=torch.Generator().manual_seed(2))
    expected = model(input_ids=ids).last_hidden_state
    n_linear = sum(type(module) is nn.Linear for module in model.modules())
    prepack_linear_layers(model)
    layers = [module for module in model.modules() if isinstance(module, PrepackedLinear)]
    assert not [module for module in model.modules() if type(module) is nn.Linear]
    assert len(layers) == n_linear
    assert sum(layer.activation[0] == "gelu" for layer in layers) == n_fused
    actual = model(input_ids=ids).last_hidden_state
    torch.testing.assert_close(actual, expected, rtol=0, atol=1e-5)


@needs_prepacking
def test_subclasses_of_linear_are_left_alone():
    """They may compute something else, as quantised and LoRA layers do."""

    class Doubled(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    model = nn.Sequential(Doubled(4, 4), nn.Linear(4, 4))
    prepack_linear_layers(model)
    assert type(model[0]) is Doubled
    assert type(model[1]) is PrepackedLinear


# Where it is possible ---------------------------------------------------------------------------


def test_not_on_other_processors(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert not can_prepack(torch.float32)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_not_where_the_user_switched_onednn_off():
    with torch.backends.mkldnn.flags(enabled=False):
        assert not can_prepack(torch.float32)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_not_in_other_precisions(dtype):
    assert not can_prepack(dtype)


@pytest.mark.parametrize("possible", [True, False])
def test_embedder_prepacks_only_where_it_can(tiny_bert, texts, monkeypatch, possible):
    if possible and not can_prepack(torch.float32):
        pytest.skip("torch has no prepacked kernels here")
    expected = BertEmbedder(tiny_bert, device="cpu").fit_transform(texts)
    monkeypatch.setattr(loading_module, "can_prepack", lambda dtype: possible)
    monkeypatch.setattr("skbert._models.shared._SHARED", {})  # load anew
    embedder = BertEmbedder(tiny_bert, device="cpu").fit(texts)
    replaced = [
        module
        for module in embedder._loaded().model.modules()
        if isinstance(module, prepack_module.PrepackedLinear)
    ]
    assert bool(replaced) == possible
    np.testing.assert_allclose(embedder.transform(texts), expected, rtol=0, atol=1e-5)


@needs_prepacking
@pytest.mark.parametrize(("n_in", "n_out"), [(24, 40), (384, 1536), (1, 1)])
def test_weights_can_be_read_back(n_in, n_out):
    linear = linear_layer(n_in, n_out)
    packed = PrepackedLinear(linear)
    assert torch.equal(packed.weight, linear.weight)
    if can_prepack(torch.bfloat16):
        assert torch.equal(PrepackedLinear(linear.bfloat16()).weight, linear.weight)


class ReadsItsWeight(nn.Module):
    """As T5's feed-forward block: it asks for the type of a layer's weights."""

    def __init__(self) -> None:
        super().__init__()
        self.wi, self.wo = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.wo(self.wi(x).to(self.wo.weight.dtype))


@needs_prepacking
def test_layers_whose_weights_are_read_are_left_alone():
    module = ReadsItsWeight()
    prepack_linear_layers(module)
    assert type(module.wi) is PrepackedLinear
    assert type(module.wo) is nn.Linear
