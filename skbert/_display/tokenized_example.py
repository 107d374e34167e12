"""One text, pair or question as a fitted estimator reads it: tokens, and words they come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skbert._display.inspect import encodings_with_offsets, read_texts, token_sequences
from skbert._estimators.base import warn_of_truncation
from skbert._estimators.classifier import BertClassifier
from skbert._estimators.embedder import BertEmbedder
from skbert._estimators.pooled_head import BI_ENCODER, CROSS_ENCODER
from skbert._estimators.question_answerer import BertQuestionAnswerer
from skbert._estimators.regressor import BertRegressor
from skbert._estimators.token_classifier import BertTokenClassifier
from skbert._estimators.trained import SHORTEN
from skbert._exceptions import InputError, ParameterError
from skbert._texts.encoding import TextTokenizer
from skbert._texts.inputs import Texts
from skbert._texts.pairs import pair_template
from skbert._texts.question_encoding import encode_questions
from skbert._texts.windows import Encodings
from skbert._texts.word_boundaries import split_words
from skbert._texts.word_labels import encode_words


class Word(NamedTuple):
    """A word of a row of X: which of its one or two texts, and which characters of that."""

    text: int
    start: int
    end: int


@dataclass(frozen=True)
class TokenizedExample:
    """A row of X as the model reads it, in one or several windows.

    Attributes
    ----------
    texts : tuple of str
        The text, or the two texts of a pair.
    encodings : Encodings
        The row's windows, as the estimator itself makes them.
    offsets : ndarray of int64, shape (n_tokens, 2), or None
        Characters of each token in its own text, (0, 0) for special tokens; None for a
        `BertTokenClassifier`, which reads words.
    sequences : ndarray of int8, shape (n_tokens,)
        Which of the texts each token of all windows belongs to; -1 for special tokens.
    names : tuple of str
        What the texts are, where there are two.
    """

    texts: tuple[str, ...]
    encodings: Encodings
    offsets: NDArray[np.int64] | None
    sequences: NDArray[np.int8]
    names: tuple[str, ...]

    @property
    def n_windows(self) -> int:
        """Windows in which the row is read."""
        return len(self.encodings.lengths)

    def tokens_of(self, window: int) -> slice:
        """Return the place of a window's tokens among those of all windows."""
        return slice(*self.encodings.bounds[window : window + 2].tolist())

    def pieces(self, window: int, tokenizer: TextTokenizer) -> list[str]:
        """Return the tokens of a window as the vocabulary writes them."""
        ids = self.encodings.ids[self.tokens_of(window)].tolist()
        return [str(tokenizer.backend.id_to_token(index)) for index in ids]

    def words(self) -> list[Word]:
        """Split the texts, whole ones, into words."""
        return [
            Word(text, *span)
            for text, spans in enumerate(split_words(self.texts))
            for span in spans
        ]

    def word_of_tokens(self, window: int, words: list[Word]) -> NDArray[np.int64]:
        """Return which of the words each token of a window is a part of, -1 for special tokens.

        A token of mere space, which some tokenizers make, counts to the word behind it.
        """
        assert self.offsets is not None
        place = self.tokens_of(window)
        offsets, sequences = self.offsets[place], self.sequences[place]
        owners = np.full(len(offsets), -1, np.int64)
        for position, word in enumerate(words):
            overlaps = (offsets[:, 0] < word.end) & (offsets[:, 1] > word.start)
            owners[(sequences == word.text) & overlaps & (owners < 0)] = position
        for token in range(len(owners) - 2, -1, -1):
            if owners[token] < 0 <= sequences[token] == sequences[token + 1]:
                owners[token] = owners[token + 1]
        return owners


def tokenize_one(estimator: Any, X: Any) -> TokenizedExample:
    """Read the only row of X as an estimator does.

    Raises
    ------
    ParameterError
        If the estimator is not one of skbert's.
    InputError
        If X has more than one row, or is nothing that the estimator reads.

    Warns
    -----
    TruncationWarning
        If a part of the row is not read.
    """
    tokenize = next((read for kind, read in TOKENIZE.items() if isinstance(estimator, kind)), None)
    if tokenize is None:
        raise ParameterError(
            f"estimator is a {type(estimator).__name__}, expected an estimator of skbert. For a "
            "Pipeline, pass its last step: pipeline[-1]."
        )
    check_is_fitted(estimator)
    estimator._check_params()
    example: TokenizedExample = tokenize(estimator, X)
    warn_of_truncation(example.encodings.lost_tokens, estimator.max_length_, SHORTEN)
    return example


def _tokenize_text(estimator: Any, X: Any) -> TokenizedExample:
    texts = read_texts(estimator, X)
    _check_one(len(texts))
    _refuse_several_parts(estimator, texts)
    tokenizer = estimator._loaded().tokenizer
    encodings, _ = encodings_with_offsets(estimator, tokenizer, texts)
    sequences = token_sequences(encodings, tokenizer)
    names = ("first text", "second text") if texts.are_pairs else ("",)
    return TokenizedExample(_row(texts), encodings, encodings.offsets, sequences, names)


def _refuse_several_parts(estimator: Any, texts: Texts) -> None:
    """Refuse a prediction that comes from more than one reading of a model."""
    if texts.numbers is not None:
        raise ParameterError(
            f"estimator has text_columns={estimator.text_columns!r}: it reads numbers in addition "
            "to the text, but only a text can be explained. Fit one on the text alone."
        )
    if texts.are_pairs and estimator.pair_mode_ == BI_ENCODER:
        raise ParameterError(
            f"estimator has pair_mode_={BI_ENCODER!r}: it reads the texts of a pair "
            f"separately, but only one input can be explained. Fit with "
            f"pair_mode={CROSS_ENCODER!r} to explain both together."
        )


def _tokenize_question(estimator: BertQuestionAnswerer, X: Any) -> TokenizedExample:
    texts = estimator._check_X(X, reset=False)
    _check_one(len(texts))
    assert texts.second is not None
    tokenizer = estimator._loaded().tokenizer
    encodings = encode_questions(
        tokenizer,
        texts.first,
        texts.second,
        max_length=estimator.max_length_,
        stride=estimator.stride,
    )
    return _with_question_offsets(_row(texts), encodings, tokenizer)


def _tokenize_words(estimator: BertTokenClassifier, X: Any) -> TokenizedExample:
    sentences = estimator._check_X(X, reset=False)
    _check_one(len(sentences))
    tokenizer = estimator._loaded().tokenizer
    encodings = encode_words(tokenizer, sentences, max_length=estimator.max_length_)
    sequences = token_sequences(encodings, tokenizer)
    return TokenizedExample((" ".join(sentences[0]),), encodings, None, sequences, ("",))


TOKENIZE = {
    BertEmbedder | BertClassifier | BertRegressor: _tokenize_text,
    BertQuestionAnswerer: _tokenize_question,
    BertTokenClassifier: _tokenize_words,
}


def _check_one(n_rows: int) -> None:
    if n_rows != 1:
        raise InputError(
            f"X has {n_rows} rows, expected one: a single text is explained. Pass X[:1], or "
            "[text]; a pair is [(first, second)]."
        )


def _row(texts: Texts) -> tuple[str, ...]:
    return (texts.first[0],) if texts.second is None else (texts.first[0], texts.second[0])


def _with_question_offsets(
    texts: tuple[str, ...], encodings: Encodings, tokenizer: TextTokenizer
) -> TokenizedExample:
    """Find the question's offsets, which `encode_questions` leaves out, and the sequences."""
    assert encodings.offsets is not None
    template = pair_template(tokenizer)
    (asked,) = tokenizer.tokenize(texts[:1], with_offsets=True, special_tokens=False)
    assert asked.offsets is not None
    n_asked = len(asked.ids) - int(encodings.lost_tokens[0])
    of_question = asked.offsets[:n_asked].tolist()
    offsets, sequences = [], []
    for start, stop in zip(encodings.bounds[:-1], encodings.bounds[1:], strict=True):
        n_read = int(stop - start) - template.n_special_tokens - n_asked
        first = start + len(template.before) + n_asked + len(template.between)
        of_context = encodings.offsets[first : first + n_read].tolist()
        offsets += template.around(of_question, of_context, (0, 0))
        sequences += template.around([0] * n_asked, [1] * n_read, -1)
    names = ("question", "context")
    return TokenizedExample(
        texts, encodings, np.array(offsets, np.int64), np.array(sequences, np.int8), names
    )
