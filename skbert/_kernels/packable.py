"""Which models read packed rows: those whose tokens meet in attention only, as their settings say.

Only model types that were compared with the padded path (tests/kernels/test_packing.py) are packed:
a model that mixes tokens anywhere else would silently mix texts.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

# What comes before the first position: RoBERTa's family starts counting after its padding id.
POSITIONS_FROM_ZERO = frozenset(
    {
        "albert",
        "bert",
        "deberta-v2",
        "distilbert",
        "electra",
        "eurobert",
        "modernbert",
        "nomic_bert",
    }
)
POSITIONS_AFTER_PAD = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta"})
PACKED_MODEL_TYPES = POSITIONS_FROM_ZERO | POSITIONS_AFTER_PAD

# Their attention is not reached through transformers' interface, see own_attention.py.
OWN_ATTENTION_TYPES = frozenset({"deberta-v2", "mpnet"})

# Rotary positions whose angles are the same in a batch of whatever lengths: not those of "dynamic"
# and "longrope", which look at the longest text.
FIXED_ROTARY_TYPES = frozenset({"default", "linear", "llama3", "yarn"})


def can_pack(config: Any) -> bool:
    """Return whether texts of a model with this transformers configuration may be packed."""
    absolute = getattr(config, "position_embedding_type", "absolute") in ("absolute", None)
    decoder = getattr(config, "is_decoder", False)
    convolves = (getattr(config, "conv_kernel_size", None) or 0) > 0  # DeBERTa-v2's extra layer
    return (
        config.model_type in PACKED_MODEL_TYPES
        and absolute
        and not decoder
        and not convolves
        and _rotary_types(config) <= FIXED_ROTARY_TYPES
    )


def fits_one_kernel(config: Any) -> bool:
    """Return whether torch's kernel for texts of varying length computes such a model's attention.

    It adds nothing to the products of queries and keys; its first versions had no windows either.
    """
    from torch.nn.attention.varlen import varlen_attn

    if config.model_type in OWN_ATTENTION_TYPES:
        return False
    return not has_window(config) or "window_size" in signature(varlen_attn).parameters


def has_window(config: Any) -> bool:
    """Return whether tokens of a model see near ones only, in some of its layers."""
    return "sliding_attention" in (getattr(config, "layer_types", None) or ())


def _rotary_types(config: Any) -> set[str]:
    """Return the types of rotary positions, of which layers may have several."""
    settings = getattr(config, "rope_parameters", None) or {}
    of_layers = [one for one in settings.values() if isinstance(one, dict)] or [settings]
    return {one.get("rope_type", "default") for one in of_layers}
