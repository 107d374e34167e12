"""Integrated gradients: known integrals, finite differences, completeness, memory."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from skbert import CheckpointError, CompletenessWarning, DeviceError
from skbert._display.attributions import attribute
from skbert._display.plain_model import plain_model

pytest.importorskip("captum")
pytestmark = pytest.mark.usefixtures("one_thread")

IDS = torch.tensor([[1, 2, 3, 4, 1]])
FIXED = np.array([True, False, False, False, True])
SETTINGS = {"fixed": FIXED, "baseline_id": 0, "n_steps": 8, "max_steps": 8, "max_tokens": 10}


class Function(nn.Module):
    """A model whose one logit is a given function of the input embeddings, (n, L, H)."""

    def __init__(self, function, limit=10**6):
        super().__init__()
        self.embeddings = nn.Embedding(5, 3)
        generator = torch.Generator().manual_seed(0)
        self.embeddings.weight.data = torch.randn(5, 3, generator=generator)
        self.embeddings.requires_grad_(False)
        self.function, self.limit, self.sizes = function, limit, []

    def get_input_embeddings(self):
        return self.embeddings

    def forward(self, input_ids=None, inputs_embeds=None):
        x = self.embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        self.sizes.append(len(x))
        if len(x) > self.limit:
            raise torch.OutOfMemoryError
        return SimpleNamespace(logits=self.function(x)[:, None])


def first(logits):
    return logits[:, 0]


def explain(model, **changes):
    return attribute(model, {"input_ids": IDS}, first, **{**SETTINGS, **changes})


@pytest.mark.parametrize("baseline_id", [0, None])
def test_of_a_linear_model(baseline_id):
    model = Function(lambda x: (x * torch.tensor([1.0, -2.0, 3.0])).sum((1, 2)))
    result = explain(model, baseline_id=baseline_id)
    vectors = model.embeddings.weight
    empty = torch.zeros(3) if baseline_id is None else vectors[0]
    expected = ((vectors[IDS[0]] - empty) @ torch.tensor([1.0, -2.0, 3.0])).numpy()
    expected[FIXED] = 0  # they are the same in the baseline
    np.testing.assert_allclose(result.importances, expected, atol=1e-5)


def test_of_a_product():
    # Of x0 * x1 along the straight line from b to a, x0 gets (a0-b0)(b1 + (a1-b1)/2).
    model = Function(lambda x: x[:, 1, 0] * x[:, 2, 0])
    result = explain(model)
    (b, a0, a1) = model.embeddings.weight[[0, 2, 3], 0].tolist()
    expected = [0, (a0 - b) * (b + (a1 - b) / 2), (a1 - b) * (b + (a0 - b) / 2), 0, 0]
    np.testing.assert_allclose(result.importances, expected, atol=1e-5)
    assert result.output == pytest.approx(a0 * a1)
    assert result.baseline_output == pytest.approx(b * b)


def test_agrees_with_finite_differences_in_bert(film_classifier):
    tokenizer = film_classifier._loaded().tokenizer
    ids = torch.tensor([tokenizer.backend.encode("a very good film").ids])
    model = plain_model(film_classifier)
    fixed = np.array([True, *[False] * (ids.shape[1] - 2), True])
    result = attribute(
        model, {"input_ids": ids}, first, fixed=fixed, baseline_id=0,
        n_steps=64, max_steps=64, max_tokens=10**4,
    )  # fmt: skip
    model = model.double()
    text = model.get_input_embeddings()(ids)
    step = text - model.get_input_embeddings()(torch.zeros_like(ids))
    step[:, torch.from_numpy(fixed)] = 0
    # Midpoint rule; the derivative in the direction of one token at a time.
    alphas, h = (torch.arange(64, dtype=torch.float64) + 0.5) / 64, 1e-5
    points = text + (alphas[:, None, None] - 1) * step
    expected = []
    for token in range(ids.shape[1]):
        along = torch.zeros_like(step)
        along[:, token] = step[:, token]
        with torch.no_grad():
            up = model(inputs_embeds=points + h * along).logits[:, 0]
            down = model(inputs_embeds=points - h * along).logits[:, 0]
        expected.append(float(((up - down) / (2 * h)).mean()))
    scale = np.abs(expected).max()
    np.testing.assert_allclose(result.importances, expected, atol=0.01 * scale)
    assert scale > 0.01


def test_steps_are_doubled_until_it_is_complete():
    model = Function(lambda x: torch.tanh(8 * x[:, 1:4].sum((1, 2))))
    result = explain(model, baseline_id=None, n_steps=1, max_steps=1024)
    change = result.output - result.baseline_output
    assert abs(result.importances.sum() - change) <= 0.02 * abs(change)
    assert result.n_steps > 1


def test_incomplete_importances_are_warned_of_with_the_figures():
    model = Function(lambda x: torch.tanh(8 * x[:, 1:4].sum((1, 2))))
    with pytest.warns(CompletenessWarning, match=r"changes the output by .* after 2 steps") as seen:
        result = explain(model, baseline_id=None, n_steps=1, max_steps=3)
    assert result.n_steps == 2
    assert f"sum to {result.importances.sum():.4g}" in str(seen[0].message)


def test_no_change_at_all_is_complete():
    result = explain(Function(lambda x: 0 * x.sum((1, 2)) + 2))
    assert (result.importances == 0).all()
    assert result.n_steps == 8


def test_computes_as_many_tokens_at_a_time_as_allowed():
    model = Function(lambda x: (x**2).sum((1, 2)))
    one = explain(model, max_tokens=1)  # less than a text
    assert max(model.sizes) == 1
    model.sizes.clear()
    two = explain(model, max_tokens=14)
    assert max(model.sizes) == 2
    np.testing.assert_allclose(one.importances, two.importances, rtol=1e-5)


def test_full_memory_halves_the_batch():
    function = lambda x: (x**2).sum((1, 2))  # noqa: E731
    small = Function(function, limit=3)
    result = explain(small, max_tokens=1000)
    np.testing.assert_allclose(
        result.importances, explain(Function(function)).importances, rtol=1e-5
    )
    model = Function(function)
    model.forward = _fails_with_gradients(model.forward)
    with pytest.raises(DeviceError, match="one text of 5 tokens"):
        explain(model)


def _fails_with_gradients(forward):
    def fails(**inputs):
        if torch.is_grad_enabled():
            raise torch.OutOfMemoryError
        return forward(**inputs)

    return fails


def test_a_model_that_reads_more_than_embeddings_is_refused():
    model = Function(lambda x: x.sum((1, 2)))
    plain = model.forward
    model.forward = lambda input_ids=None, inputs_embeds=None: (
        plain(inputs_embeds=inputs_embeds)
        if input_ids is None
        else plain(inputs_embeds=model.embeddings(input_ids) + 1)
    )
    with pytest.raises(CheckpointError, match="input embeddings"):
        explain(model)


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Bert", {}),
        ("Roberta", {"pad_token_id": 1}),
        ("DistilBert", {"dim": 32, "n_heads": 4, "n_layers": 2, "hidden_dim": 48}),
        ("Electra", {"embedding_size": 32}),
        ("Albert", {"embedding_size": 16}),
        ("MPNet", {"pad_token_id": 1}),
        ("DebertaV2", {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}),
        ("ModernBert", {"pad_token_id": 0, "cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1,
                        "eos_token_id": 2}),
    ],
)  # fmt: skip
def test_bert_family_computes_the_same_from_embeddings(kind, changes):
    transformers = importlib.import_module("transformers")
    shape = {
        "vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 48, "max_position_embeddings": 40, "initializer_range": 0.2,
    }  # fmt: skip
    if kind == "DistilBert":
        shape = {"vocab_size": 50, "max_position_embeddings": 40, "initializer_range": 0.2}
    config = getattr(transformers, f"{kind}Config")(**{**shape, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = getattr(transformers, f"{kind}ForSequenceClassification")(config).eval()
    ids = torch.tensor([[2, 11, 12, 13, 14, 3]])
    fixed = np.array([True, *[False] * 4, True])
    result = attribute(  # refuses a model whose logits differ
        model.requires_grad_(False), {"input_ids": ids}, first, fixed=fixed,
        baseline_id=config.pad_token_id, n_steps=64, max_steps=1024, max_tokens=1000,
    )  # fmt: skip
    with torch.no_grad():
        assert result.output == pytest.approx(float(model(ids).logits[0, 0]), abs=1e-5)
    assert np.abs(result.importances).max() > 1e-4
