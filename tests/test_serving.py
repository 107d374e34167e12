"""The web service of docs/serving.md, as it is written there, in process."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from skbert import BertEmbedder

testclient = pytest.importorskip("fastapi.testclient")
pytestmark = pytest.mark.usefixtures("one_thread")
PAGE = Path(__file__).parents[1] / "docs" / "serving.md"
TEXTS = ["the cat sat", "a cat runs", "the bank rates", "my bank card"]


def service() -> dict[str, object]:
    """Run the page's file; return its names."""
    code = re.search(r"```python\n(# service\.py\n.*?)^```$", PAGE.read_text("utf-8"), re.M | re.S)
    assert code is not None
    # A module's name, which pydantic looks annotations up in.
    names: dict[str, object] = {"__name__": "service"}
    exec(compile(code[1], str(PAGE), "exec"), names)
    return names


@pytest.fixture
def names(tiny_bert: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.chdir(tmp_path)
    pipeline = make_pipeline(BertEmbedder(tiny_bert, overflow="error"), LogisticRegression())
    joblib.dump(pipeline.fit(TEXTS, ["cat", "cat", "bank", "bank"]), "model.joblib")
    return service()


def test_requests_at_once(names):
    expected = joblib.load("model.joblib").predict(TEXTS).tolist()
    with testclient.TestClient(names["app"]) as client:
        assert "_encoder" in vars(names["model"][0])  # loaded before the first request

        def ask(_: int) -> list[str]:
            response = client.post("/predict", json={"texts": TEXTS})
            assert response.status_code == 200
            return response.json()["labels"]

        with ThreadPoolExecutor(8) as threads:
            assert list(threads.map(ask, range(64))) == [expected] * 64


def test_unusable_requests(names):
    with testclient.TestClient(names["app"]) as client:
        too_long = client.post("/predict", json={"texts": ["a", "the cat " * 100]})
        assert too_long.status_code == 422
        assert "max_length=64" in too_long.json()["detail"]
        for texts in ([], [None], "the cat"):
            assert client.post("/predict", json={"texts": texts}).status_code == 422
    assert np.all(names["model"].predict(["the cat sat"]) == ["cat"])
