"""The floor: the time in which this machine's float32 matmul does the work of the real tokens."""

import torch
from shared.trainer import tokenize

SIDE = 2048
PRODUCTS = 20
PRODUCT_FLOPS = PRODUCTS * 2 * SIDE**3


def matmul_sample():
    """Give a function that computes 20 products of 2048 x 2048 matrices, `PRODUCT_FLOPS`."""
    a, b, c = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE), torch.empty(SIDE, SIDE)

    def multiply():
        for _ in range(PRODUCTS):
            torch.mm(a, b, out=c)

    return multiply


def floor_seconds(flops, product_seconds):
    """Seconds that the matmul of each round would need for so many operations."""
    return [flops / PRODUCT_FLOPS * seconds for seconds in product_seconds]


def text_flops(folder, texts):
    """Count `layer_flops` of texts or pairs of texts, padding left out; and their tokens."""
    from transformers import AutoTokenizer

    encoded = tokenize(AutoTokenizer.from_pretrained(folder), texts)
    lengths = [len(ids) for ids in encoded["input_ids"]]
    return layer_flops(folder, lengths), sum(lengths)


def layer_flops(folder, lengths):
    """Count operations of the encoder's layers on texts of so many tokens.

    A layer does four H x H products and two H x I products a token, and two products of a
    token's query and value with every token of its text.
    """
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    H, inner = config.hidden_size, config.intermediate_size
    per_layer = sum(2 * n * (4 * H * H + 2 * H * inner) + 4 * n * n * H for n in lengths)
    return config.num_hidden_layers * per_layer
