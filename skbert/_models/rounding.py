"""A model's linear layers → 8-bit integers, after a look at what they see in a few texts.

The texts are fixed, so that a checkpoint in int8 is the same model wherever it is loaded: in a
worker, after unpickling, with a cache. With MiniLM they serve texts of banking customers, reviews
and encyclopedias as well as such texts themselves do (mean cosine to float32 0.9990 both ways).
"""

from __future__ import annotations

from typing import Any

import torch

from skbert._kernels.int8 import check_int8, use_int8_layers
from skbert._kernels.merged_attention import MergedSelfAttention
from skbert._kernels.packing import packed_inputs
from skbert._kernels.prepacked import computes_in_bfloat16
from skbert._kernels.static_int8 import (
    StaticInt8Linear,
    has_static_products,
    inputs_observed,
    use_static_int8_layers,
)
from skbert._texts.encoding import TextTokenizer

# Questions, facts, complaints, headlines; numbers, code, addresses; several languages and scripts;
# very short and rather long ones.
CALIBRATION_TEXTS = (
    "How do I change the PIN of my card?",
    "The cat sat on the mat.",
    "On 12 March 2021 the company reported sales of $4.3 billion, 7.5 % more than a year before.",
    "The city lies on the river Elbe, about 110 km from its mouth; it was founded in the 9th "
    "century and burned down in 1842.",
    "Terrible!!! I will NEVER buy this again :-(",
    "def mean(values): return sum(values) / len(values)",
    "https://example.org/index.html?id=42&lang=en",
    "Die Lieferung kam drei Tage zu spät, und das Paket war beschädigt.",
    "Le musée est ouvert tous les jours sauf le mardi, de dix heures à dix-huit heures.",
    "¿Dónde puedo encontrar la estación de autobuses?",
    "Поезд прибывает на второй путь в семь часов утра.",
    "今天天气很好，我们去公园散步吧。",
    "東京は日本の首都です。",
    "القاهرة هي عاصمة مصر.",
    "दिल्ली भारत की राजधानी है।",
    "🙂👍🎉",
    "a",
    "",
    "42",
    "?",
    "Patients with type 2 diabetes were randomly assigned to receive either the drug or placebo "
    "once daily for 24 weeks; the primary end point was the change in glycated hemoglobin level.",
    "Once upon a time there was a little girl who lived in a village near the forest. Whenever she "
    "went out, she wore a red riding cloak, so everyone in the village called her Little Red "
    "Riding Hood. One morning she asked her mother if she could go to visit her grandmother, as it "
    "had been a while since they had seen each other.",
    "BREAKING: Stocks fall as inflation hits 40-year high; bond yields rise",
    "error: cannot open file 'data.csv': No such file or directory (errno 2)",
    "yes",
    "no thanks",
    "Dear Sir or Madam, I am writing to complain about the service that I received at your branch "
    "last week.",
    "SELECT name, price FROM products WHERE price > 100 ORDER BY name;",
    "the of and to in a is that for it",
    "Beethoven's Symphony No. 9 in D minor, Op. 125, was first performed in Vienna on 7 May 1824.",
)
# Below this mean cosine of the texts' token vectors to those before, fixed scales are not used.
LEAST_COSINE = 0.99


def round_to_int8(
    model: Any, tokenizer: TextTokenizer, longest_input: int, *, packed: bool
) -> None:
    """Let a model compute in int8, in place.

    By fixed scales where the model reads packed rows and its token vectors stay what they were;
    else by a scale for each token.

    Parameters
    ----------
    model : transformers model
        In float32 on the CPU.
    tokenizer : TextTokenizer
        Its tokenizer.
    longest_input : int
        Tokens that it can read at most.
    packed : bool
        Whether it reads packed rows.

    Raises
    ------
    DeviceError
        If this machine does not compute in int8, or the model has no linear layers.
    """
    check_int8()
    if not (packed and _use_fixed_scales(model, tokenizer, longest_input)):
        use_int8_layers(model)


@torch.inference_mode()
def _use_fixed_scales(model: Any, tokenizer: TextTokenizer, longest_input: int) -> bool:
    """Return whether fixed scales do; the model stays as it is where they do not."""
    if not has_static_products():
        return False
    if not all(bool(weight.isfinite().all()) for weight in model.parameters()):
        return False  # a fixed scale would make a number of what is none
    base = model.base_model
    children = [(part, *child) for part in model.modules() for child in part.named_children()]
    inputs = _calibration_row(base, tokenizer, longest_input)
    with inputs_observed(model) as seen:
        expected = base(**inputs).last_hidden_state
    use_static_int8_layers(model, seen)
    actual = base(**inputs).last_hidden_state
    if bool(torch.cosine_similarity(actual, expected, dim=-1).mean() >= LEAST_COSINE):
        _attend_in_bfloat16(model)
        return True
    for part, name, child in children:
        setattr(part, name, child)
    return False


def _attend_in_bfloat16(model: Any) -> None:
    """Let queries, keys and values be bfloat16, where the CPU computes in it."""
    if computes_in_bfloat16():
        for part in model.modules():
            if isinstance(part, MergedSelfAttention) and isinstance(
                part.projection, StaticInt8Linear
            ):
                part.projection.dtype = torch.bfloat16


def _calibration_row(base: Any, tokenizer: TextTokenizer, longest_input: int) -> dict[str, Any]:
    """Return the texts as one packed row."""
    texts = [tokenizer.backend.encode(text).ids[:longest_input] for text in CALIBRATION_TEXTS]
    texts = [ids for ids in texts if ids]  # without special tokens, "" has none
    row = torch.tensor([token for ids in texts for token in ids]).unsqueeze(0)
    runs = [(1, len(ids)) for ids in texts]
    return {"input_ids": row, **packed_inputs(row, runs, base.config, varlen=False)}
