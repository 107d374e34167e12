"""Every pooling, choice of layers and precision on the device, beside float32 on the CPU."""

import numpy as np
from gpu import material
from gpu.contenders import fitted

from skbert import BertClassifier, BertQuestionAnswerer, BertTokenClassifier
from skbert._inference.pooling import POOLINGS

# What is read, and how: by float32 on the device beside float32 on the CPU.
READINGS = {
    **{f"pooling={name}": {"pooling": name} for name in POOLINGS},
    "pooling=None": {"pooling": None},
    "two poolings' layers": {"pooling": "mean", "layers": (-1, -2), "combine_layers": "concat"},
    "layers=0": {"layers": 0},
    "layers=(0, 1)": {"layers": (0, 1)},
    "batch_size=3": {"batch_size": 3},
    "windows": {"overflow": "windows", "max_length": 24, "stride": 4},
    "prompt": {"prompt": "dada mimi: "},
    "normalize": {"normalize": True},
}
# Largest norm of a difference, as a share of the vector's.
TOLERANCE = {"float32": 1e-4, "bfloat16": 0.05, "float16": 0.02}
N_TEXTS = 32


def measure(setting, record):
    rows = {}
    for name, ours, expected, precision in _comparisons(setting, record):
        rows[name] = {**difference(ours, expected), "tolerance": TOLERANCE[precision]}
        record.put("comparisons", rows)
    wrong = [name for name, row in rows.items() if not row["relative"] <= row["tolerance"]]
    worst = max(rows, key=lambda name: rows[name]["relative"] / rows[name]["tolerance"])
    record.put("wrong", wrong)
    record.put("notes", [f"worst: {worst}, {rows[worst]['relative']:.1e}", *wrong[:5]])
    right = 1 - len(wrong) / len(rows)
    record.goal(f"of {len(rows)} comparisons within tolerance", right, at_least=1.0)


def _comparisons(setting, record):
    """Yield a name, our results, what is expected, and the precision."""
    yield from _heads(setting)
    texts = [*setting.texts("mixed")[: N_TEXTS - 2], "", "a"]
    on_cpu = {"device": "cpu", "precision": "float32", "is_padded": True}
    held = fitted(setting, **on_cpu)  # as long as it is held, the others share its weights
    expected = {
        name: fitted(setting, **on_cpu, **reading).transform(texts)
        for name, reading in READINGS.items()
    }
    packs = {}
    for precision in TOLERANCE:
        for how in ("packed", "padded"):
            options = {"precision": precision, "is_padded": how == "padded"}
            held = fitted(setting, **options)
            packs[f"{precision}, {how}"] = held._loaded().packed
            record.put("packs", packs)
            if how == "packed" and not held._loaded().packed:
                continue  # it cannot: float32 on a GPU, or an old one
            for name, reading in READINGS.items():
                ours = fitted(setting, **options, **reading).transform(texts)
                yield f"{precision}, {how}, {name}", ours, expected[name], precision


def difference(ours, expected):
    """Return how far rows of numbers lie apart."""
    ours, expected = (np.vstack(list(rows)).astype(np.float64) for rows in (ours, expected))
    lengths = np.linalg.norm(expected, axis=1)
    products = lengths * np.linalg.norm(ours, axis=1)
    cosine = (ours * expected).sum(1) / np.where(products == 0, 1, products)
    apart = np.linalg.norm(ours - expected, axis=1)
    return {
        "max_abs": float(np.abs(ours - expected).max()),
        "relative": float((apart / np.where(lengths == 0, 1, lengths)).max()),
        "least_cosine": float(cosine.min()),
    }


def _heads(setting):
    """Yield predictions of trained models on the device, and by float32 on the CPU."""
    words = material.whole_words(setting.models["tiny"])
    texts, labels = material.labelled(setting.texts("short")[:24], words)
    sentences = [text.split() for text in texts]
    tags = [["B-X" if i % 3 == 0 else "O" for i, _ in enumerate(words)] for words in sentences]
    questions = [[text.split()[1], text] for text in texts]
    answers = [text.split()[2] for text in texts]
    options = {"device": "cpu", "precision": "float32", "random_state": 0, "min_steps": 20}
    folder = str(setting.models["tiny"])
    for name, estimator, X, y, predict in (
        ("pooled head", BertClassifier(folder, pooling="mean", **options), texts, labels, _scores),
        ("own head", BertClassifier(folder, pooling="head", **options), texts, labels, _scores),
        ("pairs", BertClassifier(folder, **options), questions, labels, _scores),
        ("words", BertTokenClassifier(folder, **options), sentences, tags, _word_scores),
        (
            "answers",
            BertQuestionAnswerer(folder, max_length=64, stride=16, **options),
            questions,
            answers,
            _answer_scores,
        ),
    ):
        estimator.fit(X, y)
        expected = predict(estimator, X)
        for precision in TOLERANCE:
            estimator.release().set_params(device=setting.device, precision=precision)
            yield f"{precision}, {name}", predict(estimator, X), expected, precision


def _scores(estimator, X):
    return estimator.predict_proba(X)


def _word_scores(estimator, X):
    return np.vstack(list(estimator.predict_proba(X)))


def _answer_scores(estimator, X):
    return np.array([[best[0].score for best in estimator.predict_answers(X)]])
