"""Questions a second of BertQuestionAnswerer: beside the Trainer, and beside a plain loop."""

import tempfile

from answers import peer as _answers_peer
from answers.quality import RECIPE, SEED, answerer, columns
from fine_tuning.speed import marks_of_fit
from shared.floor import floor_seconds, layer_flops, matmul_sample
from shared.timing import Contender, alternate, pairwise_median
from shared.trainer import BATCH_SIZE
from words.speed import print_speed, side_by_side

PREDICTION_TARGET = 2.0
TRAINING_TARGET = 1.5  # the issue names none; that of words
N_TRAIN, N_PREDICT = 128, 400
OURS, TRAINER, LOOP = "BertQuestionAnswerer", "Trainer", "loop, 32 in input order"
MATMUL = "matmul floor"


def measure(folder, *, rounds, quick):
    """Time an epoch on 128 of XQuAD's questions, and the answers to 400.

    Both predictors tokenise; the loop only computes its logits, without looking for answers. The
    floor is the time of a plain matmul for the work on the windows' tokens, padding left out.
    """
    rows = _answers_peer.read_questions()
    rows = rows[::8] if quick else rows
    results = {
        "training": _training(folder, rows[:N_TRAIN], rounds),
        "prediction": _prediction(folder, rows[:N_PREDICT], rounds),
    }
    targets = {"training": TRAINING_TARGET, "prediction": PREDICTION_TARGET}
    print_speed("Answers", results, targets)
    shares = results["prediction"]["shares_of_floor"]
    said = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    print(f"  of the matmul floor, in prediction: {said}")
    return results


def _training(folder, rows, rounds):
    recipe = {**RECIPE, "epochs": 1, "dropout": 0.1, "batch_size": BATCH_SIZE}
    ours, peer = [], []

    def fit():
        with marks_of_fit() as marks:
            answerer(folder, recipe).fit(*columns(rows))
        ours.append(marks["trained"] - marks["loaded"])

    def train_peer():
        peer.append(_answers_peer.train_with_trainer(folder, rows, seed=SEED, **recipe)[1])

    alternate([Contender(OURS, fit, rounds), Contender(TRAINER, train_peer, rounds)])
    return side_by_side(len(rows), {OURS: ours[1:], TRAINER: peer[1:]})  # without warm-ups


def _prediction(folder, rows, rounds):
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    reader = answerer(folder, {**RECIPE, "epochs": 1}).fit(*columns(rows[:32]))
    with tempfile.TemporaryDirectory() as saved:
        reader.save_pretrained(saved)
        tokenizer = AutoTokenizer.from_pretrained(saved)
        model = AutoModelForQuestionAnswering.from_pretrained(saved)
    X, _ = columns(rows)

    def loop():
        encoded, _, _ = _answers_peer.features_of(tokenizer, rows)
        return _answers_peer.logits_in_input_order(tokenizer, model, encoded)

    contenders = [
        Contender(MATMUL, matmul_sample(), rounds),
        Contender(OURS, lambda: reader.predict(X), rounds),
        Contender(LOOP, loop, rounds),
    ]
    seconds, _ = alternate(contenders)
    windows = _answers_peer.features_of(tokenizer, rows)[0]["input_ids"]
    flops = layer_flops(folder, [len(ids) for ids in windows])
    floor = floor_seconds(flops, seconds.pop(MATMUL))
    shares = {name: pairwise_median(floor, times) for name, times in seconds.items()}
    return {**side_by_side(len(rows), seconds), "shares_of_floor": shares}
