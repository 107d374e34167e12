"""Exact match and F1 of answers, as the evaluations of SQuAD and MLQA compute them.

Rajpurkar et al. (2016), "SQuAD: 100,000+ Questions for Machine Comprehension of Text",
https://arxiv.org/abs/1606.05250; Lewis et al. (2020), "MLQA: Evaluating Cross-lingual Extractive
Question Answering", https://arxiv.org/abs/1910.07475
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

from skbert._texts.word_boundaries import is_cjk

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)
# Hiragana and Katakana, which Japanese writes without spaces, too.
KANA = range(0x3040, 0x3100)


def normalize_answer(text: str) -> str:
    """Return an answer in lower case, without punctuation, articles and extra space, as SQuAD does.

    In texts that hold CJK characters, CJK punctuation goes as well.
    """
    text = text.lower()
    if any(map(_is_unspaced, text)):
        text = "".join(one for one in text if unicodedata.category(one)[0] != "P")
    return " ".join(ARTICLES.sub(" ", text.translate(PUNCTUATION)).split())


def answer_words(text: str) -> list[str]:
    """Split an answer into the words that F1 counts: CJK characters one by one, as MLQA does."""
    spaced = "".join(
        f" {character} " if _is_unspaced(character) else character
        for character in normalize_answer(text)
    )
    return spaced.split()


def _is_unspaced(character: str) -> bool:
    return is_cjk(character) or ord(character) in KANA


def exact_match(predicted: str, acceptable: Sequence[str]) -> float:
    """Return whether an answer is one of the acceptable ones after normalization; "" for none."""
    words = answer_words(predicted)
    return float(any(words == answer_words(text) for text in acceptable))


def f1_score(predicted: str, acceptable: Sequence[str]) -> float:
    """Return the best F1 of words against the acceptable answers; "" for none."""
    return max(_f1_of_words(predicted, text) for text in acceptable)


def _f1_of_words(predicted: str, true: str) -> float:
    guess, gold = answer_words(predicted), answer_words(true)
    if not guess or not gold:
        return float(guess == gold)
    common = sum((Counter(guess) & Counter(gold)).values())
    return 2 * common / (len(guess) + len(gold))
