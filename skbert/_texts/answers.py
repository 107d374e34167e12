"""Logits of windows → answers, best first."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skbert._texts.offsets import whole_characters
from skbert._texts.spans import Span, best_spans, merged_spans
from skbert._texts.windows import Encodings, cumulative


class Answer(NamedTuple):
    """An answer to a question.

    Parameters
    ----------
    text : str
        ``context[start:end]``; "" for no answer.
    start, end : int
        Position in the context, in characters; 0, 0 for no answer.
    score : float
        Probability of this slice among all possible slices of the context.
    """

    text: str
    start: int
    end: int
    score: float


class Candidates(NamedTuple):
    """What the model says about one question: spans best first, no answer, the log of the sum."""

    spans: list[Span]
    null: float
    log_sum: float


def candidates(
    logits: NDArray[np.float32], encodings: Encodings, n_best: int, max_answer_length: int
) -> list[Candidates]:
    """Return best spans of each question from the logits of what its windows own."""
    assert encodings.offsets is not None
    first_row = cumulative(encodings.n_owned)
    result = []
    for first, stop in pairwise(encodings.text_bounds.tolist()):
        spans, nulls, sums = [], [], []
        for window in range(first, stop):
            of_window = logits[first_row[window] : first_row[window + 1]]
            begin = encodings.bounds[window]
            offsets = encodings.offsets[begin : begin + len(of_window)]
            in_context = offsets[:, 1] > 0
            best, log_sum = best_spans(
                of_window[in_context],
                offsets[in_context],
                n_best=n_best,
                max_length=max_answer_length,
            )
            spans.append(best)
            sums.append(log_sum)
            nulls.append(float(of_window[0].sum()))
        # A window without the answer says "none": the least sure of them counts, as for SQuAD 2.0.
        total = float(np.logaddexp.reduce(sums))
        result.append(Candidates(merged_spans(spans, n_best), min(nulls), total))
    return result


def ranked(
    found: Candidates, context: str, n_best: int, handle_impossible: bool, threshold: float
) -> list[Answer]:
    """Return answers, best first; the one that is predicted comes first."""
    null = found.null - threshold  # as good as an answer's score
    total = np.logaddexp(found.log_sum, null) if handle_impossible else found.log_sum
    scores: dict[tuple[int, int], float] = {}
    for start, end, score in found.spans:
        scores.setdefault(whole_characters(context, start, end), score)
    answers = [
        Answer(context[start:end], start, end, float(np.exp(score - total)))
        for (start, end), score in scores.items()
    ]
    if handle_impossible or not answers:
        better = sum(score >= null for score in scores.values()) if handle_impossible else 0
        probability = float(np.exp(null - total)) if np.isfinite(total) else 1.0
        answers.insert(better, Answer("", 0, 0, probability))
    return answers[:n_best]
