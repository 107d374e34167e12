"""Prediction of a fine-tuned classifier, beside the embedder and transformers' own pipeline."""

import tempfile

import numpy as np
from fine_tuning import data as _fine_tuning_data
from shared import data as _data
from shared import floor as _floor
from shared import peers as _peers
from shared.report import print_table, verdict
from shared.timing import Contender, alternate, pairwise_median, spread

TARGET = 1.05  # times the embedder's time that still count as "as fast"
QUICK_SHARE = 10
A_CLASS = 2  # texts a class of the short training before

OURS, EMBEDDER, MATMUL = "BertClassifier", "BertEmbedder", "matmul"
PIPELINES = {1: "pipeline, batch 1", 32: "pipeline, batch 32"}
HEADERS = (
    "contender", "rounds", "median s", "min s", "max s", "texts/s", "times ours", "(pairwise)",
    "floor", "max diff",
)  # fmt: skip


def measure(folder, *, rounds, quick):
    """Time all contenders on the mixed texts; none of them counts its loading.

    Returns
    -------
    results : dict
    """
    texts = _data.mixed(_data.read_corpus())
    texts = texts[: len(texts) // QUICK_SHARE] if quick else texts
    classifier = _fitted(folder)
    with tempfile.TemporaryDirectory() as saved:
        classifier.save_pretrained(saved)
        peers = {name: _pipeline(saved, batch_size) for batch_size, name in PIPELINES.items()}
    results = _measure(folder, texts, classifier, peers, rounds)
    _print(results)
    return results


def _fitted(folder):
    """Fit a classifier of 77 intents for one epoch; how well it predicts does not matter here."""
    from skbert import BertClassifier

    (texts, labels), _ = _fine_tuning_data.banking()
    seen, chosen = {}, []
    for row, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= A_CLASS:
            chosen.append(row)
    classifier = BertClassifier(
        str(folder), max_epochs=1, min_steps=0, device="cpu", precision="float32", random_state=0
    )
    return classifier.fit([texts[row] for row in chosen], [labels[row] for row in chosen])


def _pipeline(saved, batch_size):
    """Load transformers' text-classification pipeline: texts → score of the best class."""
    import torch
    from transformers import pipeline

    classify = pipeline("text-classification", model=saved, device="cpu", dtype=torch.float32)

    def predict(texts):
        outputs = classify(
            texts, batch_size=batch_size, truncation=True, max_length=_peers.MAX_LENGTH
        )
        return np.array([output["score"] for output in outputs])

    return predict


def _measure(folder, texts, classifier, peers, rounds):
    embed = _peers.skbert_embedder(folder)
    contenders = [
        Contender(MATMUL, _floor.matmul_sample(), rounds),
        Contender(OURS, lambda: classifier.predict_proba(texts).max(axis=1), rounds),
        Contender(EMBEDDER, lambda: embed(texts), rounds),
        *(_contender(name, predict, texts, rounds) for name, predict in peers.items()),
    ]
    seconds, outputs = alternate(contenders)
    flops, n_tokens = _floor.text_flops(folder, texts)
    floor = _floor.floor_seconds(flops, seconds.pop(MATMUL))
    return {
        "n_texts": len(texts),
        "n_tokens": n_tokens,
        "contenders": {
            name: {
                "seconds": spread(times),
                "texts_per_second": len(texts) / spread(times)["median"],
                "ratio": spread(times)["median"] / spread(seconds[OURS])["median"],
                "ratio_pairwise": pairwise_median(times, seconds[OURS]),
                "floor_pairwise": pairwise_median(floor, times),
                "max_diff": _difference(outputs[name], outputs[OURS]),
            }
            for name, times in seconds.items()
        },
    }


def _contender(name, predict, texts, rounds):
    return Contender(name, lambda: predict(texts), rounds)


def _difference(theirs, ours):
    """Largest difference of the best class's probability; None for what gives no such thing."""
    return float(np.abs(theirs - ours).max()) if theirs.shape == ours.shape else None


def _print(results):
    title = (
        f"Prediction, mixed: {results['n_texts']:,} texts, {results['n_tokens']:,} tokens, 77 "
        "classes, float32"
    )
    print_table(title, HEADERS, [_row(*entry) for entry in results["contenders"].items()])
    ratio = {name: figures["ratio_pairwise"] for name, figures in results["contenders"].items()}
    slower = 1 / ratio[EMBEDDER]
    print(verdict("times the embedder's time", slower, at_most=TARGET))
    better = min(ratio[name] for name in PIPELINES.values())
    print(f"  {better:.3g} times the pipeline with its better batch size (no target)")


def _row(name, figures):
    seconds, diff = figures["seconds"], figures["max_diff"]
    return (
        name,
        len(seconds["all"]),
        *(f"{seconds[key]:.3f}" for key in ("median", "min", "max")),
        f"{figures['texts_per_second']:.0f}",
        *(f"{figures[key]:.2f}" for key in ("ratio", "ratio_pairwise", "floor_pairwise")),
        "" if diff is None else f"{diff:.0e}",
    )
