"""Accuracy after fine-tuning, beside the Trainer and beside simpler pipelines."""

from functools import partial

import numpy as np
import torch
from fine_tuning.training import TASK
from shared import data
from shared.peers import padded, run_loop
from shared.training import compare_scores, print_scores, summarize_scores
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from skbert import BertEmbedder

DROPOUT = 0.1
BANKING, ALL_OF_BANKING, PAIRS = "BANKING77", "BANKING77, all", "question-sentence pairs"
RECIPES = {
    BANKING: {"epochs": 5, "learning_rate": 5e-4},
    ALL_OF_BANKING: {"epochs": 3, "learning_rate": 1e-4},
    PAIRS: {"epochs": 8, "learning_rate": 1e-4},
}
SIMPLE = {"frozen": "frozen + LR", "tfidf": "TF-IDF + LR"}
QUICK_TEXTS, QUICK_CLASSES = 160, 16
# The simple pipelines choose theirs by cross-validation on the training texts.
REGULARISATION = {"logisticregression__C": [1, 10, 100]}


def measure(options):
    """Train with the same hyperparameters, seeds, first weights and batches; compare accuracies.

    ``--long`` trains on all of BANKING77, and on nothing else; ``--quick`` is a try-out.
    """
    if options.long:
        sets = {ALL_OF_BANKING: data.banking(a_class=None)}
    else:
        sets = {BANKING: data.banking(), PAIRS: data.pairs()}
    results = {}
    for name, (train, test) in sets.items():
        recipe = RECIPES[name]
        if options.quick:
            recipe, train, test = {**recipe, "epochs": 1}, few(train), few(test)
        results[name] = _measure_set(train, test, recipe, options)
    print_scores(
        "Accuracy", TASK, results, **{name: f"{{{key}:.3f}}" for key, name in SIMPLE.items()}
    )
    return results


summarize = partial(summarize_scores, task=TASK, **SIMPLE)


def few(part):
    """Keep some texts, of some classes."""
    classes = sorted(set(part[1]))[:QUICK_CLASSES]
    kept = [entry for entry in zip(*part, strict=True) if entry[1] in classes][:QUICK_TEXTS]
    return [list(column) for column in zip(*kept, strict=True)]


def _measure_set(train, test, recipe, options):
    texts, labels = test
    classes = np.array(sorted(set(train[1])))

    def score_ours(classifier):
        return classifier.score(texts, labels)

    def score_trainer(tokenizer, model):
        codes = logits_in_input_order(tokenizer, model, texts).argmax(1)
        return float((classes[codes] == np.array(labels)).mean())

    with_dropout = {**recipe, "dropout": DROPOUT}
    return {
        "n_train": len(train[0]),
        "n_test": len(texts),
        **recipe,
        **compare_scores(TASK, train, with_dropout, options, score_ours, score_trainer),
        "frozen": _frozen(options.folder, train, test),
        "tfidf": _tfidf(train, test),
    }


def logits_in_input_order(tokenizer, model, texts):
    """Return what transformers' classifier gives for texts or pairs, with a plain loop."""

    def encode(part):
        return padded(tokenizer, part)

    return torch.stack(run_loop(model, texts, encode, lambda output, _: output.logits)).numpy()


def _frozen(folder, train, test):
    """Vectors of the untrained model and logistic regression."""
    embedder = BertEmbedder(str(folder), normalize=True, device="cpu").fit(["a"])

    def features(texts):
        is_text = not isinstance(texts[0], tuple)
        return embedder.transform(texts) if is_text else pair_features(embedder, texts)

    model = _logistic().fit(features(train[0]), train[1])
    return float(model.score(features(test[0]), test[1]))


def pair_features(embedder, pairs):
    """Put together what the vectors of both texts say of each other, (n, 4 F)."""
    a, b = (embedder.transform(list(column)) for column in zip(*pairs, strict=True))
    return np.hstack([a, b, a * b, np.abs(a - b)])


def _tfidf(train, test):
    """Word weights, of both texts of a pair side by side, and logistic regression."""

    def columns(texts):
        return np.array(texts, dtype=object).reshape(len(texts), -1)

    X = columns(train[0])
    weights = make_column_transformer(*((TfidfVectorizer(), j) for j in range(X.shape[1])))
    return float(_logistic(weights).fit(X, train[1]).score(columns(test[0]), test[1]))


def _logistic(*steps):
    model = make_pipeline(*steps, LogisticRegression(max_iter=2000))
    return GridSearchCV(model, REGULARISATION, cv=3)
