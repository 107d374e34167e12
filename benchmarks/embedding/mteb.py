"""Vectors and a logistic regression on BANKING77, by the protocol of MTEB: a check of honesty.

Eight texts a class, drawn ten times, the whole test file, `LogisticRegression(max_iter=100)`
(Muennighoff et al. 2023, "MTEB: Massive Text Embedding Benchmark",
https://arxiv.org/abs/2210.07316).
"""

import random

import numpy as np
from shared import data, labelled
from shared.peers import skbert_embedder
from shared.report import print_verdict
from sklearn.linear_model import LogisticRegression

A_CLASS, N_DRAWS = 8, 10
PUBLISHED = 80.04  # of all-MiniLM-L6-v2, accuracy in points
WITHIN = 1.0


def measure(options):
    """Return accuracies, in points, of ten draws."""
    embed = skbert_embedder(options.folder)
    train, test = labelled.banking(None, data.SEED)
    vectors, test_vectors = embed(train[0]), embed(test[0])
    classes, codes = np.unique(train[1], return_inverse=True)
    accuracies = []
    for seed in range(2 if options.quick else N_DRAWS):
        draw = random.Random(seed)
        rows = [
            row
            for code in range(len(classes))
            for row in draw.sample(np.flatnonzero(codes == code).tolist(), A_CLASS)
        ]
        model = LogisticRegression(max_iter=100).fit(vectors[rows], codes[rows])
        right = classes[model.predict(test_vectors)] == np.array(test[1])
        accuracies.append(100 * float(right.mean()))
    results = {"mean": float(np.mean(accuracies)), "std": float(np.std(accuracies, ddof=1))}
    print("\nMTEB's BANKING77: {mean:.2f} ± {std:.2f}".format(**results))
    said = "points from MTEB's published figure"
    print_verdict(said, abs(results["mean"] - PUBLISHED), at_most=WITHIN)
    return {**results, "accuracies": accuracies, "published": PUBLISHED}


def summarize(results):
    """Yield the line of the summary."""
    yield ("accuracy, MTEB's BANKING77", f"{results['mean']:.1f}", "published", "80.0", "")
