"""The embedder on short, mixed and long texts beside sentence-transformers at its best."""

from functools import partial

import torch
from gpu import contenders
from gpu.contenders import SENTENCE_TRANSFORMERS, fitted
from gpu.rates import known_rate
from shared.timing import alternate, layer_flops, pairwise_median, spread, timed

OURS = "bfloat16, packed"
OTHERS = {
    "bfloat16, padded": {"precision": "bfloat16", "is_padded": True},
    "float16, packed": {"precision": "float16"},
}
# Most important first.
CASES = (("base", "mixed"), ("minilm", "mixed"), ("base", "long"), ("base", "short"))
GOALS = {"mixed": 1.5}
TUNING_SHARE, FLOAT32_SHARE = 0.25, 0.1
BUDGETS = (16_384, 32_768, 131_072)
# Rounds of the first case; of the others three.
FEWER_ROUNDS = 3


def measure(setting, record):
    found, notes = {}, []
    # A try-out leaves out the case that the first one is like.
    for model, kind in CASES[:3] if setting.is_tiny else CASES:
        if model not in setting.models:
            continue
        case = f"{model}, {kind}"
        found[case] = {}
        # Each figure is in the file before the next is measured.
        for key, value in _measure_case(setting, record, model, kind):
            found[case][key] = value
            record.put("cases", found)
        ratio = found[case]["times_sentence_transformers"]
        if kind in GOALS:
            what = f"times {SENTENCE_TRANSFORMERS}' best, {case}"
            record.goal(what, ratio, at_least=GOALS[kind])
        notes.append(_note(case, found[case]))
        record.put("notes", notes)
        print(f"  {notes[-1]}", flush=True)


def _measure_case(setting, record, model, kind):
    """Yield names and figures."""
    texts = setting.texts(kind, model)
    ours = fitted(setting, model, precision="bfloat16", normalize=True)
    yield "packed", ours._loaded().packed
    tokenizer = ours._loaded().tokenizer
    lengths = tokenizer.encode(texts, max_length=ours.max_length_).lengths.tolist()
    yield "n_texts", len(texts)
    yield "n_tokens", sum(lengths)
    ways = contenders.peers(setting, model)
    tried = _tuned(ways, setting.texts(kind, model, TUNING_SHARE))
    yield "sentence_transformers_tried", tried
    best = min(tried, key=tried.get)
    runs = {OURS: partial(ours.transform, texts), SENTENCE_TRANSFORMERS: partial(ways[best], texts)}
    n_rounds = setting.rounds if (model, kind) == CASES[0] else min(FEWER_ROUNDS, setting.rounds)
    seconds, outputs = alternate(runs, n_rounds)
    yield "seconds", {name: spread(times) for name, times in seconds.items()}
    yield "sentence_transformers_best", best
    its = seconds[SENTENCE_TRANSFORMERS]
    yield "times_sentence_transformers", pairwise_median(its, seconds[OURS])
    cosine = (outputs[OURS] * outputs[SENTENCE_TRANSFORMERS]).sum(1)
    yield "least_cosine_to_it", float(cosine.min())
    speed = sum(lengths) / spread(seconds[OURS])["median"]
    yield "tokens_per_second", speed
    yield "its_tokens_per_second", sum(lengths) / spread(its)["median"]
    flops_a_token = layer_flops(setting.models[model], lengths) / sum(lengths)
    rate = known_rate(setting, record, torch.bfloat16)
    yield "share_of_matmul_rate", speed * flops_a_token / rate
    yield "its_share_of_matmul_rate", sum(lengths) / spread(its)["median"] * flops_a_token / rate
    yield "budgets", _budgets(ours, setting.texts(kind, model, TUNING_SHARE))
    del ours, ways, runs
    yield "others_seconds", _others(setting, model, texts)
    few = setting.texts(kind, model, FLOAT32_SHARE)
    single = fitted(setting, model, precision="float32", normalize=True)
    n_tokens = sum(lengths[: len(few)])
    yield "float32_tokens_per_second", n_tokens / min(_twice(partial(single.transform, few)))


def _tuned(ways, texts):
    """Return the seconds of each way: the shorter of two runs."""
    return {name: min(_twice(partial(encode, texts))) for name, encode in ways.items()}


def _twice(run):
    return [timed(run)[0] for _ in range(2)]


def _budgets(embedder, texts):
    """Return the seconds with other numbers of tokens in a batch than the default's."""
    encoder = embedder._loaded()
    default, seconds = encoder.max_tokens, {}
    for budget in sorted({default, *BUDGETS}):
        encoder.max_tokens = budget
        seconds[budget] = min(_twice(partial(embedder.transform, texts)))
    encoder.max_tokens = default
    return seconds


def _others(setting, model, texts):
    """Return the seconds of other ways to compute, the shorter of two runs."""
    seconds = {}
    for name, options in OTHERS.items():
        embedder = fitted(setting, model, normalize=True, **options)
        seconds[name] = min(_twice(partial(embedder.transform, texts)))
    return seconds


def _note(case, its):
    return (
        f"{case}: {its['tokens_per_second']:,.0f} tokens/s, {its['share_of_matmul_rate']:.2f} of "
        f"the matmul rate; {SENTENCE_TRANSFORMERS} {its['its_tokens_per_second']:,.0f} "
        f"({its['sentence_transformers_best']}); ratio {its['times_sentence_transformers']:.2f}"
    )
