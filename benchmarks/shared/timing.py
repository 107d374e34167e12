"""Alternating runs in one process, beside the machine's matmul, and what is said about them."""

import gc
import time
from statistics import median

import numpy as np
import torch
from shared.peers import token_counts
from shared.report import print_table, summary_line
from transformers import AutoConfig

SLOW_ROUNDS = 3
FLOOR = "matmul floor"
SIDE, PRODUCTS = 2048, 20
PRODUCT_FLOPS = PRODUCTS * 2 * SIDE**3

# Columns of every table of times.
TIMES = {
    "rounds": lambda figures: len(figures["seconds"]["all"]),
    "median s": "{seconds[median]:.3f}",
    "min s": "{seconds[min]:.3f}",
    "max s": "{seconds[max]:.3f}",
}


def alternate(runs, rounds, *, slow=(), flops=None):
    """Run A B C A B C ..., after one warm-up each.

    Parameters
    ----------
    runs : dict of str to callable
        What is timed, without arguments.
    rounds : int
    slow : iterable of str
        Contenders that run in the first `SLOW_ROUNDS` rounds only.
    flops : float, optional
        Operations of the work. With it, float32 products of matrices run as one more contender,
        and `FLOOR` is the time in which the round's products would have done the work.

    Returns
    -------
    seconds : dict of str to list of float
        Time of each round, so that entry i of two contenders was measured side by side.
    outputs : dict of str to object
        What each returned in the warm-up.
    """
    runs = runs if flops is None else {FLOOR: matmul_sample(), **runs}
    outputs = {name: run() for name, run in runs.items()}
    seconds = {name: [] for name in runs}
    for number in range(rounds):
        for name, run in runs.items():
            if name not in slow or number < SLOW_ROUNDS:
                seconds[name].append(timed(run)[0])
    if flops is not None:
        seconds[FLOOR] = [flops / PRODUCT_FLOPS * each for each in seconds[FLOOR]]
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


def compare(runs, ours, texts, options, *, slow=()):
    """Time contenders beside the matmul.

    Returns
    -------
    results : dict
        Of each contender: speed, ratios to ours and to the floor, difference from our output.
    seconds : dict of str to list of float
    floor : list of float
    """
    lengths = token_counts(options.folder, texts)
    flops = layer_flops(options.folder, lengths)
    seconds, outputs = alternate(runs, options.rounds, slow=slow, flops=flops)
    floor = seconds.pop(FLOOR)
    contenders = {
        name: {
            "seconds": spread(times),
            "texts_per_second": len(texts) / median(times),
            "ratio": median(times) / median(seconds[ours]),
            "ratio_pairwise": pairwise_median(times, seconds[ours]),
            "floor_pairwise": pairwise_median(floor, times),
            "max_diff": _largest_difference(outputs[name], outputs[ours]),
        }
        for name, times in seconds.items()
    }
    sizes = {"n_texts": len(texts), "n_tokens": sum(lengths)}
    return {**sizes, "contenders": contenders}, seconds, floor


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


def summarize_comparison(what, results, ours):
    """Return the summary's lines of ours beside each of the others."""
    speed = results["contenders"][ours]["texts_per_second"]
    for peer, its in results["contenders"].items():
        if peer != ours:
            yield summary_line(what, speed, peer, its["texts_per_second"], its["ratio_pairwise"])


def floor_name(shares):
    """Return the name of these figures: what was exceeded once is no floor."""
    return "share of matmul floor" if max(shares) <= 1 else "times the matmul's rate"


def matmul_sample():
    """Return a function that computes `PRODUCTS` products of matrices, `PRODUCT_FLOPS`."""
    a, b, c = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE), torch.empty(SIDE, SIDE)

    def multiply():
        for _ in range(PRODUCTS):
            torch.mm(a, b, out=c)

    return multiply


def layer_flops(folder, lengths):
    """Count operations of the encoder's layers on texts of so many tokens, padding left out.

    A layer does four H x H products and two H x I products a token, and two products of a
    token's query and value with every token of its text.
    """
    config = AutoConfig.from_pretrained(folder)
    H, inner = config.hidden_size, config.intermediate_size
    per_layer = sum(2 * n * (4 * H * H + 2 * H * inner) + 4 * n * n * H for n in lengths)
    return config.num_hidden_layers * per_layer
