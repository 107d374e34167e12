"""Word labels ↔ word pieces, and entities ↔ BIO labels.

A word takes the label of its first piece: ``un ##believ ##able`` labelled ``ADJ`` is trained as
``ADJ - -``, where ``-`` counts for nothing, and its label is read back from ``un``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, normalizers

from skbert._texts.encoding import SURROGATES, TextTokenizer
from skbert._texts.windows import IGNORED, Encodings, cumulative


def encode_words(
    tokenizer: TextTokenizer, sentences: Sequence[Sequence[str]], *, max_length: int
) -> Encodings:
    """Tokenize sentences word by word, long ones in overlapping windows.

    A word of which the tokenizer makes nothing (a control character, an empty string) is read as
    an unknown word, so that every word has a first piece.
    """
    backend = word_backend(tokenizer.backend)
    clean = [[SURROGATES.sub("\ufffd", word) for word in sentence] for sentence in sentences]
    tokenized = backend.encode_batch(clean, is_pretokenized=True, add_special_tokens=False)
    bodies, first_pieces = [], []
    for sentence, encoding in zip(clean, tokenized, strict=True):
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
    """Return ids of a sentence in which every word has a piece, and each word's first piece."""
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
    """Return labels of all pieces of all windows: words' codes at their first pieces, else IGNORED.

    A piece that several windows hold is labelled in the one that owns it, so each word counts once.
    """
    owned = [
        np.arange(start + first, start + stop)
        for start, (first, stop) in zip(encodings.bounds[:-1], encodings.owned, strict=True)
    ]
    labels = np.full(len(encodings.ids), IGNORED, np.int64)
    labels[np.concatenate(owned)[encodings.first_pieces]] = codes
    return labels
