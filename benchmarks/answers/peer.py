"""Questions and contexts, and transformers' way with them, written from its published example.

https://github.com/huggingface/transformers/tree/main/examples/pytorch/question-answering
(run_qa.py, utils_qa.py): features, labels and post-processing. Nothing of skbert is used here.
"""

import json

import numpy as np
import torch
from shared.data import DATA
from shared.peers import LOOP_BATCH
from shared.trainer import as_rows, load_trainable, run_trainer
from torch.nn import functional

MAX_LENGTH, STRIDE = 384, 128
MAX_ANSWER_LENGTH, N_BEST = 30, 20


def read_questions():
    """Give XQuAD's English rows: dicts of article, question, context, answer, answer_start."""
    lines = (DATA / "xquad_en.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def features_of(tokenizer, rows):
    """Cut questions with their contexts into windows; offsets are None outside the context."""
    encoded = tokenizer(
        [row["question"] for row in rows],
        [row["context"] for row in rows],
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


def train_with_trainer(folder, rows, *, dropout, seed, **more):
    """Fine-tune a model; give it and the seconds of ``Trainer.train`` alone."""
    from transformers import AutoTokenizer, DataCollatorWithPadding

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = load_trainable("AutoModelForQuestionAnswering", folder, dropout=dropout, seed=seed)
    encoded, samples, offsets = features_of(tokenizer, rows)
    spans = [_labels(rows[i], pairs) for i, pairs in zip(samples, offsets, strict=True)]
    begins, ends = zip(*spans, strict=True)
    seconds = run_trainer(
        model,
        as_rows(encoded, start_positions=begins, end_positions=ends),
        DataCollatorWithPadding(tokenizer),
        seed=seed,
        **more,
    )
    return model, seconds


def loss_without_padding(model, inputs):
    """Give transformers' loss, but for the padding: no answer begins or ends there.

    transformers counts it among the places to choose from, so that what a question adds to the
    loss depends on the length of the longest one in its batch.
    """
    labels = torch.stack([inputs.pop("start_positions"), inputs.pop("end_positions")], dim=-1)
    output = model(**inputs)
    logits = torch.stack([output.start_logits, output.end_logits], dim=-1)
    padding = inputs["attention_mask"].unsqueeze(-1) == 0
    return functional.cross_entropy(logits.masked_fill(padding, -torch.inf), labels)


def _labels(row, offsets):
    """First and last token of the answer; (0, 0), [CLS], where the window does not hold it."""
    begin, end = row["answer_start"], row["answer_start"] + len(row["answer"])
    context = [i for i, pair in enumerate(offsets) if pair is not None]
    if not context or offsets[context[0]][0] > begin or offsets[context[-1]][1] < end:
        return 0, 0
    first = max(i for i in context if offsets[i][0] <= begin)
    last = min(i for i in context if offsets[i][1] >= end)
    return first, last


@torch.inference_mode()
def logits_in_input_order(tokenizer, model, encoded):
    """Give begin and end logits of each window: 32 at a time, padded to the longest."""
    model.eval()
    result = []
    windows = as_rows(encoded)
    for start in range(0, len(windows), LOOP_BATCH):
        part = windows[start : start + LOOP_BATCH]
        output = model(**tokenizer.pad(part, return_tensors="pt"))
        both = torch.stack([output.start_logits, output.end_logits], dim=-1).numpy()
        result += [both[i, : len(window["input_ids"])] for i, window in enumerate(part)]
    return result


def published_answers(rows, samples, offsets, logits):
    """Post-process as utils_qa.py does: the 20 best begins with the 20 best ends of each window."""
    found = [[] for _ in rows]
    for sample, pairs, of_window in zip(samples, offsets, logits, strict=True):
        begins, ends = (np.argsort(of_window[:, k])[-1 : -N_BEST - 1 : -1] for k in (0, 1))
        for begin in begins:
            for end in ends:
                if pairs[begin] is None or pairs[end] is None:
                    continue
                if end < begin or end - begin + 1 > MAX_ANSWER_LENGTH:
                    continue
                score = of_window[begin, 0] + of_window[end, 1]
                found[sample].append((score, pairs[begin][0], pairs[end][1]))
    answers = []
    for row, spans in zip(rows, found, strict=True):
        _, begin, end = max(spans, key=lambda span: span[0], default=(0, 0, 0))
        answers.append(row["context"][begin:end])
    return answers


def every_span(n_rows, samples, offsets, logits):
    """Search by brute force: for each question (score, begin, end) of all spans, best first."""
    best = [{} for _ in range(n_rows)]
    for sample, pairs, of_window in zip(samples, offsets, logits, strict=True):
        for begin, first in enumerate(pairs):
            if first is None:
                continue
            for end in range(begin, min(begin + MAX_ANSWER_LENGTH, len(pairs))):
                if pairs[end] is None:
                    break
                span = first[0], pairs[end][1]
                score = float(of_window[begin, 0] + of_window[end, 1])
                best[sample][span] = max(score, best[sample].get(span, -np.inf))
    return [
        sorted(((score, *span) for span, score in spans.items()), reverse=True) for spans in best
    ]


def squad_scores(answers, rows):
    """Give exact match and F1, in percent, as SQuAD's evaluation script computes them."""
    pairs = [
        (_words(answer), _words(row["answer"])) for answer, row in zip(answers, rows, strict=True)
    ]
    exact = [float(guess == gold) for guess, gold in pairs]
    return 100 * float(np.mean(exact)), 100 * float(np.mean([_f1(*pair) for pair in pairs]))


def _words(text):
    import re
    import string

    kept = "".join(letter for letter in text.lower() if letter not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", kept).split()


def _f1(guess, gold):
    from collections import Counter

    common = sum((Counter(guess) & Counter(gold)).values())
    if not guess or not gold:
        return float(guess == gold)
    return 0.0 if common == 0 else 2 * common / (len(guess) + len(gold))
