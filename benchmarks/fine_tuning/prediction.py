"""Prediction of a fine-tuned classifier, beside the embedder and transformers' own pipeline."""

import tempfile
from functools import partial

import numpy as np
import torch
from shared import data, peers, timing
from shared.peers import PIPELINES
from shared.report import print_verdict
from transformers import pipeline

from skbert import BertClassifier

TARGET = 1.05  # times the embedder's time that still count as "as fast"
A_CLASS = 2  # texts a class of the short training before
OURS, EMBEDDER = "BertClassifier", "BertEmbedder"


def measure(options):
    """Time all contenders on the mixed texts; none of them counts its loading."""
    texts = data.few(data.mixed(), options.quick)
    runs = {name: partial(run, texts) for name, run in _contenders(options.folder).items()}
    results, _ = timing.compare(runs, OURS, texts, options)
    timing.print_comparison("Prediction, mixed: 77 classes, float32", results, OURS)
    ratio = {name: its["ratio_pairwise"] for name, its in results["contenders"].items()}
    print_verdict("times the embedder's time", 1 / ratio[EMBEDDER], at_most=TARGET)
    better = min(ratio[name] for name in PIPELINES.values())
    print(f"  {better:.3g} times the pipeline with its better batch size (no target)")
    return results


summarize = partial(timing.summarize_comparison, "classifier's prediction, texts/s", ours=OURS)


def _contenders(folder):
    classifier = _fitted(folder)
    contenders = {
        OURS: lambda texts: classifier.predict_proba(texts).max(axis=1),
        EMBEDDER: peers.skbert_embedder(folder),
    }
    with tempfile.TemporaryDirectory() as saved:
        classifier.save_pretrained(saved)
        for batch_size, name in PIPELINES.items():
            contenders[name] = _pipeline(saved, batch_size)
    return contenders


def _fitted(folder):
    """Fit a classifier of 77 intents for one epoch; how well it predicts does not matter here."""
    classifier = BertClassifier(
        str(folder),
        pooling="head",  # what transformers' pipeline reads
        max_epochs=1,
        min_steps=0,
        device="cpu",
        precision="float32",
        random_state=0,
    )
    return classifier.fit(*data.banking(a_class=A_CLASS)[0])


def _pipeline(saved, batch_size):
    """Load transformers' text-classification pipeline: texts → score of the best class."""
    classify = pipeline("text-classification", model=saved, device="cpu", dtype=torch.float32)
    options = {"batch_size": batch_size, "truncation": True, "max_length": peers.MAX_LENGTH}
    return lambda texts: np.array([output["score"] for output in classify(texts, **options)])
