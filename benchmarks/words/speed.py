"""Sentences a second of BertTokenClassifier: training beside the Trainer, labels beside a loop."""

from shared import data
from shared.peers import LOOP
from shared.timing import alternate
from shared.training import alternate_trainings, print_side_by_side, side_by_side
from words.task import TASK, predict_in_input_order

TARGETS = {"training": 1.5, "prediction": 2.0}
N_TRAIN = 640
RECIPE = {"epochs": 1, "learning_rate": 2e-4, "dropout": 0.1}


def measure(options):
    """Time an epoch on WNUT 2017's sentences, and the labels of all of its dev part.

    Counted of a training is what follows the loading of the model; ours includes tokenizing. Both
    predictors are loaded before, and both tokenize.
    """
    train, (words, _) = data.names()
    train = [column[: 64 if options.quick else N_TRAIN] for column in train]
    seconds, _ = alternate_trainings(TASK, options.folder, *train, RECIPE, options.rounds)
    results = {
        "training": side_by_side(len(train[0]), seconds),
        "prediction": _prediction(train, words[:100] if options.quick else words, options),
    }
    print_side_by_side("Words", results, TARGETS)
    return results


def _prediction(train, words, options):
    tagger = TASK.ours(options.folder, RECIPE).fit(*(column[:160] for column in train))
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
    return {**side_by_side(len(words), seconds), "same_labels": sum(same) / len(same)}
