"""A grid search over a pipeline of embedder and classifier, which should embed each text once.

What it should cost at least: one transform of the texts, and the same search over vectors that are
there already. Peers embed the texts of each fold again for each candidate.
"""

import tempfile
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
from shared import data, peers
from shared.report import print_table, print_verdict, summary_line
from shared.timing import TIMES, alternate, spread, timed
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

N_CLASSES = 10
FEW_TEXTS = 300  # for the peers: each embeds them 41 times
MOST_ROUNDS = 3
FOLDS = 5
GRID = {"lr__C": [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]}
N_FITS = FOLDS * len(GRID["lr__C"]) + 1
TARGET = 1.3  # times one transform, beside the classifiers' own time
SKBERT = "skbert, cache"
TITLES = {
    "transform": "one transform of the texts",
    "classifiers": f"the search over vectors ({N_FITS} classifiers)",
    "search": "the search over texts, new cache",
    "again": "the same once more, all in the cache",
}


def measure(options):
    """Time the search with a cache beside its floor, and the peers' on fewer texts.

    Returns
    -------
    results : dict
    """
    texts, labels = data.frequent_intents(N_CLASSES)
    if options.quick:
        texts, labels = texts[:FEW_TEXTS], labels[:FEW_TEXTS]
    rounds = min(options.rounds, MOST_ROUNDS)
    results = _beside_the_floor(options.folder, texts, labels, rounds)
    few = FEW_TEXTS // 3 if options.quick else FEW_TEXTS
    results["peers"] = _beside_the_peers(options.folder, texts[:few], labels[:few])
    _print(results)
    return results


def _beside_the_floor(folder, texts, labels, rounds):
    """Alternate: one transform, the search over its vectors, the search over the texts."""
    transform = _skbert(folder, None).fit(texts).transform
    vectors = transform(texts)
    places = []

    def new_search():
        places.append(tempfile.TemporaryDirectory())
        return search_again()

    def search_again():
        return _search(_skbert(folder, Path(places[-1].name) / "cache.sqlite"), texts, labels)

    runs = {
        "transform": partial(transform, texts),
        "classifiers": partial(_search, "passthrough", vectors, labels),
        "search": new_search,
        "again": search_again,
    }
    seconds, outputs = alternate(runs, rounds)
    found, plain = (
        outputs[name].cv_results_["mean_test_score"] for name in ("again", "classifiers")
    )
    columns = zip(seconds["search"], seconds["transform"], seconds["classifiers"], strict=True)
    return {
        "n_texts": len(texts),
        "n_fits": N_FITS,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        # What is not the classifiers' own, as a multiple of one transform.
        "transforms": spread([(search - own) / once for search, once, own in columns]),
        "max_score_diff": float(np.abs(found - plain).max()),
    }


def _beside_the_peers(folder, texts, labels):
    """Run each once; none has its model loaded before."""
    results = {"n_texts": len(texts)}
    with tempfile.TemporaryDirectory() as place:
        contenders = {
            SKBERT: (_skbert(folder, Path(place) / "cache.sqlite"), texts),
            "skbert, no cache": (_skbert(folder, None), texts),
            "sentence-transformers wrapper": (SentenceTransformerWrapper(str(folder)), texts),
        }
        if peers.has_skrub():
            contenders["skrub"] = (peers.skrub_estimator(folder), _as_column(texts))
        for name, (embedder, X) in contenders.items():
            seconds, search = timed(partial(_search, embedder, X, labels))
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


def _print(results):
    title = f"Grid search: {results['n_texts']:,} texts, {FOLDS} folds x 8 candidates"
    rows = {words: {"seconds": results["seconds"][name]} for name, words in TITLES.items()}
    print_table(title, "what", TIMES, rows)
    measured = results["transforms"]["median"]
    print_verdict("transforms beside the classifiers' own time", measured, at_most=TARGET)
    print_verdict("largest difference of scores", results["max_score_diff"], at_most=0.005)
    n_texts, contenders, ours = _peers_of(results)
    columns = {
        "seconds": "{seconds:.1f}",
        "times ours": lambda figures: f"{figures['seconds'] / ours:.1f}",
        "best score": "{best_score:.3f}",
    }
    title = f"Grid search beside the peers: {n_texts} texts, one run each"
    print_table(title, "contender", columns, contenders)


def _peers_of(results):
    contenders = dict(results["peers"])
    n_texts = contenders.pop("n_texts")
    return n_texts, contenders, contenders[SKBERT]["seconds"]


def summarize(results):
    n_texts, contenders, ours = _peers_of(results)
    for peer, its in contenders.items():
        if peer != SKBERT:
            what, seconds = f"grid search, {n_texts} texts, s", its["seconds"]
            yield summary_line(what, ours, peer, seconds, seconds / ours)
