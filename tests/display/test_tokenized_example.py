"""One row of X: its tokens, and the words that they come from."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from skbert import (
    BertClassifier,
    BertEmbedder,
    BertQuestionAnswerer,
    BertTokenClassifier,
    InputError,
    ParameterError,
    TruncationWarning,
)
from skbert._display.tokenized_example import tokenize_one

pytestmark = pytest.mark.usefixtures("one_thread")
CONTEXT = "The cat sat on the mat. " * 12


@pytest.fixture(scope="module")
def reader(tiny_bert):
    reader = BertQuestionAnswerer(tiny_bert, max_length=24, stride=4, max_epochs=1, min_steps=0)
    return reader.fit([("where is the cat ?", "the cat sat on the mat")], ["mat"])


def check_offsets(reading, tokenizer):
    """Every token but the special ones is the slice of its own text that it says it is."""
    for window in range(reading.n_windows):
        place = reading.tokens_of(window)
        pieces = reading.pieces(window, tokenizer)
        spans = reading.offsets[place].tolist()
        for piece, (start, end), text in zip(pieces, spans, reading.sequences[place], strict=True):
            if text < 0:
                assert piece in ("[CLS]", "[SEP]")
            else:
                assert reading.texts[text][start:end].lower() == piece.removeprefix("##")


def test_single_text(film_classifier):
    reading = tokenize_one(film_classifier, ["Unbelievable, the cat!"])
    tokenizer = film_classifier._loaded().tokenizer
    check_offsets(reading, tokenizer)
    words = reading.words()
    assert [reading.texts[t][a:b] for t, a, b in words] == ["Unbelievable", ",", "the", "cat", "!"]
    assert reading.pieces(0, tokenizer)[:4] == ["[CLS]", "un", "##believ", "##able"]
    assert reading.word_of_tokens(0, words).tolist() == [-1, 0, 0, 0, 1, 2, 3, 4, -1]
    assert reading.names == ("",)


def test_pair(tiny_bert):
    pairs = [("The cat!", "a dog"), ("a", "b")]
    classifier = BertClassifier(tiny_bert, max_epochs=1, min_steps=0).fit(pairs, [0, 1])
    reading = tokenize_one(classifier, pairs[:1])
    tokenizer = classifier._loaded().tokenizer
    check_offsets(reading, tokenizer)
    words = reading.words()
    assert [tuple(word) for word in words] == [
        (0, 0, 3), (0, 4, 7), (0, 7, 8), (1, 0, 1), (1, 2, 5)
    ]  # fmt: skip
    assert reading.word_of_tokens(0, words).tolist() == [-1, 0, 1, 2, -1, 3, 4, -1]


def test_question_in_windows(reader):
    reading = tokenize_one(reader, [("Where is it?", CONTEXT)])
    tokenizer = reader._loaded().tokenizer
    assert reading.n_windows > 2
    check_offsets(reading, tokenizer)
    words = reading.words()
    in_windows = [reading.word_of_tokens(w, words) for w in range(reading.n_windows)]
    # The question is in all windows, and together they hold every word.
    assert all(owners[1:5].tolist() == [0, 1, 2, 3] for owners in in_windows)
    assert set(np.concatenate(in_windows)) == {-1, *range(len(words))}
    assert reading.names == ("question", "context")


def test_question_that_is_cut(reader):
    with pytest.warns(TruncationWarning):
        reading = tokenize_one(reader, [("the cat " * 12, "a mat")])
    check_offsets(reading, reader._loaded().tokenizer)
    assert (reading.sequences == 0).sum() == 10


def test_words_of_a_tagger(tiny_bert):
    X = [["the", "unbelievable", "cat"], ["a", "dog"]]
    tagger = BertTokenClassifier(tiny_bert, max_epochs=1, min_steps=0)
    reading = tokenize_one(tagger.fit(X, [["x", "y", "x"], ["x", "y"]]), X[:1])
    pieces = reading.pieces(0, tagger._loaded().tokenizer)
    assert pieces == ["[CLS]", "the", "un", "##believ", "##able", "cat", "[SEP]"]


def test_truncated_text_is_warned_of(tiny_bert):
    embedder = BertEmbedder(tiny_bert, max_length=5).fit(["a"])
    with pytest.warns(TruncationWarning, match="3 of their tokens"):
        reading = tokenize_one(embedder, ["the cat sat on the mat"])
    words = reading.words()
    assert len(words) == 6
    assert reading.word_of_tokens(0, words).tolist() == [-1, 0, 1, 2, -1]


def test_tokens_of_mere_space_count_to_the_next_word(film_classifier):
    reading = tokenize_one(film_classifier, ["the cat"])
    reading.offsets[2] = 3, 4  # "cat" became the space before it
    words = reading.words()
    assert reading.word_of_tokens(0, words).tolist() == [-1, 0, -1, -1]
    reading.sequences[3], reading.offsets[3] = 0, (4, 7)
    assert reading.word_of_tokens(0, words).tolist() == [-1, 0, 1, 1]


def test_several_rows_are_refused(film_classifier):
    with pytest.raises(InputError, match=r"X has 2 rows, expected one.*Pass X\[:1\]"):
        tokenize_one(film_classifier, ["a", "b"])
    with pytest.raises(InputError, match="single str"):
        tokenize_one(film_classifier, "a text")


def test_other_estimators_are_refused(tiny_bert):
    pipeline = make_pipeline(BertEmbedder(tiny_bert)).fit(["a"])
    with pytest.raises(ParameterError, match=r"is a Pipeline.*last step"):
        tokenize_one(pipeline, ["a"])
