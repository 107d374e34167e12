"""Checkpoints with random weights, of a real one's words: what is measured is time alone."""

import torch
import transformers
from shared.data import SEED

SPREAD = 0.05  # with BERT's own 0.02 all texts would look alike


def save_random(folder, kind, tokenizer_of, **sizes):
    """Write a checkpoint of transformers' classes ``kind``, "Bert" for one, and a tokenizer."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(tokenizer_of)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(tokenizer), initializer_range=SPREAD, **sizes
    )
    torch.manual_seed(SEED)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
