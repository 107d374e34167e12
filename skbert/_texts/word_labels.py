"""Word labels ↔ word pieces, and entities ↔ BIO labels.

A word takes the label of its first piece: ``un ##believ ##able`` labelled ``ADJ`` is trained as
``ADJ - -``, where ``-`` counts for nothing, and its label is read back from ``un``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, normalizers

from skbert._texts.encoding import SURROGATES, Encodings, TextTokenizer, cumulative

# Label of the pieces that count for nothing in the loss, as transformers has it.
IGNORED = -100


def encode_words(
    tokenizer: TextTokenizer, sentences: Sequence[Sequence[str]], *, max_length: int
) -> Encodings:
    """Tokenise sentences word by word, long ones in overlapping windows.

    A word of which the tokenizer makes nothing (a control character, an empty string) is read as
    an unknown word, so that every word has a first piece.
    """
    backend = word_backend(tokenizer.backend)
    clean = [[SURROGATES.sub("\ufffd", word) for word in sentence] for sentence in sentences]
    tokenised = backend.encode_batch(clean, is_pretokenized=True, add_special_tokens=False)
    bodies, first_pieces = [], []
    for sentence, encoding in zip(clean, tokenised, strict=True):
        body, first = _with_unknown_words(encoding, len(sentence), tokenizer.unknown_id)
        bodies.append(body)
        first_pieces.append(first)
    encodings = tokenizer.windows(bodies, max_length=max_length, overflow="windows")
    # Where the owned pieces of each sentence begin, special tokens before its words included.
    owned_before = cumulative(encodings.n_owned)[encodings.text_bounds[:-1]]
    shifted = [
        first + before + len(tokenizer.prefix)
        for first, before in zip(first_pieces, owned_before, strict=True)
    ]
    return replace(encodings, first_pieces=np.concatenate(shifted).astype(np.int64))


def word_backend(backend: Tokenizer) -> Tokenizer:
    """Return a tokenizer that reads each word as one that follows a space: a copy where need be.

    Only byte-level tokenizers (RoBERTa's) tell ``word`` and `` word`` apart; all their words but
    the first of a text are of the second kind. The space goes before whole words: where others
    split words before the byte level does, its own ``add_prefix_space`` would read ``don't`` as
    `` don `` and `` 't``.
    """
    # This part's JSON alone: the whole tokenizer's, with its vocabulary, takes a tenth of a second.
    state = backend.pre_tokenizer and json.loads(backend.pre_tokenizer.__getstate__())
    levels = [part for part in _parts(state) if part["type"] == "ByteLevel"]
    if not levels or any(part["add_prefix_space"] for part in levels):
        return backend
    copy = Tokenizer.from_str(backend.to_str())
    own = [] if copy.normalizer is None else [copy.normalizer]
    # A word that begins with a space gets no second one.
    space = [normalizers.Prepend(" "), normalizers.Replace(Regex("^  "), " ")]
    copy.normalizer = normalizers.Sequence([*own, *space])
    return copy


def _parts(pre_tokenizer: Any) -> Iterator[dict[str, Any]]:
    if pre_tokenizer is not None:
        yield pre_tokenizer
        for part in pre_tokenizer.get("pretokenizers", []):
            yield from _parts(part)


def _with_unknown_words(
    encoding: Any, n_words: int, unknown_id: int
) -> tuple[list[int], NDArray[np.int64]]:
    """Ids of a sentence in which every word has a piece, and each word's first piece."""
    pieces: list[list[int]] = [[] for _ in range(n_words)]
    for word, piece in zip(encoding.word_ids, encoding.ids, strict=True):
        pieces[word].append(piece)
    body: list[int] = []
    first = np.empty(n_words, np.int64)
    for word, ids in enumerate(pieces):
        first[word] = len(body)
        body += ids or [unknown_id]
    return body, first


def piece_labels(encodings: Encodings, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels of all pieces of all windows: words' codes at their first pieces, else IGNORED.

    A piece that several windows hold is labelled in the one that owns it, so each word counts once.
    """
    owned = [
        np.arange(start + first, start + stop)
        for start, (first, stop) in zip(encodings.bounds[:-1], encodings.owned, strict=True)
    ]
    labels = np.full(len(encodings.ids), IGNORED, np.int64)
    labels[np.concatenate(owned)[encodings.first_pieces]] = codes
    return labels


def split_words(tokenizer: TextTokenizer, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Split plain texts into words as the tokenizer does; where each begins and ends.

    Some tokenizers count the space before a word to it, or make words of spaces; these are cut.
    """
    result = []
    tokenised = tokenizer.tokenize(texts, with_offsets=True, special_tokens=False)
    for text, encoding in zip(texts, tokenised, strict=True):
        spans: dict[int, tuple[int, int]] = {}
        for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
            if word is not None:
                first, last = spans.get(word, (start, end))
                spans[word] = min(first, start), max(last, end)
        trimmed = (_without_spaces(text, *span) for span in spans.values())
        result.append([(start, end) for start, end in trimmed if start < end])
    return result


def _without_spaces(text: str, start: int, end: int) -> tuple[int, int]:
    word = text[start:end]
    stop = start + len(word.rstrip())
    return min(end - len(word.lstrip()), stop), stop


class Entity(NamedTuple):
    """An entity in a text.

    Parameters
    ----------
    text : str
        ``text[start:end]`` of the text that it was found in.
    label : str
        What it is, without "B-" or "I-".
    start, end : int
        Its characters.
    score : float
        Mean probability of its words' labels.
    """

    text: str
    label: str
    start: int
    end: int
    score: float


def is_bio(labels: Sequence[Any]) -> bool:
    """Return whether labels are B-…, I-… and O, with at least one entity among them."""
    kinds = [str(label).partition("-") for label in labels]
    outside = all(prefix in ("B", "I") and kind for prefix, _, kind in kinds if prefix != "O")
    return outside and any(prefix in ("B", "I") for prefix, _, _ in kinds)


def entity_spans(labels: Sequence[str]) -> list[tuple[str, int, int]]:
    """Read entities from BIO labels: (kind, first word, one after the last).

    An I- without an entity of its kind before it begins one, as in CoNLL's evaluation.
    """
    spans: list[tuple[str, int, int]] = []
    kind, start = "", 0
    for position, label in enumerate([*labels, "O"]):
        prefix, _, now = str(label).partition("-")
        goes_on = prefix == "I" and now == kind
        if kind and not goes_on:
            spans.append((kind, start, position))
            kind = ""
        if prefix in ("B", "I") and not goes_on:
            kind, start = now, position
    return spans


def entity_f1(true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Micro-averaged F1 of whole entities, 1.0 where there are none and none were predicted."""
    found, expected, both = 0, 0, 0
    for labels, guesses in zip(true, predicted, strict=True):
        spans, guessed = set(entity_spans(labels)), set(entity_spans(guesses))
        expected, found, both = (
            expected + len(spans),
            found + len(guessed),
            both + len(spans & guessed),
        )
    return 2 * both / (expected + found) if expected + found else 1.0
