"""What every section is told: the device, the models, the texts, and how much of everything."""

import gc
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch
from gpu import material
from shared import data

from skbert._models.shared import clear_held_encoder

SEED = 0
# Texts a set: (on a GPU, for a try-out).
N_TEXTS = {"short": (60_000, 96), "mixed": (40_000, 96), "long": (3_000, 8)}


@dataclass
class Setting:
    """Where and what to measure.

    Attributes
    ----------
    device : str
        "cuda", or "cpu" for a try-out.
    is_tiny : bool
        Whether models and texts are few and small.
    models : dict of str to Path
        Checkpoints: "base" and "tiny", random, and "minilm", where it was carried along.
    rounds : int
        Alternating rounds.
    """

    device: str
    is_tiny: bool
    models: dict
    rounds: int
    texts_of_model: dict = field(default_factory=dict)

    @classmethod
    def made(cls, folder, options):
        """Make the models that are not there yet."""
        models = {"base": folder / "base", "tiny": folder / "tiny"}
        for name, path in models.items():
            if not (path / "model.safetensors").is_file():
                material.save_random_bert(path, is_tiny=options.tiny or name == "tiny")
        if (Path(options.minilm) / "config.json").is_file() and not options.tiny:
            models["minilm"] = Path(options.minilm)
        return cls(
            device="cpu" if options.cpu else "cuda",
            is_tiny=options.tiny,
            models=models,
            rounds=2 if options.tiny else 5,
        )

    @property
    def on_gpu(self):
        """Whether there is a GPU, or the CPU stands in for one."""
        return self.device == "cuda"

    @cached_property
    def longest(self):
        """Tokens of the long texts."""
        return 64 if self.is_tiny else 512

    def texts(self, kind, model="base", share=1.0):
        """Return the short, mixed or long texts, or the first part of them."""
        if (kind, model) not in self.texts_of_model:
            self.texts_of_model[kind, model] = self._made_texts(kind, model)
        texts = self.texts_of_model[kind, model]
        return texts[: max(8, int(share * len(texts)))]

    def _made_texts(self, kind, model):
        n_texts = N_TEXTS[kind][self.is_tiny]
        if model == "minilm" and not data.missing_files() and kind != "long":
            real = data.short() if kind == "short" else data.mixed_large()
            # Distinct ones: equal texts are computed once.
            return [f"{real[i % len(real)]} {i // len(real)}" for i in range(n_texts)]
        words = material.whole_words(self.models[model])
        return material.texts(words, kind, n_texts, self.longest)

    def clean(self):
        """Forget what a section loaded."""
        clear_held_encoder()
        gc.collect()
        if self.on_gpu:
            torch.cuda.set_per_process_memory_fraction(1.0)
            torch.cuda.empty_cache()
