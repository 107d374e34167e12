"""int8 beside our other precisions: its speed, how near its vectors are, what they are worth."""

from functools import partial

from shared import data, peers
from shared.peers import SENTENCE_TRANSFORMERS
from shared.report import print_table, print_verdict, summary_line
from shared.timing import TIMES, alternate, pairwise_median, spread
from sklearn.linear_model import LogisticRegression

PRECISIONS = ("float32", "bfloat16", "int8")
COLUMNS = {
    **TIMES,
    "times faster than float32": "{faster_than_float32:.2f}",
    "than s-t": "{faster_than_sentence_transformers:.2f}",
    "mean cosine": "{mean_cosine:.5f}",
    "smallest": "{min_cosine:.5f}",
}
LEAST = {"faster_than_float32": 1.5, "faster_than_sentence_transformers": 3.2, "mean_cosine": 0.99}


def measure(options):
    """Time the mixed texts, then classify BANKING77; print a table each and the verdicts."""
    embed = {name: peers.skbert_embedder(options.folder, precision=name) for name in PRECISIONS}
    speed = _speed(embed, options)
    accuracies = accuracy(embed, is_few=options.quick)
    lost = 100 * (accuracies["float32"] - accuracies["int8"])
    print_verdict("points of accuracy lost by int8", lost, at_most=0.5)
    return {"speed": speed, "accuracy": accuracies}


def _speed(embed, options):
    texts = data.few(data.mixed(), options.quick)
    contenders = {**embed, **peers.embedders(options.folder, [SENTENCE_TRANSFORMERS])}
    runs = {name: partial(function, texts) for name, function in contenders.items()}
    seconds, vectors = alternate(runs, options.rounds)
    results = {}
    for name, times in seconds.items():
        cosines = (vectors[name] * vectors["float32"]).sum(axis=1)  # both are unit vectors
        results[name] = {
            "seconds": spread(times),
            "faster_than_float32": pairwise_median(seconds["float32"], times),
            "faster_than_sentence_transformers": pairwise_median(
                seconds[SENTENCE_TRANSFORMERS], times
            ),
            "mean_cosine": float(cosines.mean()),
            "min_cosine": float(cosines.min()),
        }
    print_table(f"int8, mixed: {len(texts):,} texts", "contender", COLUMNS, results)
    for key, least in LEAST.items():
        print_verdict(f"{key.replace('_', ' ')} (int8)", results["int8"][key], at_least=least)
    return {"n_texts": len(texts), "contenders": results}


def accuracy(embed, *, is_few):
    """Logistic regression on the vectors of BANKING77, trained and tested in one precision.

    On all texts, or the ten a class of the fine-tuning benchmarks and 1,000 to test.

    Parameters
    ----------
    embed : dict of str to callable
        What turns texts into unit vectors, by the names that the table gives them.
    is_few : bool
        Whether not all texts are read.

    Returns
    -------
    accuracies : dict of str to float
    """
    (train, train_labels), (test, test_labels) = data.banking(a_class=10 if is_few else None)
    results = {}
    for name, function in embed.items():
        # C = 10, for vectors of length 1: with 1 all classes are drawn together.
        model = LogisticRegression(C=10, max_iter=2000).fit(function(train), train_labels)
        results[name] = model.score(function(test), test_labels)
    title = f"BANKING77, {len(train):,} texts to train, {len(test):,} to test: logistic regression"
    print_table(title, "vectors", {"accuracy": "{:.2%}"}, results)
    return results


def summarize(results):
    found, n_texts = results["speed"]["contenders"], results["speed"]["n_texts"]
    ours = found["int8"]
    for peer in ("float32", SENTENCE_TRANSFORMERS):
        speeds = (n_texts / its["seconds"]["median"] for its in (ours, found[peer]))
        ratio = ours[f"faster_than_{peer.replace('-', '_')}"]
        yield summary_line("embedding in int8, texts/s", next(speeds), peer, next(speeds), ratio)
    int8, float32 = (100 * results["accuracy"][name] for name in ("int8", "float32"))
    yield summary_line("quality, int8, frozen, BANKING77, %", int8, "float32", float32)
