"""Labelled sentences, and transformers' way with them: its Trainer, and a loop that predicts."""

import json
import random

import numpy as np
import torch
from shared.data import DATA, SEED
from shared.peers import LOOP_BATCH, MAX_LENGTH
from shared.trainer import as_rows, load_trainable, run_trainer

IGNORED = -100


def names():
    """Give WNUT 2017's sentences with BIO labels: ``(train words, labels), (dev …, …)``."""
    return _columns(_read("wnut17_train.jsonl")), _columns(_read("wnut17_dev.jsonl"))


def parts_of_speech():
    """Give EWT's sentences with their parts of speech; 70 % of them to train on."""
    rows = _read("ewt_pos_dev.jsonl")
    random.Random(SEED).shuffle(rows)
    cut = round(0.7 * len(rows))
    return _columns(rows[:cut]), _columns(rows[cut:])


def sorted_labels(labels):
    """Give the distinct labels of all words, sorted."""
    return sorted({label for sentence in labels for label in sentence})


def train_with_trainer(folder, words, labels, *, dropout, epochs, learning_rate, seed, start=None):
    """Fine-tune a token classifier; give the model and the seconds of ``Trainer.train`` alone."""
    from transformers import AutoTokenizer, DataCollatorForTokenClassification

    classes = sorted_labels(labels)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = load_trainable(
        "AutoModelForTokenClassification",
        folder,
        dropout=dropout,
        seed=seed,
        num_labels=len(classes),
    )
    encoded = _tokenize(tokenizer, words)
    codes = [
        _piece_labels(encoded.word_ids(row), [classes.index(label) for label in sentence])
        for row, sentence in enumerate(labels)
    ]
    seconds = run_trainer(
        model,
        as_rows(encoded, labels=codes),
        DataCollatorForTokenClassification(tokenizer),
        epochs=epochs,
        learning_rate=learning_rate,
        seed=seed,
        start=start,
    )
    return model, seconds


@torch.inference_mode()
def predict_in_input_order(folder, model, words):
    """Give the code of each word's label: 32 sentences at a time, padded to the longest.

    A word beyond the window gets -1: nothing here reads it.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model.eval()
    predicted = []
    for start in range(0, len(words), LOOP_BATCH):
        part = words[start : start + LOOP_BATCH]
        encoded = _tokenize(tokenizer, part)
        codes = model(**tokenizer.pad(encoded, return_tensors="pt")).logits.argmax(-1).numpy()
        for row, sentence in enumerate(part):
            of_words = np.full(len(sentence), -1)
            for piece, word in reversed(list(enumerate(encoded.word_ids(row)))):
                if word is not None:
                    of_words[word] = codes[row, piece]  # the first piece comes last
            predicted.append(of_words)
    return predicted


def _tokenize(tokenizer, words):
    return tokenizer(words, is_split_into_words=True, truncation=True, max_length=MAX_LENGTH)


def _piece_labels(word_ids, codes):
    """Label each word's first piece, and no other."""
    before = [None, *word_ids[:-1]]
    return [
        IGNORED if word is None or word == previous else codes[word]
        for word, previous in zip(word_ids, before, strict=True)
    ]


def _columns(rows):
    return [row["words"] for row in rows], [row["labels"] for row in rows]


def _read(name):
    return [json.loads(line) for line in (DATA / name).read_text(encoding="utf-8").splitlines()]
