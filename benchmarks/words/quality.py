"""Names and parts of speech: BertTokenClassifier beside the Trainer, measured by seqeval."""

import numpy as np
from shared import data
from shared.training import SEEDS, compare_scores, print_scores
from words.task import TASK, predict_in_input_order, sorted_labels

RECIPE = {"epochs": 3, "learning_rate": 2e-4, "dropout": 0.1}
QUICK_SENTENCES = 160


def measure(options):
    """Train with the same recipe, seeds, first weights and batches, and compare the scores.

    Returns
    -------
    results : dict
        One entry a data set. "own_score" is how far `BertTokenClassifier.score` is from the
        independent measure.
    """
    sets = {
        "WNUT 2017, entity F1": (*data.names(), _seqeval_f1),
        "EWT, accuracy": (*data.parts_of_speech(), _accuracy),
    }
    results = {}
    for name, (train, test, metric) in sets.items():
        seeds = SEEDS
        if options.quick:
            seeds = SEEDS[:1]
            train, test = ([column[:QUICK_SENTENCES] for column in part] for part in (train, test))
        results[name] = _measure_set(options.folder, train, test, metric, seeds)
    print_scores("Words", TASK, results, **{"own score off by": "{own_score:.0e}"})
    return results


def _measure_set(folder, train, test, metric, seeds):
    words, labels = test
    off = []

    def score_ours(tagger):
        score = metric(labels, list(tagger.predict(words)))
        off.append(abs(tagger.score(words, labels) - score))
        return score

    def score_trainer(tokenizer, model):
        codes = predict_in_input_order(tokenizer, model, words)
        # A word that the tokenizer drops has no prediction of the Trainer's model: it stays "O".
        classes = np.array([*sorted_labels(train[1]), "O"])
        return metric(labels, [classes[row].tolist() for row in codes])

    scores = compare_scores(
        TASK, folder, train, RECIPE, seeds, score_ours=score_ours, score_trainer=score_trainer
    )
    sizes = {"n_train": len(train[0]), "n_test": len(words)}
    return {**sizes, **RECIPE, **scores, "own_score": max(off)}


def _seqeval_f1(true, predicted):
    from seqeval.metrics import f1_score

    return float(f1_score(true, predicted))


def _accuracy(true, predicted):
    return float(np.mean(np.concatenate(true) == np.concatenate(predicted)))
