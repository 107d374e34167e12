"""Embedding beside the runtimes that are made for CPUs: OpenVINO and ONNX Runtime."""

import tempfile
from functools import partial
from statistics import median
from typing import NamedTuple

from embedding.int8 import accuracy
from shared import data, peers, runtimes, timing
from shared.checkpoints import save_random
from shared.floor import Floor
from shared.peers import SENTENCE_TRANSFORMERS
from shared.report import print_table, print_verdict, summary_line
from shared.timing import TIMES, alternate, pairwise_median, spread, timed

PACKAGES = ("openvino", "nncf", "onnxruntime", "onnx")
N_TEXTS_BASE = 300
OURS, THEIRS = "skbert, {}", "OpenVINO, {}"
COLUMNS = {
    "batch": lambda its: its["batch_size"] or "auto",
    "first": "{first_seconds:.3f}",
    **TIMES,
    "times s-t": "{times_st:.2f}",
    "share of floor": "{floor_pairwise:.2f}",
    "mean cosine": "{mean_cosine:.5f}",
    "least": "{min_cosine:.5f}",
}
# Ours, what is beside it, and how many times as fast ours should be.
FASTER = (
    ("skbert, float32", "OpenVINO, float32", 1.2),
    ("skbert, bfloat16", "OpenVINO, bfloat16", 1.25),
    ("skbert, int8", "OpenVINO, int8", 1.1),
    ("skbert, int8", "skbert, bfloat16", 1.3),
)
COSINES = {"mean_cosine": 0.998, "min_cosine": 0.99}
POINTS_LOST = 0.3


def measure(options):
    """Time the mixed texts, then classify BANKING77 by the vectors."""
    texts = data.few(data.mixed(), options.quick)
    return _measure_model("MiniLM", options.folder, texts, options, is_few=options.quick)


def measure_base(options):
    """Do the same with random weights of BERT's usual size, and with the checkpoints asked for.

    On fewer texts; and only checkpoints' vectors are worth classifying.
    """
    texts = data.few(data.mixed()[:N_TEXTS_BASE], options.quick)
    with tempfile.TemporaryDirectory() as work:
        save_random(work, "Bert", options.folder)
        results = {"BERT-base, random": _measure_model("BERT-base, random", work, texts, options)}
    for folder in options.models:
        name = folder.resolve().name
        results[name] = _measure_model(name, folder, texts, options, is_few=True)
    return results


class Contender(NamedTuple):
    """A precision, and a function of texts for each batch size; None where it is chosen inside."""

    precision: str
    of_size: dict


def _measure_model(name, folder, texts, options, *, is_few=None):
    """Measure speed, and, told how many texts, accuracy; print the tables and the verdicts."""
    contenders = _contenders(folder)
    lengths = peers.token_counts(folder, texts)
    flops = timing.layer_flops(folder, lengths)
    computed = {contender.precision for contender in contenders.values()}
    floors = {each: Floor(folder, flops, each) for each in runtimes.HINTS if each in computed}
    found, seconds = _speed(contenders, texts, floors, options.rounds)
    results = {
        "n_texts": len(texts),
        "n_tokens": sum(lengths),
        "contenders": found,
        "floor_gflops": {each: floor.rates() for each, floor in floors.items()},
        "times": _ratios(seconds),
    }
    title = f"CPU peers, {name}: {len(texts):,} texts, {sum(lengths):,} tokens"
    print_table(title, "contender", COLUMNS, found)
    timing.print_rates(results["floor_gflops"])
    _print_verdicts(results)
    if is_few is not None:
        results["accuracy"] = _accuracy(contenders, found, is_few=is_few)
    return results


def _contenders(folder):
    """Load all that is installed."""
    computed = peers.computed_precisions()
    found = {
        OURS.format(each): Contender(each, {None: peers.skbert_embedder(folder, precision=each)})
        for each in computed
    }
    encode = peers.sentence_transformers_encode
    of_size = {size: encode(folder, batch_size=size) for size in runtimes.BATCH_SIZES}
    found[SENTENCE_TRANSFORMERS] = Contender("float32", of_size)
    absent = [name for name in PACKAGES if not runtimes.has(name)]
    if absent:
        print(f'\nWhat needs {", ".join(absent)} is left out: pip install "skbert[bench]".')
    if runtimes.has("openvino"):
        for each, of_size in runtimes.openvino_embedders(folder, computed).items():
            found[THEIRS.format(each)] = Contender(each, of_size)
    if runtimes.has("onnx", "onnxruntime"):
        for name, of_size in runtimes.onnxruntime_embedders(folder).items():
            found[f"ONNX Runtime, {name}"] = Contender("float32", of_size)
    return found


def _speed(contenders, texts, floors, rounds):
    """Time each contender with each of its batch sizes; the better one counts.

    Returns
    -------
    figures : dict of str to dict
        Of each contender.
    seconds : dict of str to list of float
        Of each round.
    """
    runs = {
        (name, size): partial(function, texts)
        for name, contender in contenders.items()
        for size, function in contender.of_size.items()
    }
    # Before the warm-up: libraries compile, or choose kernels, for each new shape.
    first = {key: timed(run) for key, run in runs.items()}
    seconds, _ = alternate(runs, rounds, floors=floors.values())
    figures, chosen = {}, {}
    for name, (precision, of_size) in contenders.items():
        medians = {size: median(seconds[name, size]) for size in of_size}
        best = min(medians, key=medians.get)
        chosen[name] = seconds[name, best]
        figures[name] = {
            "batch_size": best,
            "of_batch_sizes": {str(size): its for size, its in medians.items()},
            "first_seconds": first[name, best][0],
            "seconds": spread(chosen[name]),
            "floor_pairwise": pairwise_median(seconds[floors[precision].name], chosen[name]),
            **_cosines(first[name, best][1], first[OURS.format("float32"), None][1]),
        }
    for name, its in figures.items():
        its["times_st"] = pairwise_median(chosen[SENTENCE_TRANSFORMERS], chosen[name])
    return figures, chosen


def _cosines(vectors, expected):
    cosines = (vectors * expected).sum(axis=1)  # both are unit vectors
    return {"mean_cosine": float(cosines.mean()), "min_cosine": float(cosines.min())}


def _ratios(seconds):
    """Return how many times as fast ours are as what `FASTER` puts beside them, where both are."""
    return {
        f"{ours} beside {peer}": pairwise_median(seconds[peer], seconds[ours])
        for ours, peer, _ in FASTER
        if {ours, peer} <= set(seconds)
    }


def _print_verdicts(results):
    for ours, peer, least in FASTER:
        ratio = results["times"].get(f"{ours} beside {peer}")
        if ratio is not None:
            print_verdict(f"times {peer} ({ours})", ratio, at_least=least)
    int8 = results["contenders"].get(OURS.format("int8"))
    for key, least in COSINES.items() if int8 else ():
        print_verdict(
            f"{key.replace('_', ' ')} to float32 (skbert, int8)", int8[key], at_least=least
        )


def _accuracy(contenders, figures, *, is_few):
    """Classify BANKING77 by our vectors of each precision, and by OpenVINO's int8."""
    names = [*map(OURS.format, runtimes.HINTS), THEIRS.format("int8")]
    embed = {
        name: contenders[name].of_size[figures[name]["batch_size"]]
        for name in names
        if name in contenders
    }
    results = accuracy(embed, is_few=is_few)
    if OURS.format("int8") in results:
        lost = 100 * (results[OURS.format("float32")] - results[OURS.format("int8")])
        print_verdict("points of accuracy lost by int8", lost, at_most=POINTS_LOST)
    return results


def summarize(results, what="MiniLM"):
    """Return a line for each of ours beside each peer of the same precision."""
    speed = {
        name: results["n_texts"] / its["seconds"]["median"]
        for name, its in results["contenders"].items()
    }
    for ours, peer, _ in FASTER:
        ratio = results["times"].get(f"{ours} beside {peer}")
        if ratio is not None:
            title = f"CPU peers, {what}, {ours}, texts/s"
            yield summary_line(title, speed[ours], peer, speed[peer], ratio)


def summarize_base(results):
    for model, found in results.items():
        yield from summarize(found, model)
