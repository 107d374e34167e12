"""Let the Trainer begin where skbert began: the same first weights, the same batches.

Two trainings of one recipe differ by their new heads and by the order of their texts, which moves
the accuracy on small data by several points. With both taken from skbert's fit, what is left of the
difference is dropout's and the training's own.
"""

from contextlib import contextmanager
from dataclasses import dataclass, field
from unittest.mock import patch

import numpy as np


@dataclass
class Start:
    """What a fit began with.

    Attributes
    ----------
    weights : dict of str to Tensor
        The model's, with its new head.
    orders : list of ndarray of int
        Rows of each epoch, batch after batch.
    """

    weights: dict = field(default_factory=dict)
    orders: list = field(default_factory=list)

    def sampler(self):
        """Give the orders to a DataLoader, one each time that it asks."""
        return _Orders(self.orders)


class _Orders:
    def __init__(self, orders):
        self.orders, self.epoch = orders, 0

    def __len__(self):
        return len(self.orders[0])

    def __iter__(self):
        order = self.orders[self.epoch]
        self.epoch += 1
        return iter(order.tolist())


@contextmanager
def recorded():
    """Give a `Start` that the fits inside the block fill."""
    from skbert._estimators.fine_tuned import FineTunedEstimator
    from skbert._training import loop as _training

    start = Start()
    load, shuffle = FineTunedEstimator._load_trainable, _training.shuffled_batches

    def load_and_note(self, *args):
        encoder, tokenizer = load(self, *args)
        weights = encoder.model.state_dict()
        start.weights.update({name: tensor.clone() for name, tensor in weights.items()})
        return encoder, tokenizer

    def shuffle_and_note(lengths, batch_size, rng, *, group):
        batches = list(shuffle(lengths, batch_size, rng, group=group))
        # The Trainer cuts an order into batches from its start: a short one must come last.
        batches.sort(key=len, reverse=True)
        start.orders.append(np.concatenate(batches))
        yield from batches

    with (
        patch.object(FineTunedEstimator, "_load_trainable", load_and_note),
        patch.object(_training, "shuffled_batches", shuffle_and_note),
    ):
        yield start
