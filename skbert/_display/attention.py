"""AttentionDisplay: which tokens look at which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from skbert._display.plain_model import plain_model
from skbert._display.tokenized_example import tokenize_one
from skbert._estimators.parameters import is_integer
from skbert._exceptions import CheckpointError, InputError, ParameterError
from skbert._inference.batching import pad_batch
from skbert._inference.loop import model_inputs
from skbert._optional import import_optional, new_axes

# Inches a token, so that its label fits, and the least and greatest side of a new figure.
TOKEN_INCHES, LEAST_INCHES, MOST_INCHES = 0.2, 4.5, 24.0


class AttentionDisplay:
    """Heat map of the attention weights between the tokens of a text in a layer.

    Row i contains the weights of all tokens for token i; rows sum to 1. Attention weights do not
    explain a prediction [1]_; see `TokenImportanceDisplay` for that. Create a display with
    `from_estimator`.

    Parameters
    ----------
    weights : ndarray of float32, shape (n_tokens, n_tokens)
        Attention weights of one head, or the mean over heads.
    tokens : list of str
        The tokens, including special tokens.
    layer : int, default=None
        Number of the layer; the first is 1.
    head : int, default=None
        Number of the head; the first is 0. None for the mean over all heads.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Axes with the heat map.
    figure_ : matplotlib Figure
        Figure with the axes.
    image_ : matplotlib AxesImage
        The heat map.
    colorbar_ : matplotlib Colorbar or None
        The colorbar; None if there is none.

    See Also
    --------
    TokenImportanceDisplay : Importance of words for a prediction.

    References
    ----------
    .. [1] Jain and Wallace (2019), "Attention is not Explanation",
       https://arxiv.org/abs/1902.10186

    Examples
    --------
    >>> from skbert import BertEmbedder
    >>> from skbert.display import AttentionDisplay
    >>> texts = ["The cat sat on the mat."]
    >>> display = AttentionDisplay.from_estimator(
    ...     BertEmbedder().fit(texts), texts, layer=2, head=0
    ... )
    >>> display.tokens
    ['[CLS]', 'the', 'cat', 'sat', 'on', 'the', 'mat', '.', '[SEP]']
    >>> display.weights.sum(axis=1).round(4)
    array([1., 1., 1., 1., 1., 1., 1., 1., 1.], dtype=float32)
    """

    def __init__(
        self,
        *,
        weights: NDArray[np.float32],
        tokens: Sequence[str],
        layer: int | None = None,
        head: int | None = None,
    ) -> None:
        self.weights = weights
        self.tokens = tokens
        self.layer = layer
        self.head = head

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        *,
        layer: int = -1,
        head: int | None = None,
        ax: Any = None,
        cmap: Any = "Blues",
        colorbar: bool = True,
    ) -> AttentionDisplay:
        """Compute and plot the attention weights of one text.

        Parameters
        ----------
        estimator : fitted estimator of skbert
            A `BertEmbedder`, or any fine-tuned estimator.
        X : sequence or frame of length 1
            The text or the pair, as for `predict` or `transform` of the estimator.
        layer : int, default=-1
            Number of the layer, as in `BertEmbedder`: 1 is the first layer, -1 the last.
        head : int, default=None
            Number of the head; the first is 0. By default, the mean over all heads.
        ax : matplotlib Axes, default=None
            Axes to plot on; by default those of a new figure, whose size depends on the number of
            tokens.
        cmap : str or matplotlib Colormap, default="Blues"
            Colormap of the weights.
        colorbar : bool, default=True
            Whether to add a colorbar.

        Returns
        -------
        display : AttentionDisplay
            The display, after plotting.

        Raises
        ------
        SkbertError
            `MissingPackageError` without matplotlib; `ParameterError` for a layer or head that does
            not exist; `InputError` if X is not one text, or is read in several windows;
            `CheckpointError` for a model without attention weights.
        """
        import_optional("matplotlib", extra="plot", needed_by=cls.__name__)
        example = tokenize_one(estimator, X)
        if example.n_windows > 1:
            raise InputError(
                f"X is read in {example.n_windows} windows, expected one: attention stays within "
                "a window. Pass a part of the text."
            )
        encoder = estimator._loaded()
        layer, head = _check_place(layer, head, encoder.model.config)
        batch = pad_batch(example.encodings, np.array([0]), encoder.tokenizer.pad_id)
        weights = _attention(estimator, model_inputs(batch, encoder), layer)
        display = cls(
            weights=weights.mean(axis=0) if head is None else weights[head],
            tokens=example.pieces(0, encoder.tokenizer),
            layer=layer,
            head=head,
        )
        return display.plot(ax=ax, cmap=cmap, colorbar=colorbar)

    def plot(
        self, ax: Any = None, *, cmap: Any = "Blues", colorbar: bool = True
    ) -> AttentionDisplay:
        """Plot the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; by default those of a new figure, whose size depends on the number of
            tokens.
        cmap : str or matplotlib Colormap, default="Blues"
            Colormap of the weights.
        colorbar : bool, default=True
            Whether to add a colorbar.

        Returns
        -------
        self : AttentionDisplay
            The display, with `ax_`, `figure_`, `image_` and `colorbar_`.

        Raises
        ------
        MissingPackageError
            If matplotlib is not installed.
        """
        n_tokens = len(self.tokens)
        side = float(np.clip(1.5 + TOKEN_INCHES * n_tokens, LEAST_INCHES, MOST_INCHES))
        ax = new_axes(ax, type(self).__name__, figsize=(side + 0.8, side))
        self.image_ = ax.imshow(self.weights, cmap=cmap, vmin=0)
        shown = [token.replace("$", r"\$") for token in self.tokens]
        room = ax.get_window_extent().height * 72 / ax.figure.dpi / n_tokens
        size = float(np.clip(0.75 * room, 3, 9))
        ax.set_xticks(np.arange(n_tokens), shown, rotation=90, fontsize=size)
        ax.set_yticks(np.arange(n_tokens), shown, fontsize=size)
        ax.set(xlabel="to token", ylabel="from token", title=self._title())
        self.colorbar_ = None
        if colorbar:
            self.colorbar_ = ax.figure.colorbar(
                self.image_, ax=ax, label="attention weight", shrink=0.7
            )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _title(self) -> str:
        where = "" if self.layer is None else f"Layer {self.layer}, "
        return where + ("mean over heads" if self.head is None else f"head {self.head}")


def _check_place(layer: Any, head: Any, config: Any) -> tuple[int, int | None]:
    """Return the layer counted from 1, and the head."""
    n, n_heads = int(config.num_hidden_layers), int(config.num_attention_heads)
    if not is_integer(layer, -n) or layer == 0 or layer > n:
        raise ParameterError(
            f"layer={layer!r} is not usable, expected an integer from 1 to {n}, or from -1 (the "
            f"last) to -{n}: input embeddings (0) have no attention."
        )
    if head is not None and (not is_integer(head, 0) or head >= n_heads):
        raise ParameterError(
            f"head={head!r} is not usable, expected None (the mean) or an integer from 0 to "
            f"{n_heads - 1}."
        )
    return int(layer) if layer > 0 else n + 1 + int(layer), None if head is None else int(head)


@torch.no_grad()
def _attention(estimator: Any, inputs: dict[str, Any], layer: int) -> NDArray[np.float32]:
    """Return attention weights of a layer, (n_heads, n_tokens, n_tokens)."""
    try:
        model = plain_model(estimator, attention="eager")
        layers = model(**inputs, output_attentions=True).attentions
    except (ValueError, TypeError) as error:
        raise CheckpointError(f"This model gives no attention weights: {error}") from error
    weights = layers[layer - 1] if layers and len(layers) >= layer else None
    if weights is None or weights.shape[-1] != inputs["input_ids"].shape[1]:
        raise CheckpointError(
            "This model returns no attention weights between tokens. Use another model."
        )
    result: NDArray[np.float32] = weights[0].cpu().numpy()
    return result
