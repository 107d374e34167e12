"""Fine-tuning in bfloat16 beside the Trainer, or beside a loop as the Trainer's."""

import time
from contextlib import nullcontext
from functools import partial
from statistics import median

import torch
import transformers
from fine_tuning.training import TASK, _encode
from gpu import material
from gpu.profile import PARTS_OF_FIT, clocked, profile, totals
from gpu.rates import known_rate
from gpu.stand_ins import padded_only
from shared import trainer
from shared.timing import alternate, layer_flops, pairwise_median, spread
from shared.trainer import SETTINGS, WARMUP, as_rows
from shared.training import TRAINER, seconds_of_fit

from skbert import BertClassifier

PLAIN_LOOP = "plain loop"
GOAL = 1.5
# (texts, how many, batch size): (on a GPU, for a try-out).
CASES = {
    "mixed, batches of 16": ("mixed", (1_600, 24), 16),
    "mixed, batches of 64": ("mixed", (3_200, 24), 64),
    "short, batches of 16": ("short", (800, 24), 16),
}
RECIPE = {"epochs": 1, "learning_rate": 5e-5, "dropout": 0.1, "precision": "bfloat16"}
ROUNDS = {True: 1, False: 2}


def measure(setting, record):
    # A GPU trains on padded batches.
    with nullcontext() if setting.on_gpu else padded_only():
        _measure(setting, record)


def _measure(setting, record):
    words = material.whole_words(setting.models["base"])
    found, notes = {}, []
    for case, (kind, sizes, batch_size) in CASES.items():
        texts = setting.texts(kind)[: sizes[setting.is_tiny]]
        texts, labels = material.labelled(texts, words)
        recipe = {**RECIPE, "batch_size": batch_size, "device": setting.device}
        found[case] = _measure_case(setting, record, texts, labels, recipe)
        record.put("cases", found)
        its = found[case]
        record.goal(f"times the {its['peer']}, {case}", its["times_peer"], at_least=GOAL)
        notes.append(
            f"{case}: {its['texts_per_second']:,.0f} texts/s, {its['peer']} "
            f"{its['its_texts_per_second']:,.0f}; {its['share_of_matmul_rate']:.2f} of the matmul "
            f"rate; padding {its['padding']:.2f}; busy {its['busy']['busy_share']:.2f}"
        )
        record.put("notes", notes)
    record.put("default_fit", _default_fit(setting, texts, labels))


def _measure_case(setting, record, texts, labels, recipe):
    folder = setting.models["base"]
    peer = TRAINER if trainer.is_available() else PLAIN_LOOP
    train = {TRAINER: TASK.train, PLAIN_LOOP: train_plainly}[peer]
    ours, theirs = [], []
    runs = {
        "ours": lambda: ours.append(seconds_of_fit(TASK.ours(folder, recipe), texts, labels)),
        peer: lambda: theirs.append(train(folder, texts, labels, recipe)[-1]),
    }
    whole, _ = alternate(runs, ROUNDS[setting.is_tiny])
    ours, theirs = ours[1:], theirs[1:]  # without the warm-ups
    lengths = [len(ids) for ids in _tokenized(folder, texts)]
    speed = len(texts) / median(ours)
    flops = 3 * layer_flops(folder, lengths) / len(texts)
    return {
        "peer": peer,
        "seconds": {"ours": spread(ours), peer: spread(theirs)},
        "whole_seconds": {name: spread(times) for name, times in whole.items()},
        "times_peer": pairwise_median(theirs, ours),
        "times_peer_whole": pairwise_median(whole[peer], whole["ours"]),
        "texts_per_second": speed,
        "its_texts_per_second": len(texts) / median(theirs),
        "share_of_matmul_rate": speed * flops / known_rate(setting, record, torch.bfloat16),
        "padding": 1 - sum(lengths) / _padded(lengths, recipe["batch_size"]),
        "busy": profile(setting, partial(TASK.ours(folder, recipe).fit, texts, labels)),
    }


def _tokenized(folder, texts):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return tokenizer(texts, truncation=True)["input_ids"]


def _padded(lengths, batch_size):
    """Return the tokens of batches in the given order, padding counted."""
    batches = [lengths[start : start + batch_size] for start in range(0, len(lengths), batch_size)]
    return sum(max(batch) * len(batch) for batch in batches)


def train_plainly(folder, texts, labels, recipe):
    """Train as the Trainer does: autocast, fused AdamW, batches padded to their longest.

    Returns
    -------
    tokenizer, model, seconds
        The trained model, and the time without loading and tokenizing.
    """
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    columns, n_labels = _encode(tokenizer, texts, labels)
    auto_class = transformers.AutoModelForSequenceClassification
    model = auto_class.from_pretrained(folder, num_labels=n_labels, dtype=torch.float32)
    device = recipe["device"]
    model.to(device).train()
    loader = torch.utils.data.DataLoader(
        as_rows(columns),
        batch_size=recipe["batch_size"],
        shuffle=True,
        collate_fn=transformers.DataCollatorWithPadding(tokenizer),
        pin_memory=device == "cuda",
    )
    decay = SETTINGS["weight_decay"]
    rate = recipe["learning_rate"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay, fused=True)
    n_steps = len(loader) * recipe["epochs"]
    n_warmup = round(WARMUP * n_steps)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, n_warmup, n_steps)
    start = time.perf_counter()
    for _ in range(recipe["epochs"]):
        for batch in loader:
            batch = {name: value.to(device, non_blocking=True) for name, value in batch.items()}
            with torch.autocast(device, dtype=torch.bfloat16):
                loss = model(**batch).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["max_grad_norm"])
            optimizer.step()
            schedule.step()
            optimizer.zero_grad()
    loss.item()  # waits for the GPU
    return tokenizer, model, time.perf_counter() - start


def _default_fit(setting, texts, labels):
    """Clock a fit with nothing set, the probe and the mixing of weights included."""
    classifier = BertClassifier(str(setting.models["base"]), device=setting.device)
    if setting.is_tiny:
        classifier.set_params(min_steps=0, max_epochs=1)
    start = time.perf_counter()
    with clocked(PARTS_OF_FIT) as spans:
        classifier.fit(texts, labels)
    seconds = time.perf_counter() - start
    accuracy = float(classifier.score(texts, labels))
    return {"seconds": seconds, "accuracy": accuracy, "parts": totals(spans)}
