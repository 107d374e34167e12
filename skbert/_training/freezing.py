"""Which layer of a model a parameter belongs to: for freezing and for layer-wise decay."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from skbert._exceptions import ParameterError


def parameter_depths(model: Any) -> dict[str, int]:
    """Return depth of each parameter: 0 the embeddings, 1 the lowest layer, n_layers + 1 the head.

    Parameters
    ----------
    model : transformers model with a head
        Its pooler and whatever follows the last layer count as the head.

    Raises
    ------
    ParameterError
        If the model has no list of layers, as ALBERT, whose layers are one and the same.
    """
    base = model.base_model
    n_layers = model.config.num_hidden_layers
    stacks = layer_stacks(base, n_layers)
    if not stacks:
        raise ParameterError(
            f"Models of type {model.config.model_type!r} have no separate layers: use "
            'freeze=None, "embeddings" or "encoder", and layer_decay=1.0.'
        )
    children = [name for name, _ in base.named_children()]
    below = children[: children.index(stacks[0].split(".")[0]) + 1]
    below = [name for name in below if "pooler" not in name]  # NomicBERT's is made before the rest
    prefix = model.base_model_prefix + "."
    return {
        name: _depth(name.removeprefix(prefix), stacks, below, n_layers)
        if name.startswith(prefix)
        else n_layers + 1
        for name, _ in model.named_parameters()
    }


def layer_stacks(base: Any, n_layers: int) -> list[str]:
    """Return the names of the lists of layers; XLM keeps each part of a layer in a list of its own.

    Those of a decoder, which stand elsewhere, are not among them.
    """
    lists = [
        name
        for name, module in base.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == n_layers
    ]
    return [name for name in lists if name.rpartition(".")[0] == lists[0].rpartition(".")[0]]


def _depth(name: str, stacks: list[str], below: list[str], n_layers: int) -> int:
    for stack in stacks:
        if name.startswith(stack + "."):
            return int(name.removeprefix(stack + ".").split(".")[0]) + 1
    # What stands beside the list of layers serves them all, e.g. relative position embeddings.
    return 0 if name.split(".")[0] in below else n_layers + 1


def embedding_parameters(model: Any) -> Iterator[nn.Parameter]:
    """Return the parameters of the input embeddings."""
    base = model.base_model
    if hasattr(base, "embeddings"):
        yield from base.embeddings.parameters()
    else:
        yield from base.get_input_embeddings().parameters()
    for module in base.children():  # beside the words' table, as GPT-2 keeps its positions
        if isinstance(module, nn.Embedding):
            yield from module.parameters()


def freeze_parameters(model: Any, freeze: str | int | None) -> None:
    """Exclude parameters from training.

    Parameters
    ----------
    model : transformers model with a head
        Changed in place.
    freeze : {None, "embeddings", "encoder"} or int
        Nothing; the input embeddings; the embeddings and that many of the lowest layers; or all
        but the head (the pooler, where there is one, belongs to the head).

    Raises
    ------
    ParameterError
        If the model has fewer layers.
    """
    if freeze is None:
        return
    if freeze == "encoder":
        for name, parameter in model.base_model.named_parameters():
            parameter.requires_grad_("pooler" in name)
        return
    if freeze == "embeddings":
        for parameter in embedding_parameters(model):
            parameter.requires_grad_(False)
        return
    n_layers = model.config.num_hidden_layers
    if int(freeze) > n_layers:
        raise ParameterError(
            f"freeze={freeze} is more than the {n_layers} layers of the model. Use at most "
            f'{n_layers}, or "encoder".'
        )
    depths = parameter_depths(model)
    for name, parameter in model.named_parameters():
        if depths[name] <= int(freeze):
            parameter.requires_grad_(False)


def set_training_mode(model: nn.Module) -> None:
    """Switch dropout on, but not in frozen parts: these compute as in prediction."""
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()
