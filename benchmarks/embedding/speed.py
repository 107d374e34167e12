"""Speed on three sets of texts, beside the peers."""

import numpy as np
from shared import data as _data
from shared import floor as _floor
from shared import peers as _peers
from shared.report import print_table, verdict
from shared.timing import Contender, alternate, pairwise_median, spread

SLOW_ROUNDS = 3
QUICK_SHARE = 10  # --quick takes one text in ten

SKBERT = "skbert"
BFLOAT16 = "skbert, bfloat16"
SENTENCE_TRANSFORMERS = "sentence-transformers"
LOOP = "plain loop, 32 in input order"
PIPELINES = {1: "pipeline, batch 1", 32: "pipeline, batch 32"}
SKRUB = "skrub"
MATMUL = "matmul"

FLOOR_TARGET = 0.75
HEADERS = (
    "contender", "rounds", "median s", "min s", "max s", "texts/s", "times skbert", "(pairwise)",
    "floor", "(pairwise)", "max diff",
)  # fmt: skip


def measure(folder, *, rounds, quick):
    """Time all contenders on all sets; print a table a set.

    Returns
    -------
    results : dict
        One entry a set.
    """
    corpus = _data.read_corpus()
    fast = {
        SKBERT: _peers.skbert_embedder(folder),
        BFLOAT16: _peers.skbert_embedder(folder, "bfloat16"),
        SENTENCE_TRANSFORMERS: _peers.sentence_transformers_encode(folder),
    }
    slow = _slow_peers(folder)
    sets = {
        "mixed": (_data.mixed(corpus), slow),
        "mixed-large": (_data.mixed_large(corpus), {}),
        "short": (_data.short(corpus), {}),
    }
    results = {}
    for name, (texts, others) in sets.items():
        texts = texts[: len(texts) // QUICK_SHARE] if quick else texts
        results[name] = _measure_set(folder, texts, fast, others, rounds)
        _print_set(name, results[name])
    return results


def _slow_peers(folder):
    peers = {LOOP: _peers.plain_loop(folder)}
    for batch_size, name in PIPELINES.items():
        peers[name] = _peers.extraction_pipeline(folder, batch_size)
    if _peers.has_skrub():
        peers[SKRUB] = _peers.skrub_encoder(folder)
    return peers


def _measure_set(folder, texts, fast, slow, rounds):
    contenders = [Contender(MATMUL, _floor.matmul_sample(), rounds)]
    contenders += [_contender(name, embed, texts, rounds) for name, embed in fast.items()]
    few = min(rounds, SLOW_ROUNDS)
    contenders += [_contender(name, embed, texts, few) for name, embed in slow.items()]
    seconds, outputs = alternate(contenders)

    flops, n_tokens = _floor.text_flops(folder, texts)
    floor = _floor.floor_seconds(flops, seconds.pop(MATMUL))
    return {
        "n_texts": len(texts),
        "n_tokens": n_tokens,
        "gflops_per_second": flops / 1e9 / spread(floor)["median"],
        "floor_seconds": spread(floor),
        "contenders": {
            name: {
                **_compare(times, seconds[SKBERT], floor, len(texts)),
                "max_diff": float(np.abs(outputs[name] - outputs[SKBERT]).max()),
            }
            for name, times in seconds.items()
        },
    }


def _contender(name, embed, texts, rounds):
    return Contender(name, lambda: embed(texts), rounds)


def _compare(times, skbert_times, floor, n_texts):
    seconds = spread(times)
    return {
        "seconds": seconds,
        "texts_per_second": n_texts / seconds["median"],
        "ratio": seconds["median"] / spread(skbert_times)["median"],
        "ratio_pairwise": pairwise_median(times, skbert_times),
        "floor": spread(floor)["median"] / seconds["median"],
        "floor_pairwise": pairwise_median(floor, times),
    }


def _print_set(name, result):
    title = (
        f"Speed, {name}: {result['n_texts']:,} texts, {result['n_tokens']:,} tokens; "
        f"float32 matmul {result['gflops_per_second']:.0f} GFLOP/s"
    )
    rows = [_row(name, figures) for name, figures in result["contenders"].items()]
    print_table(title, HEADERS, rows)
    for line in _verdicts(name, result["contenders"]):
        print(line)


def _row(name, figures):
    seconds = figures["seconds"]
    return (
        name,
        len(seconds["all"]),
        *(f"{seconds[key]:.3f}" for key in ("median", "min", "max")),
        f"{figures['texts_per_second']:.0f}",
        *(f"{figures[key]:.2f}" for key in ("ratio", "ratio_pairwise", "floor", "floor_pairwise")),
        f"{figures['max_diff']:.0e}",
    )


def _verdicts(set_name, contenders):
    """Judge by the pairwise figures; the targets are those of the mixed sets."""
    if set_name not in ("mixed", "mixed-large"):
        return
    ratio = {name: figures["ratio_pairwise"] for name, figures in contenders.items()}
    yield verdict("times sentence-transformers", ratio[SENTENCE_TRANSFORMERS], at_least=1.8)
    if LOOP in ratio:
        yield verdict("times the plain loop", ratio[LOOP], at_least=5)
        better = min(ratio[name] for name in PIPELINES.values())
        yield verdict("times the pipeline with its better batch size", better, at_least=5)
    yield verdict("of the floor", contenders[SKBERT]["floor_pairwise"], at_least=FLOOR_TARGET)
