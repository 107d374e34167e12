"""What single families of models need so that the result of a text depends on that text alone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from skbert._models.device import forked_generator


def adapt_family(model: Any) -> None:
    """Change, in place, how a model of one of these families is called; others stay as they are."""
    adapt = ADAPTATIONS.get(model.config.model_type)
    if adapt is not None:
        adapt(model)


def _choose_attention_by_length(model: Any) -> None:
    """Let a BigBird choose full or sparse attention for each batch anew.

    transformers' goes over to full attention at its first batch of short texts, and stays there:
    the vectors of long texts would depend on what was read before them.
    """
    base = model.base_model
    if not reads_sparsely(base):
        return
    with forked_generator():  # the second set of layers begins with random weights
        attention: dict[str, list[Any]] = {}
        for kind in ("original_full", "block_sparse"):
            base.set_attention_type(kind)
            attention[kind] = [layer.attention.self for layer in base.encoder.layer]
    forward, lock = base.forward, threading.Lock()

    def forward_by_length(input_ids: torch.Tensor, **kwargs: Any) -> Any:
        length = input_ids.shape[1]
        with lock:
            kind = "block_sparse" if length > longest_full_input(base.config) else "original_full"
            _use_attention(base, kind, attention[kind])
            with _numpy_generator_kept(needed=base.training):
                output = forward(input_ids=input_ids, **kwargs)
        if output.hidden_states is not None:  # sparse: filled up to whole blocks
            output.hidden_states = tuple(states[:, :length] for states in output.hidden_states)
        return output

    base.forward = forward_by_length
    # Computed again, a layer would have the attention of the last batch.
    model.supports_gradient_checkpointing = False


@contextmanager
def _numpy_generator_kept(*, needed: bool) -> Iterator[None]:
    """Put numpy's global generator back: sparse attention seeds it in training."""
    state = np.random.get_state() if needed else None  # noqa: NPY002
    yield
    if state is not None:
        np.random.set_state(state)  # noqa: NPY002


def reads_sparsely(base: Any) -> bool:
    """Return whether a model is a BigBird whose longer texts are read by sparse attention."""
    config = base.config
    return (
        config.model_type == "big_bird"
        and config.attention_type == "block_sparse"
        and not config.is_decoder
        and config.max_position_embeddings > longest_full_input(config)
    )


def longest_full_input(config: Any) -> int:
    """Return the tokens up to which a BigBird needs no sparse attention."""
    return int((5 + 2 * config.num_random_blocks) * config.block_size)


def _use_attention(base: Any, kind: str, modules: list[Any]) -> None:
    """Put attention of a kind into each layer, with the projections that the layer has."""
    for layer, module in zip(base.encoder.layer, modules, strict=True):
        present = layer.attention.self
        module.query, module.key, module.value = present.query, present.key, present.value
        module.train(present.training)
        layer.attention.self, layer.attention.attention_type = module, kind
    base.attention_type = base.encoder.attention_type = kind


def _attend_from_questions(model: Any) -> None:
    """Tell a Longformer which tokens are the question: all before the first separator.

    transformers' finds them itself, but only where each text has exactly three separators; a
    context that spells one out has more.
    """
    if not hasattr(model, "qa_outputs"):
        return

    def add_mask(module: Any, args: Any, kwargs: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        ids = kwargs["input_ids"]
        is_separator = ids == model.config.sep_token_id
        mask = (is_separator.cumsum(1) == 0).long()
        return args, {**kwargs, "global_attention_mask": mask}

    model.register_forward_pre_hook(add_mask, with_kwargs=True)


ADAPTATIONS: dict[str, Callable[[Any], None]] = {
    "big_bird": _choose_attention_by_length,
    "longformer": _attend_from_questions,
}
