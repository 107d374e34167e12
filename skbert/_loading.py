"""A checkpoint's folder → tokenizer and model in memory, shared within the process."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from skbert._checkpoint import Checkpoint, read_json
from skbert._device import token_budget
from skbert._encoding import TextTokenizer
from skbert._exceptions import CheckpointError
from skbert._packing import can_pack, use_packed_attention
from skbert._prepack import can_prepack, prepack_linear_layers


@dataclass(eq=False)
class Encoder:
    """A loaded checkpoint, ready for inference on one device in one dtype.

    Attributes
    ----------
    model : transformers model
        In evaluation mode.
    tokenizer : TextTokenizer
        Its tokenizer.
    checkpoint : Checkpoint
        What was loaded.
    device, dtype : torch.device, torch.dtype
        Where and in what precision it computes.
    default_max_length : int
        Tokens that the checkpoint's own files recommend at most.
    longest_input : int
        Tokens that the model can read at most.
    has_pooler : bool
        Whether the checkpoint holds weights for a pooler.
    max_tokens : int
        Tokens in one batch, padding counted; halved when the device's memory runs out.
    can_pad : bool
        Whether padding leaves the other tokens' vectors as they are. Not so where a model mixes
        tokens without asking the attention mask (FNet's transform, ConvBERT's convolutions).
    packed : bool
        Whether the model reads packed rows (see _packing.py), and only these.
    """

    model: Any
    tokenizer: TextTokenizer
    checkpoint: Checkpoint
    device: torch.device
    dtype: torch.dtype
    default_max_length: int
    longest_input: int
    has_pooler: bool
    max_tokens: int
    can_pad: bool
    packed: bool

    @property
    def hidden_size(self) -> int:
        """Features of a token vector."""
        return int(self.model.config.hidden_size)

    @property
    def n_layers(self) -> int:
        """Layers above the input embeddings."""
        return int(self.model.config.num_hidden_layers)


# What transformers, too, calls a tokenizer's length where none is set.
NO_LIMIT = int(1e30)
USUAL_LENGTH = 512  # BERT's own; taken where a checkpoint states no limit at all
VOCABULARY_FILES = (
    "tokenizer.json",
    "vocab.txt",
    "vocab.json",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)

# Encoders of this process, shared by clones and freed with the last estimator that holds them.
_SHARED: weakref.WeakValueDictionary[Any, Encoder] = weakref.WeakValueDictionary()
_LOCK = threading.RLock()


def load_encoder(
    folder: Path, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
) -> Encoder:
    """Load a checkpoint for inference, or give the one that this process already holds.

    Parameters
    ----------
    folder : Path
        Its files.
    checkpoint : Checkpoint
        What they are.
    device, dtype : torch.device, torch.dtype
        Where and in what precision to compute.

    Raises
    ------
    CheckpointError
        If the tokenizer or the weights are missing, incomplete or of an unknown architecture.
    """
    key = (folder.resolve(), checkpoint, str(device), dtype)
    with _LOCK:
        encoder = _SHARED.get(key)
        if encoder is None:
            encoder = _load(folder, checkpoint, device, dtype)
            _SHARED[key] = encoder
        return encoder


def _load(
    folder: Path, checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype
) -> Encoder:
    tokenizer = load_tokenizer(folder)
    text_tokenizer = TextTokenizer(
        tokenizer.backend_tokenizer,
        tokenizer.pad_token_id or 0,
        keep_end=tokenizer.truncation_side == "left",
    )
    model, has_pooler = _load_model(folder, dtype)
    longest = _longest_input(model)
    packable = can_pack(model.config)
    encoder = Encoder(
        model=model,
        tokenizer=text_tokenizer,
        checkpoint=checkpoint,
        device=device,
        dtype=dtype,
        default_max_length=_recommended_length(folder, tokenizer, longest),
        longest_input=longest,
        has_pooler=has_pooler,
        max_tokens=token_budget(device, _widest_layer(model.config)),
        can_pad=packable or _padding_is_masked(model, text_tokenizer),
        packed=packable and device.type == "cpu",
    )
    if encoder.packed:
        use_packed_attention(model)
    if device.type == "cpu" and can_prepack(dtype):
        prepack_linear_layers(model)
    model.to(device)
    return encoder


def load_tokenizer(folder: Path) -> Any:
    """Load the fast tokenizer of a checkpoint's folder.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    from transformers import AutoTokenizer

    # Without these, transformers would make a tokenizer that knows special tokens only.
    if not any((folder / name).is_file() for name in VOCABULARY_FILES):
        raise CheckpointError(
            f"{folder} has no tokenizer ({', '.join(VOCABULARY_FILES)}). Save one beside the "
            "weights: AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        )
    try:
        with _quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise CheckpointError(
            f"The tokenizer in {folder} cannot be read: {_first_line(error)}. Save it again: "
            "AutoTokenizer.from_pretrained(...).save_pretrained(folder)."
        ) from error
    if not tokenizer.is_fast:
        raise CheckpointError(
            f"The tokenizer in {folder} is a slow one (no tokenizer.json can be made of it), "
            "expected a fast one. Use a checkpoint that has one."
        )
    return tokenizer


def _load_model(folder: Path, dtype: torch.dtype) -> tuple[Any, bool]:
    """Load the weights; also tell whether those of the pooler were among them."""
    from transformers import AutoModel

    try:
        # Weights that are missing get random values: not from the caller's generator.
        with _quiet_transformers(), torch.random.fork_rng(devices=[]):
            model, info = AutoModel.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError, SafetensorError) as error:
        raise CheckpointError(
            f"The model in {folder} cannot be loaded: {_first_line(error)}. Is it complete, and of "
            "an architecture that this version of transformers knows?"
        ) from error
    missing = sorted(key for key in info["missing_keys"] if "pooler" not in key)
    if missing:
        raise CheckpointError(
            f"{folder} lacks {len(missing)} of the model's weights, the first is {missing[0]!r}. "
            "Its vectors would be random. Use a complete checkpoint."
        )
    has_pooler = getattr(model, "pooler", None) is not None and not info["missing_keys"]
    if not has_pooler and hasattr(model, "pooler"):
        model.pooler = None  # what it would compute is random
    return model.eval(), has_pooler


@torch.inference_mode()
def _padding_is_masked(model: Any, tokenizer: TextTokenizer) -> bool:
    """Try it: read a short text alone, and again with padding behind it."""
    ids = torch.tensor([tokenizer.backend.encode("a").ids])
    pads = torch.full((1, 3), tokenizer.pad_id)
    mask = torch.cat([torch.ones_like(ids), torch.zeros_like(pads)], dim=1)
    alone = model(input_ids=ids).last_hidden_state.float()
    padded = model(input_ids=torch.cat([ids, pads], dim=1), attention_mask=mask)
    difference = (padded.last_hidden_state[:, : ids.shape[1]].float() - alone).abs().max()
    # Rounding in half precision stays far below this; a leak does not.
    return bool(difference < 0.02 * alone.abs().max())


def _widest_layer(config: Any) -> int:
    """Columns of the widest activation, the feed-forward layer's."""
    names = ("intermediate_size", "hidden_dim")  # BERT's; DistilBERT's
    widths = [width for name in names if (width := getattr(config, name, None))]
    return int(max(widths, default=4 * config.hidden_size))


def _longest_input(model: Any) -> int:
    """Tokens that fit the position embeddings."""
    config = model.config
    positions = getattr(config, "max_position_embeddings", None) or 512
    if positions < 1:  # XLNet's positions are relative: no limit
        return NO_LIMIT
    # RoBERTa's family numbers positions from padding_idx + 1.
    unused = getattr(getattr(model, "embeddings", None), "padding_idx", None)
    return int(positions) - (0 if unused is None else int(unused) + 1)


def _recommended_length(folder: Path, tokenizer: Any, longest: int) -> int:
    """Shortest of what the position embeddings, the tokenizer and sentence-transformers say."""
    stated = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    shortest = min(longest, int(tokenizer.model_max_length), int(stated or longest))
    return shortest if shortest < NO_LIMIT else USUAL_LENGTH


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Keep transformers' progress bars and load reports from the user's screen for a moment."""
    from transformers.utils import logging

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


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return (text.splitlines() or [type(error).__name__])[0]
