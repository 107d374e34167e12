"""What is explained of a prediction: one number that the model gives for one window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skbert._display.tokenized_example import TokenizedExample
from skbert._estimators.classifier import BertClassifier
from skbert._estimators.parameters import is_integer
from skbert._estimators.question_answerer import BertQuestionAnswerer
from skbert._estimators.regressor import BertRegressor
from skbert._exceptions import InputError, ParameterError
from skbert._texts.answers import candidates, ranked
from skbert._texts.gold_answers import locate
from skbert._texts.questions import Gold
from skbert._texts.spans import answer_positions
from skbert._texts.windows import cumulative

# The logits of n readings of a window, (n, K) or (n, L, 2) → the number, (n,).
Value = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Explained:
    """A number that a model gives.

    Attributes
    ----------
    name : str
        What it is, in words.
    window : int
        The window of the example that it is taken from.
    value : callable
        Takes it from the model's logits.
    answer : tuple of int, or None
        Where an answer begins and ends in the context, in characters.
    """

    name: str
    window: int
    value: Value
    answer: tuple[int, int] | None = None


def choose_value(estimator: Any, example: TokenizedExample, target: Any) -> Explained:
    """Find the number to explain; by default the one of what the estimator predicts.

    Raises
    ------
    ParameterError
        If the estimator gives no such number, or knows no such target.
    """
    for kind, choose in CHOICES.items():
        if isinstance(estimator, kind):
            return choose(estimator, example, target)
    raise ParameterError(
        f"estimator is a {type(estimator).__name__}, whose predictions cannot be explained. "
        f"Expected one of {', '.join(kind.__name__ for kind in CHOICES)}."
    )


def _of_class(estimator: BertClassifier, example: TokenizedExample, target: Any) -> Explained:
    """Choose the logit of a class."""
    classes = estimator.classes_.tolist()
    columns = range(len(classes)) if estimator._columns is None else estimator._columns.tolist()
    if target is None:
        logits = estimator._run(estimator._loaded(), example.encodings)[0]
        position = int(logits[list(columns)].argmax())
    elif target in classes:
        position = classes.index(target)
    else:
        raise ParameterError(f"target={target!r} is not a class, expected one of {_some(classes)}.")
    column = columns[position]
    return Explained(f"logit of {classes[position]!r}", 0, lambda logits: logits[:, column])


def _of_output(estimator: BertRegressor, example: TokenizedExample, target: Any) -> Explained:
    """Choose an output, in the unit of the targets."""
    n_outputs = len(estimator.target_mean_)
    column = 0 if target is None and n_outputs == 1 else target
    if not is_integer(column, 0) or column >= n_outputs:
        raise ParameterError(
            f"target={target!r} is not an output of this {type(estimator).__name__}, expected an "
            f"integer from 0 to {n_outputs - 1}."
        )
    scale, mean = float(estimator.target_scale_[column]), float(estimator.target_mean_[column])
    name = "prediction" if n_outputs == 1 else f"output {column}"
    return Explained(name, 0, lambda logits: logits[:, column] * scale + mean)


def _of_answer(
    estimator: BertQuestionAnswerer, example: TokenizedExample, target: Any
) -> Explained:
    """Choose the sum of the logits "begins here" and "ends here" of an answer, the best one."""
    context = example.texts[1]
    logits = estimator._run(estimator._loaded(), example.encodings)
    if target is None:
        found = candidates(logits, example.encodings, 1, estimator.max_answer_length)[0]
        settings = estimator.handle_impossible, estimator.null_threshold_
        _, start, end, _ = ranked(found, context, 1, *settings)[0]
    elif isinstance(target, str):
        start, end = locate(Gold([target] if target else [], None), context, 0)
    else:
        raise ParameterError(
            f"target={target!r} is not an answer, expected a str, an exact slice of the context, "
            'or "" for no answer.'
        )
    window, first, last = _best_window(example, logits, max(start, 0), max(end, 0))
    name = f"logits of {context[start:end]!r}" if end > 0 else "logits of no answer"
    return Explained(
        name,
        window,
        lambda logits: logits[:, first, 0] + logits[:, last, 1],
        (start, end) if end > 0 else None,
    )


def _best_window(
    example: TokenizedExample, logits: NDArray[np.float32], start: int, end: int
) -> tuple[int, int, int]:
    """Return window whose logits count for an answer, and the answer's first and last token in it.

    "No answer" is the token [CLS] of the window that is least sure of it.
    """
    encodings = example.encodings
    positions = answer_positions(encodings, np.array([start]), np.array([end]))
    rows = cumulative(encodings.n_owned)[:-1]
    sums = logits[rows + positions[:, 0], 0] + logits[rows + positions[:, 1], 1]
    if end == 0:
        window = int(sums.argmin())
    else:
        whole = positions[:, 1] > 0
        if not whole.any():
            raise InputError(
                f"No window contains the complete answer {example.texts[1][start:end]!r}. Use a "
                "shorter answer, or an estimator with a larger max_length or stride."
            )
        window = int(np.where(whole, sums, -np.inf).argmax())
    return window, int(positions[window, 0]), int(positions[window, 1])


CHOICES: dict[type, Callable[..., Explained]] = {
    BertClassifier: _of_class,
    BertRegressor: _of_output,
    BertQuestionAnswerer: _of_answer,
}


def _some(classes: list[Any]) -> str:
    shown = ", ".join(map(repr, classes[:10]))
    return f"{shown}, ... ({len(classes)} in all)" if len(classes) > 10 else shown
