"""OpenVINO and ONNX Runtime as peers: functions that load a model and return texts → unit vectors.

Both run a graph of the same weights, with the mean over the tokens at its end, on as many threads
as torch. Texts are sorted by length, and padded to the longest of their batch.
"""

import importlib.util
import logging
import random
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
import transformers
from shared import data
from shared.peers import MAX_LENGTH, tokenize, unit

BATCH_SIZES = (8, 32)
INPUTS = ("input_ids", "attention_mask")
N_BATCHES_OF_CALIBRATION = 30
# What our precisions are called there; in int8 it chooses itself what lies between the products.
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": None}


def has(*packages):
    """Return whether all of these are installed."""
    return all(importlib.util.find_spec(package) is not None for package in packages)


class MeanOfTokens(torch.nn.Module):
    """A model whose output is the mean vector of each text."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, input_ids, attention_mask):
        """Map ids and mask (n, L) to (n, H)."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1)


def openvino_embedders(folder, precisions):
    """Load OpenVINO's, one a precision and batch size; in int8 where NNCF is installed."""
    import openvino

    core, found = openvino.Core(), {}
    for precision in precisions:
        if precision == "int8" and not has("nncf"):
            continue
        model = _openvino_model(folder)
        model = _quantized(model, folder) if precision == "int8" else model
        hint = HINTS[precision]
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            **({} if hint is None else {"INFERENCE_PRECISION_HINT": hint}),
        }
        compiled = core.compile_model(model, "CPU", settings)
        found[precision] = _of_each_batch_size(folder, partial(_run_openvino, compiled))
    return found


def _run_openvino(compiled, ids, mask):
    return compiled([ids, mask])[0]


def _openvino_model(folder):
    import openvino

    example = dict(zip(INPUTS, _example(), strict=True))
    shape = openvino.PartialShape([-1, -1])
    model = _traceable(folder)
    return openvino.convert_model(model, example_input=example, input=[shape, shape])


def _quantized(model, folder):
    """Round to int8 by NNCF, after a look at texts that are like those to come."""
    import nncf

    nncf.set_log_level(logging.ERROR)
    texts = data.questions("train")[:240] + data.contexts()[-60:]
    random.Random(data.SEED).shuffle(texts)
    few = texts[: N_BATCHES_OF_CALIBRATION * BATCH_SIZES[0]]
    ids = tokenize(transformers.AutoTokenizer.from_pretrained(folder), few)["input_ids"]
    batches = _batches(ids, BATCH_SIZES[0])
    rows = [dict(zip(INPUTS, batch, strict=True)) for _, *batch in batches]
    return nncf.quantize(
        model,
        nncf.Dataset(rows),
        model_type=nncf.ModelType.TRANSFORMER,
        subset_size=len(rows),
    )


def onnxruntime_embedders(folder):
    """Load ONNX Runtime's, as it reads the model and with its fusions for transformers."""
    with tempfile.TemporaryDirectory() as work:
        plain, fused = Path(work) / "model.onnx", Path(work) / "fused.onnx"
        _save_onnx(folder, plain)
        _save_fused(folder, plain, fused)
        runs = {"as it is": _session(plain), "fused": _session(fused)}
    return {name: _of_each_batch_size(folder, run) for name, run in runs.items()}


def _save_onnx(folder, path):
    axes = {0: "n_texts", 1: "n_tokens"}
    torch.onnx.export(
        _traceable(folder, attn_implementation="eager"),  # what its fusions know
        _example(),
        path,
        input_names=list(INPUTS),
        output_names=["vectors"],
        dynamic_axes=dict.fromkeys(INPUTS, axes),
        opset_version=17,
        dynamo=False,
    )


def _save_fused(folder, path, fused):
    from onnxruntime.transformers import optimizer

    logging.getLogger("onnxruntime.transformers").setLevel(logging.ERROR)
    config = transformers.AutoConfig.from_pretrained(folder)
    found = optimizer.optimize_model(
        str(path),
        model_type="bert",
        num_heads=config.num_attention_heads,
        hidden_size=config.hidden_size,
    )
    found.save_model_to_file(str(fused))


def _session(path):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda *batch: session.run(None, dict(zip(INPUTS, batch, strict=True)))[0]


def _traceable(folder, **options):
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, **options)
    return MeanOfTokens(model).eval()


def _example():
    """Return ids and mask of a batch with padding: without, the mask might be traced away."""
    ids, mask = torch.ones(2, 8, dtype=torch.long), torch.ones(2, 8, dtype=torch.long)
    mask[1, 5:] = 0
    return ids, mask


def _of_each_batch_size(folder, run):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return {size: partial(_embed, tokenizer, run, size) for size in BATCH_SIZES}


def _embed(tokenizer, run, batch_size, texts):
    ids = tokenize(tokenizer, texts, MAX_LENGTH)["input_ids"]
    vectors = None
    for rows, *batch in _batches(ids, batch_size):
        found = run(*batch)
        vectors = np.empty((len(ids), found.shape[1]), np.float32) if vectors is None else vectors
        vectors[rows] = found
    return unit(vectors)


def _batches(ids, batch_size):
    """Return places in the input, ids and mask of each batch, longest texts first."""
    order = sorted(range(len(ids)), key=lambda row: -len(ids[row]))
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        padded = np.zeros((2, len(rows), len(ids[rows[0]])), np.int64)
        for place, row in enumerate(rows):
            padded[:, place, : len(ids[row])] = ids[row], [1] * len(ids[row])
        yield rows, padded[0], padded[1]
