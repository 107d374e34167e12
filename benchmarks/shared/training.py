"""Our fine-tuning beside the Trainer's: the same start, times, scores over several seeds.

Two trainings of one recipe differ by their new heads and by the order of their texts, which moves
the accuracy on small data by several points. With both taken from skbert's fit, what is left of the
difference is dropout's and the training's own.
"""

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean, stdev
from unittest.mock import patch

import numpy as np
from shared.report import print_table, print_verdict, summary_line
from shared.timing import alternate, pairwise_median, spread

TRAINER = "Trainer"
SEEDS = (0, 1, 2)
TARGET = -1.0  # points below the Trainer that are still equal


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
        """Return what gives the orders to a DataLoader, one each time that it asks."""
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
    """Yield a `Start` that the fits inside the block fill."""
    from skbert._estimators.fine_tuned import FineTunedEstimator
    from skbert._training import loop

    start = Start()
    load, shuffle = FineTunedEstimator._load_trainable, loop.shuffled_batches

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
        patch.object(loop, "shuffled_batches", shuffle_and_note),
    ):
        yield start


def seconds_of_fit(estimator, X, y):
    """Fit; return the seconds from the loaded model to the trained one."""
    from skbert._estimators import fine_tuned

    times = {}

    def noted(function, name):
        def call(*args, **kwargs):
            output = function(*args, **kwargs)
            times[name] = time.perf_counter()
            return output

        return call

    fine_tuned_class = fine_tuned.FineTunedEstimator
    load, train = fine_tuned_class._load_trainable, fine_tuned.train
    with (
        patch.object(fine_tuned_class, "_load_trainable", noted(load, "loaded")),
        patch.object(fine_tuned, "train", noted(train, "trained")),
    ):
        estimator.fit(X, y)
    return times["trained"] - times["loaded"]


def alternate_trainings(task, folder, X, y, recipe, rounds, *, flops=None):
    """Time both trainings in turn.

    Returns
    -------
    seconds : dict of str to list of float
        What follows the loading of the model; ours includes tokenizing.
    whole : dict of str to list of float
        Loading and tokenizing counted for both. With ``flops``, the `FLOOR` too.
    """
    seconds = {task.estimator: [], TRAINER: []}

    def fit():
        seconds[task.estimator].append(seconds_of_fit(task.ours(folder, recipe), X, y))

    def train():
        seconds[TRAINER].append(task.train(folder, X, y, recipe)[-1])

    whole, _ = alternate({task.estimator: fit, TRAINER: train}, rounds, flops=flops)
    return {name: times[1:] for name, times in seconds.items()}, whole  # without the warm-ups


def side_by_side(n_rows, seconds):
    """Put two contenders together, ours first; the ratio is the second's time over ours."""
    (ours, our_times), (peer, peer_times) = seconds.items()
    return {
        "n": n_rows,
        "contenders": [ours, peer],
        "seconds": {name: spread(times) for name, times in seconds.items()},
        "ratio": pairwise_median(peer_times, our_times),
    }


def print_side_by_side(title, results, targets):
    """Print the speeds of `side_by_side`, and whether each ratio reaches its target."""
    columns = {
        "rows": "{n}",
        "beside": "{contenders[1]}",
        "ours": lambda found: f"{speeds(found)[0]:.1f}",
        "its": lambda found: f"{speeds(found)[1]:.1f}",
        "ratio": "{ratio:.2f}",
    }
    print_table(f"{title}: rows a second", "what", columns, results)
    for what, found in results.items():
        said = f"times the speed of the {found['contenders'][1]} ({what})"
        print_verdict(said, found["ratio"], at_least=targets[what])


def speeds(found):
    """Return rows a second of both contenders of `side_by_side`."""
    return [found["n"] / found["seconds"][name]["median"] for name in found["contenders"]]


def summarize_side_by_side(what, unit):
    """Return the function that gives the summary's lines of such results."""

    def summarize(results):
        for kind, found in results.items():
            peer = found["contenders"][1]
            ours, theirs = speeds(found)
            yield summary_line(f"{what}, {kind}, {unit}/s", ours, peer, theirs, found["ratio"])

    return summarize


def compare_scores(task, folder, train, recipe, seeds, *, score_ours, score_trainer):
    """Train both with the same hyperparameters, seeds, first weights and batches.

    Parameters
    ----------
    task : Task
    folder : path
    train : (X, y)
    recipe : dict
    seeds : sequence of int
    score_ours : callable
        The fitted estimator → its score.
    score_trainer : callable
        The tokenizer and the Trainer's model → its score.

    Returns
    -------
    results : dict
        Scores of each seed, the mean difference in points, and its standard error over the seeds.
    """
    ours, theirs = [], []
    for seed in seeds:
        with recorded() as start:
            estimator = task.ours(folder, recipe, seed).fit(*train)
        ours.append(score_ours(estimator))
        trained = task.train(folder, *train, recipe, seed=seed, start=start)
        theirs.append(score_trainer(*trained[:2]))
    points = [100 * (a - b) for a, b in zip(ours, theirs, strict=True)]
    return {
        "seeds": list(seeds),
        task.estimator: ours,
        TRAINER: theirs,
        "points_above_trainer": mean(points),
        "standard_error": stdev(points) / len(points) ** 0.5 if len(points) > 1 else None,
    }


def print_scores(title, task, results, **more):
    """Print what `compare_scores` returns, with more columns, and the verdicts."""

    def points(found):
        error = found["standard_error"]
        more_or_less = "" if error is None else f" ± {error:.1f}"
        return f"{found['points_above_trainer']:+.1f}{more_or_less}"

    columns = {
        "train / test": "{n_train:,} / {n_test:,}",
        "epochs": "{epochs} at {learning_rate:.0e}",
        "ours": lambda found: f"{mean(found[task.estimator]):.3f}",
        TRAINER: lambda found: f"{mean(found[TRAINER]):.3f}",
        "points": points,
        **more,
    }
    print_table(f"{title}, mean over the seeds", "data", columns, results)
    for name, found in results.items():
        above = found["points_above_trainer"]
        print_verdict(f"points above the Trainer on {name}", above, at_least=TARGET)


def summarize_scores(task, **others):
    """Return the function that gives the summary's lines of such results, and of other scores."""

    def summarize(results):
        for name, found in results.items():
            ours = 100 * mean(found[task.estimator])
            for key, peer in {TRAINER: TRAINER, **others}.items():
                theirs = 100 * float(np.mean(found[key]))
                yield summary_line(f"quality, {name}, %", ours, peer, theirs)

    return summarize
