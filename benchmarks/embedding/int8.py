"""int8 beside our other precisions: its speed, how near its vectors are, what they are worth."""

from functools import partial

from shared import data, peers
from shared.report import print_table, print_verdict, summary_line
from shared.timing import TIMES, alternate, pairwise_median, spread

PRECISIONS = ("float32", "bfloat16", "int8")
SENTENCE_TRANSFORMERS = "sentence-transformers"
COLUMNS = {
    **TIMES,
    "times faster than float32": "{faster_than_float32:.2f}",
    "than s-t": "{faster_than_sentence_transformers:.2f}",
    "mean cosine": "{mean_cosine:.5f}",
    "smallest": "{min_cosine:.5f}",
}


def measure(options):
    """Time the mixed texts, then classify BANKING77; print a table each and the verdicts.

    Returns
    -------
    results : dict
    """
    embed = {
        precision: peers.skbert_embedder(options.folder, precision) for precision in PRECISIONS
    }
    return {"speed": _speed(embed, options), "accuracy": _accuracy(embed, options.quick)}


def _speed(embed, options):
    texts = data.few(data.mixed(), options.quick)
    peer = peers.sentence_transformers_encode(options.folder)
    contenders = {**embed, SENTENCE_TRANSFORMERS: peer}
    runs = {name: partial(function, texts) for name, function in contenders.items()}
    seconds, vectors = alternate(runs, options.rounds)
    results = {
        name: {
            "seconds": spread(times),
            "faster_than_float32": pairwise_median(seconds["float32"], times),
            "faster_than_sentence_transformers": pairwise_median(
                seconds[SENTENCE_TRANSFORMERS], times
            ),
            **_cosines(vectors[name], vectors["float32"]),
        }
        for name, times in seconds.items()
    }
    _print_speed(len(texts), results)
    return {"n_texts": len(texts), "contenders": results}


def _cosines(ours, float32):
    cosines = (ours * float32).sum(axis=1)  # both are unit vectors
    return {"mean_cosine": float(cosines.mean()), "min_cosine": float(cosines.min())}


def _accuracy(embed, quick):
    """Logistic regression on the vectors of all of BANKING77, trained and tested in one precision.

    A tenth with --quick: the ten texts a class of the fine-tuning benchmarks, and 1,000 to test.
    """
    from sklearn.linear_model import LogisticRegression

    (train, train_labels), (test, test_labels) = data.banking(a_class=10 if quick else None)
    results = {}
    for precision, function in embed.items():
        # C = 10, for vectors of length 1: with 1 all classes are drawn together.
        model = LogisticRegression(C=10, max_iter=2000).fit(function(train), train_labels)
        results[precision] = model.score(function(test), test_labels)
    title = f"BANKING77, {len(train):,} texts to train, {len(test):,} to test: logistic regression"
    print_table(title, "precision", {"accuracy": "{:.2%}"}, results)
    lost = 100 * (results["float32"] - results["int8"])
    print_verdict("points of accuracy lost by int8", lost, at_most=0.5)
    return results


def _print_speed(n_texts, results):
    print_table(f"int8, mixed: {n_texts:,} texts", "contender", COLUMNS, results)
    int8 = results["int8"]
    print_verdict("times as fast as float32", int8["faster_than_float32"], at_least=1.5)
    ratio = int8["faster_than_sentence_transformers"]
    print_verdict("times as fast as sentence-transformers", ratio, at_least=3.2)
    print_verdict("mean cosine to float32", int8["mean_cosine"], at_least=0.99)


def summarize(results):
    contenders = results["speed"]["contenders"]
    speeds = {
        name: results["speed"]["n_texts"] / its["seconds"]["median"]
        for name, its in contenders.items()
    }
    for peer in ("float32", SENTENCE_TRANSFORMERS):
        ratio = contenders["int8"][f"faster_than_{peer.replace('-', '_')}"]
        yield summary_line("embedding in int8, texts/s", speeds["int8"], peer, speeds[peer], ratio)
    int8, float32 = (100 * results["accuracy"][name] for name in ("int8", "float32"))
    yield summary_line("quality, int8, frozen, BANKING77, %", int8, "float32", float32)
