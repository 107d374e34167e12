"""Draws of labelled texts by a seed: ``(texts, labels) to train on, (texts, labels) to test on``.

The test texts are the same in all draws.
"""

import random

from shared import data

N_TEST = 1_000


def banking(a_class, seed):
    """Draw so many texts of each class of BANKING77; None for all, and the whole test file."""
    train, test = data.read("banking77_train.csv"), data.read("banking77_test.csv")
    if a_class is None:
        return data.columns(train, "text", "category"), data.columns(test, "text", "category")
    rows = data.few_a_class(train, a_class, random.Random(seed))
    test = random.Random(data.SEED).sample(test, N_TEST)
    return data.columns(rows, "text", "category"), data.columns(test, "text", "category")


def snips(n_texts, seed):
    """Draw utterances with their intents."""
    return _drawn(data.read("snips.jsonl"), n_texts, seed, "text", "intent")


def foods(n_texts, seed):
    """Draw reviews and whether they have the highest score."""
    return _drawn(data.read("fine_foods.csv"), n_texts, seed, "review", "score")


def effects(n_texts, seed):
    """Draw remarks on wildlife strikes with the effect on the flight."""
    rows = [row for row in data.read("faa_wildlife.csv") if row["remarks"] not in ("", "NA")]
    for row in rows:
        row["effect"] = row["effect"] if row["effect"] not in ("", "NA", "None") else "none"
    return _drawn(rows, n_texts, seed, "remarks", "effect")


def years(n_texts, seed):
    """Draw titles and media of art works with their years."""
    rows = [row for row in data.read("tate_text.csv") if row["year"] not in ("", "NA")]
    rows = [
        {"text": f"{row['title']}. {row['medium']}", "year": float(row["year"])} for row in rows
    ]
    return _drawn(rows, n_texts, seed, "text", "year", stratify=False)


def question_pairs(n_pairs, seed):
    """Draw questions with sentences that answer them or not; no test question is trained on."""
    train, test = data.pairs()
    rows = [{"pair": pair, "label": label} for pair, label in zip(*train, strict=True)]
    chosen = random.Random(seed).sample(rows, n_pairs)
    return data.columns(chosen, "pair", "label"), [column[:N_TEST] for column in test]


def entailment_pairs(n_pairs, seed):
    """Draw pairs of MED with what the first says of the second."""
    rows = data.read("med_pairs.csv")
    for row in rows:
        row["pair"] = (row["premise"], row["hypothesis"])
    return _drawn(rows, n_pairs, seed, "pair", "label")


def names(n_sentences, seed):
    """Draw sentences of WNUT 2017 with BIO labels; None for all."""
    (words, labels), test = data.names()
    if n_sentences is None:
        return (words, labels), test
    rows = list(zip(words, labels, strict=True))
    drawn = random.Random(seed).sample(rows, n_sentences)
    return tuple(map(list, zip(*drawn, strict=True))), test


def _drawn(rows, n_rows, seed, text, label, *, stratify=True):
    """Hold 1,000 rows out, the same for all seeds; draw from the others, each class its share."""
    rows = list(rows)
    random.Random(data.SEED).shuffle(rows)
    test, rest = rows[:N_TEST], rows[N_TEST:]
    random.Random(seed).shuffle(rest)
    if stratify:
        rest = _spread_classes(rest, label)
    return data.columns(rest[:n_rows], text, label), data.columns(test, text, label)


def _spread_classes(rows, label):
    """Order rows so that each beginning holds the classes in their shares."""
    of_class = data.by_class(rows, label)
    places = [
        ((position + 0.5) / len(some), name, position)
        for name, some in of_class.items()
        for position in range(len(some))
    ]
    return [of_class[name][position] for _, name, position in sorted(places)]
