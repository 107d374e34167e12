"""What joblib's workers compute with, a trained model perhaps: sent to each of them once."""

from __future__ import annotations

import hashlib
import pickle
import threading
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from joblib.externals.loky.cloudpickle_wrapper import dumps  # where each joblib has it

# Smaller jobs go along with each shard.
SMALL = 50_000
# What this process received last, for further shards. Dask's workers may have several threads.
_RECEIVED: dict[tuple[str, str], Any] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True, eq=False)
class Here:
    """A job that threads of this process share.

    Attributes
    ----------
    job : object
        It has ``on(device)``.
    """

    job: Any


def send_once(backend: Any, job: Any) -> Any:
    """Return what stands for a job in the arguments of each shard.

    Parameters
    ----------
    backend : joblib backend
        It has started.
    job : object with ``on(device)``
        Pickled, but for threads of this process.

    Returns
    -------
    sent : object
        For `received`. A tuple: Dask's backend gives what is larger and no tuple to one worker
        alone, with which it would be lost.
    """
    if getattr(backend, "supports_sharedmem", False):
        return Here(job)
    content = dumps(job)
    key = hashlib.sha256(content).hexdigest()
    # An array: joblib writes it to a file once, which all processes of this machine map.
    array = np.frombuffer(content, np.uint8)
    return key, array if len(array) <= SMALL else _shared(backend, array)


def _shared(backend: Any, array: Any) -> Any:
    """Put a large array where a cluster's workers find it."""
    if type(backend).__module__.partition(".")[0] == "ray":
        return import_module("ray").put(array)
    if type(backend).__name__ == "DaskDistributedBackend":
        # To all workers: what only one has is lost with it.
        return backend.client.scatter(array, broadcast=True, hash=False)
    return array


def received(sent: Any, device: str) -> Any:
    """Return a job for a device, the one of the last shard where it is the same."""
    if isinstance(sent, Here):
        return sent.job.on(device)
    key, content = sent
    with _LOCK:
        job = _RECEIVED.get((key, device))
        if job is None:
            _RECEIVED.clear()  # first, so that two are not held at once
            if not isinstance(content, np.ndarray):  # Ray's reference
                content = import_module("ray").get(content)
            job = pickle.loads(content.data).on(device)
            _RECEIVED[key, device] = job
    return job
