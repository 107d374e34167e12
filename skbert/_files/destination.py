"""The folder of a result: one process at a time, and what it was made of, so that it can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skbert._exceptions import DestinationError
from skbert._files.parts import remove_unfinished, replaced

FORMAT = 1
MANIFEST = "_skbert.json"
LOCK = "_skbert.lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other processes out; a killed process keeps nobody out.

    Raises
    ------
    DestinationError
        If another one writes there, or it holds other things.
    """
    _check_ours(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / LOCK).open("a+b")
    except OSError as error:
        raise DestinationError(f"{folder} cannot be written to: {error}.") from error
    with stream:
        if not _lock(stream.fileno()):
            raise DestinationError(
                f"Another process is writing into {folder}. Wait for it, or pass another folder."
            )
        remove_unfinished(folder)
        yield


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """Return what an earlier call wrote; None if there was none.

    Raises
    ------
    DestinationError
        If it cannot be read, or another version of skbert wrote it.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["format"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DestinationError(f"{path} cannot be read ({error}). Pass another folder.") from error
    if version != FORMAT:
        raise DestinationError(
            f"{path} has format {version}, expected {FORMAT}: it was written by another version of "
            "skbert. Continue with that version, or pass another folder."
        )
    return manifest


def write_manifest(folder: Path, said: Mapping[str, Any]) -> None:
    """Write what the result is made of."""
    text = json.dumps({"format": FORMAT, **said}, indent=1, ensure_ascii=False)
    with replaced(folder / MANIFEST) as unfinished:
        unfinished.write_text(text + "\n", encoding="utf-8")


def check_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to go on with another input, or other settings.

    Raises
    ------
    DestinationError
        It names the first few differences.
    """
    found = list(_differences(before, json.loads(json.dumps(now))))
    if found:
        more = f", and {len(found) - 3} more" if len(found) > 3 else ""
        raise DestinationError(
            f"{folder} was started with other settings: {'; '.join(found[:3])}{more}. Continue "
            "with those, or pass another folder."
        )


def _differences(before: Any, now: Any, place: str = "") -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*before, *now]):
            where = f"{place} {name}".strip()
            yield from _differences(before.get(name), now.get(name), where)
    elif before != now:
        yield f"{place} was {_short(before)}, is {_short(now)}"


def _short(value: Any) -> str:
    text = "not there" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _check_ours(folder: Path) -> None:
    """Refuse a folder of other things: they would be read as part of the result."""
    if folder.exists() and not folder.is_dir():
        raise DestinationError(f"{folder} is a file, expected a folder, which is made.")
    if not folder.exists() or (folder / MANIFEST).exists():
        return
    other = [path.name for path in folder.iterdir() if path.name[0] not in "._"]
    if other:
        raise DestinationError(
            f"{folder} contains other files ({sorted(other)[0]}). Pass an empty folder, or one "
            "that does not exist."
        )


def _lock(descriptor: int) -> bool:
    """Return whether the file is now locked by this process; the system unlocks it at its end."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
