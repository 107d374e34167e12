"""Mixed weights, on linear layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from skbert._training.weight_mixing import mixed_with_first


def moved(share: float) -> tuple[nn.Module, dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 5))
    model[0].bias.requires_grad_(False)
    first = {name: weight.clone() for name, weight in model.state_dict().items()}
    with mixed_with_first(model, share), torch.no_grad():
        for parameter in model.parameters():
            parameter += 4.0
    return model, first


@pytest.mark.parametrize("share", [0.25, 0.7, 1.0])
@pytest.mark.parametrize("at_a_time", [3, 100])
def test_trained_weights_go_a_part_of_the_way(share, at_a_time, monkeypatch):
    monkeypatch.setattr("skbert._training.weight_mixing.NUMBERS_AT_A_TIME", at_a_time)
    model, first = moved(share)
    for name, weight in model.state_dict().items():
        way = 4.0 if name == "0.bias" else 4.0 * share  # frozen: whatever moved it, it is not ours
        torch.testing.assert_close(weight, first[name] + way)


def test_an_error_leaves_the_weights_alone():
    model = nn.Linear(2, 2)

    def fail():
        with mixed_with_first(model, 0.5), torch.no_grad():
            model.weight.fill_(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (model.weight == 1).all()
