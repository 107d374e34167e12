"""int8 beside our other precisions: its speed, how near its vectors are, what they are worth."""

from fine_tuning import data as _fine_tuning_data
from shared import data as _data
from shared import peers as _peers
from shared.report import print_table, verdict
from shared.timing import Contender, alternate, pairwise_median, spread

PRECISIONS = ("float32", "bfloat16", "int8")
SENTENCE_TRANSFORMERS = "sentence-transformers"
QUICK_SHARE = 10
HEADERS = (
    "contender", "rounds", "median s", "min s", "max s", "times faster than float32",
    "than s-t", "mean cosine", "smallest",
)  # fmt: skip


def measure(folder, *, rounds, quick):
    """Time the mixed texts, then classify BANKING77; print a table each and the verdicts.

    Returns
    -------
    results : dict
    """
    embed = {precision: _peers.skbert_embedder(folder, precision) for precision in PRECISIONS}
    speed = _speed(folder, embed, rounds, quick)
    accuracy = _accuracy(embed, quick)
    return {"speed": speed, "accuracy": accuracy}


def _speed(folder, embed, rounds, quick):
    texts = _data.mixed(_data.read_corpus())
    texts = texts[: len(texts) // QUICK_SHARE] if quick else texts
    peers = {**embed, SENTENCE_TRANSFORMERS: _peers.sentence_transformers_encode(folder)}
    contenders = [_contender(name, function, texts, rounds) for name, function in peers.items()]
    seconds, vectors = alternate(contenders)
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


def _contender(name, embed, texts, rounds):
    return Contender(name, lambda: embed(texts), rounds)


def _cosines(ours, float32):
    cosines = (ours * float32).sum(axis=1)  # both are unit vectors
    return {"mean_cosine": float(cosines.mean()), "min_cosine": float(cosines.min())}


def _accuracy(embed, quick):
    """Logistic regression on the vectors of all of BANKING77, trained and tested in one precision.

    A tenth with --quick: the ten texts a class of the fine-tuning benchmarks, and 1,000 to test.
    """
    from sklearn.linear_model import LogisticRegression

    (train, train_labels), (test, test_labels) = _fine_tuning_data.banking(everything=not quick)
    results = {}
    for precision, function in embed.items():
        # C = 10, for vectors of length 1: with 1 all classes are drawn together.
        model = LogisticRegression(C=10, max_iter=2000).fit(function(train), train_labels)
        results[precision] = model.score(function(test), test_labels)
    title = f"BANKING77, {len(train):,} texts to train, {len(test):,} to test: logistic regression"
    rows = [(precision, f"{100 * value:.2f}") for precision, value in results.items()]
    print_table(title, ("precision", "accuracy, %"), rows)
    lost = 100 * (results["float32"] - results["int8"])
    print(verdict("points of accuracy lost by int8", lost, at_most=0.5))
    return results


def _print_speed(n_texts, results):
    rows = [_row(name, figures) for name, figures in results.items()]
    print_table(f"int8, mixed: {n_texts:,} texts", HEADERS, rows)
    int8 = results["int8"]
    print(verdict("times as fast as float32", int8["faster_than_float32"], at_least=1.5))
    against = int8["faster_than_sentence_transformers"]
    print(verdict("times as fast as sentence-transformers", against, at_least=3.2))
    print(verdict("mean cosine to float32", int8["mean_cosine"], at_least=0.99))


def _row(name, figures):
    seconds = figures["seconds"]
    return (
        name,
        len(seconds["all"]),
        *(f"{seconds[key]:.3f}" for key in ("median", "min", "max")),
        f"{figures['faster_than_float32']:.2f}",
        f"{figures['faster_than_sentence_transformers']:.2f}",
        f"{figures['mean_cosine']:.5f}",
        f"{figures['min_cosine']:.5f}",
    )
