"""What other libraries raise and print while they read a checkpoint."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from skbert._exceptions import CheckpointError, SkbertError

# Longer ones are lists of thousands of weights or of every architecture that there is.
MAX_CHARACTERS = 400


@contextmanager
def checkpoint_errors(what: str, remedy: str) -> Iterator[None]:
    """Turn whatever a library raises into a `CheckpointError` with its reason.

    Parameters
    ----------
    what : str
        What cannot be done: the sentence before the reason.
    remedy : str
        The sentence after it.
    """
    try:
        yield
    except (SkbertError, MemoryError):
        raise
    except Exception as error:
        raise CheckpointError(f"{what}: {reason(error)}. {remedy}") from error
    except BaseException as error:
        # What a Rust library raises where it fails an assertion derives from BaseException.
        if type(error).__name__ != "PanicException":
            raise
        raise CheckpointError(f"{what}: {reason(error)}. {remedy}") from error


def reason(error: BaseException) -> str:
    """Return an error's text in one line, without its full stop."""
    # huggingface_hub names the field in the first line and what is wrong in the second.
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    if isinstance(error, KeyError):
        text = f"no {text}"
    return text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + "..."


# Both settings are the whole process's: of two threads, each would restore what the other set.
# A thread that will draw random numbers takes `forked_generator` first: a fit holds that already.
_QUIET = threading.RLock()
# A setting of transformers.
_NO_THREADS = "HF_DEACTIVATE_ASYNC_LOAD"


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bars and load reports from the user's screen for a moment."""
    from transformers.utils import logging

    with _QUIET:
        verbosity = logging.get_verbosity()
        logging.set_verbosity_error()
        hook = logging.set_tqdm_hook(
            lambda tqdm, args, options: tqdm(*args, **{**options, "disable": True})
        )
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            logging.set_tqdm_hook(hook)


@contextmanager
def weights_read_by_this_thread() -> Iterator[None]:
    """Keep transformers from reading weights in threads of its own, for a moment.

    glibc would take their memory from an arena of the thread that asks for it, and keep up to
    64 MiB at the top of that when they are freed: measured 40 MB more after ten loads of MiniLM in
    bfloat16.
    """
    with _QUIET:
        before = os.environ.get(_NO_THREADS)
        os.environ[_NO_THREADS] = "1"
        try:
            yield
        finally:
            if before is None:
                del os.environ[_NO_THREADS]
            else:
                os.environ[_NO_THREADS] = before
