"""Questions and contexts, and transformers' way with them, written from its published example.

https://github.com/huggingface/transformers/tree/main/examples/pytorch/question-answering
(run_qa.py, utils_qa.py): features, labels and post-processing. Nothing of skbert is used here.
"""

import re
import string
from collections import Counter

import numpy as np
import torch
from shared.peers import run_loop
from shared.trainer import Task, as_rows
from torch.nn import functional

MAX_LENGTH, STRIDE = 384, 128
MAX_ANSWER_LENGTH, N_BEST = 30, 20


def columns(rows):
    """Return X and y of questions."""
    X = [(row["question"], row["context"]) for row in rows]
    return X, [(row["answer"], row["answer_start"]) for row in rows]


def features_of(tokenizer, X):
    """Cut questions with their contexts into windows.

    Returns
    -------
    encoded : BatchEncoding
    samples : list of int
        The question of each window.
    offsets : list of list of (tuple or None)
        Characters of each token; None outside the context.
    """
    encoded = tokenizer(
        *map(list, zip(*X, strict=True)),
        truncation="only_second",
        max_length=MAX_LENGTH,
        stride=STRIDE,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
    )
    samples = encoded.pop("overflow_to_sample_mapping")
    offsets = [
        [
            pair if part == 1 else None
            for pair, part in zip(pairs, encoded.sequence_ids(i), strict=True)
        ]
        for i, pairs in enumerate(encoded.pop("offset_mapping"))
    ]
    return encoded, samples, offsets


def _encode(tokenizer, X, y):
    encoded, samples, offsets = features_of(tokenizer, X)
    spans = [_labels(*y[i], pairs) for i, pairs in zip(samples, offsets, strict=True)]
    begins, ends = zip(*spans, strict=True)
    return {**encoded, "start_positions": begins, "end_positions": ends}, 2


def _labels(answer, begin, offsets):
    """Return the answer's first and last token; (0, 0), [CLS], where the window lacks it."""
    end = begin + len(answer)
    context = [i for i, pair in enumerate(offsets) if pair is not None]
    if not context or offsets[context[0]][0] > begin or offsets[context[-1]][1] < end:
        return 0, 0
    first = max(i for i in context if offsets[i][0] <= begin)
    last = min(i for i in context if offsets[i][1] >= end)
    return first, last


TASK = Task("BertQuestionAnswerer", "AutoModelForQuestionAnswering", _encode)


def loss_without_padding(model, inputs):
    """Return transformers' loss, but for the padding: no answer begins or ends there.

    transformers counts it among the places to choose from, so that what a question adds to the
    loss depends on the length of the longest one in its batch.
    """
    labels = torch.stack([inputs.pop("start_positions"), inputs.pop("end_positions")], dim=-1)
    logits = _both_logits(model(**inputs))
    padding = inputs["attention_mask"].unsqueeze(-1) == 0
    return functional.cross_entropy(logits.masked_fill(padding, -torch.inf), labels)


def _both_logits(output):
    return torch.stack([output.start_logits, output.end_logits], dim=-1)


def logits_in_input_order(tokenizer, model, encoded):
    """Return begin and end logits (L, 2) of each window, with a plain loop."""
    logits = run_loop(
        model,
        as_rows(encoded),
        lambda part: tokenizer.pad(part, return_tensors="pt"),
        lambda output, _: _both_logits(output).numpy(),
    )
    return [both[: len(ids)] for both, ids in zip(logits, encoded["input_ids"], strict=True)]


def published_answers(tokenizer, model, X):
    """Answer as utils_qa.py does: the 20 best begins with the 20 best ends of each window."""
    best = ranked_spans(tokenizer, model, X, n_best=N_BEST)
    return [
        context[spans[0][1] : spans[0][2]] if spans else ""
        for (_, context), spans in zip(X, best, strict=True)
    ]


def ranked_spans(tokenizer, model, X, n_best=None):
    """Return (score, begin, end) of the spans of each question's windows, best first.

    With ``n_best``, of spans between so many best begins and ends of a window; else of all.
    """
    encoded, samples, offsets = features_of(tokenizer, X)
    logits = logits_in_input_order(tokenizer, model, encoded)
    best = [{} for _ in X]
    for sample, pairs, of_window in zip(samples, offsets, logits, strict=True):
        chosen = np.argsort(-of_window, axis=0)[:n_best].T.tolist()
        for begin, end in _allowed(*chosen, pairs):
            span = pairs[begin][0], pairs[end][1]
            score = float(of_window[begin, 0] + of_window[end, 1])
            best[sample][span] = max(score, best[sample].get(span, -np.inf))
    return [
        sorted(((score, *span) for span, score in spans.items()), reverse=True) for spans in best
    ]


def _allowed(begins, ends, offsets):
    """Yield begins and ends inside the context that are in order and near enough."""
    ends = set(ends)
    for begin in begins:
        for end in range(begin, min(begin + MAX_ANSWER_LENGTH, len(offsets))):
            if end in ends and offsets[begin] and offsets[end]:
                yield begin, end


def squad_scores(answers, rows):
    """Return exact match and F1, in percent, as SQuAD's evaluation script computes them."""
    pairs = [
        (_words(answer), _words(row["answer"])) for answer, row in zip(answers, rows, strict=True)
    ]
    exact = [guess == gold for guess, gold in pairs]
    return 100 * float(np.mean(exact)), 100 * float(np.mean([_f1(*pair) for pair in pairs]))


def _words(text):
    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def _f1(guess, gold):
    common = sum((Counter(guess) & Counter(gold)).values())
    if not guess or not gold:
        return float(guess == gold)
    return 0.0 if common == 0 else 2 * common / (len(guess) + len(gold))
