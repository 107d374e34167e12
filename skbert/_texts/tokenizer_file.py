"""A tokenizer as a file that reads texts as skbert does, without skbert: cut off and padded."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from skbert._texts.encoding import TextTokenizer


def write_tokenizer(tokenizer: TextTokenizer, max_length: int, file: Path) -> None:
    """Write a ``tokenizer.json`` for ``tokenizers.Tokenizer.from_file``.

    Parameters
    ----------
    tokenizer : TextTokenizer
        It is not changed.
    max_length : int
        Tokens that are kept of a text or pair, special tokens included.
    file : Path
        Replaced if it is there.
    """
    backend = Tokenizer.from_str(tokenizer.backend.to_str())
    backend.enable_truncation(
        max_length, direction="left" if tokenizer.keep_end else "right", strategy="longest_first"
    )
    # Its name is for the eye only: what is put into a batch is the id.
    token = backend.id_to_token(tokenizer.pad_id) or ""
    backend.enable_padding(direction="right", pad_id=tokenizer.pad_id, pad_token=token)
    file.write_text(backend.to_str(pretty=True), encoding="utf-8")
