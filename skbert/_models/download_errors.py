"""Why a download failed, and what helps."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator

from skbert._models.foreign import reason

_MOVE = "Set the environment variable HF_HOME to a folder {what}, before Python starts."
_NO_RIGHT = "There is no permission to write {file}. " + _MOVE.format(what="that you may write")
_NO_SPACE = "The disk of {file} is full. Free some space. " + _MOVE.format(what="on another disk")
DISK_ERRORS = {
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: _NO_RIGHT,
    errno.ENOSPC: _NO_SPACE,
    errno.EDQUOT: _NO_SPACE,
}
# Some libraries keep only the text of an error of the operating system.
DISK_TEXTS = {
    "Permission denied": _NO_RIGHT,
    "Read-only file system": _NO_RIGHT,
    "No space left on device": _NO_SPACE,
    "Disk quota exceeded": _NO_SPACE,
}
# Environment variables that forbid the hub's library to ask the hub.
OFFLINE_SETTINGS = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def cause_of(error: BaseException) -> str:
    """Return why a download failed, and what helps; the hub's own errors hide it in their cause."""
    causes = list(_causes(error))
    if (status := _status(causes)) is not None:
        return f"The hub answers with HTTP status {status}: {_by_status(status)}"
    for cause in causes:
        if (text := _disk_trouble(cause)) is not None:
            return text.format(file=getattr(cause, "filename", None) or "the hub's cache")
    if any(map(_is_of_offline_mode, causes)):
        setting = next(filter(os.environ.get, OFFLINE_SETTINGS), OFFLINE_SETTINGS[0])
        value = os.environ.get(setting, "1")
        return f"{setting}={value} is set, so the hub was not asked: unset it before Python starts."
    if any(map(_is_of_the_network, causes)):
        return f"The hub cannot be reached: {reason(causes[-1])}."
    return f"The download failed: {reason(causes[-1])}."


def hub_is_silent(error: BaseException) -> bool:
    """Return whether the hub has said nothing: it may not know the name."""
    causes = list(_causes(error))
    return (
        _status(causes) is None
        and not any(map(_disk_trouble, causes))
        and any(map(_is_of_the_network, causes))
    )


def _status(causes: Iterable[BaseException]) -> int | None:
    statuses = (getattr(getattr(cause, "response", None), "status_code", None) for cause in causes)
    return next((int(status) for status in statuses if status is not None), None)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, and what it was raised from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _disk_trouble(error: BaseException) -> str | None:
    if isinstance(error, OSError) and error.errno in DISK_ERRORS:
        return DISK_ERRORS[error.errno]
    if isinstance(error, PermissionError):
        return _NO_RIGHT
    return next((text for words, text in DISK_TEXTS.items() if words in str(error)), None)


def _is_of_the_network(error: BaseException) -> bool:
    module = type(error).__module__
    return isinstance(error, OSError) or module.startswith(("http", "huggingface_hub", "requests"))


def _is_of_offline_mode(error: BaseException) -> bool:
    return type(error).__name__ == "OfflineModeIsEnabled"


def _by_status(status: int) -> str:
    if status in (401, 403):
        return "it does not let you in. Log in with `hf auth login`; a token may have expired."
    if status == 429:
        return "too many requests. Wait a few minutes, and log in with `hf auth login` for more."
    if status >= 500:
        return "it has trouble of its own. Try again later."
    return "it refuses. Check the name and the revision."
