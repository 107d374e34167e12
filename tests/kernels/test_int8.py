"""int8 linear layers against float32 ones and against rounding by hand."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from torch import nn

from skbert import (
    BertClassifier,
    BertEmbedder,
    BertQuestionAnswerer,
    BertRegressor,
    BertTokenClassifier,
)
from skbert._exceptions import DeviceError, ParameterError
from skbert._kernels.int8 import (
    Int8Linear,
    centers_and_scales,
    check_int8,
    quantize,
    use_int8_layers,
)
from skbert._kernels.static_int8 import (
    StaticInt8FeedForward,
    StaticInt8Linear,
    has_static_products,
)
from skbert._models import device as device_module
from skbert._models.device import resolve_precision, token_budget
from tests.kernels.conftest import needs_int8


def linear_layer(n_in: int = 24, n_out: int = 40, *, bias: bool = True) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(n_in)
        return nn.Linear(n_in, n_out, bias=bias)


def rows(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


# One layer --------------------------------------------------------------------------------------


def test_weights_are_rounded_with_a_step_for_each_output():
    linear = nn.Linear(4, 3)
    with torch.no_grad():
        linear.weight.copy_(
            torch.tensor([[1.27, -0.634, 0.0, 0.02], [-254.0, 3.1, 127.0, 2.9], [0.0, 0, 0, 0]])
        )
        linear.bias.copy_(torch.tensor([1.0, 2.0, 3.0]))
    layer = Int8Linear(linear)
    # The steps are 0.01 and 2; the last row has nothing to round.
    expected = [[127, -63, 0, 2], [-127, 2, 64, 1], [0, 0, 0, 0]]
    assert layer.weight.dtype == torch.int8
    assert layer.weight.T.tolist() == expected
    torch.testing.assert_close(layer.weight_scales[:2], torch.tensor([0.01, 2.0]))
    torch.testing.assert_close(layer.weight_sums, torch.tensor([0.66, -120.0, 0.0]))
    assert layer.bias.tolist() == [1.0, 2.0, 3.0]


def test_inputs_are_rounded_with_a_step_for_each_row_around_its_middle():
    x = torch.tensor([[26.4, 1.0, 3.0], [-2.54, 0.03, 2.54], [7.0, 7.0, 7.0]])
    middles, steps = centers_and_scales(x)
    torch.testing.assert_close(middles, torch.tensor([[13.7], [0.0], [7.0]]))
    torch.testing.assert_close(steps[:2], torch.tensor([[0.1], [0.02]]))
    levels = quantize(x, middles, steps)
    assert levels.tolist() == [[127, -127, -107], [-127, 2, 127], [0, 0, 0]]


@needs_int8
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(1,), (2,), (1, 33), (2, 3, 5), (1025,)], ids=str)
@pytest.mark.parametrize(("n_in", "n_out"), [(1, 1), (3, 5), (24, 40), (384, 96), (1536, 48)])
@torch.inference_mode()
def test_layer_is_as_near_to_float_as_its_steps_allow(shape, bias, n_in, n_out):
    linear = linear_layer(n_in, n_out, bias=bias)
    layer, x = Int8Linear(linear), rows(*shape, n_in)
    actual, expected = layer(x), linear(x)
    assert actual.shape == expected.shape
    assert actual.dtype == torch.float32
    # Each product is off by at most half a step of the one times the other, both ways.
    half_x = (x.amax(-1, keepdim=True) - x.amin(-1, keepdim=True)) / 508
    half_w = linear.weight.abs().amax(1) / 254
    bound = half_x * linear.weight.abs().sum(1) + half_w * x.abs().sum(-1, keepdim=True)
    bound = bound + half_x * half_w * n_in
    assert ((actual - expected).abs() <= bound + 1e-6).all()


@needs_int8
@torch.inference_mode()
def test_layer_is_exact_where_nothing_is_rounded():
    """Integers up to 127 are their own levels: what remains is float32's rounding."""
    draw = torch.Generator().manual_seed(0)
    linear = linear_layer(64, 32)
    linear.weight.copy_(torch.randint(-127, 128, (32, 64), generator=draw))
    x = torch.randint(-127, 128, (50, 64), generator=draw).float()
    linear.weight[:, 0] = x[:, 0] = 127
    x[:, 1] = -127
    torch.testing.assert_close(Int8Linear(linear)(x), linear(x), rtol=1e-5, atol=1e-2)


@needs_int8
@torch.inference_mode()
def test_rows_do_not_see_each_other():
    layer, x = Int8Linear(linear_layer()), rows(9, 24)
    alone = layer(x[4:5])
    beside_huge = x.clone()
    beside_huge[:4] *= 1e6
    torch.testing.assert_close(layer(beside_huge)[4:5], alone, rtol=0, atol=0)


@needs_int8
@torch.inference_mode()
def test_zeros_and_what_is_no_number():
    layer = Int8Linear(linear_layer())
    x = torch.zeros(4, 24)
    x[1, 3], x[2, 5] = torch.nan, torch.inf
    result = layer(x)
    torch.testing.assert_close(result[0], layer.bias)
    torch.testing.assert_close(result[3], layer.bias)
    assert not torch.isfinite(result[1:3]).any()  # not hidden


@needs_int8
@torch.inference_mode()
def test_rows_that_do_not_lie_behind_each_other():
    layer = Int8Linear(linear_layer())
    for x in (rows(24, 6).T, rows(6, 48)[:, ::2], rows(3, 5, 24).transpose(0, 1), rows(9, 24)[::2]):
        assert not x.is_contiguous()
        torch.testing.assert_close(layer(x), layer(x.contiguous()), rtol=0, atol=0)


def test_layers_in_the_stack_are_replaced_and_no_others():
    class Doubled(nn.Linear):
        """May compute something else."""

    stack = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.ReLU()), Doubled(4, 4)])
    model = nn.ModuleDict({"encoder": nn.ModuleDict({"layer": stack}), "head": nn.Linear(4, 2)})
    before = model["head"]
    use_int8_layers(model)
    assert type(stack[0][0]) is Int8Linear
    assert type(stack[1]) is Doubled
    assert model["head"] is before


# The embedder -----------------------------------------------------------------------------------


@pytest.fixture
def int8(tiny_bert) -> BertEmbedder:
    return BertEmbedder(tiny_bert, device="cpu", precision="int8")


def float32_vectors(tiny_bert, texts, **parameters):
    parameters = {"precision": "float32", **parameters}
    return BertEmbedder(tiny_bert, device="cpu", **parameters).fit_transform(texts)


@needs_int8
@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "pooler"])
def test_embedder_is_near_float32(tiny_bert, texts, int8, pooling):
    vectors = int8.set_params(pooling=pooling).fit_transform(texts)
    assert vectors.dtype == np.float32
    expected = float32_vectors(tiny_bert, texts, pooling=pooling)
    assert cosines(vectors, expected).min() > 0.99
    assert np.abs(vectors - expected).max() > 1e-5  # it was not float32 all the same


@needs_int8
def test_a_text_does_not_depend_on_its_neighbours(tiny_bert, texts, int8):
    together = int8.fit_transform(texts)
    alone = np.concatenate([int8.transform([text]) for text in texts])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    turned = int8.transform(texts[::-1])[::-1]
    np.testing.assert_allclose(together, turned, rtol=0, atol=1e-5)


@needs_int8
def test_every_layer_of_the_stack_computes_in_int8(texts, int8):
    encoder = int8.fit(texts)._loaded()
    assert encoder.dtype == torch.int8
    modules = list(encoder.model.modules())
    if has_static_products():
        # One for query, key and value, one behind attention, one for the whole feed-forward block.
        assert sum(isinstance(part, StaticInt8Linear) for part in modules) == 2 * 2
        assert sum(isinstance(part, StaticInt8FeedForward) for part in modules) == 2
    else:
        assert sum(isinstance(part, Int8Linear) for part in modules) == 2 * 4
    assert "Int8" not in type(encoder.model.pooler.dense).__name__


@needs_int8
def test_precision_can_be_changed_after_fit(tiny_bert, texts, int8):
    first = int8.fit_transform(texts)
    as_float = int8.set_params(precision="float32").transform(texts)
    np.testing.assert_array_equal(as_float, float32_vectors(tiny_bert, texts))
    again = int8.set_params(precision="int8").transform(texts)
    np.testing.assert_array_equal(again, first)


@needs_int8
def test_pickles_and_clones_compute_in_int8(texts, int8):
    expected = int8.fit_transform(texts)
    restored = pickle.loads(pickle.dumps(int8))
    np.testing.assert_array_equal(restored.transform(texts), expected)
    assert restored._loaded().dtype == torch.int8
    np.testing.assert_array_equal(clone(int8).fit_transform(texts), expected)


@needs_int8
def test_token_vectors_and_layers(tiny_bert, texts, int8):
    int8.set_params(pooling=None, layers=(0, 1, 2), combine_layers="concat")
    expected = float32_vectors(
        tiny_bert, texts, pooling=None, layers=(0, 1, 2), combine_layers="concat"
    )
    for ours, theirs in zip(int8.fit_transform(texts), expected, strict=True):
        np.testing.assert_allclose(ours[:, :32], theirs[:, :32], atol=1e-6)  # no linear layer yet
        assert cosines(ours, theirs).min() > 0.99


@needs_int8
@pytest.mark.minilm
def test_minilm_is_near_float32(minilm):
    texts = [
        "A man is eating food.",
        "Where is my card? It has not arrived, and I ordered it two weeks ago.",
        "Quantum chromodynamics describes the strong interaction between quarks and gluons.",
        "ok",
        "1,204.50 EUR were charged twice !!!",
        "The cathedral was begun in the twelfth century and has never been finished. " * 20,
    ]
    options = {"device": "cpu", "max_length": 256, "overflow": "windows"}
    vectors = BertEmbedder(str(minilm), precision="int8", **options).fit_transform(texts)
    expected = BertEmbedder(str(minilm), precision="float32", **options).fit_transform(texts)
    near = cosines(vectors, expected)
    assert near.mean() > 0.998
    assert near.min() > 0.99


# The other estimators ---------------------------------------------------------------------------

FIT = {"max_epochs": 1, "min_steps": 0, "random_state": 0, "device": "cpu"}


@needs_int8
def test_trained_classifier_predicts_in_int8(tiny_bert, texts, tmp_path):
    labels = [0, 1, 0, 1, 0, 1, 0]
    classifier = BertClassifier(tiny_bert, **FIT, precision="float32").fit(texts, labels)
    expected = classifier.predict_proba(texts)
    classifier.set_params(precision="int8")
    rounded = classifier.predict_proba(texts)
    np.testing.assert_allclose(rounded, expected, rtol=0, atol=0.05)
    assert np.abs(rounded - expected).max() > 0
    head = classifier._loaded().model.classifier
    assert "Int8" not in type(head).__name__
    classifier.save_pretrained(tmp_path)
    loaded = BertClassifier.from_pretrained(tmp_path, device="cpu", precision="int8")
    np.testing.assert_allclose(loaded.predict_proba(texts), rounded, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("estimator", "X", "y"),
    [
        (BertClassifier, ["a cat", "a dog"], [0, 1]),
        (BertRegressor, ["a cat", "a dog"], [0.5, 1.0]),
        (BertTokenClassifier, [["a", "cat"], ["a", "dog"]], [["O", "B-X"], ["O", "O"]]),
        (BertQuestionAnswerer, [("who ?", "a cat sat")] * 2, ["a cat", "a cat"]),
    ],
)
def test_training_is_refused(tiny_bert, estimator, X, y):
    with pytest.raises(ParameterError, match=r'precision="int8" is for prediction.*set_params'):
        estimator(tiny_bert, device="cpu", precision="int8").fit(X, y)


# Where it is possible ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cuda:0", "mps", "meta"])
def test_refused_on_other_devices(name):
    with pytest.raises(DeviceError, match=rf'not on \'{name}\'. Use device="cpu"'):
        resolve_precision("int8", torch.device(name))
    assert resolve_precision("int8", torch.device("cpu")) is torch.int8


def test_embedder_refuses_it_on_a_gpu(tiny_bert, texts, monkeypatch):
    monkeypatch.setattr(device_module, "_is_available", lambda device: True)
    with pytest.raises(DeviceError, match=r'precision="int8" is for inference on a CPU'):
        BertEmbedder(tiny_bert, device="cuda", precision="int8").fit(texts)


def test_refused_where_the_cpu_lacks_the_instructions(int8, texts, monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: False, raising=False)
    monkeypatch.setattr("skbert._models.shared._SHARED", {})  # load anew
    with pytest.raises(DeviceError, match=r"AVX512-VNNI.*Use precision="):
        int8.fit(texts)
    assert not hasattr(int8, "checkpoint_")


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
def test_refused_where_the_user_switched_onednn_off():
    with (
        torch.backends.mkldnn.flags(enabled=False),
        pytest.raises(DeviceError, match="switched on"),
    ):
        check_int8()


@needs_int8
def test_refused_where_products_run_over(monkeypatch):
    def saturating(a, b):
        """Add pairs of products in 16 bits, as kernels for older CPUs do."""
        products = (a.int() + 128).unsqueeze(2) * b.int()
        pairs = (products[:, ::2] + products[:, 1::2]).clamp(-(2**15), 2**15 - 1)
        return pairs.sum(1).int() - 128 * b.int().sum(0).int()

    monkeypatch.setattr(torch, "_int_mm", saturating)
    with pytest.raises(DeviceError, match="wrong int8 products"):
        check_int8()


def test_batches_are_as_large_as_float32_allows():
    """What lies between the layers is float32; bfloat16 takes half the memory."""
    cpu = torch.device("cpu")
    in_float32 = token_budget(cpu, 1536)
    assert token_budget(cpu, 1536, torch.int8) == in_float32
    assert token_budget(cpu, 1536, torch.bfloat16) == 2 * in_float32
