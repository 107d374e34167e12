"""The recipes of docs/explain.md run, and agree on what a simple model looks at."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from skbert import BertClassifier

PAGE = Path(__file__).parents[2] / "docs" / "explain.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
TEXT = "the film is bad"

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def classifier(tiny_bert):
    """Says "card" for texts with "good" and "rate" for texts with "bad"."""
    nouns = "cat dog mat rug film house tree bank card money".split()
    X = [f"the {noun} is {word}" for noun in nouns for word in ("good", "bad")]
    classifier = BertClassifier(tiny_bert, min_steps=40, learning_rate=3e-3, random_state=0)
    return classifier.fit(X, ["card", "rate"] * len(nouns))


def run(recipe: str, names: dict[str, object]) -> dict[str, object]:
    exec(recipe.replace("Thieves took my bank card", TEXT), names)
    return names


def test_integrated_gradients(classifier):
    pytest.importorskip("captum")
    from skbert.display import TokenImportanceDisplay

    display = TokenImportanceDisplay.from_estimator(classifier, [TEXT])
    assert display.words[int(np.argmax(display.word_importances))].start == TEXT.index("bad")


def test_lime(classifier):
    pytest.importorskip("lime")
    (recipe,) = (block for block in BLOCKS if "lime" in block)
    explanation = run(recipe, {"classifier": classifier})["explanation"]
    weights = dict(explanation.as_list(label=0))
    assert min(weights, key=weights.get) == "bad"  # against the class "card"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_shap(classifier):
    pytest.importorskip("shap")
    (recipe,) = (block for block in BLOCKS if "shap" in block)
    values = run(recipe, {"classifier": classifier})["values"]
    words = [word.strip() for word in values.data[0]]
    of_card, of_rate = values.values[0].T
    assert words[int(np.argmin(of_card))] == "bad"
    assert words[int(np.argmax(of_rate))] == "bad"
    # Shapley values sum to the change from no words to all.
    (p,) = classifier.predict_proba([TEXT])
    np.testing.assert_allclose(values.base_values[0] + values.values[0].sum(0), p, atol=1e-4)


@pytest.mark.minilm
@pytest.mark.usefixtures("minilm")
def test_first_recipe(tmp_path, monkeypatch):
    matplotlib = pytest.importorskip("matplotlib")
    pytest.importorskip("captum")
    monkeypatch.chdir(tmp_path)
    with matplotlib.rc_context({"backend": "agg"}):
        display = run(BLOCKS[0], {})["display"]
    assert (tmp_path / "words.png").stat().st_size > 1000
    assert display.n_steps >= 32
