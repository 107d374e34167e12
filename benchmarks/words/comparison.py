"""BertTokenClassifier beside the Trainer, and its labels beside a loop over transformers."""

import numpy as np
from shared import data, training
from shared.peers import LOOP, padded, run_loop, tokenize
from shared.timing import alternate
from shared.trainer import Task

RECIPE = {"epochs": 3, "learning_rate": 2e-4, "dropout": 0.1}
QUICK_SENTENCES = 160
TARGETS = {"training": 1.5, "prediction": 2.0}
N_TRAIN = 640
IGNORED = -100


def _encode(tokenizer, words, labels):
    classes = sorted_labels(labels)
    encoded = tokenize(tokenizer, words, is_split_into_words=True)
    codes = [[IGNORED] * len(ids) for ids in encoded["input_ids"]]
    for row, sentence in enumerate(labels):
        for word, piece in _first_pieces(encoded.word_ids(row)).items():
            codes[row][piece] = classes.index(sentence[word])
    return {**encoded, "labels": codes}, len(classes)


TASK = Task(
    "BertTokenClassifier",
    "AutoModelForTokenClassification",
    _encode,
    collator="DataCollatorForTokenClassification",
)


def sorted_labels(labels):
    """Return the distinct labels of all words, sorted."""
    return sorted({label for sentence in labels for label in sentence})


def predict_in_input_order(tokenizer, model, words):
    """Return the code of each word's label, that of its first piece, with a plain loop.

    A word beyond the window, or without a piece, gets -1.
    """

    def encode(part):
        return padded(tokenizer, part, is_split_into_words=True)

    def read(output, batch):
        for row, codes in enumerate(output.logits.argmax(-1).tolist()):
            first = _first_pieces(batch.word_ids(row))
            yield {word: codes[piece] for word, piece in first.items()}

    predicted = zip(words, run_loop(model, words, encode, read), strict=True)
    return [[codes.get(word, -1) for word in range(len(sentence))] for sentence, codes in predicted]


def _first_pieces(word_ids):
    """Return word → the place of its first piece, which is written last."""
    places = reversed(list(enumerate(word_ids)))
    return {word: piece for piece, word in places if word is not None}


def measure_quality(options):
    """Compare names, by seqeval's F1 of entities, and parts of speech, by accuracy.

    "own_score" is how far `BertTokenClassifier.score` is from that measure.
    """
    sets = {
        "WNUT 2017, entity F1": (*data.names(), _seqeval_f1),
        "EWT, accuracy": (*data.parts_of_speech(), _accuracy),
    }
    results = {}
    for name, (train, test, metric) in sets.items():
        if options.quick:
            train, test = ([column[:QUICK_SENTENCES] for column in part] for part in (train, test))
        results[name] = _compare_scores(train, test, metric, options)
    training.print_scores("Words", TASK, results, **{"own score off by": "{own_score:.0e}"})
    return results


def _compare_scores(train, test, metric, options):
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

    scores = training.compare_scores(TASK, train, RECIPE, options, score_ours, score_trainer)
    sizes = {"n_train": len(train[0]), "n_test": len(words)}
    return {**sizes, **RECIPE, **scores, "own_score": max(off)}


def _seqeval_f1(true, predicted):
    from seqeval.metrics import f1_score

    return float(f1_score(true, predicted))


def _accuracy(true, predicted):
    return float(np.mean(np.concatenate(true) == np.concatenate(predicted)))


def measure_speed(options):
    """Time an epoch on WNUT 2017's sentences, and the labels of all of its dev part.

    Counted of a training is what follows the loading of the model; ours includes tokenizing. Both
    predictors are loaded before, and both tokenize.
    """
    train, (words, _) = data.names()
    train = [column[: 64 if options.quick else N_TRAIN] for column in train]
    recipe = {**RECIPE, "epochs": 1}
    seconds, _ = training.alternate_trainings(TASK, *train, recipe, options)
    results = {
        "training": training.side_by_side(len(train[0]), seconds),
        "prediction": _time_prediction(train, words[:100] if options.quick else words, options),
    }
    training.print_side_by_side("Words", results, TARGETS)
    return results


def _time_prediction(train, words, options):
    recipe = {**RECIPE, "epochs": 1}
    tagger = TASK.ours(options.folder, recipe).fit(*(column[:160] for column in train))
    tokenizer, model = TASK.reload(tagger)
    runs = {
        TASK.estimator: lambda: tagger.predict(words),
        LOOP: lambda: predict_in_input_order(tokenizer, model, words),
    }
    seconds, outputs = alternate(runs, options.rounds)
    same = [
        label == model.config.id2label[code]
        for ours, theirs in zip(*outputs.values(), strict=True)
        for label, code in zip(ours, theirs, strict=True)
        if code >= 0  # a word that the loop's tokenizer keeps
    ]
    return {**training.side_by_side(len(words), seconds), "same_labels": float(np.mean(same))}
