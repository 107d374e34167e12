"""Fewer features a text: three ways to get them, behind which models, on real columns of texts.

First dimensions, principal components, and principal components of standardised features (STRABLE,
https://arxiv.org/abs/2605.12292, compares them on 108 tables).
"""

import warnings

import numpy as np
from shared import labelled
from shared.report import print_rows
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from skbert import BertEmbedder

N_COMPONENTS = (30, 100)
N_TRAIN, N_DRAWS = 1_000, 3
DATA = {
    "tate, year": (labelled.years, None),
    "FAA wildlife, effect": (labelled.effects, None),
    "fine_foods, score": (labelled.foods, 128),
}


def first(n):
    """Keep the first features, those of Matryoshka models first of all."""
    return FunctionTransformer(lambda vectors: vectors[:, :n])


def components(n):
    """Keep principal components."""
    return PCA(n, random_state=0)


def standardised(n):
    """Keep principal components of features of equal spread."""
    return make_pipeline(StandardScaler(), PCA(n, random_state=0))


WAYS = {"first": first, "PCA": components, "standardised, PCA": standardised}


def models(is_number):
    """Return what learns from the features: a linear model, and trees."""
    if is_number:
        return {
            "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 13))),
            "boosting": HistGradientBoostingRegressor(random_state=0),
        }
    return {
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2_000)),
        "boosting": HistGradientBoostingClassifier(random_state=0),
    }


def measure(options):
    """Score each way behind each model: R2 or accuracy on the same 1,000 texts, mean of draws."""
    warnings.filterwarnings("ignore", category=UserWarning)  # texts are cut off
    results = {}
    for name, (draw, max_length) in list(DATA.items())[: 1 if options.quick else None]:
        embedder = BertEmbedder(str(options.folder), max_length=max_length, device="cpu")
        for seed in range(1 if options.quick else N_DRAWS):
            (texts, y), (test_texts, test_y) = draw(N_TRAIN, seed)
            train, test = embedder.fit_transform(texts), embedder.fit_transform(test_texts)
            for label, model in models(draw is labelled.years).items():
                row = results.setdefault(f"{name}, {label}", {})
                row.setdefault("all", []).append(model.fit(train, y).score(test, test_y))
                for n in N_COMPONENTS:
                    for way, make in WAYS.items():
                        pipeline = make_pipeline(make(n), model)
                        score = pipeline.fit(train, y).score(test, test_y)
                        row.setdefault(f"{way} {n}", []).append(score)
    return print_results(results)


def print_results(results):
    """Print the mean scores; return them."""
    ways = list(next(iter(results.values())))
    means = {name: {way: float(np.mean(row[way])) for way in ways} for name, row in results.items()}
    rows = [(name, *(f"{row[way]:.3f}" for way in ways)) for name, row in means.items()]
    mean = [f"{np.mean([row[way] for row in means.values()]):.3f}" for way in ways]
    print_rows("Fewer features: R2 or accuracy", ("data", *ways), [*rows, ("mean", *mean)])
    return means
