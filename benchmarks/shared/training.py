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

from skbert._estimators import fine_tuned
from skbert._estimators.fine_tuned import FineTunedEstimator
from skbert._training import loop

TRAINER = "Trainer"
SEEDS = (0, 1, 2)
TARGET = -1.0  # points below the Trainer that are still equal


@dataclass
class Start:
    """What a fit began with: weights, new head included, and the rows of each epoch in order."""

    weights: dict = field(default_factory=dict)
    orders: list = field(default_factory=list)


@contextmanager
def recorded():
    """Yield a `Start` that the fits inside the block fill."""
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


def alternate_trainings(task, X, y, recipe, options, *, floors=()):
    """Time both trainings in turn.

    Returns
    -------
    seconds : dict of str to list of float
        What follows the loading of the model; ours includes tokenizing.
    whole : dict of str to list of float
        Loading and tokenizing counted for both; and the floors.
    """
    seconds = {task.estimator: [], TRAINER: []}

    def fit():
        seconds[task.estimator].append(seconds_of_fit(task.ours(options.folder, recipe), X, y))

    def train():
        seconds[TRAINER].append(task.train(options.folder, X, y, recipe)[-1])

    whole, _ = alternate({task.estimator: fit, TRAINER: train}, options.rounds, floors=floors)
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
    columns = {
        "rows": "{n}",
        "beside": "{contenders[1]}",
        "ours, its": lambda found: "{:.1f}, {:.1f}".format(*speeds(found["n"], found["seconds"])),
        "ratio": "{ratio:.2f}",
    }
    print_table(f"{title}: rows a second", "what", columns, results)
    for what, found in results.items():
        said = f"times the speed of the {found['contenders'][1]} ({what})"
        print_verdict(said, found["ratio"], at_least=targets[what])


def speeds(n_rows, seconds):
    """Return the rows a second of each contender."""
    return [n_rows / its["median"] for its in seconds.values()]


def summarize_side_by_side(results, *, what, unit):
    for kind, found in results.items():
        ours, theirs = speeds(found["n"], found["seconds"])
        title = f"{what}, {kind}, {unit}/s"
        yield summary_line(title, ours, found["contenders"][1], theirs, found["ratio"])


def compare_scores(task, train, recipe, options, score_ours, score_trainer):
    """Train both with the same hyperparameters, seeds, first weights and batches.

    ``score_ours`` scores the fitted estimator, ``score_trainer`` the tokenizer and the Trainer's
    model. Returned are both scores of each seed, the mean difference in points, and its standard
    error over the seeds.
    """
    seeds = SEEDS[:1] if options.quick else SEEDS
    ours, theirs = [], []
    for seed in seeds:
        with recorded() as start:
            estimator = task.ours(options.folder, recipe, seed).fit(*train)
        ours.append(score_ours(estimator))
        trained = task.train(options.folder, *train, recipe, seed=seed, start=start)
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
    columns = {
        "train / test": "{n_train:,} / {n_test:,}",
        "epochs": "{epochs} at {learning_rate:.0e}",
        "ours": lambda found: f"{mean(found[task.estimator]):.3f}",
        TRAINER: lambda found: f"{mean(found[TRAINER]):.3f}",
        "points": "{points_above_trainer:+.1f}",
        "±": lambda found: "{:.1f}".format(found["standard_error"] or float("nan")),
        **more,
    }
    print_table(f"{title}, mean over the seeds", "data", columns, results)
    for name, found in results.items():
        above = found["points_above_trainer"]
        print_verdict(f"points above the Trainer on {name}", above, at_least=TARGET)


def summarize_scores(results, *, task, **others):
    """Return the summary's lines of `compare_scores`, and of other scores under their names."""
    for name, found in results.items():
        ours = 100 * mean(found[task.estimator])
        for key, peer in {TRAINER: TRAINER, **others}.items():
            theirs = 100 * float(np.mean(found[key]))
            yield summary_line(f"quality, {name}, %", ours, peer, theirs)
