"""Classes of every kind come back from `save_pretrained` as they were."""

from __future__ import annotations

import json

import numpy as np
import pytest

from skbert import BertClassifier
from skbert._estimators.saved_classes import restored_classes, saved_classes

CLASSES = [
    np.array([1, 5], np.int8),
    np.array([2, 2**63], np.uint64),
    np.array([0.5, 1.5], np.float16),
    np.array([False, True]),
    np.array(["a", "b"]),
    np.array([b"a", b"\xff"]),
    np.array(["a", "b"], object),
    np.array([1, 5], object),
    np.array(["2020-01-01", "2021-06-01"], "datetime64[D]"),
    np.array(["2020-01-01T00:00:01", "2021-06-01"], "datetime64[ns]"),
    np.array([1, 3], "timedelta64[h]"),
]


@pytest.mark.parametrize("classes", CLASSES, ids=lambda classes: classes.dtype.str)
def test_through_json(classes):
    restored = restored_classes(json.loads(json.dumps(saved_classes(classes))))
    assert restored.dtype == classes.dtype
    assert restored.tolist() == classes.tolist()
    assert [type(label) for label in restored.tolist()] == [
        type(label) for label in classes.tolist()
    ]


@pytest.mark.parametrize("unit", ["D", "ns"])
def test_dates_of_a_classifier(tiny_bert, tmp_path, unit):
    y = np.array(["2020-01-01", "2021-06-01"] * 2, f"datetime64[{unit}]")
    texts = ["a good film", "a bad film", "good !", "bad !"]
    classifier = BertClassifier(tiny_bert, min_steps=2, max_epochs=1).fit(texts, y)
    classifier.save_pretrained(tmp_path / "saved")
    loaded = BertClassifier.from_pretrained(str(tmp_path / "saved"))
    assert loaded.classes_.dtype == classifier.classes_.dtype == y.dtype
    assert loaded.predict(texts).tolist() == classifier.predict(texts).tolist()
