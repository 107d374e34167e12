"""The most memory that transform and fit take, beside sentence-transformers and the Trainer."""

from functools import partial

from fine_tuning.training import TASK
from gpu import contenders, material
from gpu.contenders import SENTENCE_TRANSFORMERS, fitted
from gpu.memory import peak_of
from gpu.training import RECIPE, train_plainly
from shared import trainer

PRECISIONS = ("bfloat16", "float32")
N_TRAINED = (640, 24)


def measure(setting, record):
    found = {}

    def put(name, run):
        found[name] = peak_of(setting, run)
        record.put("peaks", found)

    for kind in ("mixed", "long"):
        texts = setting.texts(kind, share=0.1)
        for precision in PRECISIONS:
            embedder = fitted(setting, precision=precision)
            put(f"transform, {kind}, {precision}", partial(embedder.transform, texts))
        del embedder
    ways = contenders.peers(setting, "base")
    for name in ("sdpa, batches of 32", "sdpa, batches of 512"):
        put(f"{SENTENCE_TRANSFORMERS}, long, {name}", partial(ways[name], texts))
    del ways
    setting.clean()
    words = material.whole_words(setting.models["base"])
    chosen = setting.texts("mixed")[: N_TRAINED[setting.is_tiny]]
    texts, labels = material.labelled(chosen, words)
    recipe = {**RECIPE, "batch_size": 16, "device": setting.device}
    folder = setting.models["base"]
    put("fit", partial(TASK.ours(folder, recipe).fit, texts, labels))
    setting.clean()
    train = TASK.train if trainer.is_available() else train_plainly
    put("Trainer", partial(train, folder, texts, labels, recipe))
    ratio = found["fit"]["peak_mb"] / found["Trainer"]["peak_mb"]
    record.goal("of the Trainer's peak in a fit", ratio, at_most=1.0)
    said = [f"{name}: {its['peak_mb']:,.0f} MB" for name, its in found.items()]
    record.put("notes", ["; ".join(said[:4]), "; ".join(said[4:])])
