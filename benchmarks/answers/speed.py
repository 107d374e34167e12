"""Questions a second of BertQuestionAnswerer: beside the Trainer, and beside a plain loop."""

from answers.quality import RECIPE
from answers.task import TASK, columns, features_of, logits_in_input_order
from shared import data
from shared.peers import LOOP
from shared.timing import FLOOR, alternate, floor_name, layer_flops, pairwise_median
from shared.trainer import BATCH_SIZE
from shared.training import alternate_trainings, print_side_by_side, side_by_side

# The issue names no target for training; that of words.
TARGETS = {"training": 1.5, "prediction": 2.0}
N_TRAIN, N_PREDICT = 128, 400
TRAINING_RECIPE = {**RECIPE, "epochs": 1, "dropout": 0.1, "batch_size": BATCH_SIZE}


def measure(options):
    """Time an epoch on 128 of XQuAD's questions, and the answers to 400.

    Both predictors tokenize; the loop only computes its logits, without looking for answers. The
    floor is the time of a plain matmul for the work on the windows' tokens, padding left out.
    """
    rows = data.xquad()
    X, y = columns(rows[::8] if options.quick else rows)
    train = X[:N_TRAIN], y[:N_TRAIN]
    seconds, _ = alternate_trainings(TASK, options.folder, *train, TRAINING_RECIPE, options.rounds)
    results = {
        "training": side_by_side(len(train[0]), seconds),
        "prediction": _prediction(X[:N_PREDICT], y, options),
    }
    print_side_by_side("Answers", results, TARGETS)
    shares = results["prediction"]["shares_of_floor"]
    said = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    print(f"  {floor_name(shares.values())}, in prediction: {said}")
    return results


def _prediction(X, y, options):
    reader = TASK.ours(options.folder, {**RECIPE, "epochs": 1}).fit(X[:32], y[:32])
    tokenizer, model = TASK.reload(reader)
    runs = {
        TASK.estimator: lambda: reader.predict(X),
        LOOP: lambda: logits_in_input_order(tokenizer, model, features_of(tokenizer, X)[0]),
    }
    windows = features_of(tokenizer, X)[0]["input_ids"]
    flops = layer_flops(options.folder, [len(ids) for ids in windows])
    seconds, _ = alternate(runs, options.rounds, flops=flops)
    floor = seconds.pop(FLOOR)
    shares = {name: pairwise_median(floor, times) for name, times in seconds.items()}
    return {**side_by_side(len(X), seconds), "shares_of_floor": shares}
