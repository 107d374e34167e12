"""BigBird's two kinds of attention, and the questions that Longformer attends from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from skbert import BertClassifier, BertEmbedder, BertQuestionAnswerer, ParameterError
from tests.conformity.checkpoints import FAMILIES, save_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")

SHORT, LONG = "the cat sat on the mat", "the cat sat on the mat and " * 6
QUICK: dict[str, Any] = {"max_epochs": 1, "min_steps": 0, "device": "cpu", "random_state": 0}


@pytest.fixture(scope="module")
def big_bird(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A BigBird that reads texts of more than 28 tokens by sparse attention."""
    return str(save_checkpoint(tmp_path_factory.mktemp("big_bird"), FAMILIES["big_bird"]))


def test_long_texts_do_not_depend_on_what_was_read_before(big_bird):
    embedder = BertEmbedder(big_bird, device="cpu").fit([LONG])
    before = embedder.transform([LONG])
    embedder.transform([SHORT])
    assert np.array_equal(embedder.transform([LONG]), before)
    np.testing.assert_allclose(embedder.transform([SHORT, LONG])[1:], before, atol=1e-5)


def test_short_and_long_texts_use_their_own_attention(big_bird):
    embedder = BertEmbedder(big_bird, device="cpu").fit([LONG])
    base = embedder._loaded().model
    for text, kind in ((SHORT, "original_full"), (LONG, "block_sparse"), (SHORT, "original_full")):
        embedder.transform([text])
        assert base.attention_type == kind


def test_nobodys_generator_is_changed(big_bird):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    BertClassifier(big_bird, **QUICK).fit([LONG, SHORT] * 3, list("ab") * 3)
    BertEmbedder(big_bird, device="cpu").fit([SHORT]).transform([SHORT, LONG])
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002


def test_layers_are_not_computed_again_with_other_attention(big_bird):
    with pytest.raises(ParameterError, match=r"'big_bird'.*gradient_checkpointing=False"):
        BertClassifier(big_bird, gradient_checkpointing=True, **QUICK).fit(
            [LONG, SHORT], ["a", "b"]
        )


def test_separators_in_a_longformers_context_are_read(tmp_path: Path):
    folder = str(save_checkpoint(tmp_path, FAMILIES["longformer"]))
    answerer = BertQuestionAnswerer(folder, max_length=40, stride=8, **QUICK)
    questions = [("where ?", "the mat </s> and </s> the bank"), ("what ?", "a cat")]
    answers = answerer.fit(questions, ["bank", "cat"]).predict(questions)
    assert all(answer in context for answer, (_, context) in zip(answers, questions, strict=True))
