"""Plain texts → words: where each begins and ends."""

from __future__ import annotations

from collections.abc import Sequence

from skbert._texts.encoding import TextTokenizer


def split_words(tokenizer: TextTokenizer, texts: Sequence[str]) -> list[list[tuple[int, int]]]:
    """Split plain texts into words as the tokenizer does; where each begins and ends.

    Some tokenizers count the space before a word to it, or make words of spaces; these are cut.
    """
    result = []
    tokenized = tokenizer.tokenize(texts, with_offsets=True, special_tokens=False)
    for text, encoding in zip(texts, tokenized, strict=True):
        spans: dict[int, tuple[int, int]] = {}
        for word, (start, end) in zip(encoding.word_ids, encoding.offsets, strict=True):
            if word is not None:
                first, last = spans.get(word, (start, end))
                spans[word] = min(first, start), max(last, end)
        trimmed = (_without_spaces(text, *span) for span in spans.values())
        result.append([(start, end) for start, end in trimmed if start < end])
    return result


def _without_spaces(text: str, start: int, end: int) -> tuple[int, int]:
    word = text[start:end]
    stop = start + len(word.rstrip())
    return min(end - len(word.lstrip()), stop), stop
