"""A grid search over a pipeline of embedder and classifier, which should embed each text once.

What it should cost at least: one transform of the texts, and the same search over vectors that are
there already. Peers embed the texts of each fold again for each candidate.
"""

import tempfile
from functools import cache, partial
from pathlib import Path

import numpy as np
from shared import data, peers
from shared.report import print_table, print_verdict, summary_line
from shared.timing import TIMES, alternate, spread, timed
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skbert import BertEmbedder

N_CLASSES = 10
FEW_TEXTS = 300  # for the peers: each embeds them 41 times
MOST_ROUNDS = 3
FOLDS = 5
GRID = {"lr__C": [0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30]}
TARGET = 1.3  # times one transform, beside the classifiers' own time
SKBERT = "skbert, cache"
TITLES = {
    "transform": "one transform of the texts",
    "classifiers": "the search over vectors",
    "search": "the search over texts, new cache",
    "again": "the same once more, all in the cache",
}


def measure(options):
    """Time the search with a cache beside its floor, and the peers' on fewer texts."""
    texts, labels = data.frequent_intents(N_CLASSES)
    few = FEW_TEXTS
    if options.quick:
        texts, labels, few = texts[:FEW_TEXTS], labels[:FEW_TEXTS], FEW_TEXTS // 3
    results = _beside_the_floor(texts, labels, options)
    results["peers"] = _beside_the_peers(options.folder, texts[:few], labels[:few])
    return results


def _beside_the_floor(texts, labels, options):
    """Alternate: one transform, the search over its vectors, the search over the texts."""
    transform = _skbert(options.folder, None).fit(texts).transform
    caches = []

    def search():
        caches.append(tempfile.TemporaryDirectory())
        return search_again()

    def search_again():
        return _search(_skbert(options.folder, caches[-1].name), texts, labels)

    runs = {
        "transform": partial(transform, texts),
        "classifiers": partial(_search, "passthrough", transform(texts), labels),
        "search": search,
        "again": search_again,
    }
    seconds, found = alternate(runs, min(options.rounds, MOST_ROUNDS))
    scores = [found[name].cv_results_["mean_test_score"] for name in ("again", "classifiers")]
    columns = zip(*(seconds[name] for name in ("search", "classifiers", "transform")), strict=True)
    results = {
        "n_texts": len(texts),
        "n_fits": FOLDS * len(GRID["lr__C"]) + 1,
        "seconds": {name: spread(values) for name, values in seconds.items()},
        # What is not the classifiers' own, as a multiple of one transform.
        "transforms": spread([(search - own) / once for search, own, once in columns]),
        "max_score_diff": float(np.abs(np.subtract(*scores)).max()),
    }
    rows = {TITLES[name]: {"seconds": spread(values)} for name, values in seconds.items()}
    title = "Grid search: {n_texts:,} texts, {n_fits} fits of a classifier".format(**results)
    print_table(title, "what", TIMES, rows)
    measured = results["transforms"]["median"]
    print_verdict("transforms beside the classifiers' own time", measured, at_most=TARGET)
    print_verdict("largest difference of scores", results["max_score_diff"], at_most=0.005)
    return results


def _beside_the_peers(folder, texts, labels):
    """Run each once; none has its model loaded before."""
    results = {}
    with tempfile.TemporaryDirectory() as place:
        for name, (embedder, X) in _contenders(folder, texts, place).items():
            seconds, search = timed(partial(_search, embedder, X, labels))
            results[name] = {"seconds": seconds, "best_score": search.best_score_}
    columns = {
        "seconds": "{seconds:.1f}",
        "times ours": lambda figures: f"{figures['seconds'] / results[SKBERT]['seconds']:.1f}",
        "best score": "{best_score:.3f}",
    }
    title = f"Grid search beside the peers: {len(texts)} texts, one run each"
    print_table(title, "contender", columns, results)
    return {"n_texts": len(texts), **results}


def _contenders(folder, texts, place):
    @cache
    def load():
        return peers.sentence_transformers_encode(folder)

    contenders = {
        SKBERT: (_skbert(folder, place), texts),
        "skbert, no cache": (_skbert(folder, None), texts),
        # What many write by hand; in its favour, all clones share one loaded model.
        "sentence-transformers wrapper": (FunctionTransformer(lambda X: load()(list(X))), texts),
    }
    if peers.has_skrub():
        import pandas as pd

        contenders["skrub"] = (peers.skrub_estimator(folder), pd.Series(texts, name="text"))
    return contenders


def _skbert(folder, place):
    path = place and Path(place) / "cache.sqlite"
    return BertEmbedder(str(folder), normalize=True, device="cpu", precision="float32", cache=path)


def _search(embedder, X, labels):
    pipeline = Pipeline([("bert", embedder), ("lr", LogisticRegression(max_iter=1000))])
    return GridSearchCV(pipeline, GRID, cv=FOLDS, error_score="raise").fit(X, labels)


def summarize(results):
    n_texts, ours = results["peers"]["n_texts"], results["peers"][SKBERT]["seconds"]
    for peer, its in results["peers"].items():
        if peer not in ("n_texts", SKBERT):
            what, seconds = f"grid search, {n_texts} texts, s", its["seconds"]
            yield summary_line(what, ours, peer, seconds, seconds / ours)
