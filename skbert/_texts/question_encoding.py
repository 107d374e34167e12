"""Questions with their contexts → windows of token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from skbert._exceptions import ParameterError
from skbert._texts.encoding import TextTokenizer, TokenizedText
from skbert._texts.pairs import PairTemplate, pair_template
from skbert._texts.windows import Encodings, cumulative, window_spans


def encode_questions(
    tokenizer: TextTokenizer,
    questions: Sequence[str],
    contexts: Sequence[str],
    *,
    max_length: int,
    stride: int,
) -> Encodings:
    """Tokenize questions with their contexts, long contexts in overlapping windows.

    Each window is ``[CLS] question [SEP] part of the context [SEP]``. What a window "owns" is all
    up to its last context token, so that the logits of [CLS] and of the context are given; offsets
    are those of the context's tokens, and (0, 0) for all others. A question takes half of a window
    at most; what is cut off is counted in ``lost_tokens``.

    Raises
    ------
    ParameterError
        If windows cannot move forward.
    """
    template = pair_template(tokenizer)
    room = template.room(max_length, "a question and its context")
    asked = tokenizer.tokenize(questions, special_tokens=False)
    distinct = list(dict.fromkeys(contexts))  # many questions may share a context
    tokenized = tokenizer.tokenize(distinct, with_offsets=True, special_tokens=False)
    read = {text: _Context.of(one) for text, one in zip(distinct, tokenized, strict=True)}
    windows: list[_Window] = []
    n_windows, lost = [], []
    for question, context in zip(asked, map(read.__getitem__, contexts), strict=True):
        kept = question.ids[: room // 2]
        lost.append(len(question.ids) - len(kept))
        spans = window_spans(
            len(context.ids), room - len(kept), _checked_stride(stride, room - len(kept))
        )
        n_windows.append(len(spans))
        windows += [_window(template, kept, context, *span) for span in spans]
    ids, offsets, segments = zip(*(window[:3] for window in windows), strict=True)
    lengths = [len(window.ids) for window in windows]
    return Encodings(
        ids=np.concatenate(ids),
        bounds=cumulative(lengths),
        owned=np.array([(0, window.n_owned) for window in windows], np.int64),
        text_bounds=cumulative(n_windows),
        offsets=np.concatenate(offsets),
        lost_tokens=np.array(lost, np.int64),
        segments=np.concatenate(segments) if tokenizer.has_segments else None,
        shifts=np.array([window.shift for window in windows], np.int64),
    )


def _checked_stride(stride: int, room: int) -> int:
    if stride >= room:
        raise ParameterError(
            f"stride={stride} must be smaller than the {room} tokens of context beside a question "
            "in a window: windows must move forward. Use a smaller stride or a larger max_length."
        )
    return stride


class _Context(NamedTuple):
    """A context's tokens, as arrays: slices of them cost nothing."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, tokenized: TokenizedText) -> _Context:
        assert tokenized.offsets is not None
        return cls(np.array(tokenized.ids, np.int32), tokenized.offsets)


class _Window(NamedTuple):
    """A question and a part of its context."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    segments: NDArray[np.int8]
    n_owned: int
    shift: int


def _window(
    template: PairTemplate, question: list[int], context: _Context, start: int, stop: int
) -> _Window:
    """Put a question and the tokens ``start`` to ``stop`` of its context together."""
    before = [*template.before, *question, *template.between]
    n_context = stop - start
    return _Window(
        ids=np.concatenate(
            [before, context.ids[start:stop], template.after], dtype=np.int32, casting="unsafe"
        ),
        offsets=np.pad(context.offsets[start:stop], ((len(before), len(template.after)), (0, 0))),
        segments=np.array(template.segments_of(len(question), n_context), np.int8),
        n_owned=len(before) + n_context,
        shift=start - len(before),
    )
