"""Training examples a second: BertClassifier beside the Trainer, alternating in one process."""

import time

import _fine_tuning_data
from _floor import PRODUCT_FLOPS, matmul_sample
from _report import print_table, verdict
from _timing import pairwise_median, spread
from _trainer import BATCH_SIZE, tokenize, train_with_trainer

TARGET = 2.0
N_QUESTIONS, N_PAIRS = 640, 320
OURS, PEER, PRODUCTS = "BertClassifier", "Trainer", "matmul"


def measure(folder, *, rounds, quick):
    """Time one epoch of training on short texts and on pairs, with and without dropout.

    Counted are the epochs alone, for both: not the loading, nor the Trainer's tokenising.
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
    multiply = matmul_sample()
    contenders = {
        OURS: lambda: train_with_skbert(folder, texts, labels, dropout),
        PEER: lambda: train_with_trainer(
            folder,
            texts,
            _fine_tuning_data.codes_of(labels),
            dropout=dropout,
            epochs=1,
            learning_rate=5e-5,
            seed=0,
        )[1],
        PRODUCTS: lambda: _seconds(multiply),
    }
    seconds = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, run in contenders.items():
            elapsed = run()
            if number:  # the first is a warm-up
                seconds[name].append(elapsed)
    flops = 3 * _forward_flops(folder, texts)
    floors = [flops / (PRODUCT_FLOPS / elapsed) for elapsed in seconds[PRODUCTS]]
    return {
        "n_texts": len(texts),
        "seconds": {name: spread(values) for name, values in seconds.items()},
        "times_trainer": pairwise_median(seconds[PEER], seconds[OURS]),
        "share_of_floor": pairwise_median(floors, seconds[OURS]),
        "share_of_floor_trainer": pairwise_median(floors, seconds[PEER]),
    }


def train_with_skbert(folder, texts, labels, dropout):
    """Fit for one epoch; give the seconds of the training itself."""
    from skbert import BertClassifier, _fine_tuned

    train, elapsed = _fine_tuned.train, []

    def timed(*args, **kwargs):
        start = time.perf_counter()
        history = train(*args, **kwargs)
        elapsed.append(time.perf_counter() - start)
        return history

    classifier = BertClassifier(
        str(folder),
        max_epochs=1,
        min_steps=0,
        dropout=dropout,
        train_batch_size=BATCH_SIZE,
        device="cpu",
        random_state=0,
    )
    _fine_tuned.train = timed
    try:
        classifier.fit(texts, labels)
    finally:
        _fine_tuned.train = train
    return elapsed[0]


def _forward_flops(folder, texts):
    """Count operations of the layers on the real tokens, as `_floor.text_flops` does for texts."""
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(folder)
    encoded = tokenize(AutoTokenizer.from_pretrained(folder), texts)
    H, inner = config.hidden_size, config.intermediate_size
    lengths = [len(ids) for ids in encoded["input_ids"]]
    per_layer = sum(2 * n * (4 * H * H + 2 * H * inner) + 4 * n * n * H for n in lengths)
    return config.num_hidden_layers * per_layer


def _seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _print(results):
    rows = [
        (
            name,
            f"{found['n_texts'] / found['seconds'][OURS]['median']:.1f}",
            f"{found['n_texts'] / found['seconds'][PEER]['median']:.1f}",
            f"{found['times_trainer']:.2f}",
            f"{found['share_of_floor']:.2f}",
            f"{found['share_of_floor_trainer']:.2f}",
        )
        for name, found in results.items()
    ]
    headers = ("texts", "ours/s", "Trainer/s", "times Trainer", "of floor", "Trainer of floor")
    print_table(f"Fine-tuning, batches of {BATCH_SIZE}, float32", headers, rows)
    for name, found in results.items():
        print(verdict(f"times the Trainer on {name}", found["times_trainer"], at_least=TARGET))
