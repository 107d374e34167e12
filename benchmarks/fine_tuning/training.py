"""BertClassifier's training beside the Trainer's: examples a second, and memory."""

from shared import data
from shared.floor import Floor
from shared.peers import token_counts, tokenize
from shared.process import in_fresh_process, peak_mb, resident_mb
from shared.report import print_table, print_verdict, summary_line
from shared.timing import floor_name, layer_flops, pairwise_median, print_rates, spread
from shared.trainer import BATCH_SIZE, Task
from shared.training import TRAINER, alternate_trainings, speeds

TARGET = 2.0
N_QUESTIONS, N_PAIRS = 640, 320
N_MEMORY_PAIRS = 160
TARGET_GROWTH_MB = 50
RECIPE = {"epochs": 1, "learning_rate": 5e-5, "dropout": 0.1}
OURS = "BertClassifier"


def _encode(tokenizer, texts, labels):
    classes = sorted(set(labels))
    codes = [classes.index(label) for label in labels]
    return {**tokenize(tokenizer, texts), "labels": codes}, len(classes)


TASK = Task(OURS, "AutoModelForSequenceClassification", _encode)


def measure(options):
    """Time one epoch of training on short texts and on pairs, with and without dropout.

    Counted is what follows the loading of the model: for BertClassifier the tokenizing and the
    epochs, for the Trainer ``train`` alone, on texts that were tokenized before. Beside it stands
    the whole way from texts to a trained model, loading included, for both.
    """
    sets = {
        "questions": [column[:N_QUESTIONS] for column in data.banking(a_class=None)[0]],
        "pairs": [column[:N_PAIRS] for column in data.pairs()[0]],
    }
    results = {}
    for name, (texts, labels) in sets.items():
        if options.quick:
            texts, labels = texts[:64], labels[:64]
        for dropout in (0.1, 0.0):
            key = f"{name}, dropout {dropout}"
            results[key] = _measure_set(texts, labels, dropout, options)
    _print(results)
    return results


def _measure_set(texts, labels, dropout, options):
    recipe = {**RECIPE, "dropout": dropout}
    flops = 3 * layer_flops(options.folder, token_counts(options.folder, texts))
    matmul = Floor(options.folder, flops)
    seconds, whole = alternate_trainings(TASK, texts, labels, recipe, options, floors=[matmul])
    floor = whole.pop(matmul.name)
    return {
        "n_texts": len(texts),
        "seconds": {name: spread(times) for name, times in seconds.items()},
        "whole_seconds": {name: spread(times) for name, times in whole.items()},
        "times_trainer": pairwise_median(seconds[TRAINER], seconds[OURS]),
        "times_trainer_whole": pairwise_median(whole[TRAINER], whole[OURS]),
        "share_of_floor": pairwise_median(floor, seconds[OURS]),
        "share_of_floor_trainer": pairwise_median(floor, seconds[TRAINER]),
        "floor_gflops": {"float32": matmul.rates()},
    }


def _print(results):
    columns = {
        "ours, its/s": lambda its: "{:.1f}, {:.1f}".format(*speeds(its["n_texts"], its["seconds"])),
        "times Trainer": "{times_trainer:.2f}",
        "(whole fit)": "{times_trainer_whole:.2f}",
        floor_name(found["share_of_floor"] for found in results.values()): "{share_of_floor:.2f}",
        "Trainer's": "{share_of_floor_trainer:.2f}",
    }
    print_table(f"Fine-tuning, batches of {BATCH_SIZE}, float32", "texts", columns, results)
    for name, found in results.items():
        print_rates(found["floor_gflops"])
        print_verdict(f"times the Trainer on {name}", found["times_trainer"], at_least=TARGET)


def summarize(results):
    for name, found in results.items():
        ours, theirs = speeds(found["n_texts"], found["seconds"])
        title = f"training, {name}, texts/s"
        yield summary_line(title, ours, TRAINER, theirs, found["times_trainer"])


def measure_memory(options):
    """Measure the peak of a fit and of the Trainer's, each in a fresh process; and of ten fits."""
    results = {
        what: in_fresh_process(train_and_watch, str(options.folder), what)
        for what in ("skbert", "trainer", "ten")
    }
    ours, peer, ten = (results[what] for what in ("skbert", "trainer", "ten"))
    rows = {
        "peak of a process with one fit": ours["peak_mb"],
        "the same with Trainer.train": peer["peak_mb"],
        "ten fits: resident after the second": ten["resident_mb"][1],
        "ten fits: resident after the tenth": ten["resident_mb"][-1],
    }
    print_table(f"Memory: one epoch on {N_MEMORY_PAIRS} pairs", "what", {"MB": "{:.0f}"}, rows)
    print_verdict("of the Trainer's peak", ours["peak_mb"] / peer["peak_mb"], at_most=1.0)
    growth = ten["resident_mb"][-1] - ten["resident_mb"][1]
    print_verdict("MB growth from fit 2 to fit 10", growth, at_most=TARGET_GROWTH_MB)
    return results


def train_and_watch(folder, what):
    """Do the work of the fresh process."""
    texts, labels = (column[:N_MEMORY_PAIRS] for column in data.pairs()[0])
    if what == "trainer":
        TASK.train(folder, texts, labels, RECIPE)
        return {"peak_mb": peak_mb()}
    resident = []
    for _ in range(10 if what == "ten" else 1):
        TASK.ours(folder, RECIPE).fit(texts, labels)
        resident.append(resident_mb())
    return {"peak_mb": peak_mb(), "resident_mb": resident}


def summarize_memory(results):
    ours, theirs = (results[who]["peak_mb"] for who in ("skbert", "trainer"))
    yield summary_line("memory, peak of a fit, MB", ours, TRAINER, theirs, theirs / ours)
