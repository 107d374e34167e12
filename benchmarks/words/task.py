"""Labels of words, as BertTokenClassifier and as transformers know them."""

import numpy as np
from shared.peers import padded, run_loop, tokenize
from shared.trainer import Task

IGNORED = -100


def _encode(tokenizer, words, labels):
    classes = sorted_labels(labels)
    encoded = tokenize(tokenizer, words, is_split_into_words=True)
    codes = []
    for row, sentence in enumerate(labels):
        of_pieces = np.full(len(encoded["input_ids"][row]), IGNORED)
        for word, piece in _first_pieces(encoded.word_ids(row)).items():
            of_pieces[piece] = classes.index(sentence[word])
        codes.append(of_pieces.tolist())
    return {**encoded, "labels": codes}, len(classes)


TASK = Task(
    "BertTokenClassifier",
    "AutoModelForTokenClassification",
    _encode,
    collator="DataCollatorForTokenClassification",
)


def sorted_labels(labels):
    """Return the distinct labels of all words, sorted."""
    return sorted({label for sentence in labels for label in sentence})


def predict_in_input_order(tokenizer, model, words):
    """Return the code of each word's label, that of its first piece, with a plain loop.

    A word beyond the window, or without a piece, gets -1.
    """

    def encode(part):
        return padded(tokenizer, part, is_split_into_words=True)

    def read(output, batch):
        codes = output.logits.argmax(-1).numpy()
        for row, of_pieces in enumerate(codes):
            first = _first_pieces(batch.word_ids(row))
            yield {word: of_pieces[piece] for word, piece in first.items()}

    predicted = zip(words, run_loop(model, words, encode, read), strict=True)
    return [[codes.get(word, -1) for word in range(len(sentence))] for sentence, codes in predicted]


def _first_pieces(word_ids):
    """Return word → the place of its first piece."""
    # Of the pieces of a word, the first is the last one written.
    places = reversed(list(enumerate(word_ids)))
    return {word: piece for piece, word in places if word is not None}
