"""Answers: BertQuestionAnswerer beside the Trainer with the published post-processing."""

import tempfile

import numpy as np
from answers import peer as _answers_peer
from shared.report import print_table, verdict
from shared.same_start import recorded
from shared.trainer import same_recipe

FOLDS = 5
SEED = 0
# Without dropout: with the same first weights and batches, both then learn the same, and what is
# compared is the training and the answers drawn from it, not two draws of dropout.
RECIPE = {"epochs": 3, "learning_rate": 3e-4, "dropout": 0.0, "batch_size": 8}
TARGET = 1.0
SPAN_ROWS, SPAN_BEST = 200, 5
TIE = 1e-4  # scores as close as this may change places: two float32 computations
QUICK_SHARE = 6  # --quick takes one question in six
OURS, PEER = "BertQuestionAnswerer", "Trainer, its own loss"
SAME_LOSS = "Trainer, padding not counted"
TRAINERS = {SAME_LOSS: _answers_peer.loss_without_padding, PEER: None}


def measure(folder, *, quick):
    """Train on four fifths of the articles, answer the questions of the others; all five ways.

    Returns
    -------
    results : dict
        Exact match and F1 over all questions, and how many of 200 questions have the same n-best
        spans as a search over all spans of all windows.
    """
    rows = _answers_peer.read_questions()
    rows = rows[::QUICK_SHARE] if quick else rows
    answers = {name: [""] * len(rows) for name in (OURS, *TRAINERS)}
    same = n_spans = 0
    for number, (train, test) in enumerate(_by_article(rows)):
        learned, asked = ([rows[i] for i in part] for part in (train, test))
        with recorded() as start:
            reader = answerer(folder, RECIPE).fit(*columns(learned))
        given = {OURS: reader.predict(columns(asked)[0])}
        for name in TRAINERS:
            given[name] = trainers_answers(name, folder, learned, asked, start)
        for name, of_fold in given.items():
            for i, answer in zip(test, of_fold, strict=True):
                answers[name][i] = answer
            scores = _answers_peer.squad_scores(of_fold, asked)
            print(f"  fold {number + 1}, {name}: exact match and F1 {scores}", flush=True)
        if n_spans < SPAN_ROWS:
            checked = asked[: SPAN_ROWS - n_spans]
            same += _same_spans(reader, checked)
            n_spans += len(checked)
            print(f"  n-best spans as by brute force: {same} of {n_spans}", flush=True)
    results = {
        "n_questions": len(rows),
        **RECIPE,
        "folds": FOLDS,
        "spans_same": same,
        "spans_checked": n_spans,
    }
    for name, given in answers.items():
        exact, f1 = _answers_peer.squad_scores(given, rows)
        results[name] = {"exact_match": exact, "f1": f1}
    pairs = zip(answers[OURS], answers[SAME_LOSS], strict=True)
    results["same_answers"] = float(np.mean([a == b for a, b in pairs]))
    _print(results)
    return results


def _by_article(rows):
    from sklearn.model_selection import GroupKFold

    return GroupKFold(FOLDS).split(rows, groups=[row["article"] for row in rows])


def columns(rows):
    """Give X and y of questions."""
    X = [(row["question"], row["context"]) for row in rows]
    return X, [(row["answer"], row["answer_start"]) for row in rows]


def answerer(folder, recipe):
    """Give ours, set up as the Trainer is."""
    from skbert import BertQuestionAnswerer

    return BertQuestionAnswerer(str(folder), **same_recipe(recipe, SEED))


def trainers_answers(name, folder, learned, rows, start):
    """Train one of the `TRAINERS` on some rows; give its answers to others."""
    from transformers import AutoTokenizer

    model, _ = _answers_peer.train_with_trainer(
        folder, learned, seed=SEED, start=start, as_ours=TRAINERS[name], **RECIPE
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded, samples, offsets = _answers_peer.features_of(tokenizer, rows)
    logits = _answers_peer.logits_in_input_order(tokenizer, model, encoded)
    return _answers_peer.published_answers(rows, samples, offsets, logits)


def _same_spans(reader, rows):
    """Count questions whose n-best spans are those of a search over everything.

    The search reads the logits of the same weights, saved and loaded by transformers.
    """
    from transformers import AutoModelForQuestionAnswering, AutoTokenizer

    with tempfile.TemporaryDirectory() as saved:
        reader.save_pretrained(saved)
        tokenizer = AutoTokenizer.from_pretrained(saved)
        model = AutoModelForQuestionAnswering.from_pretrained(saved)
        encoded, samples, offsets = _answers_peer.features_of(tokenizer, rows)
        logits = _answers_peer.logits_in_input_order(tokenizer, model, encoded)
    searched = _answers_peer.every_span(len(rows), samples, offsets, logits)
    found = reader.predict_answers(columns(rows)[0], n_best=SPAN_BEST)
    return sum(_agree(*pair) for pair in zip(found, searched, strict=True))


def _agree(found, searched):
    """Whether each span found is, up to ties, the one of its rank."""
    scores = {(begin, end): score for score, begin, end in searched}
    ranked = [score for score, _, _ in searched[:SPAN_BEST]]
    given = [scores.get((answer.start, answer.end), -np.inf) for answer in found]
    return len(given) == len(ranked) and bool(np.allclose(given, ranked, rtol=0, atol=TIE))


def _print(results):
    rows = [
        (name, f"{results[name]['exact_match']:.1f}", f"{results[name]['f1']:.1f}")
        for name in (OURS, *TRAINERS)
    ]
    title = f"Answers: {results['n_questions']} questions, {FOLDS} folds by article"
    print_table(title, ("trained by", "exact match", "F1"), rows)
    print(f"  {100 * results['same_answers']:.1f} % of the answers are those of the same loss")
    for name in TRAINERS:
        for metric in ("exact_match", "f1"):
            off = abs(results[OURS][metric] - results[name][metric])
            print(verdict(f"points of {metric} from the {name}", off, at_most=TARGET))
    share = results["spans_same"] / results["spans_checked"]
    print(verdict("of the questions have the spans of a search over all", share, at_least=1.0))
