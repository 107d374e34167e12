"""Names of classes as texts: one more text, or several, of each class.

A sentence encoder puts a text near the name of what it is about, so with few texts a class its name
is worth about as much as one of them; a class that has none at all is known by its name alone
(Schick and Schütze 2021, https://arxiv.org/abs/2001.07676, on what labels' names tell a model).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from skbert._exceptions import ParameterError
from skbert._texts.inputs import Texts
from skbert._training.targets import sorted_classes


class LabelledTexts(NamedTuple):
    """Texts and their classes, those of `label_texts` last."""

    texts: Texts
    classes: NDArray[Any]
    codes: NDArray[Any]
    n_extra: int


def with_label_texts(
    label_texts: Any,
    texts: Texts,
    classes: NDArray[Any],
    codes: NDArray[Any],
    multilabel: bool,
) -> LabelledTexts:
    """Add the texts of classes.

    Parameters
    ----------
    label_texts : "auto", dict or None
        "auto" takes the names of the classes, with spaces for underscores and between words
        joined by capitals; a dict has a text or a list of texts by class.
    texts, classes, codes, multilabel
        Texts and what `check_classes` returns of their labels.

    Raises
    ------
    ParameterError
        If the texts are pairs, the classes have no names, or something else is no text.
    """
    if label_texts is None:
        return LabelledTexts(texts, classes, codes, 0)
    if texts.are_pairs:
        raise ParameterError(
            "label_texts: X contains pairs, but the name of a class is a single text. Use "
            "label_texts=None."
        )
    named = _named(label_texts, classes, multilabel)
    pairs = [(label, text) for label, some in named.items() for text in _texts(label, some)]
    numbers = texts.numbers
    if numbers is not None:  # standardised: a name has the mean of each
        numbers = np.pad(numbers, ((0, len(pairs)), (0, 0)))
    added = replace(texts, first=[*texts.first, *(text for _, text in pairs)], numbers=numbers)
    if multilabel:
        columns = [_column(label, len(classes)) for label, _ in pairs]
        rows = np.eye(len(classes), dtype=codes.dtype)[columns].reshape(-1, len(classes))
        return LabelledTexts(added, classes, np.concatenate([codes, rows]), len(pairs))
    labels = [*classes[codes].tolist(), *(label for label, _ in pairs)]
    kind = classes.dtype if classes.dtype.kind == "O" else None
    classes, codes = sorted_classes(np.array(labels, dtype=kind))
    return LabelledTexts(added, classes, codes, len(pairs))


def _named(label_texts: Any, classes: NDArray[Any], multilabel: bool) -> Mapping[Any, Any]:
    if isinstance(label_texts, Mapping):
        return label_texts
    names = classes.tolist()
    if multilabel or not all(isinstance(name, str) for name in names):
        raise ParameterError(
            f'label_texts="auto" reads the names of the classes, but these are {names[:5]}. Pass a '
            "dict of classes and texts."
        )
    return {name: readable_name(name) for name in names}


def readable_name(name: str) -> str:
    """Write a name as words: ``card_payment``, ``CardPayment`` and ``card-payment`` alike."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return re.sub(r"[_\-\s]+", " ", words).strip() or name


def _texts(label: Any, some: Any) -> list[str]:
    texts = [some] if isinstance(some, str) else some
    is_texts = isinstance(texts, list | tuple) and len(texts) > 0
    if not is_texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ParameterError(
            f"label_texts has {some!r} for the class {label!r}, expected a text that is not empty, "
            "or a list of such texts."
        )
    return list(texts)


def _column(label: Any, n_labels: int) -> int:
    if label not in range(n_labels):
        raise ParameterError(
            f"label_texts has the key {label!r}, expected the number of a column of y, 0 to "
            f"{n_labels - 1}."
        )
    return int(label)
