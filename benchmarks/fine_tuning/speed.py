"""Training examples a second: BertClassifier beside the Trainer, alternating in one process."""

import time
from contextlib import contextmanager
from unittest.mock import patch

from fine_tuning import data as _fine_tuning_data
from shared.floor import floor_seconds, matmul_sample, text_flops
from shared.report import print_table, verdict
from shared.timing import Contender, alternate, pairwise_median, spread
from shared.trainer import BATCH_SIZE, same_recipe, train_with_trainer

TARGET = 2.0
N_QUESTIONS, N_PAIRS = 640, 320
OURS, PEER, PRODUCTS = "BertClassifier", "Trainer", "matmul"


def measure(folder, *, rounds, quick):
    """Time one epoch of training on short texts and on pairs, with and without dropout.

    Counted is what follows the loading of the model: for BertClassifier the tokenising and the
    epochs, for the Trainer ``train`` alone, on texts that were tokenised before. Beside it stands
    the whole way from texts to a trained model, loading included, for both.
    """
    (questions, intents), _ = _fine_tuning_data.banking(everything=True)
    (pairs, answers), _ = _fine_tuning_data.pairs()
    sets = {
        "questions": (questions[:N_QUESTIONS], intents[:N_QUESTIONS]),
        "pairs": (pairs[:N_PAIRS], answers[:N_PAIRS]),
    }
    results = {}
    for name, (texts, labels) in sets.items():
        if quick:
            texts, labels = texts[:64], labels[:64]
        for dropout in (0.1, 0.0):
            key = f"{name}, dropout {dropout}"
            results[key] = _measure_set(folder, texts, labels, dropout, rounds)
    _print(results)
    return results


def _measure_set(folder, texts, labels, dropout, rounds):
    codes = _fine_tuning_data.codes_of(labels)
    recipe = {"dropout": dropout, "epochs": 1, "learning_rate": 5e-5, "seed": 0}
    training = {OURS: [], PEER: []}
    contenders = [
        Contender(PRODUCTS, matmul_sample(), rounds),
        Contender(
            OURS,
            lambda: training[OURS].append(train_with_skbert(folder, texts, labels, dropout)),
            rounds,
        ),
        Contender(
            PEER,
            lambda: training[PEER].append(train_with_trainer(folder, texts, codes, **recipe)[1]),
            rounds,
        ),
    ]
    whole, _ = alternate(contenders)
    seconds = {name: times[1:] for name, times in training.items()}  # the first is the warm-up
    flops = 3 * text_flops(folder, texts)[0]
    floor = floor_seconds(flops, whole.pop(PRODUCTS))
    return {
        "n_texts": len(texts),
        "seconds": {name: spread(times) for name, times in seconds.items()},
        "whole_seconds": {name: spread(times) for name, times in whole.items()},
        "times_trainer": pairwise_median(seconds[PEER], seconds[OURS]),
        "times_trainer_whole": pairwise_median(whole[PEER], whole[OURS]),
        "share_of_floor": pairwise_median(floor, seconds[OURS]),
        "share_of_floor_trainer": pairwise_median(floor, seconds[PEER]),
    }


def train_with_skbert(folder, texts, labels, dropout):
    """Fit for one epoch; give the seconds from the loaded model to the trained one."""
    from skbert import BertClassifier

    recipe = {"epochs": 1, "learning_rate": 5e-5, "dropout": dropout}
    classifier = BertClassifier(str(folder), **same_recipe(recipe, 0))
    with marks_of_fit() as marks:
        classifier.fit(texts, labels)
    return marks["trained"] - marks["loaded"]


@contextmanager
def marks_of_fit():
    """Note when `fit` has loaded its model, and when it has trained it."""
    from skbert._estimators import fine_tuned as _fine_tuned
    from skbert._estimators.fine_tuned import FineTunedEstimator

    marks = {}

    def marked(function, name):
        def call(*args, **kwargs):
            output = function(*args, **kwargs)
            marks[name] = time.perf_counter()
            return output

        return call

    load, train = FineTunedEstimator._load_trainable, _fine_tuned.train
    with (
        patch.object(FineTunedEstimator, "_load_trainable", marked(load, "loaded")),
        patch.object(_fine_tuned, "train", marked(train, "trained")),
    ):
        yield marks


def _print(results):
    rows = [
        (
            name,
            f"{found['n_texts'] / found['seconds'][OURS]['median']:.1f}",
            f"{found['n_texts'] / found['seconds'][PEER]['median']:.1f}",
            f"{found['times_trainer']:.2f}",
            f"{found['times_trainer_whole']:.2f}",
            f"{found['share_of_floor']:.2f}",
            f"{found['share_of_floor_trainer']:.2f}",
        )
        for name, found in results.items()
    ]
    headers = ("texts", "ours/s", "Trainer/s", "times Trainer", "(whole fit)", "floor", "its floor")
    print_table(f"Fine-tuning, batches of {BATCH_SIZE}, float32", headers, rows)
    for name, found in results.items():
        print(verdict(f"times the Trainer on {name}", found["times_trainer"], at_least=TARGET))
