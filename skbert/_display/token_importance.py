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
    """Plot of a text with words colored by their importance for a prediction.

    Importances are computed with integrated gradients [1]_. They sum to the change of the output of
    the model between a baseline, in which all words are blank, and the text. Create a display with
    `from_estimator`.

    Parameters
    ----------
    texts : tuple of str
        The text, or the two texts of a pair.
    words : list of Word
        For each word its text, and the characters where it starts and ends.
    word_importances : ndarray of float64, shape (n_words,)
        Importance of each word; NaN for words that the model did not read.
    tokens : list of str
        Tokens that the model read, including special tokens.
    token_importances : ndarray of float64, shape (n_tokens,)
        Importance of each token; 0 for special tokens, which are the same in the baseline.
    name : str
        Name of the output.
    output : float
        Output of the model for the text.
    baseline_output : float
        Output of the model for the baseline.
    n_steps : int, default=None
        Number of steps of the integral.
    answer : tuple of int, default=None
        Characters where an answer starts and ends in the second text. It is framed.
    headings : tuple of str, default=None
        Headings of the texts; none by default.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the text.
    figure_ : matplotlib Figure
        Figure with the axes.
    text_artists_ : list of matplotlib Annotation
        Headings, words and the text between them, in order.
    colorbar_ : matplotlib Colorbar or None
        The colorbar; None if there is none.

    See Also
    --------
    AttentionDisplay : Attention weights between tokens.

    References
    ----------
    .. [1] Sundararajan, Taly and Yan (2017), "Axiomatic Attribution for Deep Networks",
       https://arxiv.org/abs/1703.01365

    Examples
    --------
    >>> from skbert import BertClassifier
    >>> from skbert.display import TokenImportanceDisplay
    >>> texts = [
    ...     "A very good film.",
    ...     "A very bad film.",
    ...     "So good!",
    ...     "Bad, so bad.",
    ... ]
    >>> classifier = BertClassifier(
    ...     min_steps=20, learning_rate=2e-4, random_state=0
    ... )
    >>> classifier = classifier.fit(texts, ["good", "bad", "good", "bad"])
    >>> display = TokenImportanceDisplay.from_estimator(
    ...     classifier, ["A good old film."]
    ... )
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
        """Compute and plot the importance of the words for one prediction.

        Needs captum and matplotlib: ``pip install "skbert[explain]"``.

        Parameters
        ----------
        estimator : BertClassifier, BertRegressor or BertQuestionAnswerer
            A fitted estimator.
        X : sequence of str or of pairs of str, or frame, of length 1
            The text or the pair.
        target : object, default=None
            Output to explain: the logit of this class; the output with this number of a regressor
            with several outputs; or the sum of the start and end logits of this answer, an exact
            slice of the context ("" for no answer). By default the output that is predicted.
        baseline : {"pad", "zero"}, default="pad"
            Embedding of each word in the baseline: that of the padding token, or a vector of zeros.
            Positions, segments and special tokens are not changed.
        n_steps : int, default=32
            Initial number of steps of the integral (Gauss-Legendre). It is doubled until the
            importances sum to the change of the output within 2 %.
        max_steps : int, default=1024
            Maximum number of steps.
        ax : matplotlib Axes, default=None
            Axes to plot on; by default those of a new figure.
        fontsize : float, default=12.0
            Font size in points; smaller if the given axes are too small.
        colorbar : bool, default=True
            Whether to add a colorbar.

        Returns
        -------
        display : TokenImportanceDisplay
            The display, after plotting.

        Raises
        ------
        SkbertError
            `MissingPackageError` without captum or matplotlib; `ParameterError` for an invalid
            estimator, target or parameter; `InputError` if X is not one text.

        Warns
        -----
        CompletenessWarning
            If the difference is more than 2 % after `max_steps`.
        TruncationWarning
            If a part of the text is not read. Its words are gray.
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
        """Plot the text with colored words.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; by default those of a new figure with the height of the text.
        fontsize : float, default=12.0
            Font size in points; smaller if the given axes are too small.
        colorbar : bool, default=True
            Whether to add a colorbar.

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
