"""What transformers alone makes of each text, alone and without padding."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Alone(NamedTuple):
    """Token vectors of one text: last layer (L, H), all layers, and the pooler's (H,) if any."""

    last: Tensor
    layers: list[Tensor]
    pooled: Tensor | None


def load(folder: Path, auto_class: str = "AutoModel") -> Any:
    """Load what transformers loads; of an encoder-decoder without head its encoder."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    if auto_class == "AutoModel" and config.is_encoder_decoder:
        auto_class = "AutoModelForTextEncoding"
    return getattr(transformers, auto_class).from_pretrained(folder).eval()


@torch.no_grad()
def call(model: Any, inputs: dict[str, Tensor], **options: Any) -> Any:
    """Call a model as if it had read no text before."""
    if model.config.model_type == "big_bird":
        model.base_model.set_attention_type(model.config.attention_type)
    return model(**inputs, **options)


def inputs_of(tokenizer: Any, *texts: str) -> dict[str, Tensor]:
    """Return one text or pair as the tokenizer reads it; never nothing at all."""
    inputs = dict(tokenizer(*texts, return_tensors="pt"))
    if not inputs["input_ids"].numel():
        inputs = {"input_ids": torch.tensor([[tokenizer.eos_token_id]])}
    return inputs


def read_alone(folder: Path, texts: list[str]) -> list[Alone]:
    """Token vectors of each text."""
    import transformers

    tokenizer, model = transformers.AutoTokenizer.from_pretrained(folder), load(folder)
    read = []
    for text in texts:
        inputs = inputs_of(tokenizer, text)
        output = call(model, inputs, output_hidden_states=True)
        length = inputs["input_ids"].shape[1]  # BigBird's are filled up
        layers = [states[0, :length] for states in output.hidden_states]
        pooled = output.get("pooler_output")
        read.append(
            Alone(output.last_hidden_state[0], layers, None if pooled is None else pooled[0])
        )
    return read


def logits_alone(folder: Path, auto_class: str, texts: list[Any]) -> Tensor:
    """Logits of each text or pair, (n, K)."""
    import transformers

    tokenizer, model = transformers.AutoTokenizer.from_pretrained(folder), load(folder, auto_class)
    of_each = [
        call(model, inputs_of(tokenizer, *(text if isinstance(text, tuple) else (text,)))).logits
        for text in texts
    ]
    return torch.cat(of_each)


def logits_of_windows(folder: Path, auto_class: str, encodings: Any) -> Tensor:
    """Logits of the tokens that each window owns, one window at a time."""
    model = load(folder, auto_class)
    rows = []
    for window, (start, stop) in enumerate(encodings.owned):
        part = slice(encodings.bounds[window], encodings.bounds[window + 1])
        inputs = {"input_ids": torch.from_numpy(encodings.ids[part]).long().unsqueeze(0)}
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        if encodings.segments is not None:
            segments = torch.from_numpy(encodings.segments[part]).long()
            inputs["token_type_ids"] = segments.unsqueeze(0)
        output = call(model, inputs)
        logits = (
            torch.stack([output.start_logits, output.end_logits], dim=-1)
            if "start_logits" in output
            else output.logits
        )
        rows.append(logits[0, start:stop])
    return torch.cat(rows)
