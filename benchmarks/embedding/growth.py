"""Growth: texts a second as texts become more, 1,000 to 100,000, and longer, 8 to 512 tokens."""

import random
from collections import defaultdict
from functools import partial

from shared import data, peers
from shared.report import print_table
from shared.timing import timed
from transformers import AutoTokenizer

NUMBERS = (1_000, 10_000, 100_000)
LENGTHS = (8, 16, 32, 64, 128, 256, 512)
TOKENS_A_LENGTH = 8_192  # so that each length is about as much work
LONGEST = 512
CONTENDERS = (peers.SKBERT, peers.SENTENCE_TRANSFORMERS, peers.PIPELINES[1], peers.SKRUB)
# Who would need longer for the next size, by what the last one took, sits out the rest.
MOST_SECONDS = 330
TITLES = {"number": "as the texts become more", "length": "as they become longer, in tokens"}


def measure(options):
    """Time each contender once at each size, after a warm-up; the sizes one after another.

    Returned are for each size texts a second of each contender that was measured.
    """
    share = data.QUICK_SHARE if options.quick else 1
    texts = data.distinct_short(max(NUMBERS) // share)
    sizes = {
        "length": texts_of_lengths(options.folder, TOKENS_A_LENGTH // share),
        "number": {number: texts[: number // share] for number in NUMBERS},
    }
    contenders = peers.embedders(options.folder, CONTENDERS, LONGEST)
    results = {}
    for kind, of_kind in sizes.items():
        results[kind] = _measure_sizes(contenders, of_kind, MOST_SECONDS / share)
        _print(TITLES[kind], results[kind])
    return results


def texts_of_lengths(folder, n_tokens):
    """Return texts of each length in tokens, [CLS] and [SEP] counted, of words of one token."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = sorted({word for text in data.contexts() for word in text.lower().split()})
    short = [word for word in words if len(tokenizer.tokenize(word)) == 1]
    draw = random.Random(data.SEED)
    return {
        length: [" ".join(draw.choices(short, k=length - 2)) for _ in range(n_tokens // length)]
        for length in LENGTHS
    }


def _measure_sizes(contenders, sizes, most_seconds):
    speeds = {}
    expected = defaultdict(float)  # seconds a text
    for size, texts in sizes.items():
        speeds[size] = {}
        for contender, embed in contenders.items():
            name = contender.removesuffix(", batch 1")
            if expected[name] * len(texts) > most_seconds:
                continue
            embed(texts[:50])  # a warm-up
            expected[name] = timed(partial(embed, texts))[0] / len(texts)
            speeds[size][name] = 1 / expected[name]
            print(f"  {size:,}: {name} {speeds[size][name]:.0f} texts/s", flush=True)
    return speeds


def _print(title, sizes):
    def speed_at(size):
        return lambda name: f"{sizes[size][name]:.0f}" if name in sizes[size] else ""

    names = {name: name for found in sizes.values() for name in found}
    columns = {f"{size:,}": speed_at(size) for size in sizes}
    print_table(f"Growth: {title}", "texts a second", columns, names)
