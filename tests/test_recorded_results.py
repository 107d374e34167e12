"""Results of fixed inputs, compared with those that an earlier version recorded.

Moves and renamings must not change what is computed. After a change that should, record again::

    python -m tests.test_recorded_results
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from skbert import BertClassifier, BertEmbedder, BertQuestionAnswerer, BertTokenClassifier
from tests.conftest import save_tiny_bert

RECORD = Path(__file__).with_suffix(".json")
TEXTS = [
    "the cat sat on the mat .",
    "it is not a very good film , and that is that !",
    "unbelievable",
    "where is my card ? we lost the money in the bank when he went to the house",
]
LABELS = ["cat", "film", "film", "bank"]
# Fixed, so that better defaults change nothing here.
TRAINING: dict[str, Any] = {
    "max_epochs": 3,
    "min_steps": 6,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "train_batch_size": 2,
    "random_state": 0,
}


def vectors(model: str) -> dict[str, np.ndarray]:
    """Vectors of the texts, by pooling."""
    return {
        f"vectors {pooling}": BertEmbedder(model, pooling=pooling).fit_transform(TEXTS)
        for pooling in ("mean", "cls", "max", "mean_sqrt_len", "pooler")
    }


def trained(model: str) -> dict[str, np.ndarray]:
    """Weights of a trained classifier, and what it and its siblings predict."""
    classifier = BertClassifier(model, init="random", **TRAINING).fit(TEXTS, LABELS)
    words = [text.split() for text in TEXTS]
    tags = [[word[0] for word in sentence] for sentence in words]
    tagger = BertTokenClassifier(model, init="random", **TRAINING).fit(words, tags)
    questions = [("where is it ?", text) for text in TEXTS]
    answerer = BertQuestionAnswerer(model, max_length=32, stride=4, **TRAINING)
    answers = answerer.fit(questions, [text.split()[0] for text in TEXTS]).predict_answers(
        questions
    )
    return {
        **{
            f"weights {name}": array
            for name, array in classifier._state.weights.items()
            # Their gradient is zero but for rounding, which Adam scales up to whole steps.
            if not name.endswith("key.bias")
        },
        "probabilities": classifier.predict_proba(TEXTS),
        "probabilities of words": np.concatenate(list(tagger.predict_proba(words))),
        "answers": np.array([[best.start, best.end, best.score] for (best,) in answers]),
    }


def summary(array: np.ndarray) -> list[float]:
    """Small results whole; of large ones a few values, their mean and their mean size."""
    flat = array.astype(np.float64).ravel()
    if len(flat) > 24:
        flat = np.array([*flat[:: len(flat) // 8], flat.mean(), np.abs(flat).mean()])
    return [float(f"{value:.7g}") for value in flat]


def results() -> dict[str, np.ndarray]:
    with tempfile.TemporaryDirectory() as folder:
        model = str(save_tiny_bert(Path(folder) / "tiny"))
        return vectors(model) | trained(model)


@pytest.fixture(scope="module")
def computed(one_thread: None) -> dict[str, np.ndarray]:
    return results()


def test_results_are_those_that_were_recorded(computed: dict[str, np.ndarray]) -> None:
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))
    assert list(computed) == list(recorded)
    for name, array in computed.items():
        # Rounding differs between processors; a wrong batch or seed changes far more.
        np.testing.assert_allclose(
            summary(array), recorded[name], rtol=1e-3, atol=1e-4, err_msg=name
        )


if __name__ == "__main__":
    found = results()
    RECORD.write_text(
        json.dumps({name: summary(array) for name, array in found.items()}, indent=0) + "\n"
    )
    if len(sys.argv) > 1:  # whole, to compare bit for bit on one machine
        np.savez(sys.argv[1], **found)
