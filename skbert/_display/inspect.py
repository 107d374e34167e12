"""inspect_tokens: what a model reads of a text, token by token."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from skbert._estimators.base import READ_WHOLE, warn_of_truncation
from skbert._estimators.classifier import BertClassifier
from skbert._estimators.embedder import BertEmbedder
from skbert._estimators.regressor import BertRegressor
from skbert._estimators.trained import SHORTEN
from skbert._exceptions import InputError, ParameterError
from skbert._models.checkpoint import DEFAULT_MODEL
from skbert._optional import import_optional
from skbert._texts.encoding import TextTokenizer
from skbert._texts.inputs import Texts, check_any_rows, check_texts_or_pairs
from skbert._texts.pairs import PairEncodings
from skbert._texts.windows import Encodings

COLUMNS = "text window token id sequence segment attention_mask start end".split()


def inspect_tokens(
    texts: Any,
    model: str | BertEmbedder | BertClassifier | BertRegressor = DEFAULT_MODEL,
    *,
    revision: str | None = None,
    max_length: int | None = None,
    overflow: str = "truncate",
    stride: int | None = None,
    padding: bool = False,
) -> Any:
    """Return the tokens of each text, with their ids and their positions in the text.

    The rows of a text correspond to the rows of its array from ``BertEmbedder(pooling=None)`` with
    the same settings. Pairs of texts are shown as `BertClassifier` and `BertRegressor` read them.

    Parameters
    ----------
    texts : sequence of str or of pairs of str, or frame with one or two columns
        Texts, as for `BertEmbedder.transform`, or pairs, as for `BertClassifier.fit`. Missing
        values raise an error, or are handled as in an embedder with ``missing``.
    model : str or fitted estimator, default="sentence-transformers/all-MiniLM-L6-v2"
        Model on the Hugging Face hub, or folder; or a `BertEmbedder`, `BertClassifier` or
        `BertRegressor`, whose settings are used. Do not set the next four parameters with an
        estimator.
    revision : str, default=None
        Branch, tag or commit of the hub; the main branch by default.
    max_length : int, default=None
        Maximum number of tokens; by default the limit of the checkpoint.
    overflow : {"truncate", "windows", "error"}, default="truncate"
        How longer texts are handled, as in `BertEmbedder`. With "windows", each token is shown
        once, in the window from which its vector is taken. Pairs can only be truncated, the longer
        text first.
    stride : int, default=None
        Number of tokens by which windows overlap; by default a quarter of a window.
    padding : bool, default=False
        Also show the padding to the length of the longest window, with attention mask 0. These rows
        have no vectors.

    Returns
    -------
    tokens : pandas.DataFrame
        One row per token, with the columns

        - ``text``: position of the text, or of the pair;
        - ``window``: window of that text; the first is 0;
        - ``token``, ``id``: the word piece and its number in the vocabulary;
        - ``sequence``: 0 for tokens of a text or of the first text of a pair, 1 for tokens of the
          second text of a pair, -1 for special tokens and padding;
        - ``segment``: the segment id (``token_type_id``): for BERT, 1 for the second text of a pair
          and its ``[SEP]``, else 0; always 0 for models without segments;
        - ``attention_mask``: 1 for tokens, 0 for padding;
        - ``start``, ``end``: the characters ``text[start:end]`` of the token, in a pair those of
          its own text; 0, 0 for special tokens.

    Raises
    ------
    SkbertError
        The errors of the estimator for such texts; `MissingPackageError` without pandas.

    Examples
    --------
    >>> from skbert import inspect_tokens
    >>> inspect_tokens(["Unbelievable!"])[["token", "id", "start", "end"]]
              token     id  start  end
    0         [CLS]    101      0    0
    1  unbelievable  23653      0   12
    2             !    999     12   13
    3         [SEP]    102      0    0

    >>> inspect_tokens([("Who?", "Me.")])[
    ...     ["token", "sequence", "segment", "start", "end"]
    ... ]
       token  sequence  segment  start  end
    0  [CLS]        -1        0      0    0
    1    who         0        0      0    3
    2      ?         0        0      3    4
    3  [SEP]        -1        0      0    0
    4     me         1        1      0    2
    5      .         1        1      2    3
    6  [SEP]        -1        1      0    0
    """
    pd = import_optional("pandas", extra="demo", needed_by="inspect_tokens")
    settings = {
        "revision": revision,
        "max_length": max_length,
        "overflow": overflow,
        "stride": stride,
    }
    estimator, clean = _reader(model, settings, texts)
    check_any_rows(clean)
    tokenizer = estimator._loaded().tokenizer
    encodings, alternative = encodings_with_offsets(estimator, tokenizer, clean)
    warn_of_truncation(encodings.lost_tokens, estimator.max_length_, alternative)
    rows = _rows(encodings, tokenizer, padding, len(encodings.lost_tokens) // len(clean))
    return pd.DataFrame(rows, columns=COLUMNS)


def _reader(
    model: Any, settings: dict[str, Any], texts: Any
) -> tuple[BertEmbedder | BertClassifier | BertRegressor, Texts]:
    """Return the fitted estimator whose settings count, and the texts as it takes them."""
    defaults = BertEmbedder().get_params()
    given = [name for name, value in settings.items() if value != defaults[name]]
    if isinstance(model, BertEmbedder | BertClassifier | BertRegressor):
        check_is_fitted(model)
        if given:
            raise ParameterError(
                f"{given[0]}={settings[given[0]]!r} cannot be combined with a fitted "
                f"{type(model).__name__}, whose own settings are used. Set it there and fit "
                "again, or pass the model's name."
            )
        return model, read_texts(model, texts)
    clean = check_texts_or_pairs(texts)
    if clean.second is not None and settings["overflow"] != "truncate":
        raise ParameterError(
            f"overflow={settings['overflow']!r} is for single texts, but texts contains pairs, "
            "which "
            'can only be truncated. Use overflow="truncate", or a larger max_length.'
        )
    return BertEmbedder(model, **settings).fit(clean.first), clean


def read_texts(estimator: BertEmbedder | BertClassifier | BertRegressor, X: Any) -> Texts:
    """Return the texts, or pairs, of what a fitted estimator reads.

    Raises
    ------
    InputError
        If it reads something else, or several columns of texts one by one.
    """
    if not isinstance(estimator, BertEmbedder):
        texts: Texts = estimator._check_X(X, reset=False)
        return texts
    columns = estimator._check_X(X, reset=False)
    if columns.n_columns > 1:
        raise InputError(
            f"X has {columns.n_columns} columns of text, which are read separately. Pass one "
            "column, and an estimator that was fitted on one."
        )
    return Texts(columns.texts)


def encodings_with_offsets(
    estimator: BertEmbedder | BertClassifier | BertRegressor, tokenizer: TextTokenizer, texts: Texts
) -> tuple[Encodings, str]:
    """Tokenize with offsets; also give what a warning of truncation may advise."""
    if isinstance(estimator, BertEmbedder):
        reading, advice = estimator._settings().reading, READ_WHOLE
    else:
        reading, advice = estimator._reading(), SHORTEN
    if reading.pairs_apart:
        texts = texts.apart()
    if texts.second is None:
        return reading.encode(tokenizer, texts.first, with_offsets=True), advice
    if isinstance(estimator, BertEmbedder):
        # Pairs shown by a model's name are read as a classifier reads them, without a prompt.
        reading = replace(reading, prompt="")
    return reading.encode_pairs(tokenizer, texts, with_offsets=True), advice


def _rows(
    encodings: Encodings, tokenizer: TextTokenizer, padding: bool, n_texts_a_row: int
) -> list[tuple[Any, ...]]:
    """Return one tuple a token, in the order of COLUMNS."""
    assert encodings.offsets is not None
    to_token = tokenizer.backend.id_to_token
    sequences = token_sequences(encodings, tokenizer).tolist()
    segments = np.zeros_like(sequences) if encodings.segments is None else encodings.segments
    longest = int(encodings.lengths.max())
    rows: list[tuple[Any, ...]] = []
    for text, (first, stop) in enumerate(pairwise(encodings.text_bounds.tolist())):
        for window in range(first, stop):
            begin, end = encodings.bounds[window : window + 2].tolist()
            row, number = divmod(text, n_texts_a_row)
            for token in range(*(begin + encodings.owned[window]).tolist()):
                index = int(encodings.ids[token])
                sequence = sequences[token] if sequences[token] < 0 else sequences[token] + number
                place = (sequence, int(segments[token]), 1)
                characters = encodings.offsets[token].tolist()
                rows.append((row, window - first, to_token(index), index, *place, *characters))
            if padding:
                pad = (row, window - first, to_token(tokenizer.pad_id), tokenizer.pad_id)
                rows += [(*pad, -1, 0, 0, 0, 0)] * (longest - (end - begin))
    return rows


def token_sequences(encodings: Encodings, tokenizer: TextTokenizer) -> NDArray[np.int8]:
    """Return which text of its row each token belongs to, -1 for special tokens: (n_tokens,)."""
    if isinstance(encodings, PairEncodings):
        assert encodings.sequences is not None
        return encodings.sequences
    sequences = np.zeros(len(encodings.ids), np.int8)
    n_before, n_after = len(tokenizer.prefix), len(tokenizer.suffix)
    for begin, end in pairwise(encodings.bounds.tolist()):
        sequences[begin : begin + n_before] = -1
        sequences[end - n_after : end] = -1
    return sequences
