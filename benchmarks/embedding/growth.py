"""Growth: texts a second as texts become more, 1,000 to 100,000, and longer, 8 to 512 tokens."""

import random
from functools import partial

from shared import data, peers
from shared.report import print_table
from shared.timing import timed

NUMBERS = (1_000, 10_000, 100_000)
LENGTHS = (8, 16, 32, 64, 128, 256, 512)
TOKENS_A_LENGTH = 8_192  # so that each length is about as much work
LONGEST = 512
# Who would need longer for the next size, by what the last one took, sits out the rest.
MOST_SECONDS = 330
TITLES = {"number": "as the texts become more", "length": "as they become longer, in tokens"}


def measure(options):
    """Time each contender once at each size, after a warm-up; the sizes one after another.

    Returns
    -------
    results : dict
        "number" and "length": for each size, texts a second of each contender that was measured.
    """
    share = data.QUICK_SHARE if options.quick else 1
    texts = data.distinct_short(max(NUMBERS) // share)
    sizes = {
        "length": texts_of_lengths(options.folder, TOKENS_A_LENGTH // share),
        "number": {number: texts[: number // share] for number in NUMBERS},
    }
    contenders = _contenders(options.folder)
    results = {
        kind: _measure_sizes(contenders, of_kind, MOST_SECONDS / share)
        for kind, of_kind in sizes.items()
    }
    for kind, title in TITLES.items():
        _print(title, results[kind])
    return results


def _contenders(folder):
    contenders = {
        "skbert": peers.skbert_embedder(folder, max_length=LONGEST),
        "sentence-transformers": peers.sentence_transformers_encode(folder, LONGEST),
        "pipeline": peers.extraction_pipeline(folder, 1, LONGEST),
    }
    if peers.has_skrub():
        contenders["skrub"] = peers.skrub_encoder(folder, LONGEST)
    return contenders


def texts_of_lengths(folder, n_tokens):
    """Return texts of each length in tokens, [CLS] and [SEP] counted, of words of one token."""
    from transformers import AutoTokenizer

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
    expected = dict.fromkeys(contenders, 0.0)  # seconds a text
    for size, texts in sizes.items():
        speeds[size] = {}
        for name, embed in contenders.items():
            if expected[name] * len(texts) > most_seconds:
                continue
            embed(texts[:50])  # a warm-up
            expected[name] = timed(partial(embed, texts))[0] / len(texts)
            speeds[size][name] = 1 / expected[name]
            print(f"  {size:,}: {name} {speeds[size][name]:.0f} texts/s", flush=True)
    return speeds


def _print(title, sizes):
    def speed_at(size):
        return lambda found: f"{found[size]:.0f}" if size in found else ""

    by_name = {}
    for size, found in sizes.items():
        for name, speed in found.items():
            by_name.setdefault(name, {})[size] = speed
    columns = {f"{size:,}": speed_at(size) for size in sizes}
    print_table(f"Growth: {title}", "texts a second", columns, by_name)
