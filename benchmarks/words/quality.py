"""Names and parts of speech: BertTokenClassifier beside the Trainer, measured by seqeval."""

from statistics import mean

import numpy as np
from fine_tuning.quality import SEEDS, points_above
from shared.report import print_table, verdict
from shared.same_start import recorded
from shared.trainer import same_recipe
from words import peer as _words_peer

TARGET = -1.0
RECIPE = {"epochs": 3, "learning_rate": 2e-4, "dropout": 0.1}
NAMES, PARTS_OF_SPEECH = "WNUT 2017, entity F1", "EWT, accuracy"
QUICK_SENTENCES = 160
OURS, PEER = "BertTokenClassifier", "Trainer"


def measure(folder, *, quick):
    """Train with the same recipe, seeds, first weights and batches, and compare the scores.

    Returns
    -------
    results : dict
        One entry a data set. "own_score" is how far `BertTokenClassifier.score` is from the
        independent measure.
    """
    sets = {
        NAMES: (*_words_peer.names(), _seqeval_f1),
        PARTS_OF_SPEECH: (*_words_peer.parts_of_speech(), _accuracy),
    }
    results = {}
    for name, (train, test, measured) in sets.items():
        seeds = SEEDS
        if quick:
            seeds = SEEDS[:1]
            train, test = ([column[:QUICK_SENTENCES] for column in part] for part in (train, test))
        results[name] = _measure_set(folder, train, test, measured, seeds)
    _print(results)
    return results


def _measure_set(folder, train, test, measured, seeds):
    scores, own = {OURS: [], PEER: []}, []
    words, labels = test
    for seed in seeds:
        with recorded() as start:
            tagger = token_classifier(folder, RECIPE, seed).fit(*train)
        scores[OURS].append(measured(labels, list(tagger.predict(words))))
        own.append(abs(tagger.score(words, labels) - scores[OURS][-1]))
        model, _ = _words_peer.train_with_trainer(folder, *train, seed=seed, start=start, **RECIPE)
        codes = _words_peer.predict_in_input_order(folder, model, words)
        # A word that the tokenizer drops has no prediction of the Trainer's model: it stays "O".
        classes = np.array([*_words_peer.sorted_labels(train[1]), "O"])
        scores[PEER].append(measured(labels, [classes[row].tolist() for row in codes]))
    return {
        "n_train": len(train[0]),
        "n_test": len(words),
        **RECIPE,
        "seeds": list(seeds),
        **scores,
        **points_above(scores[OURS], scores[PEER]),
        "own_score": max(own),
    }


def token_classifier(folder, recipe, seed):
    """Give ours, set up as the Trainer is."""
    from skbert import BertTokenClassifier

    return BertTokenClassifier(str(folder), **same_recipe(recipe, seed))


def _seqeval_f1(true, predicted):
    from seqeval.metrics import f1_score

    return float(f1_score(true, predicted))


def _accuracy(true, predicted):
    pairs = zip(np.concatenate(true), np.concatenate(predicted), strict=True)
    return float(np.mean([label == guess for label, guess in pairs]))


def _print(results):
    rows = [
        (
            name,
            f"{found['n_train']:,} / {found['n_test']:,}",
            f"{mean(found[OURS]):.3f}",
            f"{mean(found[PEER]):.3f}",
            f"{found['points_above_trainer']:+.1f} ± {found['standard_error'] or 0:.1f}",
            f"{found['own_score']:.0e}",
        )
        for name, found in results.items()
    ]
    headers = ("data", "train / test", "ours", "Trainer", "points", "own score off by")
    print_table("Words, mean over the seeds", headers, rows)
    for name, found in results.items():
        points = found["points_above_trainer"]
        print(verdict(f"points above the Trainer on {name}", points, at_least=TARGET))
