"""The same numbers as sentence-transformers, and as transformers one text at a time."""

import numpy as np
import torch
from shared import data, peers
from shared.report import pass_or_fail, print_table

from skbert import BertEmbedder

TOLERANCE = 1e-5
# (questions, contexts, sentences)
FULL, QUICK = (60, 30, 60), (14, 4, 12)

# One text's token vectors (L, H) → its vector (H,); None keeps the tokens.
POOL = {
    "mean": lambda hidden: hidden.mean(0),
    "cls": lambda hidden: hidden[0],
    "max": lambda hidden: hidden.max(0).values,
    "mean_sqrt_len": lambda hidden: hidden.sum(0) / len(hidden) ** 0.5,
    None: lambda hidden: hidden,
}
# (layers, combine_layers)
LAYERS = (
    *((-1, "mean"), (0, "mean"), (3, "mean"), ((0, 6), "mean")),
    ((-1, -2, -3, -4), "concat"),
)
BATCH_SIZES = (1, 7, 64, "auto")
COLUMNS = {
    "max abs diff": "{max_abs_diff:.1e}",
    "largest value": "{largest_value:.2f}",
    "": lambda row: pass_or_fail(row["passed"]),
}


def measure(options):
    """Compare, print PASS or FAIL a row."""
    folder = options.folder
    texts = data.mixed(*(QUICK if options.quick else FULL))
    states, pooled = _reference(folder, texts)
    theirs = peers.sentence_transformers_encode(folder)(texts)
    embed = peers.skbert_embedder(folder)  # keeps the weights loaded for all the embedders below
    results = [
        _compare("sentence-transformers, normalize=True", embed(texts), theirs),
        *_poolings_and_layers(folder, texts, states, pooled),
        *_orders_and_batch_sizes(folder, texts, states),
    ]
    title = f"Same numbers: {len(texts)} texts, at most {TOLERANCE:.0e} from the reference"
    print_table(title, "comparison", COLUMNS, {row["comparison"]: row for row in results})
    return results


@torch.inference_mode()
def _reference(folder, texts):
    """Run transformers one text at a time: no padding, no batch.

    Returned are for each text all states (n_layers + 1, L, H) and the pooler's output (H,).
    """
    tokenizer, model = peers.load_plain(folder)
    states, pooled = [], []
    for text in texts:
        output = model(**peers.padded(tokenizer, [text]), output_hidden_states=True)
        states.append(torch.cat(output.hidden_states))
        pooled.append(output.pooler_output[0])
    return states, pooled


def _poolings_and_layers(folder, texts, states, pooled):
    for pooling in POOL:
        for layers, combine in LAYERS:
            expected = [_expected(state, pooling, layers, combine) for state in states]
            ours = _embed(folder, texts, pooling=pooling, layers=layers, combine_layers=combine)
            yield _compare(f"pooling={pooling!r}, layers={layers}, {combine}", ours, expected)
    ours = _embed(folder, texts, pooling="pooler")
    yield _compare("pooling='pooler'", ours, [vector.numpy() for vector in pooled])


def _orders_and_batch_sizes(folder, texts, states):
    expected = np.stack([_expected(state, "mean", -1, "mean") for state in states])
    given = np.arange(len(texts))
    shuffled = np.random.default_rng(data.SEED).permutation(len(texts))
    for name, order in (("given", given), ("shuffled", shuffled)):
        for batch_size in BATCH_SIZES:
            ours = _embed(folder, [texts[i] for i in order], batch_size=batch_size)
            yield _compare(f"order {name}, batch_size={batch_size!r}", ours, expected[order])


def _expected(state, pooling, layers, combine):
    chosen = [state[layer] for layer in (layers if isinstance(layers, tuple) else (layers,))]
    hidden = torch.cat(chosen, -1) if combine == "concat" else torch.stack(chosen).mean(0)
    return POOL[pooling](hidden).numpy()


def _embed(folder, texts, **parameters):
    return BertEmbedder(str(folder), device="cpu", **parameters).fit_transform(texts)


def _compare(title, ours, theirs):
    """Compare two lists of arrays, one a text."""
    same_shapes = [np.shape(a) for a in ours] == [np.shape(b) for b in theirs]
    pairs = zip(ours, theirs, strict=True)
    worst = max(float(np.abs(a - b).max()) for a, b in pairs) if same_shapes else float("inf")
    return {
        "comparison": title,
        "max_abs_diff": worst,
        "largest_value": max(float(np.abs(b).max()) for b in theirs),
        "passed": worst <= TOLERANCE,
    }
