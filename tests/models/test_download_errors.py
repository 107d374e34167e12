"""A download that fails says why, and what helps."""

from __future__ import annotations

import errno
from types import SimpleNamespace

import pytest
from huggingface_hub import errors

from skbert import BertEmbedder, CheckpointNotFoundError
from tests.models.test_checkpoint import hub_answers, hub_error


def http_error(status: int) -> Exception:
    error = hub_error(errors.HfHubHTTPError)
    error.response = SimpleNamespace(status_code=status)
    return error


def caused_by(cause: Exception) -> Exception:
    """What huggingface_hub raises where it looked into its cache in vain."""
    error = errors.LocalEntryNotFoundError("Got: something. Check your internet connection.")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (http_error(429), r"HTTP status 429: too many requests.*hf auth login"),
        (http_error(500), r"HTTP status 500: it has trouble of its own.*later"),
        (http_error(503), r"HTTP status 503: it has trouble of its own"),
        (http_error(401), r"HTTP status 401: it does not let you in.*hf auth login"),
        (http_error(403), r"HTTP status 403: it does not let you in"),
        (http_error(418), r"HTTP status 418: it refuses"),
        (
            PermissionError(errno.EACCES, "no", "/hub/x"),
            r"no permission to write /hub/x\..*HF_HOME",
        ),
        (PermissionError("no"), r"no permission to write the hub's cache.*HF_HOME"),
        (OSError(errno.EROFS, "no", "/hub"), r"no permission to write /hub\..*HF_HOME"),
        (OSError(errno.ENOSPC, "no", "/hub"), r"The disk of /hub is full.*HF_HOME"),
        (OSError(errno.EDQUOT, "no"), r"The disk of the hub's cache is full.*HF_HOME"),
        (RuntimeError("xet: No space left on device (os error 28)"), r"is full.*HF_HOME"),
        (ConnectionError("no route"), r"The hub cannot be reached: no route"),
        (RuntimeError("strange"), r"The download failed: strange"),
    ],
    ids=lambda value: str(value)[:20],
)
@pytest.mark.parametrize("wrap", [lambda error: error, caused_by], ids=["alone", "as the cause"])
def test_says_what_happened(monkeypatch, cause, words, wrap):
    hub_answers(monkeypatch, wrap(cause))
    if wrap is caused_by and "download failed" in words:
        words = "The hub cannot be reached: strange"  # it was the hub's own error
    with pytest.raises(CheckpointNotFoundError, match=words) as caught:
        BertEmbedder("org/model").fit(["a"])
    assert "--local-dir" in str(caught.value)
    if "HTTP" in words or "HF_HOME" in words:
        assert "cannot be reached" not in str(caught.value)
        assert "spelling" not in str(caught.value)  # the hub knows the name
