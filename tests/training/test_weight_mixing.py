"""Mixed weights, on a linear layer."""

from __future__ import annotations

import torch
from torch import nn

from skbert._training.weight_mixing import mix_weights


def test_weights_move_back_on_a_straight_line_and_counters_stay():
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    first = {name: torch.zeros_like(weight) for name, weight in model.state_dict().items()}
    model[1].num_batches_tracked.fill_(5)
    last = {name: weight.clone() for name, weight in model.state_dict().items()}
    mix_weights(model, first, 0.25)
    torch.testing.assert_close(model[0].weight, last["0.weight"] / 4)
    assert model[1].num_batches_tracked == 5
    mix_weights(model, last, 1.0)
    torch.testing.assert_close(model[0].weight, last["0.weight"] / 4)
