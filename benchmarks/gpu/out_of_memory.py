"""Memory runs out: transform goes on with smaller batches, fit says what to do."""

import torch
from gpu import material, memory
from gpu.contenders import fitted
from gpu.correctness import TOLERANCE, difference

from skbert import BertClassifier, DeviceError

# MB beside what is held: far too few for a full batch of BERT-base, enough for a small one.
ROOM, ROOM_OF_TRAINING = 250, 700
ADVICE = "train_batch_size"


def measure(setting, record):
    texts = setting.texts("mixed", share=0.25)
    record.put("texts", _transform(setting, texts, "mean"))
    record.put("tokens", _transform(setting, texts[: max(24, len(texts) // 4)], None))
    for kind in ("texts", "tokens"):
        its = record.content["sections"][record.name][kind]
        record.goal(f"times {kind} ran out of memory", its["n_failures"], at_least=1)
        what = f"relative difference of {kind} afterwards"
        record.goal(what, its["relative"], at_most=TOLERANCE["bfloat16"])
    setting.clean()
    message = _train(setting)
    record.put("training_says", message)
    record.goal("training said what to do", int(ADVICE in message), at_least=1)


def _transform(setting, texts, pooling):
    """Compare the vectors with and without memory to spare."""
    embedder = fitted(setting, precision="bfloat16", pooling=pooling)
    expected = embedder.transform(texts)
    encoder = embedder._loaded()
    before = encoder.max_tokens
    with memory.scarce(setting, ROOM, encoder.model) as failures:
        ours = embedder.transform(texts)
    left, encoder.max_tokens = encoder.max_tokens, before
    figures = difference(ours, expected)
    return {**figures, "n_failures": len(failures), "max_tokens": [before, left]}


def _train(setting):
    """Return what a fit says that has too little memory."""
    words = material.whole_words(setting.models["base"])
    texts, labels = material.labelled(setting.texts("long")[:64], words)
    options = {"device": setting.device, "precision": "bfloat16", "train_batch_size": 64}
    classifier = BertClassifier(str(setting.models["base"]), pooling="head", **options)
    classifier.set_params(init="random")
    room = ROOM_OF_TRAINING if setting.on_gpu else 0
    try:
        with memory.scarce(setting, room, None):
            classifier.fit(texts, labels)
    except DeviceError as error:
        return str(error)
    except torch.OutOfMemoryError as error:
        return f"torch's own error: {error}"
    return "nothing: the memory sufficed"
