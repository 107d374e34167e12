"""Accuracy after fine-tuning, beside the Trainer and beside simpler pipelines."""

from statistics import mean

import _fine_tuning_data
import numpy as np
from _report import print_table, verdict
from _trainer import BATCH_SIZE, predict_codes, train_with_trainer

TARGET = -1.0  # points below the Trainer that are still equal
SEEDS = (0, 1, 2)
RECIPES = {
    "BANKING77": {"epochs": 5, "learning_rate": 5e-4},
    "question-sentence pairs": {"epochs": 2, "learning_rate": 1e-4},
}


def measure(folder, *, quick, everything):
    """Train with the same hyperparameters and seeds, and compare mean accuracies."""
    sets = {
        "BANKING77": _fine_tuning_data.banking(everything=everything),
        "question-sentence pairs": _fine_tuning_data.pairs(),
    }
    results = {}
    for name, (train, test) in sets.items():
        seeds = SEEDS[:1] if quick else SEEDS
        if quick:
            train = tuple(part[:160] for part in train)
        recipe = RECIPES[name] | ({"epochs": 1} if quick else {})
        results[name] = {
            "n_train": len(train[0]),
            "n_test": len(test[0]),
            **recipe,
            "BertClassifier": [_ours(folder, train, test, recipe, seed) for seed in seeds],
            "Trainer": [_trainer(folder, train, test, recipe, seed) for seed in seeds],
            "frozen": _frozen(folder, train, test),
            "tfidf": _tfidf(train, test),
        }
    _print(results)
    return results


def _ours(folder, train, test, recipe, seed):
    from skbert import BertClassifier

    classifier = BertClassifier(
        str(folder),
        max_epochs=recipe["epochs"],
        min_steps=0,
        learning_rate=recipe["learning_rate"],
        dropout=0.1,
        train_batch_size=BATCH_SIZE,
        device="cpu",
        random_state=seed,
    )
    return classifier.fit(*train).score(*test)


def _trainer(folder, train, test, recipe, seed):
    texts, labels = train
    names = np.array(sorted(set(labels)))
    model, _ = train_with_trainer(
        folder, texts, _fine_tuning_data.codes_of(labels), dropout=0.1, seed=seed, **recipe
    )
    predicted = names[predict_codes(folder, model, test[0])]
    return float((predicted == np.array(test[1])).mean())


def _frozen(folder, train, test):
    """Vectors of the untrained model and logistic regression."""
    from sklearn.linear_model import LogisticRegression

    from skbert import BertEmbedder

    embedder = BertEmbedder(str(folder), normalize=True, device="cpu").fit(["a"])

    def features(texts):
        if not isinstance(texts[0], tuple):
            return embedder.transform(texts)
        a, b = (embedder.transform(list(column)) for column in zip(*texts, strict=True))
        return np.hstack([a, b, a * b, np.abs(a - b)])

    model = LogisticRegression(max_iter=2000, C=10).fit(features(train[0]), train[1])
    return float(model.score(features(test[0]), test[1]))


def _tfidf(train, test):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    def flat(texts):
        return [" ".join(text) if isinstance(text, tuple) else text for text in texts]

    model = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=2000, C=10))
    return float(model.fit(flat(train[0]), train[1]).score(flat(test[0]), test[1]))


def _print(results):
    rows = [
        (
            name,
            f"{found['n_train']} / {found['n_test']}",
            f"{mean(found['BertClassifier']):.3f}",
            f"{mean(found['Trainer']):.3f}",
            f"{found['frozen']:.3f}",
            f"{found['tfidf']:.3f}",
        )
        for name, found in results.items()
    ]
    headers = ("data", "train / test", "ours", "Trainer", "frozen + LR", "TF-IDF + LR")
    print_table("Accuracy, mean over the seeds", headers, rows)
    for name, found in results.items():
        points = 100 * (mean(found["BertClassifier"]) - mean(found["Trainer"]))
        print(verdict(f"points above the Trainer on {name}", points, at_least=TARGET))
