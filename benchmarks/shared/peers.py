"""What is compared: each function loads a model once and returns texts → unit vectors, on the CPU.

All read the same weights in float32, keep at most 256 tokens of a text (or as many as asked), take
the mean of its token vectors and scale it to length 1.
"""

import importlib.util
from functools import partial

import numpy as np
import torch
import transformers

from skbert import BertEmbedder, DeviceError
from skbert._kernels.int8 import check_int8
from skbert._kernels.prepacked import computes_in_bfloat16

MAX_LENGTH = 256
LOOP_BATCH = 32
LOOP = "loop, 32 in input order"
SKBERT, SENTENCE_TRANSFORMERS, SKRUB = "skbert", "sentence-transformers", "skrub"
PLAIN_LOOP = f"plain {LOOP}"
PIPELINES = {1: "pipeline, batch 1", 32: "pipeline, batch 32"}


def embedders(folder, names, max_length=MAX_LENGTH):
    """Load contenders; skrub only where it is installed."""
    there = [name for name in names if name != SKRUB or has_skrub()]
    return {name: EMBEDDERS[name](folder, max_length) for name in there}


def computed_precisions():
    """Return the precisions that this CPU computes in, and say what is missing."""
    names = ["float32"]
    if computes_in_bfloat16():
        names.append("bfloat16")
    else:
        print("\nbfloat16 is left out: this CPU does not compute in it.")
    try:
        check_int8()
        names.append("int8")
    except DeviceError as error:
        print(f"\nint8 is left out: {error}")
    return names


def skbert_embedder(folder, max_length=MAX_LENGTH, precision="float32"):
    """Load BertEmbedder with its defaults, fitted."""
    embedder = BertEmbedder(
        str(folder), normalize=True, device="cpu", precision=precision, max_length=max_length
    )
    return embedder.fit(["a text"]).transform


def sentence_transformers_encode(folder, max_length=MAX_LENGTH, **options):
    """Load SentenceTransformer with its defaults, but for options of ``encode``."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    model.max_seq_length = max_length
    return lambda texts: model.encode(texts, normalize_embeddings=True, **options)


def plain_loop(folder, max_length=MAX_LENGTH):
    """Load the loop that many write by hand."""
    tokenizer, model = load_plain(folder)

    def encode(texts):
        return padded(tokenizer, texts, max_length=max_length)

    def mean(output, batch):
        mask = batch["attention_mask"].unsqueeze(-1)
        return (output.last_hidden_state * mask).sum(1) / mask.sum(1)

    return lambda texts: unit(torch.stack(run_loop(model, texts, encode, mean)).numpy())


@torch.inference_mode()
def run_loop(model, rows, encode, read):
    """Run a model on batches of 32 in input order, padded to the longest.

    ``encode`` turns some rows into the model's inputs, ``read`` its output and inputs into a result
    for each row.
    """
    model.eval()  # the Trainer leaves dropout on
    results = []
    for start in range(0, len(rows), LOOP_BATCH):
        batch = encode(rows[start : start + LOOP_BATCH])
        results.extend(read(model(**batch), batch))
    return results


def tokenize(tokenizer, texts, max_length=MAX_LENGTH, **options):
    """Tokenize texts, or pairs given as 2-tuples."""
    columns = list(map(list, zip(*texts, strict=True))) if isinstance(texts[0], tuple) else [texts]
    return tokenizer(*columns, truncation=True, max_length=max_length, **options)


padded = partial(tokenize, padding=True, return_tensors="pt")


def token_counts(folder, texts):
    """Return the number of tokens of each text or pair."""
    encoded = tokenize(transformers.AutoTokenizer.from_pretrained(folder), texts)
    return [len(ids) for ids in encoded["input_ids"]]


def extraction_pipeline(folder, max_length=MAX_LENGTH, batch_size=1):
    """Load transformers' feature-extraction pipeline; the mean of what it returns for a text.

    It is asked for tensors: its default, nested lists of numbers, is slower still. With a batch
    size above 1 what it returns includes the padding, without saying which rows these are.
    """
    extract = transformers.pipeline(
        "feature-extraction",
        model=str(folder),
        device="cpu",
        dtype=torch.float32,
        tokenize_kwargs={"truncation": True, "max_length": max_length},
    )

    def embed(texts):
        outputs = extract(texts, batch_size=batch_size, return_tensors=True)
        # (1, L, H) or (L, H)
        means = [output.reshape(-1, output.shape[-1]).mean(0).numpy() for output in outputs]
        return unit(np.stack(means))

    return embed


def skrub_encoder(folder, max_length=MAX_LENGTH):
    """Load skrub's encoder of sentence-transformers models, fitted."""
    import pandas as pd

    encoder = skrub_estimator(folder)
    encoder.fit(pd.Series(["a text", "another"], name="text"))
    encoder._estimator.max_seq_length = max_length
    # It divides all vectors by one number of its own; the unit length takes that out again.
    return lambda texts: unit(encoder.transform(pd.Series(texts, name="text")).to_numpy())


def skrub_estimator(folder):
    """Return skrub's encoder with all features, unfitted."""
    import skrub

    # TextEncoder was renamed LLMEncoder in skrub 0.11.
    Encoder = getattr(skrub, "LLMEncoder", None) or skrub.TextEncoder
    return Encoder(model_name=str(folder), n_components=None, device="cpu")


def has_skrub():
    return importlib.util.find_spec("skrub") is not None


def load_plain(folder, auto_class="AutoModel"):
    """Load the tokenizer and the model as transformers gives them, in float32, for inference."""
    model = getattr(transformers, auto_class).from_pretrained(folder, dtype=torch.float32)
    return transformers.AutoTokenizer.from_pretrained(folder), model.eval()


def unit(vectors):
    """Scale each row to length 1."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


EMBEDDERS = {
    SKBERT: skbert_embedder,
    "skbert, bfloat16": partial(skbert_embedder, precision="bfloat16"),
    SENTENCE_TRANSFORMERS: sentence_transformers_encode,
    PLAIN_LOOP: plain_loop,
    **{name: partial(extraction_pipeline, batch_size=n) for n, name in PIPELINES.items()},
    SKRUB: skrub_encoder,
}
