"""JSON files of a checkpoint, read with one clear error for a damaged one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from skbert._exceptions import CheckpointError


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON object; an absent file is an empty one.

    Raises
    ------
    CheckpointError
        If it cannot be read, or holds something else.
    """
    content = _content(file)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise _of_another_kind(file, content, "an object, {...}")
    return content


def read_json_list(file: Path) -> list[Any]:
    """Read a JSON list; an absent file is an empty one.

    Raises
    ------
    CheckpointError
        If it cannot be read, or holds something else.
    """
    content = _content(file)
    if content is None:
        return []
    if not isinstance(content, list):
        raise _of_another_kind(file, content, "a list, [...]")
    return content


def _content(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CheckpointError(
            f"{file} cannot be read: {error}. Put an intact copy there."
        ) from error
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{file} is not JSON: {error}. Put an intact copy there, or download it again."
        ) from error
    return {} if content is None else content


def _of_another_kind(file: Path, content: Any, expected: str) -> CheckpointError:
    return CheckpointError(
        f"{file} holds {type(content).__name__} {str(content)[:60]!r}, expected {expected}. Put an "
        "intact copy there."
    )
