"""The embedder and sentence-transformers, loaded on the device: texts → unit vectors."""

from contextlib import nullcontext
from functools import partial
from importlib.util import find_spec

import torch
from gpu.stand_ins import padded_only

from skbert import BertEmbedder

SENTENCE_TRANSFORMERS = "sentence-transformers"
BATCH_SIZES = (32, 128, 512)


def fitted(setting, model="base", *, is_padded=False, device=None, **parameters):
    """Return a fitted embedder; padded batches even where the device could pack."""
    folder = str(setting.models[model])
    embedder = BertEmbedder(folder, device=device or setting.device, **parameters)
    with padded_only() if is_padded else nullcontext():
        return embedder.fit(["a text"])


def peers(setting, model):
    """Return sentence-transformers' ways by name, in bfloat16: attention and size of batches.

    It skips padding itself where FlashAttention is installed, if its version can.
    """
    return {
        f"{attention}, batches of {size}": partial(
            encoder.encode, batch_size=size, normalize_embeddings=True, show_progress_bar=False
        )
        for attention, encoder in _encoders(setting, model).items()
        for size in BATCH_SIZES
    }


def has_flash_attention():
    """Return whether a package is there from which transformers takes FlashAttention."""
    return find_spec("flash_attn") is not None


def _encoders(setting, model):
    from sentence_transformers import SentenceTransformer

    kinds = ["sdpa", "flash_attention_2"] if has_flash_attention() and setting.on_gpu else ["sdpa"]
    return {
        kind: SentenceTransformer(
            str(setting.models[model]),
            device=setting.device,
            model_kwargs={"attn_implementation": kind, "dtype": torch.bfloat16},
        )
        for kind in kinds
    }
