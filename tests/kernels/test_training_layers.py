"""A model with the layers for training computes the same."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from skbert._kernels.dropout import FastDropout
from skbert._kernels.linear import OneDnnLinear
from skbert._kernels.prepacked import can_prepack
from skbert._kernels.training_layers import use_fast_layers

pytestmark = pytest.mark.usefixtures("one_thread", "fixed_seed")


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
