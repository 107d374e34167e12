"""What every estimator shares: parameter rules, input hook, tags, loading and pickling."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, metadata
from typing import Any, ClassVar, Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from skbert._estimators.parameters import SHARED_RULES, Rule
from skbert._exceptions import (
    InputError,
    ParameterError,
    TruncationWarning,
    stacklevel_of_caller,
)
from skbert._models.checkpoint import checkpoint_files, find_checkpoint, find_same_checkpoint
from skbert._models.device import (
    free_cached_memory,
    generator_lock,
    resolve_device,
    resolve_precision,
)
from skbert._models.encoder import Encoder
from skbert._models.shared import clear_held_encoder, load_encoder, load_same
from skbert._texts.containers import is_table, native
from skbert._texts.inputs import check_any_rows

# scikit-learn's attributes for the columns of the X of `fit`.
OF_COLUMNS = ("n_features_in_", "feature_names_in_")


@cache
def documentation_address() -> str:
    """Return the address that the installed package states for its documentation, or ""."""
    try:
        entries = metadata("skbert").get_all("Project-URL") or []
    except PackageNotFoundError:  # the source runs without being installed
        return ""
    for entry in entries:
        label, _, address = entry.partition(", ")
        if label == "Documentation":
            return str(address).rstrip("/")
    return ""


class BertEstimator(BaseEstimator):
    """Base class of the estimators; holds no task logic.

    A fitted estimator remembers its checkpoint in ``checkpoint_`` and holds the loaded weights in
    ``_encoder``, which is not pickled: the weights are found, verified and loaded again, on
    whatever device there is then, when they are first needed.
    """

    _rules: ClassVar[Mapping[str, Rule]] = SHARED_RULES
    _encoder: Encoder | None
    # Where scikit-learn's HTML representation of an estimator links to.
    _doc_link_module = "skbert"

    @property
    def _doc_link_template(self) -> str:
        address = documentation_address()
        return address and address + "/generated/{estimator_module}.{estimator_name}.html"

    def _check_params(self) -> None:
        """Check every parameter against its rule.

        Raises
        ------
        ParameterError
            For the first one that breaks it.
        """
        for name, rule in self._rules.items():
            value = getattr(self, name)
            if not rule.accepts(value):
                raise ParameterError(
                    f"{name}={value!r} of {type(self).__name__} is not usable, expected "
                    f"{rule.expected}."
                )

    def _check_X(self, X: Any, *, reset: bool) -> Any:
        """Turn X into texts: the one hook through which all input comes.

        With ``reset``, in `fit`, it remembers the columns of a table.
        """
        raise NotImplementedError

    def _check_X_of_fit(self, X: Any) -> Any:
        """Turn X into texts, at least one, and forget the columns of an earlier fit."""
        for name in OF_COLUMNS:
            self.__dict__.pop(name, None)
        texts = self._check_X(X, reset=True)
        check_any_rows(texts)
        return texts

    def _check_columns(self, X: Any, *, reset: bool) -> None:
        """Remember the columns of a table, or compare them, as scikit-learn's estimators do.

        Single texts have none, and may be a column of any name.

        Raises
        ------
        InputError
            If names, order or number are not those of `fit`.
        """
        if not is_table(X) or not (reset or hasattr(self, "n_features_in_")):
            return
        try:
            validate_data(self, native(X), reset=reset, skip_check_array=True)
        except ValueError as error:
            raise InputError(str(error)) from error

    def _reset(self) -> None:
        """Drop what an earlier fit left, weights first, so that they are not held twice."""
        fitted = [name for name in vars(self) if name.endswith("_") and not name.startswith("_")]
        for name in [*fitted, "_encoder", "_files", "_state"]:
            if name not in OF_COLUMNS:
                self.__dict__.pop(name, None)

    def _find_and_load(self) -> Encoder:
        """Find the checkpoint that the parameters name, and load it."""
        found = find_checkpoint(str(self.model), self.revision)
        return load_encoder(*found, *self._placement())

    def _loaded(self) -> Encoder:
        """Return the weights of the fit; load them again after unpickling or for another device."""
        placement = self._placement()
        encoder = self._encoder_at(placement)
        if encoder is None:
            # Not a lock of the estimator's own, which would be cloned and pickled. Loading needs
            # this one, and a fit that loads holds it already: with a second they could deadlock.
            with generator_lock():
                encoder = self._encoder_at(placement)  # another thread may have been faster
                if encoder is None:
                    self._encoder = None
                    self._encoder = encoder = self._load_fitted()
        return encoder

    def _encoder_at(self, placement: tuple[torch.device, torch.dtype]) -> Encoder | None:
        """Return the loaded weights, if they are on this device in this precision."""
        encoder = vars(self).get("_encoder")
        if encoder is None or (encoder.device, encoder.dtype) != placement:
            return None
        return encoder

    def _load_fitted(self) -> Encoder:
        """Load the weights that the estimator was fitted with, for inference."""
        return load_same(self.checkpoint_, vars(self).get("_files"), *self._placement())

    @property
    def _windows_per_batch(self) -> int | None:
        """`batch_size`; None where batches are cut by tokens."""
        batch_size = getattr(self, "batch_size", "auto")
        return None if batch_size == "auto" else int(batch_size)

    def _no_pooler(self) -> ParameterError:
        return ParameterError(
            f'pooling="pooler": {getattr(self, "model", None)!r} has no trained pooler. Use "cls" '
            'or "mean".'
        )

    def _placement(self) -> tuple[torch.device, torch.dtype]:
        device = resolve_device(self.device)
        return device, resolve_precision(self.precision, device)

    def release(self) -> Self:
        """Free the loaded weights and the cached memory of the device.

        The estimator stays fitted, and loads the weights again when they are needed. Clones in the
        same process share the weights, so the memory is freed when all of them are released. Worker
        processes of ``n_jobs`` keep their own weights until they end.

        Returns
        -------
        self : estimator
            The fitted estimator.
        """
        encoder = self.__dict__.pop("_encoder", None)
        device = None if encoder is None else encoder.device
        del encoder
        clear_held_encoder()
        if device is not None:
            free_cached_memory(device)
        return self

    def __getstate__(self) -> dict[str, Any]:
        state = {k: v for k, v in super().__getstate__().items() if k != "_encoder"}
        if getattr(self, "save_weights", None) is True and hasattr(self, "checkpoint_"):
            state["_files"] = vars(self).get("_files") or checkpoint_files(
                find_same_checkpoint(self.checkpoint_)
            )
        return state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.input_tags.string = True
        return tags


READ_WHOLE = 'overflow="windows" to read them whole'


def warn_of_truncation(lost: NDArray[np.int64], max_length: int, alternative: str) -> None:
    """Warn once, at the caller's line, if any text lost tokens (`Encodings.lost_tokens`)."""
    counts = int(np.count_nonzero(lost)), len(lost), int(lost.sum())
    warn_of_counted_truncation(*counts, max_length, alternative)


def warn_of_counted_truncation(
    n_truncated: int, n_texts: int, n_lost: int, max_length: int, alternative: str
) -> None:
    """Warn, at the caller's line, if some of the texts lost tokens."""
    if n_truncated:
        warnings.warn(
            f"{n_truncated} of {n_texts} texts are longer than max_length={max_length}: {n_lost} "
            "of their tokens were truncated. Use a larger max_length if the model "
            f"allows it, or {alternative}.",
            TruncationWarning,
            stacklevel=stacklevel_of_caller(),
        )
