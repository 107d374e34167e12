"""BertQuestionAnswerer, compared with brute force over transformers' own model."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from skbert import BertQuestionAnswerer, InputError, ParameterError, TruncationWarning
from skbert._texts.answers import Candidates, candidates
from skbert._texts.encoding import TextTokenizer
from skbert._texts.inputs import check_texts_or_pairs
from skbert._texts.question_encoding import encode_questions
from skbert._texts.questions import Gold
from skbert._texts.spans import Span
from tests.conftest import WORDS

pytestmark = pytest.mark.usefixtures("one_thread")

ANSWERS = ("cat", "dog", "card", "bank")
OTHERS = [word for word in WORDS if word not in ANSWERS and word.isalpha()]
QUESTION = "where is it ?"
QUICK: dict[str, Any] = {
    "max_length": 32,
    "stride": 6,
    "min_steps": 0,
    "max_epochs": 1,
    "learning_rate": 3e-3,
    "random_state": 0,
    "device": "cpu",
}


def toy(
    n: int, seed: int = 0, longest: int = 40, share: float = 1.0
) -> tuple[list[tuple[str, str]], list[str | None]]:
    """Contexts of random words; the answer is the one word that is an animal or from a bank."""
    rng = np.random.default_rng(seed)
    X, y = [], []
    for _ in range(n):
        words = rng.choice(OTHERS, rng.integers(1, longest)).tolist()
        answer = str(rng.choice(ANSWERS)) if rng.random() < share else None
        if answer:
            words.insert(int(rng.integers(len(words) + 1)), answer)
        X.append((QUESTION, " ".join(words)))
        y.append(answer)
    return X, y


X, Y = toy(24, seed=5)


@pytest.fixture(scope="module")
def reader(tiny_bert) -> BertQuestionAnswerer:
    """One that has learned the rule."""
    return BertQuestionAnswerer(tiny_bert, **{**QUICK, "min_steps": 300}).fit(*toy(80))


@pytest.fixture(scope="module")
def doubter(tiny_bert) -> BertQuestionAnswerer:
    """One that has learned that some questions have no answer."""
    params = {**QUICK, "min_steps": 300, "handle_impossible": True}
    return BertQuestionAnswerer(tiny_bert, **params).fit(*toy(120, share=0.6))


@pytest.fixture(scope="module")
def hasty(tiny_bert) -> BertQuestionAnswerer:
    """One that has learned nearly nothing, so that its spans are any."""
    return BertQuestionAnswerer(tiny_bert, **QUICK).fit(X, Y)


def test_it_learns(reader):
    unseen, answers = toy(60, seed=1, longest=90)
    predicted = reader.predict(unseen)
    assert predicted.dtype == object
    assert predicted.shape == (60,)
    assert np.mean(predicted == np.array(answers, object)) >= 0.95
    assert reader.score(unseen, answers) >= 0.95
    assert reader.loss_curve_[-1] < 0.2 * reader.loss_curve_[0]


def test_score_and_exact_match_by_hand(reader):
    contexts = [("", "red cat house"), ("", "red dog house"), ("", "my card")]
    assert reader.predict([(QUESTION, c) for _, c in contexts]).tolist() == ["cat", "dog", "card"]
    rows = [(QUESTION, c) for _, c in contexts]
    gold = [["tree", "The Cat!"], "red dog", None]
    assert reader.exact_match(rows, gold) == pytest.approx(1 / 3)
    assert reader.score(rows, gold) == pytest.approx((1 + 2 / 3 + 0) / 3)
    with pytest.raises(InputError, match="3 questions, y has 2"):
        reader.score(rows, gold[:2])


def brute_force(folder: Path, rows: list[tuple[str, str]], longest: int) -> list[tuple[Any, float]]:
    """Best score of each span of characters, and the log of the sum of all spans."""
    model = AutoModelForQuestionAnswering.from_pretrained(folder).eval()
    backend = AutoTokenizer.from_pretrained(folder).backend_tokenizer
    tokenizer = TextTokenizer(backend, 0, has_segments=True)
    windows = encode_questions(tokenizer, *zip(*rows, strict=True), max_length=32, stride=6)
    results = []
    for first, stop in pairwise(windows.text_bounds.tolist()):
        best: dict[tuple[int, int], float] = {}
        scores = []
        for window in range(first, stop):
            tokens = slice(*windows.bounds[window : window + 2])
            with torch.no_grad():
                output = model(
                    input_ids=torch.from_numpy(windows.ids[tokens]).long()[None],
                    token_type_ids=torch.from_numpy(windows.segments[tokens]).long()[None],
                )
            begin, end = output.start_logits[0].tolist(), output.end_logits[0].tolist()
            places = windows.offsets[tokens].tolist()
            in_context = [i for i, place in enumerate(places) if place[1]]
            for i in in_context:
                for j in range(i, min(i + longest, in_context[-1] + 1)):
                    span, score = (places[i][0], places[j][1]), begin[i] + end[j]
                    best[span] = max(best.get(span, -np.inf), score)
                    scores.append(score)
        results.append((best, float(np.logaddexp.reduce(scores))))
    return results


@pytest.mark.parametrize("max_answer_length", [1, 4, 30])
def test_the_best_answers_are_those_of_brute_force(hasty, tmp_path, max_answer_length):
    rows, _ = toy(12, seed=2, longest=80)
    hasty.save_pretrained(tmp_path)
    expected = brute_force(tmp_path, rows, max_answer_length)
    ours = pickle.loads(pickle.dumps(hasty)).set_params(max_answer_length=max_answer_length)
    for answers, (best, log_sum) in zip(
        ours.predict_answers(rows, n_best=12), expected, strict=True
    ):
        scores = [answer.score for answer in answers]
        top = np.exp(np.array(sorted(best.values(), reverse=True)[:12]) - log_sum)
        np.testing.assert_allclose(scores, top, rtol=1e-3)
        own = [np.exp(best[answer.start, answer.end] - log_sum) for answer in answers]
        np.testing.assert_allclose(scores, own, rtol=1e-3)


def assert_sound(answers: list[Any], context: str, n_best: int) -> None:
    assert 1 <= len(answers) <= n_best
    assert all(answer.text == context[answer.start : answer.end] for answer in answers)
    assert len({(answer.start, answer.end) for answer in answers}) == len(answers)
    assert all(0 <= answer.score <= 1 + 1e-9 for answer in answers)
    assert sum(answer.score for answer in answers) <= 1 + 1e-6


any_text = st.text(st.characters(codec=None), max_size=120) | st.lists(
    st.sampled_from(
        [*WORDS, "🙂", "\ud83d", "猫", "\u200b", "\x00", "é", "e\u0301", "[SEP]", "\n"]
    ),
    max_size=300,
).map(" ".join)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.text(max_size=20), any_text), min_size=1, max_size=3))
@pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
def test_answers_are_slices_of_any_context(hasty, doubter, rows):
    for estimator in (hasty, doubter):
        for (_, context), answers in zip(rows, estimator.predict_answers(rows, 5), strict=True):
            assert_sound(answers, context, 5)


@pytest.mark.parametrize("context", ["", "   ", "\x00", "\u200b"])
def test_a_context_of_nothing_gives_no_answer(hasty, doubter, context):
    for estimator in (hasty, doubter):
        assert estimator.predict_answers([("who ?", context)], n_best=3) == [[("", 0, 0, 1.0)]]


def test_order_and_batches_change_nothing(hasty):
    rows, _ = toy(30, seed=3, longest=80)
    whole = hasty.predict_answers(rows, n_best=3)
    order = np.random.default_rng(0).permutation(30)
    small = pickle.loads(pickle.dumps(hasty)).set_params(batch_size=1)
    for others in (
        [hasty.predict_answers([row], n_best=3)[0] for row in rows],
        small.predict_answers(rows, n_best=3),
        [
            dict(zip(order, hasty.predict_answers([rows[i] for i in order], 3), strict=True))[i]
            for i in range(30)
        ],
    ):
        for ours, theirs in zip(whole, others, strict=True):
            np.testing.assert_allclose([a.score for a in ours], [a.score for a in theirs], 1e-3)
            assert ours[0].text == theirs[0].text


# --- Questions without an answer


def test_impossible_questions(doubter):
    rows, answers = toy(60, seed=7, share=0.5)
    predicted = doubter.predict(rows)
    right = np.mean(predicted == np.array([text or "" for text in answers], object))
    assert right >= 0.8
    assert "" in predicted
    assert doubter.null_threshold_ != doubter.null_threshold == 0.0
    assert doubter.score(rows, answers) == pytest.approx(right, abs=0.2)


def test_no_answer_is_ranked_among_the_others(doubter):
    rows, _ = toy(20, seed=8, share=0.5)
    for answers in doubter.predict_answers(rows, n_best=4000):
        scores = [answer.score for answer in answers]
        assert scores == sorted(scores, reverse=True)
        assert sum(answer.text == "" for answer in answers) == 1
    everything = pickle.loads(pickle.dumps(doubter))
    everything.null_threshold_ = 1e3
    assert "" not in everything.predict(rows)
    everything.null_threshold_ = -1e3
    assert set(everything.predict(rows)) == {""}
    everything.set_params(handle_impossible=False)
    assert "" not in everything.predict(rows)


# --- Parameters and refusals


@pytest.mark.parametrize("n_best", [0, -1, 1.5, True, "2", None])
def test_n_best(hasty, n_best):
    with pytest.raises(ParameterError, match="n_best"):
        hasty.predict_answers(X[:1], n_best=n_best)


@pytest.mark.parametrize(
    "params",
    [
        {"stride": -1},
        {"stride": 1.5},
        {"max_answer_length": 0},
        {"handle_impossible": "yes"},
        {"null_threshold": "0"},
    ],
)
def test_unusable_parameters(tiny_bert, params):
    with pytest.raises(ParameterError, match=next(iter(params))):
        BertQuestionAnswerer(tiny_bert, **{**QUICK, **params}).fit(X, Y)


def test_refusals(tiny_bert, hasty):
    estimator = BertQuestionAnswerer(tiny_bert, **QUICK)
    with pytest.raises(NotFittedError):
        estimator.predict(X)
    with pytest.raises(NotFittedError):
        estimator.predict_answers(X)
    with pytest.raises(InputError, match=r"y\[2\] = 'cow' is not in its context"):
        estimator.fit(X[:4], [*Y[:2], "cow", Y[3]])
    with pytest.raises(ParameterError, match="stride=27 must be smaller than"):
        estimator.set_params(stride=27).fit(X, Y)
    for wrong in (["one text"], "one text", [QUESTION, X[0][1]]):
        with pytest.raises(InputError):
            hasty.predict(wrong)


def test_a_long_question_is_warned_of(hasty):
    with pytest.warns(TruncationWarning):
        hasty.predict([("where is it " * 20, "a cat")])


# --- As a scikit-learn estimator


def test_frames_and_structs_fit_the_same(tiny_bert, hasty):
    frame = pd.DataFrame({"context": [context for _, context in X], "id": 0, "question": QUESTION})
    y = [
        {"text": [text], "answer_start": [context.index(text)]}
        for (_, context), text in zip(X, Y, strict=True)
    ]
    other = BertQuestionAnswerer(tiny_bert, **QUICK).fit(frame, y)
    assert other.loss_curve_ == hasty.loss_curve_
    assert other.predict_answers(frame, 3) == hasty.predict_answers(X, 3)


def test_seeds_and_silence(tiny_bert, hasty, capfd):
    again = BertQuestionAnswerer(tiny_bert, **QUICK).fit(X, Y)
    assert again.predict_answers(X) == hasty.predict_answers(X)
    assert capfd.readouterr() == ("", "")
    other = clone(again).set_params(random_state=1).fit(X, Y)
    assert other.loss_curve_ != again.loss_curve_


def test_round_trips(doubter, tmp_path):
    rows, _ = toy(10, seed=9, longest=80, share=0.5)
    expected = doubter.predict_answers(rows, n_best=3)
    assert pickle.loads(pickle.dumps(doubter)).predict_answers(rows, n_best=3) == expected
    doubter.save_pretrained(tmp_path)
    params = {"stride": 6, "handle_impossible": True, "device": "cpu"}
    loaded = BertQuestionAnswerer.from_pretrained(str(tmp_path), **params, max_length=None)
    assert loaded.max_length_ == 32
    assert loaded.null_threshold_ == doubter.null_threshold_
    assert loaded.predict_answers(rows, n_best=3) == expected
    copy = clone(doubter)
    assert copy.get_params() == doubter.get_params()
    assert not hasattr(copy, "null_threshold_")


def test_model_selection(tiny_bert):
    estimator = BertQuestionAnswerer(tiny_bert, **QUICK)
    scores = cross_val_score(estimator, X, Y, cv=2)
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()
    assert (scores >= 0).all()
    search = GridSearchCV(estimator, {"max_answer_length": [1, 20]}, cv=2, n_jobs=1)
    search.fit(np.array(X, object), Y)
    assert search.predict(X).shape == (24,)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


def test_early_stopping(tiny_bert):
    params = {**QUICK, "early_stopping": True, "validation_fraction": 0.25, "max_epochs": 3}
    rows, answers = toy(24, seed=4, share=0.6)
    for options in ({}, {"handle_impossible": True}):
        estimator = BertQuestionAnswerer(tiny_bert, **{**params, **options}).fit(rows, answers)
        assert 1 <= estimator.n_iter_ <= 3
        for entry in estimator.history_:
            assert 0 <= entry["validation_score"] <= 1
            assert entry["validation_loss"] > 0  # a cross entropy, not a score


def test_no_answer_is_as_likely_as_in_the_window_that_says_it_least(reader):
    encodings = encode_questions(
        reader._loaded().tokenizer, [QUESTION], ["the mat " * 12], max_length=20, stride=4
    )
    n_windows = len(encodings.owned)
    assert n_windows > 2
    logits = np.zeros((encodings.n_owned.sum(), 2), np.float32)
    first_tokens = np.cumsum(encodings.n_owned) - encodings.n_owned
    logits[first_tokens] = np.arange(n_windows, 0, -1)[:, None]  # twice n, ..., twice 1
    (found,) = candidates(logits, encodings, 1, 5)
    assert found.null == 2.0


def test_threshold_is_tuned_by_questions_that_have_no_answer(reader, monkeypatch):
    pairs = check_texts_or_pairs([(QUESTION, "the cat")] * 3)
    golds = [Gold(["cat"], None), Gold([], None), Gold([], None)]
    # "No answer" is better by 5, 3 and 4 logits: right for the last two, so always given at best.
    found = [Candidates([Span(4, 7, 0.0)], null, 0.0) for null in (5.0, 3.0, 4.0)]
    monkeypatch.setattr(reader, "_find", lambda chosen, n_best: found)
    assert reader._tuned_threshold(pairs, golds, np.arange(3)) == 2.5


# Edges of answers -------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [" mat", "mat ", "\u200bmat", "mat\n"])
def test_blanks_at_the_edge_of_an_answer_change_nothing(tiny_bert, answer):
    rows = [(QUESTION, "the cat sat on the mat .")] * 2
    plain, odd = (
        BertQuestionAnswerer(
            tiny_bert, max_length=32, stride=8, max_epochs=1, min_steps=1, random_state=0
        ).fit(rows, [text, "cat"])
        for text in ("mat", answer)
    )
    assert plain._state.digest == odd._state.digest


def test_answers_that_no_window_holds_are_counted_and_not_learned(tiny_bert):
    rows = [(QUESTION, "the cat sat on the mat and the dog sat on the rug .")]
    reader = BertQuestionAnswerer(
        tiny_bert, max_length=14, stride=2, max_epochs=1, min_steps=1, random_state=0
    )
    with pytest.warns(TruncationWarning, match=r"1 of 1 answers are in no window completely"):
        reader.fit(rows, ["on the mat and the dog"])


def test_an_answer_without_a_token_is_refused_by_its_row(tiny_bert):
    rows = [(QUESTION, "the cat ."), (QUESTION, "the \u0301 cat .")]
    with pytest.raises(InputError, match=r"no token of the answer y\[1\]"):
        BertQuestionAnswerer(tiny_bert, max_length=32, stride=8).fit(rows, ["cat", "\u0301"])
