"""inspect_tokens: what a model reads of a text, token by token."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from sklearn.utils.validation import check_is_fitted

from skbert._base import READ_WHOLE, warn_of_truncation
from skbert._checkpoint import DEFAULT_MODEL
from skbert._embedder import BertEmbedder
from skbert._encoding import Encodings, TextTokenizer
from skbert._exceptions import ParameterError, SkbertError

COLUMNS = ["text", "window", "token", "id", "segment", "attention_mask", "start", "end"]


def inspect_tokens(
    texts: Any,
    model: str | BertEmbedder = DEFAULT_MODEL,
    *,
    revision: str | None = None,
    max_length: int | None = None,
    overflow: str = "truncate",
    stride: int | None = None,
    padding: bool = False,
) -> Any:
    """Show what a model reads of each text: its tokens, their ids, and where they come from.

    The rows of one text line up with its array from ``BertEmbedder(pooling=None)`` with the same
    settings.

    Parameters
    ----------
    texts : sequence of str
        Texts, as for `BertEmbedder.transform`. Missing values are refused, or read as an
        embedder's ``missing`` says.
    model : str or fitted BertEmbedder, default="sentence-transformers/all-MiniLM-L6-v2"
        Hub id or folder; or an embedder, whose own settings are then used: leave the next four
        parameters alone.
    revision : str, default=None
        Branch, tag or commit of the hub.
    max_length : int, default=None
        Most tokens read at once; by default what the checkpoint's own files say.
    overflow : {"truncate", "windows", "error"}, default="truncate"
        What happens to a longer text, as in `BertEmbedder`. With "windows" each token is shown
        once, and ``window`` tells where its vector comes from.
    stride : int, default=None
        Tokens by which windows overlap; a quarter of a window by default.
    padding : bool, default=False
        Also show the padding that would make all windows as long as the longest, with attention
        mask 0. Such rows have no vectors.

    Returns
    -------
    tokens : pandas.DataFrame
        One row a token, with columns

        - ``text``: position of the text;
        - ``window``: window of that text, from 0;
        - ``token``, ``id``: the word piece and its number in the vocabulary;
        - ``segment``: segment id, 0 for single texts;
        - ``attention_mask``: 1 for tokens, 0 for padding;
        - ``start``, ``end``: the characters ``text[start:end]`` that the token was made from;
          0, 0 for special tokens.

    Raises
    ------
    SkbertError
        As `BertEmbedder.fit` and `transform` do; also if pandas is not installed.

    Examples
    --------
    >>> from skbert import inspect_tokens
    >>> inspect_tokens(["Unbelievable!"])[["token", "id", "start", "end"]]
              token     id  start  end
    0         [CLS]    101      0    0
    1  unbelievable  23653      0   12
    2             !    999     12   13
    3         [SEP]    102      0    0
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise SkbertError(
            "inspect_tokens gives a pandas.DataFrame, and pandas is not installed. "
            "Run: pip install pandas."
        ) from error
    settings = {
        "revision": revision,
        "max_length": max_length,
        "overflow": overflow,
        "stride": stride,
    }
    embedder = _fitted(model, settings, texts)
    clean, _ = embedder._check_X(texts, reset=False)
    tokenizer = embedder._loaded().tokenizer
    encodings = embedder._encode(tokenizer, clean, slice(0, len(clean)), with_offsets=True)
    warn_of_truncation(encodings.lost_tokens, embedder.max_length_, READ_WHOLE)
    return pd.DataFrame(_rows(encodings, tokenizer, padding), columns=COLUMNS)


def _fitted(model: str | BertEmbedder, settings: dict[str, Any], texts: Any) -> BertEmbedder:
    """Give the embedder whose settings count."""
    if not isinstance(model, BertEmbedder):
        return BertEmbedder(model, **settings).fit(texts)
    check_is_fitted(model)
    defaults = BertEmbedder().get_params()
    given = [name for name, value in settings.items() if value != defaults[name]]
    if given:
        raise ParameterError(
            f"{given[0]}={settings[given[0]]!r} cannot be combined with an embedder, whose own "
            "settings are used. Set it there and fit again, or pass the model's name."
        )
    return model


def _rows(encodings: Encodings, tokenizer: TextTokenizer, padding: bool) -> list[tuple[Any, ...]]:
    """One tuple a token, in the order of COLUMNS."""
    assert encodings.offsets is not None
    to_token = tokenizer.backend.id_to_token
    longest = int(encodings.lengths.max())
    rows: list[tuple[Any, ...]] = []
    for text, (first, stop) in enumerate(pairwise(encodings.text_bounds.tolist())):
        for window in range(first, stop):
            begin, end = encodings.bounds[window : window + 2].tolist()
            for token in range(*(begin + encodings.owned[window]).tolist()):
                index = int(encodings.ids[token])
                characters = encodings.offsets[token].tolist()
                rows.append((text, window - first, to_token(index), index, 0, 1, *characters))
            if padding:
                pad = (text, window - first, to_token(tokenizer.pad_id), tokenizer.pad_id)
                rows += [(*pad, 0, 0, 0, 0)] * (longest - (end - begin))
    return rows
