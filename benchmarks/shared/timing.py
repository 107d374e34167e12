"""Alternating runs in one process, beside the machine's matmul, and what is said about them."""

import gc
import time
from statistics import median

import numpy as np
from shared.floor import Floor, layer_sizes, said_rates
from shared.peers import token_counts
from shared.report import print_table, summary_line
from transformers import AutoConfig

SLOW_ROUNDS = 3

# Columns of every table of times.
TIMES = {
    "rounds": lambda figures: len(figures["seconds"]["all"]),
    "median s": "{seconds[median]:.3f}",
    "min s": "{seconds[min]:.3f}",
    "max s": "{seconds[max]:.3f}",
}


def alternate(runs, rounds, *, slow=(), floors=()):
    """Run A B C A B C ..., after one warm-up each.

    Parameters
    ----------
    runs : dict of str to callable
        What is timed, without arguments.
    rounds : int
    slow : iterable of str
        Contenders that run in the first `SLOW_ROUNDS` rounds only.
    floors : iterable of Floor
        Measured in each round like contenders, under their names.

    Returns
    -------
    seconds : dict of str to list of float
        Time of each round, so that entry i of two contenders was measured side by side.
    outputs : dict of str to object
        What each returned in the warm-up.
    """
    outputs = {name: run() for name, run in runs.items()}
    for floor in floors:
        floor.measure()
        floor.forget()
    seconds = {name: [] for name in (*(floor.name for floor in floors), *runs)}
    for number in range(rounds):
        for floor in floors:
            seconds[floor.name].append(floor.measure())
        for name, run in runs.items():
            if name not in slow or number < SLOW_ROUNDS:
                seconds[name].append(timed(run)[0])
    return seconds, outputs


def timed(run):
    """Return the seconds that a run takes, and its output."""
    gc.collect()
    start = time.perf_counter()
    output = run()
    return time.perf_counter() - start, output


def spread(values):
    """Return the median, the smallest and the largest value, and the values themselves."""
    return {"median": median(values), "min": min(values), "max": max(values), "all": values}


def pairwise_median(numerators, denominators):
    """Return the median of the ratios inside each round: drift of the machine's speed cancels."""
    # The shorter list is of a contender that sat out the later rounds.
    return median(a / b for a, b in zip(numerators, denominators, strict=False))


def compare(runs, ours, texts, options, *, slow=(), precisions=None):
    """Time contenders beside the matmul.

    Parameters
    ----------
    runs, slow
        As `alternate` takes them.
    ours : str
        The contender that the others are compared with.
    texts : list of str
        What they read.
    options : Namespace
        Those of run.py.
    precisions : dict of str to str, optional
        Of the contenders that do not compute in float32.

    Returns
    -------
    results : dict
        Of each contender: speed, ratios to ours and to the floor, difference from our output; and
        the rates of the floor's products.
    floor : list of float
        Seconds of float32's.
    """
    lengths = token_counts(options.folder, texts)
    flops = layer_flops(options.folder, lengths)
    precisions = dict.fromkeys(runs, "float32") | (precisions or {})
    floors = {each: Floor(options.folder, flops, each) for each in sorted(set(precisions.values()))}
    seconds, outputs = alternate(runs, options.rounds, slow=slow, floors=floors.values())
    of_floor = {each: seconds.pop(floor.name) for each, floor in floors.items()}
    contenders = {
        name: {
            "seconds": spread(times),
            "texts_per_second": len(texts) / median(times),
            "ratio": median(times) / median(seconds[ours]),
            "ratio_pairwise": pairwise_median(times, seconds[ours]),
            "floor_pairwise": pairwise_median(of_floor[precisions[name]], times),
            "floor": median(of_floor[precisions[name]]) / median(times),
            "max_diff": _largest_difference(outputs[name], outputs[ours]),
        }
        for name, times in seconds.items()
    }
    rates = {each: floor.rates() for each, floor in floors.items()}
    sizes = {"n_texts": len(texts), "n_tokens": sum(lengths)}
    return {**sizes, "contenders": contenders, "floor_gflops": rates}, of_floor["float32"]


def _largest_difference(theirs, ours):
    """Return None for outputs of different kinds."""
    return float(np.abs(theirs - ours).max()) if theirs.shape == ours.shape else None


def print_comparison(title, results, ours):
    """Print the table of what `compare` returns."""
    found = results["contenders"]
    columns = {
        **TIMES,
        "texts/s": "{texts_per_second:.0f}",
        f"times {ours}": "{ratio:.2f}",
        "(pairwise)": "{ratio_pairwise:.2f}",
        floor_name(its["floor_pairwise"] for its in found.values()): "{floor_pairwise:.2f}",
        "max diff": lambda its: "" if its["max_diff"] is None else f"{its['max_diff']:.0e}",
    }
    title += "; {n_texts:,} texts, {n_tokens:,} tokens".format(**results)
    print_table(title, "contender", columns, found)
    print_rates(results["floor_gflops"])


def summarize_comparison(what, results, ours):
    """Return the summary's lines of ours beside each of the others."""
    speed = results["contenders"][ours]["texts_per_second"]
    for peer, its in results["contenders"].items():
        if peer != ours:
            yield summary_line(what, speed, peer, its["texts_per_second"], its["ratio_pairwise"])


def floor_name(shares):
    """Return the name of these figures: what was exceeded once is no floor."""
    return "share of matmul floor" if max(shares) <= 1 else "times the matmul's rate"


def print_rates(floor_gflops):
    """Print what each library's products reached, a line a precision."""
    for precision, rates in floor_gflops.items():
        print(f"  {said_rates(precision, rates)}")


def layer_flops(folder, lengths):
    """Count operations of the encoder's layers on texts of so many tokens, padding left out.

    A layer does four H x H products and two H x I products a token, and two products of a
    token's query and value with every token of its text.
    """
    config = AutoConfig.from_pretrained(folder)
    weights = sum(n_in * n_out for n_in, n_out in layer_sizes(folder))
    per_layer = sum(2 * n * weights + 4 * n * n * config.hidden_size for n in lengths)
    return config.num_hidden_layers * per_layer
