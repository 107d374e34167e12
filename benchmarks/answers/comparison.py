"""BertQuestionAnswerer beside the Trainer, its post-processing and a plain loop."""

import numpy as np
from answers import task
from answers.task import TASK, columns
from shared import data, timing, training
from shared.floor import Floor
from shared.peers import LOOP
from shared.report import print_table, print_verdict, summary_line
from shared.trainer import BATCH_SIZE
from sklearn.model_selection import GroupKFold

FOLDS = 5
# Without dropout: with the same first weights and batches, both then learn the same, and what is
# compared is the training and the answers drawn from it, not two draws of dropout.
RECIPE = {"epochs": 3, "learning_rate": 3e-4, "dropout": 0.0, "batch_size": 8}
MOST_POINTS = 1.0
SPAN_ROWS, SPAN_BEST = 200, 5
TIE = 1e-4  # scores as close as this may change places: two float32 computations
QUICK_SHARE = 6  # --quick takes one question in six
OURS, SAME_LOSS = TASK.estimator, "Trainer, padding not counted"
TRAINERS = {SAME_LOSS: task.loss_without_padding, "Trainer, its own loss": None}
# Nobody named a target for training; that of words.
TARGETS = {"training": 1.5, "prediction": 2.0}
N_TRAIN, N_PREDICT = 128, 400


def measure_quality(options):
    """Train on four fifths of the articles, answer the questions of the others; all five ways.

    Counted are exact match and F1 over all questions, and how many of 200 questions have the same
    n-best spans as a search over all spans of all windows.
    """
    rows = data.xquad()
    rows = rows[::QUICK_SHARE] if options.quick else rows
    answers = {name: [""] * len(rows) for name in (OURS, *TRAINERS)}
    same = []
    for train, test in _by_article(rows):
        learned, asked = ([rows[i] for i in part] for part in (train, test))
        reader, given = _answer(options.folder, learned, asked)
        for name, of_fold in given.items():
            for i, answer in zip(test, of_fold, strict=True):
                answers[name][i] = answer
            print(f"  {name}: exact match and F1 {task.squad_scores(of_fold, asked)}", flush=True)
        same += _same_spans(reader, asked[: SPAN_ROWS - len(same)])
        print(f"  n-best spans as by brute force: {sum(same)} of {len(same)}", flush=True)
    results = {
        "n_questions": len(rows),
        **RECIPE,
        "folds": FOLDS,
        "spans_same": sum(same),
        "spans_checked": len(same),
        "same_answers": float(np.mean(np.equal(answers[OURS], answers[SAME_LOSS]))),
    }
    for name, given in answers.items():
        results[name] = dict(
            zip(("exact_match", "f1"), task.squad_scores(given, rows), strict=True)
        )
    _print_quality(results)
    return results


def _by_article(rows):
    return GroupKFold(FOLDS).split(rows, groups=[row["article"] for row in rows])


def _answer(folder, learned, asked):
    """Train all; return ours, fitted, and the answers of each."""
    X, y = columns(learned)
    questions, _ = columns(asked)
    with training.recorded() as start:
        reader = TASK.ours(folder, RECIPE).fit(X, y)
    given = {OURS: reader.predict(questions)}
    for name, loss in TRAINERS.items():
        tokenizer, model, _ = TASK.train(folder, X, y, RECIPE, start=start, loss=loss)
        given[name] = task.published_answers(tokenizer, model, questions)
    return reader, given


def _same_spans(reader, rows):
    """Return for each question whether its n-best spans are those of a search over everything.

    The search reads the logits of the same weights, saved and loaded by transformers.
    """
    if not rows:
        return []
    X, _ = columns(rows)
    searched = task.ranked_spans(*TASK.reload(reader), X)
    found = reader.predict_answers(X, n_best=SPAN_BEST)
    return [_agree(*pair) for pair in zip(found, searched, strict=True)]


def _agree(found, searched):
    """Return whether each span found is, up to ties, the one of its rank."""
    scores = {(begin, end): score for score, begin, end in searched}
    ranked = [score for score, _, _ in searched[:SPAN_BEST]]
    given = [scores.get((answer.start, answer.end), -np.inf) for answer in found]
    return len(given) == len(ranked) and bool(np.allclose(given, ranked, rtol=0, atol=TIE))


def _print_quality(results):
    title = f"Answers: {results['n_questions']} questions, {FOLDS} folds by article"
    rows = {name: results[name] for name in (OURS, *TRAINERS)}
    print_table(title, "trained by", {"exact match": "{exact_match:.1f}", "F1": "{f1:.1f}"}, rows)
    print(f"  {results['same_answers']:.1%} of the answers are those of the same loss")
    for name in TRAINERS:
        for metric in ("exact_match", "f1"):
            off = abs(results[OURS][metric] - results[name][metric])
            print_verdict(f"points of {metric} from the {name}", off, at_most=MOST_POINTS)
    share = results["spans_same"] / results["spans_checked"]
    print_verdict("of the questions have the spans of a search over all", share, at_least=1.0)


def summarize_quality(results):
    for peer in TRAINERS:
        yield summary_line("quality, XQuAD, F1", results[OURS]["f1"], peer, results[peer]["f1"])


def measure_speed(options):
    """Time an epoch on 128 of XQuAD's questions, and the answers to 400.

    Both predictors tokenize; the loop only computes its logits, without looking for answers. The
    floor is the time of a plain matmul for the work on the windows' tokens, padding left out.
    """
    rows = data.xquad()
    X, y = columns(rows[::8] if options.quick else rows)
    recipe = {**RECIPE, "epochs": 1, "dropout": 0.1, "batch_size": BATCH_SIZE}
    train = X[:N_TRAIN], y[:N_TRAIN]
    seconds, _ = training.alternate_trainings(TASK, *train, recipe, options)
    results = {
        "training": training.side_by_side(len(train[0]), seconds),
        "prediction": _time_prediction(X[:N_PREDICT], y, options),
    }
    training.print_side_by_side("Answers", results, TARGETS)
    shares = results["prediction"]["shares_of_floor"]
    said = ", ".join(f"{name} {share:.2f}" for name, share in shares.items())
    print(f"  {timing.floor_name(shares.values())}, in prediction: {said}")
    timing.print_rates(results["prediction"]["floor_gflops"])
    return results


def _time_prediction(X, y, options):
    reader = TASK.ours(options.folder, {**RECIPE, "epochs": 1}).fit(X[:32], y[:32])
    tokenizer, model = TASK.reload(reader)

    def run_loop():
        windows, _, _ = task.features_of(tokenizer, X)
        return task.logits_in_input_order(tokenizer, model, windows)

    lengths = [len(ids) for ids in task.features_of(tokenizer, X)[0]["input_ids"]]
    runs = {OURS: lambda: reader.predict(X), LOOP: run_loop}
    flops = timing.layer_flops(options.folder, lengths)
    matmul = Floor(options.folder, flops)
    seconds, _ = timing.alternate(runs, options.rounds, floors=[matmul])
    floor = seconds.pop(matmul.name)
    shares = {name: timing.pairwise_median(floor, times) for name, times in seconds.items()}
    return {
        **training.side_by_side(len(X), seconds),
        "shares_of_floor": shares,
        "floor_gflops": {"float32": matmul.rates()},
    }
