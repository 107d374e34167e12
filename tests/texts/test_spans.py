"""Windows of questions, places of answers and best spans, compared with brute force."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForQuestionAnswering, AutoTokenizer

from skbert import ParameterError
from skbert._texts.encoding import TextTokenizer
from skbert._texts.question_encoding import encode_questions
from skbert._texts.spans import Span, answer_positions, best_spans, merged_spans
from skbert._texts.windows import IGNORED
from skbert._training.losses import SpanPositions
from tests.conftest import WORDS

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")
relaxed = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def theirs(tiny_bert):
    return AutoTokenizer.from_pretrained(tiny_bert)


@pytest.fixture(scope="module")
def tokenizer(theirs) -> TextTokenizer:
    return TextTokenizer(theirs.backend_tokenizer, 0, has_segments=True)


def some_contexts() -> list[str]:
    rng = np.random.default_rng(0)
    words = [*WORDS, "unbelievable", "🙂", "猫", "xyzq"]
    return [" ".join(rng.choice(words, n)) for n in (0, 1, 5, 20, 21, 22, 23, 40, 41, 57, 90)]


# --- Windows


@pytest.mark.parametrize("stride", [0, 3, 9])
def test_windows_are_those_of_transformers(theirs, tokenizer, stride):
    question, contexts, length = "where is the cat ?", some_contexts(), 24
    ours = encode_questions(
        tokenizer, [question] * len(contexts), contexts, max_length=length, stride=stride
    )
    several = 0
    for context, (first, stop) in zip(contexts, pairwise(ours.text_bounds.tolist()), strict=True):
        expected = theirs(
            [question],
            [context],
            truncation="only_second",
            max_length=length,
            stride=stride,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        n = len(expected["input_ids"])
        assert stop - first == n
        several += n > 2
        for number, window in enumerate(range(first, stop)):
            tokens = slice(*ours.bounds[window : window + 2])
            # The last of several is moved back to be full.
            exactly = n == 1 or number < n - 1
            ids = expected["input_ids"][number]
            if exactly:
                assert ours.ids[tokens].tolist() == ids
                assert ours.segments[tokens].tolist() == expected["token_type_ids"][number]
                in_context = [text == 1 for text in expected.sequence_ids(number)]
                offsets = [
                    place if inside else (0, 0)
                    for place, inside in zip(
                        expected["offset_mapping"][number], in_context, strict=True
                    )
                ]
                np.testing.assert_array_equal(
                    ours.offsets[tokens], np.reshape(offsets, (-1, 2)).astype(int)
                )
            else:
                tail = sum(text == 1 for text in expected.sequence_ids(number)) + 1
                assert len(ours.ids[tokens]) == length
                assert ours.ids[tokens].tolist()[-tail:] == ids[-tail:]
            assert tuple(ours.owned[window]) == (0, len(ours.ids[tokens]) - 1)
    assert several > 2
    assert not ours.lost_tokens.any()


def test_every_token_is_in_some_window_and_its_offsets_slice_it(tokenizer):
    contexts = some_contexts()
    ours = encode_questions(tokenizer, ["why ?"] * 11, contexts, max_length=16, stride=4)
    for context, (first, stop) in zip(contexts, pairwise(ours.text_bounds.tolist()), strict=True):
        found = ours.offsets[ours.bounds[first] : ours.bounds[stop]].tolist()
        whole = tokenizer.backend.encode(context, add_special_tokens=False)
        assert {tuple(place) for place in found} - {(0, 0)} == set(whole.offsets)
        for token, (start, end) in zip(whole.tokens, whole.offsets, strict=True):
            assert token in ("[UNK]", context[start:end], "##" + context[start:end])


def test_long_questions_are_cut_and_counted(tokenizer):
    questions = ["why ?", "the cat sat on the mat . where is my card ?"]
    ours = encode_questions(tokenizer, questions, ["a b", "a b"], max_length=13, stride=0)
    assert ours.lost_tokens.tolist() == [0, 12 - 5]
    last = ours.ids[ours.bounds[1] :].tolist()
    vocabulary = tokenizer.backend.get_vocab()
    words = ["[CLS]", "the", "cat", "sat", "on", "the", "[SEP]", "a", "b", "[SEP]"]
    assert last == [vocabulary[word] for word in words]


def test_windows_must_move_forward(tokenizer):
    context = "the cat sat on the mat " * 5
    with pytest.raises(ParameterError, match="stride=9 must be smaller than the 9 tokens"):
        encode_questions(tokenizer, ["why is ?"], [context], max_length=15, stride=9)
    encode_questions(tokenizer, ["why is ?"], [context], max_length=15, stride=8)
    with pytest.raises(ParameterError, match="max_length=4 leaves no room"):
        encode_questions(tokenizer, ["why"], [context], max_length=4, stride=0)


# --- Places of answers


def test_answer_positions_by_hand(tokenizer):
    context = "the cat sat on the mat"
    #  [CLS] why [SEP] the cat sat on [SEP] | [CLS] why [SEP] sat on the mat [SEP]
    ours = encode_questions(tokenizer, ["why"] * 5, [context] * 5, max_length=8, stride=2)
    answers = ["cat sat", "sat on", "cat sat on the", None, "mat"]
    starts = np.array([-1 if text is None else context.index(text) for text in answers])
    ends = starts + [len(text or "") for text in answers]
    none, nowhere = [0, 0], [IGNORED, IGNORED]
    expected = [[4, 5], none, [5, 6], [3, 4], nowhere, nowhere, none, none, none, [6, 6]]
    assert answer_positions(ours, starts, ends).tolist() == expected


def test_an_answer_inside_a_token_is_that_token(tokenizer):
    ours = encode_questions(tokenizer, ["why"], ["the house is red"], max_length=12, stride=2)
    assert answer_positions(ours, np.array([5]), np.array([7])).tolist() == [[4, 4]]


@relaxed
@given(
    st.lists(st.text("abcxyz", min_size=1, max_size=5), min_size=1, max_size=40),
    st.data(),
)
def test_places_give_back_the_characters(tokenizer, words, data):
    first = data.draw(st.integers(0, len(words) - 1))
    stop = data.draw(st.integers(first + 1, min(len(words), first + 6)))
    context = " ".join(words)
    start = len(" ".join(words[:first])) + (first > 0)
    answer = " ".join(words[first:stop])
    ours = encode_questions(tokenizer, ["why"], [context], max_length=16, stride=5)
    positions = answer_positions(ours, np.array([start]), np.array([start + len(answer)]))
    needed = {
        place
        for place in tokenizer.backend.encode(context, add_special_tokens=False).offsets
        if place[0] < start + len(answer) and place[1] > start
    }
    offsets = [ours.offsets[slice(*pair)] for pair in pairwise(ours.bounds.tolist())]
    is_whole = [needed <= {tuple(place) for place in part.tolist()} for part in offsets]
    for part, whole, (a, b) in zip(offsets, is_whole, positions.tolist(), strict=True):
        if whole:
            assert context[part[a, 0] : part[b, 1]] == answer
        else:
            assert (a, b) == ((0, 0) if any(is_whole) else (IGNORED, IGNORED))


# --- Best spans


def brute_force(logits, offsets, max_length):
    """Best score of each span of characters, and the scores of all spans."""
    best: dict[tuple[int, int], float] = {}
    scores = []
    for i in range(len(logits)):
        for j in range(i, min(len(logits), i + max_length)):
            if offsets[i][0] < offsets[i][1] and offsets[j][0] < offsets[j][1]:
                place = int(offsets[i][0]), int(offsets[j][1])
                score = float(np.float32(logits[i][0]) + np.float32(logits[j][1]))
                best[place] = max(best.get(place, -np.inf), score)
                scores.append(score)
    return best, scores


def assert_are_best(spans, best, n_best):
    assert [span.score for span in spans] == sorted(best.values(), reverse=True)[:n_best]
    assert all(best[span.start, span.end] == span.score for span in spans)
    assert len({(span.start, span.end) for span in spans}) == len(spans)


def random_offsets(rng, n):
    """Tokens of 0 to 3 characters, some of the same characters as the one before."""
    places, end = [], 0
    for _ in range(n):
        if not places or rng.random() > 0.3:
            start = end + int(rng.integers(0, 2))
            end = start + int(rng.integers(0, 4))
            places.append((start, end))
        else:
            places.append(places[-1])
    return np.array(places, np.int64).reshape(-1, 2)


@pytest.mark.parametrize("seed", range(60))
def test_best_spans_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    n, n_best = int(rng.integers(0, 25)), int(rng.integers(1, 40))
    max_length = int(rng.integers(1, 30))
    ties = seed % 2
    logits = rng.integers(-2, 3, (n, 2)) if ties else 10 * rng.standard_normal((n, 2))
    logits = logits.astype(np.float32)
    offsets = random_offsets(rng, n)
    spans, log_sum = best_spans(logits, offsets, n_best=n_best, max_length=max_length)
    best, scores = brute_force(logits, offsets, max_length)
    assert_are_best(spans, best, n_best)
    expected = np.logaddexp.reduce(scores) if scores else -np.inf
    np.testing.assert_allclose(log_sum, expected, rtol=1e-6)


def test_many_tokens_of_the_same_characters_hide_no_other_span():
    # 30 × 31 / 2 spans of one place before the next best.
    offsets = np.array([(0, 4)] * 30 + [(5, 6)])
    logits = np.array([(9.0, 9.0)] * 30 + [(1.0, 1.0)], np.float32)
    spans, _ = best_spans(logits, offsets, n_best=3, max_length=31)
    assert spans == [Span(0, 4, 18.0), Span(0, 6, 10.0), Span(5, 6, 2.0)]


def test_ends_come_not_before_beginnings():
    logits = np.array([(0.0, 9.0), (9.0, 0.0)], np.float32)
    spans, _ = best_spans(logits, np.array([(0, 1), (2, 3)]), n_best=9, max_length=9)
    assert {(span.start, span.end): span.score for span in spans} == {
        (0, 1): 9.0,
        (2, 3): 9.0,
        (0, 3): 0.0,
    }


@pytest.mark.parametrize("seed", range(20))
def test_merged_spans_are_those_of_brute_force(seed):
    rng = np.random.default_rng(seed)
    offsets, n_best = random_offsets(rng, 40), int(rng.integers(1, 12))
    windows, best = [], {}
    for start in (0, 10, 20):
        logits = rng.standard_normal((20, 2)).astype(np.float32)
        part = offsets[start : start + 20]
        windows.append(best_spans(logits, part, n_best=n_best, max_length=5)[0])
        for place, score in brute_force(logits, part, 5)[0].items():
            best[place] = max(best.get(place, -np.inf), score)
    assert_are_best(merged_spans(windows, n_best), best, n_best)


# --- The loss


def test_the_loss_by_hand(tokenizer):
    ours = encode_questions(tokenizer, ["a", "a"], ["b c", "b"], max_length=12, stride=0)
    # Windows of 6 and 5 tokens; all logits 0 but two.
    assert ours.lengths.tolist() == [6, 5]
    logits = torch.zeros(11, 2)
    logits[4, 0], logits[6, 1] = 2.0, 1.0  # window 0 begins at 4; window 1 ends nowhere: at 0
    objective = SpanPositions(ours.lengths, np.array([[4, 5], [0, 0]]), CPU)
    e = np.exp
    of_first = -np.log(e(2) / (e(2) + 5)) - np.log(1 / 6)
    of_second = -np.log(1 / 5) - np.log(e(1) / (e(1) + 4))
    for rows, expected in (
        ([0, 1], of_first + of_second),
        ([1, 0], of_first + of_second),
        ([0], of_first),
        ([1], of_second),
    ):
        given_rows = torch.cat([logits[ours.bounds[r] : ours.bounds[r + 1]] for r in rows])
        loss = objective.loss(given_rows, np.array(rows))
        np.testing.assert_allclose(float(loss), expected / 2, rtol=1e-6)
        assert objective.divisor(np.array(rows)) == len(rows)
    np.testing.assert_allclose(objective.mean(logits), (of_first + of_second) / 4, rtol=1e-6)


def test_the_loss_is_that_of_transformers(tiny_bert, tokenizer):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForQuestionAnswering.from_pretrained(tiny_bert).eval()
    ours = encode_questions(
        tokenizer, ["where is it ?"], ["the cat sat on the mat"], max_length=20, stride=0
    )
    ids, segments = (torch.from_numpy(a).long()[None] for a in (ours.ids, ours.segments))
    for place in ([7, 9], [0, 0]):
        with torch.no_grad():
            output = model(
                input_ids=ids,
                token_type_ids=segments,
                start_positions=torch.tensor(place[:1]),
                end_positions=torch.tensor(place[1:]),
            )
        logits = torch.stack([output.start_logits[0], output.end_logits[0]], 1)
        loss = SpanPositions(ours.lengths, np.array([place]), CPU).loss(logits, np.array([0]))
        torch.testing.assert_close(loss, output.loss)


# --- SQuAD's measures
