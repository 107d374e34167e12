"""A checkpoint's own way from token vectors to one vector a text, as sentence-transformers has it.

That is a pooling, or several whose vectors are put together, and then perhaps further steps (see
vector_steps.py). Without such files it is the mean; for a model made to continue texts, its last
token, which alone has read all of them.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from skbert._exceptions import CheckpointError, CheckpointWarning, stacklevel_of_caller
from skbert._models.json_files import read_json
from skbert._models.modules import Module, model_folder, read_modules
from skbert._models.sentence_settings import (
    is_sentence_encoder,
    read_settings,
    truncated_size,
)
from skbert._models.vector_steps import NORMALIZE, STEPS, Cut, VectorStep, steps_digest

# sentence-transformers' names, in the order in which it puts the vectors together → ours.
POOLING_MODES = {
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
# Flags of older files → sentence-transformers' names.
POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True)
class OwnPooling:
    """How a checkpoint pools.

    Attributes
    ----------
    names : tuple of str
        Keys of POOLINGS; the vectors of several are put together.
    include_prompt : bool
        Whether the tokens of a prompt count.
    """

    names: tuple[str, ...] = ("mean",)
    include_prompt: bool = True


@dataclass(frozen=True, eq=False)
class SentenceSteps:
    """All that a checkpoint does with its token vectors.

    Attributes
    ----------
    pooling : OwnPooling
        The first step.
    steps : tuple of VectorStep
        What is done with the pooled vectors; without a normalization at the end, for which
        BertEmbedder has a parameter.
    unapplied : tuple of str
        What sentence-transformers would do and skbert does not.
    """

    pooling: OwnPooling
    steps: tuple[VectorStep, ...] = ()
    unapplied: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the steps' settings and weights; "" where there are none."""
        return steps_digest(self.steps) if self.steps else ""

    def n_features_out(self, n_features: int) -> int:
        """Return the number of features that the steps make of so many.

        Raises
        ------
        CheckpointError
            If a step reads another number.
        """
        for step in self.steps:
            n_features = step.n_features_out(n_features)
        return n_features

    def to(self, device: torch.device) -> SentenceSteps:
        """Put the steps' weights on a device."""
        for step in self.steps:
            step.layer.to(device)
        return self


def own_pooling(folder: Path) -> OwnPooling:
    """Return the pooling that the checkpoint was trained with.

    Raises
    ------
    CheckpointError
        If its files are damaged or name another.
    """
    for module in own_modules(folder):
        if module.kind == "Pooling" and module.is_own_code:
            return _pooling(module)
    return OwnPooling((_default_pooling(folder),))


def read_sentence_steps(folder: Path) -> SentenceSteps:
    """Read a checkpoint's pooling and further steps, with their weights.

    Raises
    ------
    CheckpointError
        If its files are damaged or missing.
    """
    modules = own_modules(folder)
    transformer, files = model_folder(folder), folder / "modules.json"
    settings = read_settings(transformer)
    unapplied = [f"{settings.file}: {name}" for name in settings.unapplied]
    unapplied += _steps_beside(folder)
    steps: list[VectorStep] = []
    is_pooled = is_stopped = False
    for module in modules:
        if module.is_own_code and module.folder == transformer and module.kind not in STEPS:
            continue
        if module.is_own_code and module.kind == "Pooling" and not is_pooled:
            is_pooled = True
        elif is_pooled and not is_stopped and _is_known(module):
            step = STEPS[module.kind](module.folder)
            steps.append(step)
            unapplied += [step.unapplied] if step.unapplied else []
        elif not (module.kind in IDLE and module.is_own_code):
            unapplied.append(f"{files}: {module.type}")
            is_stopped = is_stopped or is_pooled
    if (size := truncated_size(folder) if is_sentence_encoder(folder) else None) is not None:
        steps.append(VectorStep("Cut", Cut(size)))
    while steps and steps[-1].kind == NORMALIZE:
        steps.pop()
    return SentenceSteps(own_pooling(folder), tuple(steps), tuple(unapplied))


def warn_of_unapplied(steps: SentenceSteps, name: str) -> None:
    """Warn of what sentence-transformers would do with a checkpoint and skbert does not.

    Warns
    -----
    CheckpointWarning
        If there is anything.
    """
    if steps.unapplied:
        warnings.warn(
            f"{name!r} asks for what skbert does not apply: {', '.join(steps.unapplied)}. The "
            "vectors differ from those of sentence-transformers.",
            CheckpointWarning,
            stacklevel=stacklevel_of_caller(),
        )


# Steps that do nothing where no training is, or nothing before there is a pooled vector.
IDLE = ("Dropout",)


def _steps_beside(folder: Path) -> list[str]:
    """Say it where a folder is but one step of the checkpoint around it."""
    parent = folder.absolute().parent
    files = parent / "modules.json"
    if (folder / "modules.json").is_file() or not files.is_file():
        return []
    if folder.absolute() not in {module.folder for module in read_modules(parent)}:
        return []
    return [f"the other steps of {files} (pass model={str(parent)!r} for them)"]


def _is_known(module: Module) -> bool:
    """Return whether the step changes the pooled vector in a way that skbert knows."""
    if not module.is_own_code or module.kind not in STEPS:
        return False
    config = read_json(module.folder / "config.json")
    read = config.get("module_input_name", "sentence_embedding")
    written = config.get("module_output_name") or read
    return bool(read == written == "sentence_embedding")


def own_modules(folder: Path) -> tuple[Module, ...]:
    """Return the steps of a sentence encoder; none for any other checkpoint."""
    return read_modules(folder) if is_sentence_encoder(folder) else ()


def _default_pooling(folder: Path) -> str:
    config = read_json(model_folder(folder) / "config.json")
    architectures = config.get("architectures") or [""]
    continues_texts = str(architectures[0]).endswith("ForCausalLM")
    return "last" if continues_texts and config.get("is_causal", True) else "mean"


def _pooling(module: Module) -> OwnPooling:
    file = module.folder / "config.json"
    if not file.is_file():
        raise CheckpointError(
            f"{file} is not there, although modules.json has the step {module.type}. Put the file "
            f"there, or set the pooling, e.g. pooling={'mean'!r}."
        )
    config = read_json(file)
    modes = _modes(config)
    names = [POOLING_MODES.get(str(mode)) for mode in modes]
    if not names or None in names:
        raise CheckpointError(
            f"{file} asks for pooling {modes}, expected some of {list(POOLING_MODES)}. Correct the "
            f"file, or set the pooling, e.g. pooling={'mean'!r}."
        )
    return OwnPooling(tuple(map(str, names)), bool(config.get("include_prompt", True)))


def _modes(config: dict[str, Any]) -> list[Any]:
    """Return the modes that a file names, in sentence-transformers' order."""
    if "pooling_mode" in config:  # newer files have one name or a list of names
        modes = config["pooling_mode"]
        return list(modes) if isinstance(modes, list) else [modes]
    strange = [
        name
        for name, value in config.items()
        if name.startswith("pooling_mode_") and name not in POOLING_FLAGS and value
    ]
    asked = [mode for flag, mode in POOLING_FLAGS.items() if config.get(flag)]
    return [*asked, *strange] or ["mean"]
