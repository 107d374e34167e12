"""Sentences a second of BertTokenClassifier: training beside the Trainer, labels beside a loop."""

import tempfile

from fine_tuning.speed import marks_of_fit
from shared.report import print_table, verdict
from shared.timing import Contender, alternate, pairwise_median, spread
from words import peer as _words_peer
from words.quality import token_classifier

TRAINING_TARGET, PREDICTION_TARGET = 1.5, 2.0
N_TRAIN = 640
RECIPE = {"epochs": 1, "learning_rate": 2e-4, "dropout": 0.1}
OURS, TRAINER, LOOP = "BertTokenClassifier", "Trainer", "loop, 32 in input order"


def measure(folder, *, rounds, quick):
    """Time an epoch on WNUT 2017's sentences, and the labels of all of its dev part.

    Counted of a training is what follows the loading of the model; ours includes tokenising. Both
    predictors are loaded before, and both tokenise.
    """
    train, (words, _) = _words_peer.names()
    train = [column[: 64 if quick else N_TRAIN] for column in train]
    words = words[:100] if quick else words
    results = {
        "training": _training(folder, train, rounds),
        "prediction": _prediction(folder, train, words, rounds),
    }
    print_speed("Words", results, {"training": TRAINING_TARGET, "prediction": PREDICTION_TARGET})
    return results


def _training(folder, train, rounds):
    ours, peer = [], []

    def fit():
        with marks_of_fit() as marks:
            token_classifier(folder, RECIPE, 0).fit(*train)
        ours.append(marks["trained"] - marks["loaded"])

    def train_peer():
        peer.append(_words_peer.train_with_trainer(folder, *train, seed=0, **RECIPE)[1])

    alternate([Contender(OURS, fit, rounds), Contender(TRAINER, train_peer, rounds)])
    return side_by_side(len(train[0]), {OURS: ours[1:], TRAINER: peer[1:]})  # without warm-ups


def _prediction(folder, train, words, rounds):
    from transformers import AutoModelForTokenClassification

    tagger = token_classifier(folder, RECIPE, 0).fit(*(column[:160] for column in train))
    with tempfile.TemporaryDirectory() as saved:
        tagger.save_pretrained(saved)
        model = AutoModelForTokenClassification.from_pretrained(saved)
        contenders = [
            Contender(OURS, lambda: tagger.predict(words), rounds),
            Contender(
                LOOP, lambda: _words_peer.predict_in_input_order(saved, model, words), rounds
            ),
        ]
        seconds, outputs = alternate(contenders)
    names = [model.config.id2label[code] for code in range(model.config.num_labels)]
    pairs = [
        (label, names[code])
        for ours, theirs in zip(outputs[OURS], outputs[LOOP], strict=True)
        for label, code in zip(ours, theirs, strict=True)
        if code >= 0  # a word that the loop's tokenizer keeps
    ]
    same = sum(a == b for a, b in pairs) / len(pairs)
    return {**side_by_side(len(words), seconds), "same_labels": same}


def side_by_side(n_rows, seconds):
    """Put two contenders together, ours first; the ratio is the second's time over ours."""
    (ours, our_times), (peer, peer_times) = seconds.items()
    return {
        "n": n_rows,
        "contenders": [ours, peer],
        "seconds": {name: spread(times) for name, times in seconds.items()},
        "ratio": pairwise_median(peer_times, our_times),
    }


def print_speed(title, results, targets):
    """Print the speeds of ours and the other, and whether the ratio reaches its target."""
    rows = []
    for what, found in results.items():
        ours, peer = found["contenders"]
        per_second = [found["n"] / found["seconds"][name]["median"] for name in (ours, peer)]
        rows.append(
            (what, found["n"], peer, *(f"{x:.1f}" for x in per_second), f"{found['ratio']:.2f}")
        )
    print_table(f"{title}: rows a second", ("what", "rows", "beside", "ours", "its", "ratio"), rows)
    for what, found in results.items():
        said = f"times the speed of the {found['contenders'][1]} ({what})"
        print(verdict(said, found["ratio"], at_least=targets[what]))
