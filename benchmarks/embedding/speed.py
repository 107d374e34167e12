"""Speed on three sets of texts, beside the peers."""

from functools import partial

from shared import data, peers, timing
from shared.peers import PIPELINES, PLAIN_LOOP, SENTENCE_TRANSFORMERS, SKBERT
from shared.report import print_verdict, summary_line

BFLOAT16 = "skbert, bfloat16"
FAST = (SKBERT, BFLOAT16, SENTENCE_TRANSFORMERS)
SLOW = (PLAIN_LOOP, *PIPELINES.values(), peers.SKRUB)  # on the mixed texts only
SETS = {"mixed": data.mixed, "mixed-large": data.mixed_large, "short": data.short}
FLOOR_TARGET = 0.75


def measure(options):
    """Time all contenders on all sets; print a table a set."""
    contenders = peers.embedders(options.folder, (*FAST, *SLOW))
    results = {}
    for name, texts_of in SETS.items():
        texts = data.few(texts_of(), options.quick)
        embed = {peer: contenders[peer] for peer in contenders if name == "mixed" or peer in FAST}
        results[name] = _measure_set(texts, embed, options)
        timing.print_comparison(f"Speed, {name}", results[name], SKBERT)
        if name != "short":
            _print_verdicts(results[name]["contenders"])
    return results


def _measure_set(texts, embed, options):
    runs = {name: partial(function, texts) for name, function in embed.items()}
    precisions = {BFLOAT16: "bfloat16"}
    results, floor = timing.compare(runs, SKBERT, texts, options, slow=SLOW, precisions=precisions)
    return {**results, "floor_seconds": timing.spread(floor)}


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
        what, ours = f"embedding, {name}, texts/s", found["contenders"][SKBERT]
        matmul = found["n_texts"] / found["floor_seconds"]["median"]
        share = ours["floor_pairwise"]
        yield summary_line(what, ours["texts_per_second"], "the machine's matmul", matmul, share)
        yield from timing.summarize_comparison(what, found, SKBERT)
