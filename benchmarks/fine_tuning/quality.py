"""Accuracy after fine-tuning, beside the Trainer and beside simpler pipelines."""

from statistics import mean, stdev

import numpy as np
from fine_tuning import data as _fine_tuning_data
from shared.report import print_table, verdict
from shared.same_start import recorded
from shared.trainer import predict_codes, same_recipe, train_with_trainer

TARGET = -1.0  # points below the Trainer that are still equal
SEEDS = (0, 1, 2)
DROPOUT = 0.1
BANKING, ALL_OF_BANKING, PAIRS = "BANKING77", "BANKING77, all", "question-sentence pairs"
RECIPES = {
    BANKING: {"epochs": 5, "learning_rate": 5e-4},
    ALL_OF_BANKING: {"epochs": 3, "learning_rate": 1e-4},
    PAIRS: {"epochs": 8, "learning_rate": 1e-4},
}
QUICK_TEXTS, QUICK_CLASSES = 160, 16
OURS, PEER = "BertClassifier", "Trainer"
# The simple pipelines choose theirs by cross-validation on the training texts.
REGULARISATION = {"logisticregression__C": [1, 10, 100]}


def measure(folder, *, quick, everything):
    """Train with the same hyperparameters, seeds, first weights and batches; compare accuracies.

    ``everything`` trains on all of BANKING77, and on nothing else; ``quick`` is a try-out.
    """
    if everything:
        sets = {ALL_OF_BANKING: _fine_tuning_data.banking(everything=True)}
    else:
        sets = {BANKING: _fine_tuning_data.banking(), PAIRS: _fine_tuning_data.pairs()}
    results = {}
    for name, (train, test) in sets.items():
        recipe, seeds = RECIPES[name], SEEDS
        if quick:
            recipe, seeds = {**recipe, "epochs": 1}, SEEDS[:1]
            train, test = _few(train), _few(test)
        results[name] = _measure_set(folder, train, test, recipe, seeds)
    _print(results)
    return results


def _few(part):
    """Keep some texts, of some classes."""
    names = sorted(set(part[1]))[:QUICK_CLASSES]
    kept = [entry for entry in zip(*part, strict=True) if entry[1] in names][:QUICK_TEXTS]
    return [list(column) for column in zip(*kept, strict=True)]


def _measure_set(folder, train, test, recipe, seeds):
    accuracies = {OURS: [], PEER: []}
    for seed in seeds:
        with recorded() as start:
            accuracies[OURS].append(_ours(folder, train, test, recipe, seed))
        accuracies[PEER].append(_trainer(folder, train, test, recipe, seed, start))
    return {
        "n_train": len(train[0]),
        "n_test": len(test[0]),
        **recipe,
        "seeds": list(seeds),
        **accuracies,
        **points_above(accuracies[OURS], accuracies[PEER]),
        "frozen": _frozen(folder, train, test),
        "tfidf": _tfidf(train, test),
    }


def points_above(ours, theirs):
    """Mean difference in points of accuracy, and its standard error over the seeds."""
    differences = [100 * (a - b) for a, b in zip(ours, theirs, strict=True)]
    error = stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else None
    return {"points_above_trainer": mean(differences), "standard_error": error}


def _ours(folder, train, test, recipe, seed):
    from skbert import BertClassifier

    classifier = BertClassifier(str(folder), **same_recipe({**recipe, "dropout": DROPOUT}, seed))
    return classifier.fit(*train).score(*test)


def _trainer(folder, train, test, recipe, seed, start):
    texts, labels = train
    names = np.array(sorted(set(labels)))
    codes = _fine_tuning_data.codes_of(labels)
    model, _ = train_with_trainer(
        folder, texts, codes, dropout=DROPOUT, seed=seed, start=start, **recipe
    )
    predicted = names[predict_codes(folder, model, test[0])]
    return float((predicted == np.array(test[1])).mean())


def _frozen(folder, train, test):
    """Vectors of the untrained model and logistic regression."""
    from skbert import BertEmbedder

    embedder = BertEmbedder(str(folder), normalize=True, device="cpu").fit(["a"])

    def features(texts):
        if not isinstance(texts[0], tuple):
            return embedder.transform(texts)
        a, b = (embedder.transform(list(column)) for column in zip(*texts, strict=True))
        return np.hstack([a, b, a * b, np.abs(a - b)])

    model = _logistic().fit(features(train[0]), train[1])
    return float(model.score(features(test[0]), test[1]))


def _tfidf(train, test):
    """Word weights, of both texts of a pair side by side, and logistic regression."""
    from sklearn.compose import make_column_transformer
    from sklearn.feature_extraction.text import TfidfVectorizer

    def columns(texts):
        return np.array(texts, dtype=object).reshape(len(texts), -1)

    X = columns(train[0])
    weights = make_column_transformer(*((TfidfVectorizer(), j) for j in range(X.shape[1])))
    return float(_logistic(weights).fit(X, train[1]).score(columns(test[0]), test[1]))


def _logistic(*steps):
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline

    model = make_pipeline(*steps, LogisticRegression(max_iter=2000))
    return GridSearchCV(model, REGULARISATION, cv=3)


def _print(results):
    rows = [
        (
            name,
            f"{found['n_train']:,} / {found['n_test']:,}",
            f"{found['epochs']} at {found['learning_rate']:.0e}",
            f"{mean(found[OURS]):.3f}",
            f"{mean(found[PEER]):.3f}",
            _difference(found),
            f"{found['frozen']:.3f}",
            f"{found['tfidf']:.3f}",
        )
        for name, found in results.items()
    ]
    headers = (
        "data", "train / test", "epochs", "ours", "Trainer", "points", "frozen + LR", "TF-IDF + LR",
    )  # fmt: skip
    print_table("Accuracy, mean over the seeds", headers, rows)
    for name, found in results.items():
        points = found["points_above_trainer"]
        print(verdict(f"points above the Trainer on {name}", points, at_least=TARGET))


def _difference(found):
    error = found["standard_error"]
    return f"{found['points_above_trainer']:+.1f}" + ("" if error is None else f" ± {error:.1f}")
