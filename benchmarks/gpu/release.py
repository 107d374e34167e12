"""What the clones of a grid search leave on the device."""

import copy

from gpu import material
from gpu.contenders import fitted
from gpu.memory import held_mb
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

MOST_LEFT_MB = 1.0
N_TEXTS = 48


def measure(setting, record):
    words = material.whole_words(setting.models["base"])
    texts, labels = material.labelled(setting.texts("short")[:N_TEXTS], words)
    figures = {}
    # The work space of the matrix products stays with the process.
    warmed_up = fitted(setting)
    warmed_up.transform(texts)
    warmed_up.release()

    def put(name):
        figures[name] = held_mb(setting)
        record.put("held_mb", figures)

    put("before")
    embedder = fitted(setting)
    put("one fitted")
    clones = [clone(embedder).fit(texts) for _ in range(4)]
    put("five fitted")
    search = GridSearchCV(
        make_pipeline(clone(embedder), LogisticRegression()),
        {"logisticregression__C": [0.1, 1.0]},
        cv=2,
    ).fit(texts, labels)
    put("after a grid search")
    for each in (embedder, *clones, search.best_estimator_[0]):
        each.release()
    put("released")
    left = figures["released"] - figures["before"]
    again = copy.deepcopy(search).predict(texts[:4])
    record.put("predicts_after_release", len(again) == 4)
    one = figures["one fitted"] - figures["before"]
    shared = (figures["after a grid search"] - figures["before"]) / one
    record.goal("MB left after release", left, at_most=MOST_LEFT_MB)
    record.goal("times one model's memory for all clones", shared, at_most=1.1)
