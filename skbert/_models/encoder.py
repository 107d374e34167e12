"""A loaded checkpoint on its device, ready to read tokens."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from skbert._kernels.merged_attention import merge_projections
from skbert._kernels.packable import can_pack, fits_one_kernel, has_window
from skbert._kernels.packed_heads import show_head_texts
from skbert._kernels.packing import packed_inputs, use_packed_attention
from skbert._kernels.prepacked import can_prepack, prepack_linear_layers
from skbert._models.adaptations import adapt_family
from skbert._models.checkpoint import Checkpoint
from skbert._models.checks import check_token_ids
from skbert._models.device import all_to_device, has_varlen_attention, token_budget
from skbert._models.modules import model_folder
from skbert._models.rounding import round_to_int8
from skbert._models.sentence_settings import read_settings
from skbert._models.sentence_transformers import SentenceSteps
from skbert._models.trials import Trial, try_model
from skbert._texts.encoding import TextTokenizer


@dataclass(eq=False)
class Encoder:
    """A loaded model, with a head or without, on one device in one dtype.

    Attributes
    ----------
    model : transformers model
        In evaluation mode, but while it is trained.
    tokenizer : TextTokenizer
        Its tokenizer.
    device, dtype : torch.device, torch.dtype
        Where and in what precision it computes; with int8, all but linear layers in float32, and
        attention perhaps in bfloat16.
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
        Whether the model reads packed rows (see _kernels/packing.py), and only these; on a GPU
        not before `prepare_for_inference`.
    needs_autocast : bool
        Whether its weights are float32 although it computes in half precision (see trials.py).
    checkpoint : Checkpoint or None
        What was loaded; None for weights that were trained here.
    steps : SentenceSteps or None
        What the checkpoint itself makes of its token vectors; None where nobody asked for it.
    """

    model: Any
    tokenizer: TextTokenizer
    device: torch.device
    dtype: torch.dtype
    default_max_length: int
    longest_input: int
    has_pooler: bool
    max_tokens: int
    can_pad: bool
    packed: bool
    needs_autocast: bool = False
    checkpoint: Checkpoint | None = None
    steps: SentenceSteps | None = None

    @property
    def float_dtype(self) -> torch.dtype:
        """Type of what lies between the linear layers."""
        return next(self.model.base_model.parameters()).dtype

    @property
    def reads_runs(self) -> bool:
        """Return whether packed rows are read run by run, as on a CPU, not all texts at once."""
        return self.packed and self.device.type == "cpu"

    @property
    def hidden_size(self) -> int:
        """Features of a token vector."""
        return int(self.model.config.hidden_size)

    @property
    def n_layers(self) -> int:
        """Layers above the input embeddings."""
        return int(self.model.config.num_hidden_layers)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of what it computes with: weights, configuration, tokenizer and precision."""
        assert self.checkpoint is not None
        config = self.model.config.to_dict()
        computed = {name: config[name] for name in sorted(config.keys() - NAMES_OF_FILES)}
        parts = [self.checkpoint.digest, self.tokenizer.digest, str(self.dtype), computed]
        return hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()


# What transformers, too, calls a tokenizer's length where none is set.
NO_LIMIT = int(1e30)
DEFAULT_LENGTH = 512  # BERT's own; taken where a checkpoint states no limit at all
# Entries of a configuration that tell where it came from, not what the model computes.
NAMES_OF_FILES = {"_name_or_path", "transformers_version", "architectures", "dtype"}

# What is read to see whether packed rows can be: two texts of unequal length.
TRIAL_TEXTS = ("the cat sat on the mat", "no, it is not a very good film, and that is that!")


def make_encoder(
    model: Any,
    tokenizer: Any,
    folder: Path | None,
    device: torch.device,
    dtype: torch.dtype,
    *,
    is_computed: bool = True,
) -> Encoder:
    """Put a model and its tokenizer together: what they can read, and in what form.

    Parameters
    ----------
    model, tokenizer : transformers model and fast tokenizer
        The model may have a head; it must still be on the CPU.
    folder : Path or None
        Where the checkpoint's own files may recommend a length.
    device, dtype : torch.device, torch.dtype
        Where and in what precision to compute.
    is_computed : bool, default=True
        Whether the model is going to compute: one that only tells what it can read is not tried.

    Raises
    ------
    CheckpointError, DeviceError
        If the tokenizer has tokens that the model has no embedding of, or the model cannot read
        texts, or not in this precision.
    """
    check_token_ids(tokenizer, model)
    text_tokenizer = TextTokenizer(
        tokenizer.backend_tokenizer,
        _padding_id(tokenizer, model.config),
        keep_end=tokenizer.truncation_side == "left",
        has_segments="token_type_ids" in tokenizer.model_input_names and _has_segments(model),
        unknown_id=tokenizer.unk_token_id,
    )
    longest = _longest_input(model)
    packable = can_pack(model.config)
    adapt_family(model)
    is_tried = is_computed and not packable
    trial = try_model(model, text_tokenizer, dtype) if is_tried else Trial(True, False)
    return Encoder(
        model=model,
        tokenizer=text_tokenizer,
        device=device,
        dtype=dtype,
        default_max_length=_recommended_length(folder, tokenizer, longest),
        longest_input=longest,
        has_pooler=getattr(model.base_model, "pooler", None) is not None,
        max_tokens=token_budget(device, _widest_layer(model.config), dtype),
        can_pad=trial.can_pad,
        packed=packable and device.type == "cpu",
        needs_autocast=trial.needs_autocast,
    )


def read_packed(encoder: Encoder, *, first_tokens: bool = False) -> None:
    """Let a model that can be packed read packed rows, for a head of `first_tokens` or of all."""
    if encoder.packed:
        use_packed_attention(encoder.model)
        if first_tokens:
            show_head_texts(encoder.model)


def prepare_for_inference(encoder: Encoder, *, first_tokens: bool = False) -> None:
    """Lay the model out for its device; it cannot be trained any more.

    Raises
    ------
    DeviceError
        If it shall compute in int8 and this machine does not.
    """
    encoder.model.to(encoder.device)
    if can_pack(encoder.model.config) and has_varlen_attention(encoder.device, encoder.dtype):
        encoder.packed = fits_one_kernel(encoder.model.config) and _packed_is_equal(encoder)
    read_packed(encoder, first_tokens=first_tokens)
    if encoder.device.type == "cpu" and not encoder.needs_autocast:
        _lay_out_for_cpu(encoder)


def _lay_out_for_cpu(encoder: Encoder) -> None:
    if encoder.packed:
        merge_projections(encoder.model)
    if encoder.dtype == torch.int8:
        round_to_int8(
            encoder.model, encoder.tokenizer, encoder.longest_input, packed=encoder.packed
        )
    if can_prepack(encoder.float_dtype):
        prepack_linear_layers(encoder.model)


@torch.inference_mode()
def _packed_is_equal(encoder: Encoder) -> bool:
    """Try it on the GPU: read two texts in one row, and each alone without our attention.

    Not every GPU, and not every size of head, has torch's kernel; padded batches need none.
    """
    base = encoder.model.base_model
    texts = [torch.tensor(encoder.tokenizer.backend.encode(text).ids) for text in TRIAL_TEXTS]
    if has_window(base.config):  # some tokens must be too far apart to see each other
        texts = [ids.repeat(1 + 2 * base.config.sliding_window // len(ids)) for ids in texts]
    row = torch.cat(texts).unsqueeze(0)
    runs = [(1, len(ids)) for ids in texts]
    inputs = {"input_ids": row, **packed_inputs(row, runs, base.config, varlen=True)}
    own_attention = base.config._attn_implementation
    alone = [base(ids.unsqueeze(0).to(encoder.device)).last_hidden_state[0] for ids in texts]
    use_packed_attention(encoder.model)
    try:
        packed = base(**all_to_device(inputs, encoder.device)).last_hidden_state[0].float()
    except RuntimeError:  # torch says so when it has no kernel for this
        is_equal = False
    else:
        expected = torch.cat(alone).float()
        # With MiniLM, two kernels in bfloat16 differ by 0.01; texts that mix, by 0.6.
        is_equal = bool((packed - expected).norm() < 0.05 * expected.norm())
    base.config._attn_implementation = own_attention
    return is_equal


def _padding_id(tokenizer: Any, config: Any) -> int:
    """Return the id that shorter texts are padded with; the configuration is told if it has none.

    Heads of decoders need it to find the last token of a text. Where nobody names one it is the id
    of the token that ends a text, as is usual for GPT-2 and Llama.
    """
    known = (tokenizer.pad_token_id, config.pad_token_id, tokenizer.eos_token_id)
    pad_id = next((int(number) for number in known if number is not None), None)
    if config.pad_token_id is None:
        config.pad_token_id = pad_id
    return pad_id or 0


def _widest_layer(config: Any) -> int:
    """Return the columns of the widest activation, the feed-forward layer's."""
    names = ("intermediate_size", "hidden_dim")  # BERT's; DistilBERT's
    widths = [width for name in names if (width := getattr(config, name, None))]
    return int(max(widths, default=4 * config.hidden_size))


def _longest_input(model: Any) -> int:
    """Return tokens that fit the position embeddings."""
    positions = getattr(model.config, "max_position_embeddings", None) or 512
    if positions < 1:  # XLNet's positions are relative: no limit
        return NO_LIMIT
    # RoBERTa's family numbers positions from padding_idx + 1.
    unused = getattr(getattr(model.base_model, "embeddings", None), "padding_idx", None)
    return int(positions) - (0 if unused is None else int(unused) + 1)


def _has_segments(model: Any) -> bool:
    """Return whether the model itself tells the two texts of a pair apart by segment."""
    n_segments = getattr(model.config, "type_vocab_size", 2)  # XLNet, for one, states no number
    return "token_type_ids" in signature(model.forward).parameters and (n_segments or 0) > 1


def _recommended_length(folder: Path | None, tokenizer: Any, longest: int) -> int:
    """Return how many tokens sentence-transformers would read."""
    stated = read_settings(model_folder(folder)).max_seq_length if folder is not None else None
    shortest = min(longest, int(tokenizer.model_max_length) if stated is None else stated)
    return shortest if shortest < NO_LIMIT else DEFAULT_LENGTH
