"""TokenImportanceDisplay: which words a prediction comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from skbert._display.attributions import attribute
from skbert._display.coloured_text import Piece, cut_text, paragraphs_to_html
from skbert._display.drawn_text import draw_text
from skbert._display.explained import choose_value
from skbert._display.plain_model import plain_model
from skbert._display.tokenized_example import Word, tokenize_one
from skbert._estimators.parameters import is_integer
from skbert._exceptions import ParameterError
from skbert._inference.batching import pad_batch
from skbert._inference.loop import model_inputs
from skbert._optional import import_optional

BASELINES = ("pad", "zero")


class TokenImportanceDisplay:
    """Words of a text, colored by their importance for a prediction.

    The importance of a word is its share, by integrated gradients [1]_, of the change of the
    model's output between a baseline, the text with all its words blanked out, and the text.
    Shares of all words sum to that change. Make one with `from_estimator`.

    Parameters
    ----------
    texts : tuple of str
        The text, or the two texts of a pair.
    words : list of Word
        Which of the texts each word is in, and the characters where it begins and ends.
    word_importances : ndarray of float64, shape (n_words,)
        Importance of each word; NaN for words that the model did not read.
    tokens : list of str
        Word pieces that the model read, special tokens included.
    token_importances : ndarray of float64, shape (n_tokens,)
        Importance of each of them; 0 for special tokens, which the baseline has, too.
    name : str
        What the output is, in words.
    output : float
        What the model gives for the text.
    baseline_output : float
        What it gives for the baseline.
    n_steps : int, default=None
        Steps of the integral.
    answer : tuple of int, default=None
        Where an answer begins and ends in the second text, in characters; it is framed.
    headings : tuple of str, default=None
        What is written above each text; nothing by default.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the text.
    figure_ : matplotlib Figure
        Figure with the axes.
    text_artists_ : list of matplotlib Annotation
        Headings, words and what is between them, in order.
    colorbar_ : matplotlib Colorbar or None
        The scale of the colors; None without one.

    See Also
    --------
    AttentionDisplay : Which tokens look at which.

    References
    ----------
    .. [1] Sundararajan, Taly and Yan (2017), "Axiomatic Attribution for Deep Networks",
       https://arxiv.org/abs/1703.01365

    Examples
    --------
    >>> from skbert import BertClassifier
    >>> from skbert.display import TokenImportanceDisplay
    >>> texts = ["A very good film.", "A very bad film.", "So good!", "Bad, so bad."]
    >>> classifier = BertClassifier(min_steps=20, learning_rate=2e-4, random_state=0)
    >>> classifier = classifier.fit(texts, ["good", "bad", "good", "bad"])
    >>> display = TokenImportanceDisplay.from_estimator(classifier, ["A good old film."])
    >>> most = display.word_importances.argmax()
    >>> display.texts[0][display.words[most].start : display.words[most].end]
    'good'
    """

    def __init__(
        self,
        *,
        texts: tuple[str, ...],
        words: Sequence[Word],
        word_importances: NDArray[np.float64],
        tokens: Sequence[str],
        token_importances: NDArray[np.float64],
        name: str,
        output: float,
        baseline_output: float,
        n_steps: int | None = None,
        answer: tuple[int, int] | None = None,
        headings: tuple[str, ...] | None = None,
    ) -> None:
        self.texts = texts
        self.words = words
        self.word_importances = word_importances
        self.tokens = tokens
        self.token_importances = token_importances
        self.name = name
        self.output = output
        self.baseline_output = baseline_output
        self.n_steps = n_steps
        self.answer = answer
        self.headings = headings

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        target: Any = None,
        baseline: str = "pad",
        n_steps: int = 32,
        max_steps: int = 1024,
        ax: Any = None,
        fontsize: float = 12.0,
        colorbar: bool = True,
    ) -> TokenImportanceDisplay:
        """Explain one prediction of a fitted estimator, and draw it.

        Needs captum and matplotlib: ``pip install "skbert[explain]"``.

        Parameters
        ----------
        estimator : BertClassifier, BertRegressor or BertQuestionAnswerer
            A fitted estimator.
        X : sequence of str or of pairs of str, or frame, of length 1
            The text or the pair.
        target : object, default=None
            What is explained: the logit of this class; this output of a regressor with several,
            counted from 0; or the two logits, begin and end, of this answer, an exact slice of
            the context ("" for no answer). By default what the estimator predicts.
        baseline : {"pad", "zero"}, default="pad"
            What stands for each word in the baseline: the embedding of the padding token, or a
            vector of zeros. Positions, segments and special tokens stay.
        n_steps : int, default=32
            Steps of the integral (Gauss-Legendre) to begin with. They are doubled until the
            importances sum to the change of the output within 2 %.
        max_steps : int, default=1024
            Most steps.
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure.
        fontsize : float, default=12.0
            Size of the letters, in points; smaller where given axes have too little room.
        colorbar : bool, default=True
            Whether to draw the scale of the colors.

        Returns
        -------
        display : TokenImportanceDisplay
            The drawn display.

        Raises
        ------
        SkbertError
            `MissingPackageError` without captum or matplotlib; `ParameterError` for an estimator,
            a target or a setting that cannot be used; `InputError` for an X that is not one text.

        Warns
        -----
        CompletenessWarning
            If `max_steps` do not suffice for 2 %.
        TruncationWarning
            If a part of the text is not read; its words are grey.
        """
        for module in ("captum.attr", "matplotlib"):
            import_optional(module, extra="explain", needed_by=cls.__name__)
        _check_settings(baseline, n_steps, max_steps)
        example = tokenize_one(estimator, X)
        explained = choose_value(estimator, example, target)
        encoder, window = estimator._loaded(), explained.window
        inputs = model_inputs(
            pad_batch(example.encodings, np.array([window]), encoder.tokenizer.pad_id), encoder
        )
        result = attribute(
            plain_model(estimator),
            inputs,
            explained.value,
            fixed=example.sequences[example.tokens_of(window)] < 0,
            baseline_id=encoder.tokenizer.pad_id if baseline == "pad" else None,
            n_steps=int(n_steps),
            max_steps=int(max_steps),
            max_tokens=encoder.max_tokens,
        )
        words = example.words()
        display = cls(
            texts=example.texts,
            words=words,
            word_importances=sum_by_word(
                result.importances, example.word_of_tokens(window, words), len(words)
            ),
            tokens=example.pieces(window, encoder.tokenizer),
            token_importances=result.importances,
            name=explained.name,
            output=result.output,
            baseline_output=result.baseline_output,
            n_steps=result.n_steps,
            answer=explained.answer,
            headings=example.names,
        )
        return display.plot(ax=ax, fontsize=fontsize, colorbar=colorbar)

    def plot(
        self, ax: Any = None, *, fontsize: float = 12.0, colorbar: bool = True
    ) -> TokenImportanceDisplay:
        """Draw the text with colored words.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to draw on; by default those of a new figure, as high as the text.
        fontsize : float, default=12.0
            Size of the letters, in points; smaller where given axes have too little room.
        colorbar : bool, default=True
            Whether to draw the scale of the colors.

        Returns
        -------
        self : TokenImportanceDisplay
            The display, with `ax_`, `figure_`, `text_artists_` and `colorbar_`.

        Raises
        ------
        MissingPackageError
            If matplotlib is not installed.
        """
        drawn = draw_text(
            ax,
            self._title(),
            self._paragraphs(),
            fontsize=fontsize,
            colorbar=colorbar,
            needed_by=type(self).__name__,
        )
        self.text_artists_, self.colorbar_ = drawn.artists, drawn.colorbar
        self.ax_, self.figure_ = drawn.ax, drawn.ax.figure
        return self

    def _repr_html_(self) -> str:
        """Show the colored text in a notebook."""
        return paragraphs_to_html(self._title(), self._paragraphs())

    def _paragraphs(self) -> list[tuple[str, list[Piece]]]:
        """Return headings and pieces of the texts."""
        result = []
        for number, text in enumerate(self.texts):
            chosen = [k for k, word in enumerate(self.words) if word.text == number]
            is_answered = self.answer is not None and number == len(self.texts) - 1
            pieces = cut_text(
                text,
                [self.words[k] for k in chosen],
                self.word_importances[chosen].tolist(),
                self.answer if is_answered and self.answer else (0, 0),
            )
            result.append((self.headings[number] if self.headings else "", pieces))
        return result

    def _title(self) -> str:
        name = self.name if len(self.name) <= 48 else self.name[:45] + "..."
        return f"{name}: {self.output:.2f} (baseline {self.baseline_output:.2f})"


def sum_by_word(
    importances: NDArray[np.float64], word_of_tokens: NDArray[np.int64], n_words: int
) -> NDArray[np.float64]:
    """Sum the importances of each word's tokens; NaN for words without any, shape (n_words,)."""
    owned = word_of_tokens >= 0
    sums = np.bincount(word_of_tokens[owned], importances[owned], minlength=n_words)
    counts = np.bincount(word_of_tokens[owned], minlength=n_words)
    return np.where(counts > 0, sums, np.nan)


def _check_settings(baseline: Any, n_steps: Any, max_steps: Any) -> None:
    if baseline not in BASELINES:
        raise ParameterError(f"baseline={baseline!r} is not usable, expected one of {BASELINES}.")
    if not is_integer(n_steps, 1):
        raise ParameterError(f"n_steps={n_steps!r} is not usable, expected an integer from 1.")
    if not is_integer(max_steps, int(n_steps)):
        raise ParameterError(
            f"max_steps={max_steps!r} is not usable, expected an integer from n_steps={n_steps}."
        )
