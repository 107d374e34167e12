"""How good the estimators are with nothing set, beside what a user would take instead.

The rows take hours, so each figure is written as soon as it is known, a line of accuracy.jsonl, and
a figure that is there is not measured again: delete the file to begin anew.
"""

import contextlib
import importlib.util
import io
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fine_tuning.quality import logits_in_input_order, pair_features
from fine_tuning.training import TASK
from scipy.special import softmax
from seqeval.metrics import f1_score
from shared import labelled, trainer
from shared.report import machine, print_rows, print_verdict
from shared.training import TRAINER
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from words import comparison as words

from skbert import BertClassifier, BertEmbedder, BertRegressor, BertTokenClassifier

FILE = Path(__file__).resolve().parents[1] / "accuracy.jsonl"
N_DRAWS = 5
N_BINS = 15  # of the calibration error, as Guo et al. 2017, https://arxiv.org/abs/1706.04599
# SetFit's own advice for few examples: 20 pairs of each kind a text, one epoch of them. Of more
# texts it reads more pairs than fit into a day here.
SETFIT_ITERATIONS, SETFIT_MOST_TEXTS = 20, 800
BELOW_SIMPLE, BELOW_SETFIT, ABOVE_ON_AVERAGE, TIMES_SETFIT = -0.5, -0.5, 2.0, 10.0
UNSET, NAMES, PROBE = "unset", "label_texts", "probe"
FROZEN, TFIDF, SETFIT = "frozen", "TF-IDF", "SetFit"
CONTENDERS = (FROZEN, TFIDF, PROBE, UNSET, NAMES, SETFIT, TRAINER)


class Row(NamedTuple):
    """One set of texts at one size.

    ``draw`` turns a seed into ((texts, labels) to train on, (texts, labels) to test on).
    """

    draw: Callable
    kind: str = "classes"  # "pairs", "words" or "numbers"
    max_length: int | None = None
    n_draws: int = N_DRAWS


ROWS = {
    **{f"BANKING77, {n} a class": Row(partial(labelled.banking, n)) for n in (1, 3, 5, 10, 30)},
    "snips, 70": Row(partial(labelled.snips, 70)),
    "snips, 700": Row(partial(labelled.snips, 700)),
    "faa_wildlife, 500": Row(partial(labelled.effects, 500)),
    "tate, year": Row(partial(labelled.years, 1000), "numbers"),
    "WNUT17, 200": Row(partial(labelled.names, 200), "words"),
    "med_pairs, 500": Row(partial(labelled.entailment_pairs, 500), "pairs"),
    "question-sentence pairs, 500": Row(partial(labelled.question_pairs, 500), "pairs"),
    **{
        f"fine_foods, {n}": Row(partial(labelled.foods, n), max_length=128)
        for n in (100, 500, 2000)
    },
    "BANKING77, all": Row(partial(labelled.banking, None), n_draws=1),
    "WNUT17, all": Row(partial(labelled.names, None), "words", n_draws=1),
}


def measure(options):
    """Fit each contender on each draw of each row that has no figure yet, the slow ones last."""
    rows = dict(list(ROWS.items())[:1]) if options.quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / FILE.name if options.quick else FILE
        run = machine()
        for seed in range(1 if options.quick else N_DRAWS):
            for contenders in (CONTENDERS[:-2], CONTENDERS[-2:]):
                for name, row in rows.items():
                    if seed < row.n_draws:
                        _measure_draw(name, row, seed, contenders, options.folder, file, run)
        results = collected(_read(file))
    print_results(results)
    return results


def print_results(results):
    """Print scores, times, probabilities and verdicts."""
    shown = [name for name in CONTENDERS if any(name in of_row for of_row in results.values())]
    for title, key, form in (
        ("Score (accuracy, F1 of names, R2), mean ± standard error", "score", "{:.1f} ± {:.1f}"),
        ("Seconds of a fit", "seconds", "{:.0f}"),
        ("Log loss", "log_loss", "{:.2f}"),
        ("Expected calibration error, points", "ece", "{:.1f}"),
    ):
        rows = [
            (name, *(_cell(of_row.get(contender, {}), key, form) for contender in shown))
            for name, of_row in results.items()
        ]
        print_rows(title, ("row", *shown), rows)
    _print_verdicts(results)


def _cell(figures, key, form):
    return form.format(*figures[key]) if figures.get(key) else "–"


def _print_verdicts(results):
    gains = []
    for name, of_row in results.items():
        best = _better_simple(of_row)
        if best and UNSET in of_row:
            gains.append(of_row[UNSET]["score"][0] - of_row[best]["score"][0])
            said = f"points above the better of {FROZEN} and {TFIDF} ({name})"
            print_verdict(said, gains[-1], at_least=BELOW_SIMPLE)
        if SETFIT in of_row:
            ours, theirs = of_row[UNSET], of_row[SETFIT]
            above = ours["score"][0] - theirs["score"][0]
            print_verdict(f"points above SetFit ({name})", above, at_least=BELOW_SETFIT)
            times = theirs["seconds"][0] / ours["seconds"][0]
            print_verdict(f"times SetFit's speed ({name})", times, at_least=TIMES_SETFIT)
    if gains:
        print_verdict("points on average", float(np.mean(gains)), at_least=ABOVE_ON_AVERAGE)


def summarize(results):
    """Yield lines of the summary: ours unset beside the better of the simple pipelines."""
    for name, of_row in results.items():
        best = _better_simple(of_row)
        if best and UNSET in of_row:
            ours, theirs = (of_row[contender]["score"][0] for contender in (UNSET, best))
            yield (f"score, {name}", f"{ours:.1f}", best, f"{theirs:.1f}", "")


def _better_simple(of_row):
    """Return the name of the simple pipeline with the better score, or None."""
    simple = [peer for peer in (FROZEN, TFIDF) if peer in of_row]
    return max(simple, key=lambda peer: of_row[peer]["score"][0], default=None)


def _measure_draw(name, row, seed, contenders, folder, file, run):
    train, test = row.draw(seed)
    for contender, fit in _contenders(row, train, folder).items():
        key = {"row": name, "draw": seed, "contender": contender}
        is_known = any(key.items() <= line.items() for line in _read(file))
        if is_known or contender not in contenders:
            continue
        begin = time.perf_counter()
        predict = fit(*train, seed)
        seconds = time.perf_counter() - begin
        line = {**key, "n_train": len(train[0]), "seconds": seconds, **predict(*test), "run": run}
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
        print(
            f"  {name}, draw {seed}, {contender}: {line['score']:.4f}, {seconds:.0f} s", flush=True
        )


def _read(file):
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def collected(lines):
    """Return mean and standard error of each figure, by row and contender; scores in points."""
    results = {}
    for name in ROWS:
        for contender in CONTENDERS:
            some = [x for x in lines if (x["row"], x["contender"]) == (name, contender)]
            if some:
                results.setdefault(name, {})[contender] = {
                    "n_draws": len(some),
                    "score": _mean([100 * line["score"] for line in some]),
                    "seconds": _mean([line["seconds"] for line in some]),
                    **{
                        key: _mean([scale * line[key] for line in some])
                        for key, scale in (("log_loss", 1), ("ece", 100))
                        if all(key in line for line in some)
                    },
                }
    return results


def _mean(values):
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else float("nan")
    return [float(np.mean(values)), float(error)]


def _contenders(row, train, folder):
    """Return for each contender a function of (X, y, seed) → a function of (X, y) → figures."""
    shared = {"max_length": row.max_length, "device": "cpu"}
    if row.kind == "words":
        return {
            UNSET: _ours(BertTokenClassifier, folder, **shared),
            TRAINER: partial(_fit_trainer_of_words, folder),
        }
    if row.kind == "numbers":
        return {
            FROZEN: _pipeline(BertEmbedder(str(folder), **shared), RidgeCV(np.logspace(-3, 3, 13))),
            TFIDF: _pipeline(_tfidf(), RidgeCV(np.logspace(-3, 3, 13))),
            PROBE: _ours(BertRegressor, folder, max_epochs=0, **shared),
            UNSET: _ours(BertRegressor, folder, **shared),
        }
    ours = partial(_ours, BertClassifier, folder, **shared)
    few = len(train[0]) <= SETFIT_MOST_TEXTS
    # The Trainer's tokenizer is told no length: only rows of short texts are given to it.
    peers = {TRAINER: partial(_fit_trainer, folder)} if few and row.max_length is None else {}
    if row.kind == "pairs":
        embedder = BertEmbedder(str(folder), normalize=True, **shared).fit(["a"])
        weights = make_column_transformer(*((_tfidf(), column) for column in (0, 1)))
        return {
            FROZEN: _pipeline(
                FunctionTransformer(partial(pair_features, embedder)), _logistic(train)
            ),
            TFIDF: _pipeline(
                FunctionTransformer(partial(np.array, dtype=object)), weights, _logistic(train)
            ),
            UNSET: ours(),
            **peers,
        }
    named = {NAMES: ours(label_texts="auto")} if row.draw.func is labelled.banking else {}
    if few and _has_setfit():
        peers[SETFIT] = partial(_fit_setfit, folder, row.max_length)
    return {
        FROZEN: _pipeline(BertEmbedder(str(folder), normalize=True, **shared), _logistic(train)),
        TFIDF: _pipeline(_tfidf(), _logistic(train)),
        PROBE: ours(max_epochs=0),
        UNSET: ours(),
        **named,
        **peers,
    }


def _tfidf():
    return TfidfVectorizer(ngram_range=(1, 2))


def _logistic(train):
    """Return a logistic regression, its C by cross-validation where each class has two texts."""
    least = min(np.unique(train[1], return_counts=True)[1])
    if least < 2:
        return LogisticRegression(C=10, max_iter=1000)
    return LogisticRegressionCV(cv=min(5, least), scoring="accuracy", max_iter=1000)


def _pipeline(*steps):
    return _ours(make_pipeline, *steps)


def _ours(make, *args, **parameters):
    """Return a contender with the interface of scikit-learn; ours get a seed."""

    def fit(X, y, seed):
        seeded = {} if make is make_pipeline else {"random_state": seed}
        first = map(str, args) if seeded else args
        model = make(*first, **parameters, **seeded).fit(X, y)
        return lambda X, y: _figures(model, X, y)

    return fit


def _figures(model, X, y):
    """Return the score, and for classes how good the probabilities are."""
    figures = {"score": float(model.score(X, y))}
    if hasattr(model, "classes_") and not isinstance(model, BertTokenClassifier):
        figures |= of_probabilities(model.predict_proba(X), model.classes_, y)
    return figures


def of_probabilities(probabilities, classes, y):
    """Return log loss and expected calibration error; the probabilities' rows sum to 1."""
    codes = np.searchsorted(classes, y)
    of_class = probabilities[np.arange(len(y)), codes]
    sure, right = probabilities.max(1), probabilities.argmax(1) == codes
    bins = np.minimum((sure * N_BINS).astype(int), N_BINS - 1)
    gaps = np.abs(np.bincount(bins, right - sure, minlength=N_BINS))
    log_losses = -np.log(np.maximum(of_class, np.finfo(np.float32).tiny))
    return {"log_loss": float(log_losses.mean()), "ece": float(gaps.sum() / len(y))}


def _recipe(n_rows):
    """Return the Trainer's defaults, with as many epochs as ours takes for 200 updates."""
    n_updates = -(-n_rows // trainer.BATCH_SIZE)
    return {"epochs": max(3, -(-200 // n_updates)), "learning_rate": 5e-5, "dropout": 0.1}


def _fit_trainer(folder, X, y, seed):
    tokenizer, model, _ = TASK.train(folder, X, y, _recipe(len(X)), seed=seed)
    classes = np.array(sorted(set(y)))

    def predict(X, y):
        odds = softmax(logits_in_input_order(tokenizer, model, X).astype(float), axis=1)
        right = classes[odds.argmax(1)] == np.array(y)
        return {"score": float(right.mean()), **of_probabilities(odds, classes, y)}

    return predict


def _fit_trainer_of_words(folder, X, y, seed):
    tokenizer, model, _ = words.TASK.train(folder, X, y, _recipe(len(X)), seed=seed)
    classes = words.sorted_labels(y)

    def predict(X, y):
        codes = words.predict_in_input_order(tokenizer, model, X)
        named = [[classes[code] for code in row] for row in codes]
        return {"score": float(f1_score(y, named))}

    return predict


def _has_setfit():
    return importlib.util.find_spec("setfit") is not None


def _fit_setfit(folder, max_length, X, y, seed):
    from datasets import Dataset, disable_progress_bars
    from setfit import SetFitModel, Trainer, TrainingArguments

    disable_progress_bars()
    classes = sorted(set(y))
    rows = Dataset.from_dict({"text": X, "label": [classes.index(label) for label in y]})
    model = SetFitModel.from_pretrained(str(folder), device="cpu")
    if max_length is not None:
        model.model_body.max_seq_length = max_length
    # Its progress bars and logs cannot be switched off.
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with tempfile.TemporaryDirectory() as output, quiet[0], quiet[1]:
        arguments = TrainingArguments(
            output_dir=output,
            num_iterations=SETFIT_ITERATIONS,
            seed=seed,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            show_progress_bar=False,
        )
        Trainer(model=model, args=arguments, train_dataset=rows).train()

    def predict(X, y):
        odds = np.asarray(model.predict_proba(X, as_numpy=True), dtype=float)
        right = np.array(classes)[odds.argmax(1)] == np.array(y)
        return {"score": float(right.mean()), **of_probabilities(odds, np.array(classes), y)}

    return predict
