"""Speed on three sets of texts, beside the peers."""

from functools import partial
from statistics import median

from shared import data, peers
from shared.report import print_table, print_verdict, summary_line
from shared.timing import (
    FLOOR,
    alternate,
    compare,
    comparison_columns,
    layer_flops,
    spread,
)

SKBERT = "skbert"
SENTENCE_TRANSFORMERS = "sentence-transformers"
PIPELINES = {1: "pipeline, batch 1", 32: "pipeline, batch 32"}
PLAIN_LOOP = f"plain {peers.LOOP}"
FLOOR_TARGET = 0.75


def measure(options):
    """Time all contenders on all sets; print a table a set.

    Returns
    -------
    results : dict
        One entry a set.
    """
    fast = {
        SKBERT: peers.skbert_embedder(options.folder),
        "skbert, bfloat16": peers.skbert_embedder(options.folder, "bfloat16"),
        SENTENCE_TRANSFORMERS: peers.sentence_transformers_encode(options.folder),
    }
    sets = {
        "mixed": (data.mixed(), _slow_peers(options.folder)),
        "mixed-large": (data.mixed_large(), {}),
        "short": (data.short(), {}),
    }
    results = {}
    for name, (texts, slow) in sets.items():
        results[name] = _measure_set(data.few(texts, options.quick), fast, slow, options)
        _print_set(name, results[name])
    return results


def _slow_peers(folder):
    slow = {PLAIN_LOOP: peers.plain_loop(folder)}
    for batch_size, name in PIPELINES.items():
        slow[name] = peers.extraction_pipeline(folder, batch_size)
    if peers.has_skrub():
        slow["skrub"] = peers.skrub_encoder(folder)
    return slow


def _measure_set(texts, fast, slow, options):
    lengths = peers.token_counts(options.folder, texts)
    flops = layer_flops(options.folder, lengths)
    runs = {name: partial(embed, texts) for name, embed in {**fast, **slow}.items()}
    seconds, outputs = alternate(runs, options.rounds, slow=slow, flops=flops)
    floor = seconds.pop(FLOOR)
    contenders = compare(seconds, outputs, SKBERT, floor, len(texts))
    for name, times in seconds.items():
        contenders[name]["floor"] = median(floor) / median(times)
    return {
        "n_texts": len(texts),
        "n_tokens": sum(lengths),
        "gflops_per_second": flops / 1e9 / median(floor),
        "floor_seconds": spread(floor),
        "contenders": contenders,
    }


def _print_set(name, result):
    title = (
        f"Speed, {name}: {result['n_texts']:,} texts, {result['n_tokens']:,} tokens; "
        f"float32 matmul {result['gflops_per_second']:.0f} GFLOP/s"
    )
    contenders = result["contenders"]
    print_table(title, "contender", comparison_columns(contenders, SKBERT), contenders)
    if name in ("mixed", "mixed-large"):
        _print_verdicts(contenders)


def _print_verdicts(contenders):
    """Judge by the pairwise figures."""
    ratio = {name: figures["ratio_pairwise"] for name, figures in contenders.items()}
    print_verdict("times sentence-transformers", ratio[SENTENCE_TRANSFORMERS], at_least=1.8)
    if PLAIN_LOOP in ratio:
        print_verdict("times the plain loop", ratio[PLAIN_LOOP], at_least=5)
        better = min(ratio[name] for name in PIPELINES.values())
        print_verdict("times the pipeline with its better batch size", better, at_least=5)
    share = contenders[SKBERT]["floor_pairwise"]
    print_verdict("of the speed of the machine's matmul", share, at_least=FLOOR_TARGET)


def summarize(results):
    for name, found in results.items():
        what = f"embedding, {name}, texts/s"
        ours = found["contenders"][SKBERT]
        matmul = found["n_texts"] / found["floor_seconds"]["median"]
        speed = ours["texts_per_second"]
        yield summary_line(what, speed, "the machine's matmul", matmul, ours["floor_pairwise"])
        yield from summarize_contenders(what, found["contenders"], SKBERT)


def summarize_contenders(what, contenders, ours):
    """Return the summary's lines of ours beside each of the others."""
    speed = contenders[ours]["texts_per_second"]
    for peer, its in contenders.items():
        if peer != ours:
            yield summary_line(what, speed, peer, its["texts_per_second"], its["ratio_pairwise"])
