"""Growth: texts a second as texts become more, 1,000 to 100,000, and longer, 8 to 512 tokens."""

import random
from functools import partial

from shared import data as _data
from shared import peers as _peers
from shared.report import print_table
from shared.timing import timed

NUMBERS = (1_000, 10_000, 100_000)
LENGTHS = (8, 16, 32, 64, 128, 256, 512)
TOKENS_A_LENGTH = 8_192  # so that each length is about as much work
LONGEST = 512
# Who would need longer for the next size, by what the last one took, sits out the rest.
MOST_SECONDS = 330
QUICK_SHARE = 10  # --quick: a tenth of the texts, and of the time


def measure(folder, *, quick):
    """Time each contender once at each size, after a warm-up; the sizes one after another.

    Returns
    -------
    results : dict
        "number" and "length": for each size, texts a second of each contender that was measured.
    """
    share = QUICK_SHARE if quick else 1
    corpus = _data.read_corpus()
    texts = _data.distinct_short(corpus, max(NUMBERS) // share)
    by_number = {number: texts[: number // share] for number in NUMBERS}
    by_length = texts_of_lengths(folder, corpus, TOKENS_A_LENGTH // share)
    contenders = _contenders(folder)
    results = {
        "length": _measure_sizes(contenders, by_length, MOST_SECONDS / share),
        "number": _measure_sizes(contenders, by_number, MOST_SECONDS / share),
    }
    _print(results)
    return results


def _contenders(folder):
    contenders = {
        "skbert": _peers.skbert_embedder(folder, max_length=LONGEST),
        "sentence-transformers": _peers.sentence_transformers_encode(folder, LONGEST),
        "pipeline": _peers.extraction_pipeline(folder, 1, LONGEST),
    }
    if _peers.has_skrub():
        contenders["skrub"] = _peers.skrub_encoder(folder, LONGEST)
    return contenders


def texts_of_lengths(folder, corpus, n_tokens):
    """Give texts of each length in tokens, [CLS] and [SEP] counted, of words of one token each."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    words = sorted({word for text in corpus.contexts for word in text.lower().split()})
    short = [word for word in words if len(tokenizer.tokenize(word)) == 1]
    draw = random.Random(_data.SEED)
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
            seconds = timed(partial(embed, texts))
            expected[name] = seconds / len(texts)
            speeds[size][name] = len(texts) / seconds
            print(f"  {size:,}: {name} {speeds[size][name]:.0f} texts/s", flush=True)
    return speeds


def _print(results):
    titles = {"number": "as the texts become more", "length": "as they become longer, in tokens"}
    for kind, title in titles.items():
        sizes = results[kind]
        names = dict.fromkeys(name for found in sizes.values() for name in found)
        rows = [
            (name, *(f"{found[name]:.0f}" if name in found else "" for found in sizes.values()))
            for name in names
        ]
        headers = ("texts a second", *(f"{size:,}" for size in sizes))
        print_table(f"Growth: {title}", headers, rows)
