"""Rows in shards, computed by joblib's workers: processes here, or machines of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice, pairwise
from typing import Any

import joblib
import numpy as np
import torch
from joblib.parallel import BACKENDS, get_active_backend
from numpy.typing import NDArray

from skbert._exceptions import CheckpointChangedError
from skbert._inference.embedding import Settings, embed_texts
from skbert._inference.progress import progress_bar
from skbert._inference.sending import received, send_once
from skbert._models.checkpoint import Checkpoint
from skbert._models.device import PRECISIONS, resolve_device
from skbert._models.encoder import Encoder
from skbert._models.shared import held_encoder, hold_encoder, load_same
from skbert._texts.distinct import Embedded, Vectors
from skbert._texts.encoding import CHUNK_CHARACTERS

# More shards than workers: none waits long for the slowest, and little is lost with a worker.
SHARDS_A_WORKER = 4
# Backends whose workers run on this machine: just these classes. One that is derived from them, as
# Ray's is, runs its workers elsewhere.
NAMES = ("sequential", "threading", "multiprocessing", "loky")
JOBLIBS_OWN = tuple(BACKENDS[name] for name in NAMES if name in BACKENDS)


@dataclass(frozen=True, eq=False)
class Job:
    """What a worker needs beside the texts: small, and pickled without weights.

    Attributes
    ----------
    checkpoint : Checkpoint
        The weights; the worker finds and verifies them where it runs.
    files : mapping or None
        The checkpoint's files, where a pickle carried them.
    device, precision : str
        As the estimator's parameters; the precision is resolved.
    settings : Settings
        What to compute.
    identity : str
        That of the encoder in the process that sends the job.
    """

    checkpoint: Checkpoint
    files: Mapping[str, NDArray[np.uint8]] | None
    device: str
    precision: str
    settings: Settings
    identity: str

    def on(self, device: str) -> Job:
        """Return the job for a device."""
        return replace(self, device=device)

    def compute(
        self, texts: Sequence[str], positions: NDArray[np.int64], first_row: int
    ) -> Embedded:
        """Compute one shard: what a worker does."""
        encoder = self.load()
        bar = progress_bar(len(texts), "text", 0)
        parts = list(embed_texts(encoder, self.settings, texts, positions, bar))
        return Embedded(
            np.arange(first_row, first_row + len(texts)),
            _joined([part.vectors for part in parts]),
            np.concatenate([part.lost for part in parts]),
        )

    def load(self) -> Encoder:
        """Load the weights, or give those that this process loaded for the last shard.

        Raises
        ------
        CheckpointNotFoundError
            If the model's files are not here.
        CheckpointChangedError
            If they, or what is made of them, are others here.
        """
        device = resolve_device(self.device)
        encoder = held_encoder(self.identity, device)
        with_steps = self.settings.needs_steps
        if encoder is None or (with_steps and encoder.steps is None):
            precision = PRECISIONS[self.precision]
            encoder = load_same(self.checkpoint, self.files, device, precision, with_steps)
            hold_encoder(encoder)
        steps = "" if encoder.steps is None or not with_steps else encoder.steps.digest
        if (encoder.identity, steps) != (self.identity, self.settings.steps):
            raise CheckpointChangedError(
                f"A worker of n_jobs found another tokenizer or configuration of "
                f"{self.checkpoint.name!r} than the calling process. Use the same files and "
                "the same version of transformers on all machines."
            )
        return encoder


def embed_in_workers(
    job: Job, texts: Sequence[str], positions: NDArray[np.int64], bar: Any, n_jobs: int | None
) -> Iterator[Embedded]:
    """Compute vectors shard by shard, in joblib's active backend.

    Parameters
    ----------
    job : Job
        What to compute.
    texts : sequence of str
        Clean texts.
    positions : ndarray of int64, shape (n_texts,)
        Their numbers in the caller's X, for errors.
    bar : tqdm bar
        Counts the texts.
    n_jobs : int or None
        As joblib takes it.

    Yields
    ------
    part : Embedded
        A shard, as soon as it is done; the rows count from the first of ``texts``.
    """

    def rows(part: slice) -> tuple[Any, ...]:
        return texts[part], positions[part], part.start

    with closing(compute_in_shards(job, rows, list(map(len, texts)), n_jobs)) as parts:
        for part in parts:
            bar.update(len(part.rows))
            yield part


def compute_in_shards(
    job: Any,
    rows: Callable[[slice], tuple[Any, ...]],
    sizes: Sequence[int],
    n_jobs: int | None,
) -> Generator[Any, None, None]:
    """Compute shards of rows in joblib's active backend.

    Parameters
    ----------
    job : object with ``device``, ``on(device)`` and ``compute(*rows)``
        What to compute; it reaches each worker once. It is pickled.
    rows : callable
        Gives what ``compute`` takes for a slice of the rows.
    sizes : sequence of int
        Characters of each row.
    n_jobs : int or None
        As joblib takes it.

    Yields
    ------
    result : object
        What ``compute`` gives of a shard, as soon as it is done, in any order.
    """
    backend, _ = get_active_backend()
    n_gpus = _shared_gpus(backend)
    n_jobs = _resolve_n_jobs(n_jobs)
    if type(backend) in JOBLIBS_OWN:
        # Not more workers than shards: with several GPUs that is one worker a device.
        n_jobs = joblib.effective_n_jobs(n_jobs)
        n_jobs = len(shard_devices(job.device, min(n_jobs, len(sizes)), n_jobs, n_gpus))
    # Some backends cannot give results one by one: these get as many shards as there are workers
    # at a time, so that there is progress to show and to write to a cache.
    one_by_one = getattr(backend, "supports_return_generator", False)
    return_as = "generator_unordered" if one_by_one else "list"
    with joblib.Parallel(n_jobs=n_jobs, batch_size=1, return_as=return_as) as parallel:
        # Not before: a backend may start its engine here, as Ray's does, and then know its size.
        n_workers = joblib.effective_n_jobs(n_jobs)
        n_shards = max(SHARDS_A_WORKER * n_workers, sum(sizes) // CHUNK_CHARACTERS)
        devices = shard_devices(job.device, n_shards, n_workers, n_gpus)
        shards = cut(sizes, len(devices))
        sent = send_once(backend, job)
        calls = (
            joblib.delayed(_compute_shard)(sent, device, rows(part))
            for device, part in zip(devices, shards, strict=False)
        )
        at_once = len(shards) if one_by_one else n_workers
        while asked := list(islice(calls, at_once)):
            yield from parallel(asked)


def are_workers_asked(n_jobs: int | None) -> bool:
    """Return whether to compute elsewhere than in this process: several workers, or a cluster's."""
    n_jobs = _resolve_n_jobs(n_jobs)
    if n_jobs == 1:
        return False
    backend, _ = get_active_backend()
    return type(backend) not in JOBLIBS_OWN or joblib.effective_n_jobs(n_jobs) > 1


def _resolve_n_jobs(n_jobs: int | None) -> int | None:
    """Return the estimator's `n_jobs`, else joblib's; all workers of a cluster if neither says."""
    backend, configured = get_active_backend()
    n_jobs = configured if n_jobs is None else n_jobs
    if n_jobs is None and type(backend) not in JOBLIBS_OWN:
        return -1
    return n_jobs


def shard_devices(device: str, n_shards: int, n_workers: int, n_gpus: int) -> list[str]:
    """Choose the device of each shard, and how many shards there are.

    Parameters
    ----------
    device : str
        The estimator's parameter.
    n_shards : int
        Shards to make where all workers compute on the same device.
    n_workers : int
        Worker processes.
    n_gpus : int
        CUDA devices that these share; 0 where they run elsewhere and choose for themselves.

    Returns
    -------
    devices : list of str
        One a shard. Where workers share several GPUs there is one shard for each GPU: so no two
        workers load weights to the same one.
    """
    if n_gpus > 1 and device in ("auto", "cuda"):
        return [f"cuda:{number}" for number in range(min(n_workers, n_gpus))]
    return [device] * n_shards


def cut(sizes: Sequence[int], n_shards: int) -> list[slice]:
    """Cut rows of so many characters into at most so many shards of about equal size."""
    # One more for each row: empty ones need special tokens, too.
    done = np.cumsum(np.asarray(sizes) + 1)
    ends = np.searchsorted(done, done[-1] * np.arange(1, n_shards) / n_shards, side="right")
    bounds = np.unique([0, *ends, len(sizes)])
    return [slice(int(start), int(stop)) for start, stop in pairwise(bounds)]


def _shared_gpus(backend: Any) -> int:
    """Return CUDA devices that joblib's workers share; a cluster's have their own."""
    here = type(backend) in JOBLIBS_OWN and torch.cuda.is_available()
    return torch.cuda.device_count() if here else 0


def _compute_shard(sent: Any, device: str, rows: tuple[Any, ...]) -> Any:
    """Compute one shard: what a worker does."""
    return received(sent, device).compute(*rows)


def _joined(parts: list[Vectors]) -> Vectors:
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts)
    return [vector for part in parts for vector in part]
