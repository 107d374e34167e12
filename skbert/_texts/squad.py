"""Exact match and F1 of answers, as SQuAD's evaluation computes them."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")


PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Return an answer in lower case, without punctuation, articles and extra space, as SQuAD does.

    Rajpurkar et al. (2016), "SQuAD: 100,000+ Questions for Machine Comprehension of Text",
    https://arxiv.org/abs/1606.05250
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(predicted: str, acceptable: Sequence[str]) -> float:
    """Return whether an answer is one of the acceptable ones after normalisation; "" for none."""
    normal = normalize_answer(predicted)
    return float(any(normal == normalize_answer(text) for text in acceptable))


def f1_score(predicted: str, acceptable: Sequence[str]) -> float:
    """Return best F1 of words against the acceptable answers; "" for none."""
    return max(_f1_of_words(predicted, text) for text in acceptable)


def _f1_of_words(predicted: str, true: str) -> float:
    guess, gold = normalize_answer(predicted).split(), normalize_answer(true).split()
    if not guess or not gold:
        return float(guess == gold)
    common = sum((Counter(guess) & Counter(gold)).values())
    return 2 * common / (len(guess) + len(gold))
