"""A grid search over a pipeline of embedder and classifier, which should embed each text once.

What it should cost at least: one transform of the texts, and the same search over vectors that are
there already. Peers embed the texts of each fold again for each candidate.
"""

import csv
import random
import tempfile
import time
from collections import Counter
from functools import lru_cache
from pathlib import Path

import numpy as np
from shared import peers as _peers
from shared.data import DATA, SEED
from shared.report import print_table, verdict
from shared.timing import spread
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

N_CLASSES = 10
FEW_TEXTS = 300  # for the peers: each embeds them 41 times
MOST_ROUNDS = 3
FOLDS = 5
GRID = {"lr__C": [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]}
TARGET = 1.3  # times one transform, beside the classifiers' own time
SKBERT, NO_CACHE = "skbert, cache", "skbert, no cache"
SENTENCE_TRANSFORMERS, SKRUB = "sentence-transformers wrapper", "skrub"


def measure(folder, *, rounds, quick):
    """Time the search with a cache beside its floor, and the peers' on fewer texts.

    Returns
    -------
    results : dict
    """
    texts, labels = _questions()
    if quick:
        texts, labels = texts[:FEW_TEXTS], labels[:FEW_TEXTS]
    results = _beside_the_floor(folder, texts, labels, min(rounds, MOST_ROUNDS))
    few = FEW_TEXTS // 3 if quick else FEW_TEXTS
    results["peers"] = _beside_the_peers(folder, texts[:few], labels[:few])
    _print(results)
    return results


def _questions():
    """Read the questions of BANKING77's most frequent intents, shuffled."""
    with (DATA / "banking77_train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    counts = Counter(row["category"] for row in rows)
    chosen = {name for name, _ in counts.most_common(N_CLASSES)}
    rows = [row for row in rows if row["category"] in chosen]
    random.Random(SEED).shuffle(rows)
    return [row["text"] for row in rows], [row["category"] for row in rows]


def _beside_the_floor(folder, texts, labels, rounds):
    """Alternate: one transform, the search over its vectors, the search over the texts."""
    transform = _skbert(folder, None).fit(texts).transform
    vectors = transform(texts)
    seconds = {"transform": [], "classifiers": [], "search": [], "again": []}
    for _ in range(rounds):
        seconds["transform"].append(_timed(lambda: transform(texts))[0])
        took, plain = _timed(lambda: _search("passthrough", vectors, labels))
        seconds["classifiers"].append(took)
        with tempfile.TemporaryDirectory() as place:
            embedder = _skbert(folder, Path(place) / "cache.sqlite")
            for name in ("search", "again"):
                took, found = _timed(lambda: _search(embedder, texts, labels))  # noqa: B023
                seconds[name].append(took)
    difference = found.cv_results_["mean_test_score"] - plain.cv_results_["mean_test_score"]
    columns = zip(seconds["search"], seconds["transform"], seconds["classifiers"], strict=True)
    return {
        "n_texts": len(texts),
        "n_fits": FOLDS * len(GRID["lr__C"]) + 1,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        # What is not the classifiers' own, as a multiple of one transform.
        "transforms": spread([(search - own) / once for search, once, own in columns]),
        "max_score_diff": float(np.abs(difference).max()),
    }


def _beside_the_peers(folder, texts, labels):
    """Run each once; none has its model loaded before."""
    with tempfile.TemporaryDirectory() as place:
        contenders = {
            SKBERT: _skbert(folder, Path(place) / "cache.sqlite"),
            NO_CACHE: _skbert(folder, None),
            SENTENCE_TRANSFORMERS: SentenceTransformerWrapper(str(folder)),
        }
        if _peers.has_skrub():
            contenders[SKRUB] = _peers.skrub_estimator(folder)
        results = {"n_texts": len(texts)}
        for name, embedder in contenders.items():
            X = texts if name != SKRUB else _as_column(texts)
            seconds, search = _timed(lambda: _search(embedder, X, labels))  # noqa: B023
            results[name] = {"seconds": seconds, "best_score": search.best_score_}
    return results


def _skbert(folder, cache):
    from skbert import BertEmbedder

    return BertEmbedder(str(folder), normalize=True, device="cpu", precision="float32", cache=cache)


def _search(embedder, X, labels):
    pipeline = Pipeline([("bert", embedder), ("lr", LogisticRegression(max_iter=1000))])
    return GridSearchCV(pipeline, GRID, cv=FOLDS, error_score="raise").fit(X, labels)


class SentenceTransformerWrapper(TransformerMixin, BaseEstimator):
    """What many write by hand; in its favour, all clones share one loaded model."""

    def __init__(self, folder):
        self.folder = folder

    def fit(self, X, y=None):
        """Load the model."""
        _sentence_transformer(self.folder)
        return self

    def transform(self, X):
        """Embed texts."""
        model = _sentence_transformer(self.folder)
        return model.encode(list(X), normalize_embeddings=True)

    def __sklearn_is_fitted__(self):
        return True


@lru_cache
def _sentence_transformer(folder):
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(folder, device="cpu")


def _as_column(texts):
    import pandas as pd

    return pd.Series(texts, name="text")


def _timed(run):
    start = time.perf_counter()
    result = run()
    return time.perf_counter() - start, result


def _print(results):
    seconds, n_fits = results["seconds"], results["n_fits"]
    names = {
        "transform": "one transform of the texts",
        "classifiers": f"the search over vectors ({n_fits} classifiers)",
        "search": "the search over texts, new cache",
        "again": "the same once more, all in the cache",
    }
    rows = [
        (words, len(seconds[name]["all"]), *(f"{seconds[name][k]:.2f}" for k in _SPREAD))
        for name, words in names.items()
    ]
    title = f"Grid search: {results['n_texts']:,} texts, {FOLDS} folds x 8 candidates"
    print_table(title, ("what", "rounds", "median s", "min s", "max s"), rows)
    measured = results["transforms"]["median"]
    print(verdict("transforms beside the classifiers' own time", measured, at_most=TARGET))
    print(verdict("largest difference of scores", results["max_score_diff"], at_most=0.005))
    peers = dict(results["peers"])
    n_texts = peers.pop("n_texts")
    ours = peers[SKBERT]["seconds"]
    rows = [
        (name, f"{r['seconds']:.1f}", f"{r['seconds'] / ours:.1f}", f"{r['best_score']:.3f}")
        for name, r in peers.items()
    ]
    headers = ("contender", "seconds", "times ours", "best score")
    print_table(f"Grid search beside the peers: {n_texts} texts, one run each", headers, rows)


_SPREAD = ("median", "min", "max")
