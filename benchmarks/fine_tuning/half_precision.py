"""BertClassifier's training in bfloat16 beside float32: its time, and what the model then knows."""

from statistics import mean, stdev

from fine_tuning.quality import BANKING, DROPOUT, PAIRS, RECIPES, few
from fine_tuning.training import TASK
from shared import data
from shared.report import print_table, print_verdict, summary_line
from shared.timing import pairwise_median, spread
from shared.training import SEEDS, seconds_of_fit

from skbert._kernels.prepacked import computes_in_bfloat16

PRECISIONS = FLOAT32, BFLOAT16 = "float32", "bfloat16"
LEAST_GAIN = 1.3
COLUMNS = {
    "float32, s": "{seconds[float32][median]:.1f}",
    "bfloat16, s": "{seconds[bfloat16][median]:.1f}",
    "gain": "{gain:.2f}",
    "accuracy": lambda its: "{float32:.3f}, {bfloat16:.3f}".format(**its["mean_scores"]),
    "points": "{points:+.1f} ± {points_error:.1f}",
}


def measure(options):
    """Train in both precisions in turn, once a seed; compare times and accuracies.

    Where a CPU has no instructions for bfloat16 this says so and measures nothing.
    """
    if not computes_in_bfloat16():
        print("\nThis CPU has no instructions for products in bfloat16.")
        return {}
    results = {}
    for name, (train, test) in {BANKING: data.banking(), PAIRS: data.pairs()}.items():
        recipe = {**RECIPES[name], "dropout": DROPOUT}
        if options.quick:
            recipe, train, test = {**recipe, "epochs": 1}, few(train), few(test)
        results[name] = _measure_set(train, test, recipe, options)
    print_table("Training in bfloat16 beside float32", "texts", COLUMNS, results)
    for name, found in results.items():
        print_verdict(f"times as fast on {name}", found["gain"], at_least=LEAST_GAIN)
        # Two standard errors below: what noise explains.
        lowest = -2 * found["points_error"]
        print_verdict(f"points of accuracy on {name}", found["points"], at_least=lowest)
    return results


def _measure_set(train, test, recipe, options):
    seconds = {precision: [] for precision in PRECISIONS}
    scores = {precision: [] for precision in PRECISIONS}
    for seed in SEEDS:
        for precision in PRECISIONS:
            classifier = TASK.ours(options.folder, recipe, seed).set_params(precision=precision)
            seconds[precision].append(seconds_of_fit(classifier, *train))
            scores[precision].append(classifier.score(*test))
    points = [100 * (b - f) for f, b in zip(scores[FLOAT32], scores[BFLOAT16], strict=True)]
    return {
        "n_train": len(train[0]),
        **recipe,
        "seconds": {precision: spread(times) for precision, times in seconds.items()},
        "gain": pairwise_median(seconds[FLOAT32], seconds[BFLOAT16]),
        "scores": scores,
        "mean_scores": {precision: mean(found) for precision, found in scores.items()},
        "points": mean(points),
        "points_error": stdev(points) / len(points) ** 0.5,
    }


def summarize(results):
    for name, found in results.items():
        ours, theirs = (found["n_train"] * found["epochs"] / found["seconds"][p]["median"]
                        for p in reversed(PRECISIONS))  # fmt: skip
        title = f"training in bfloat16, {name}, texts/s"
        yield summary_line(title, ours, FLOAT32, theirs, found["gain"])
