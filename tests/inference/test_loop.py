"""The loop without gradients, and the device under it: order, memory, settings left alone."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from transformers.utils import logging as transformers_logging

from skbert import BertEmbedder, CheckpointError, DeviceError, inspect_tokens
from skbert._inference import loop as inference_module
from skbert._models import encoder as loading_module
from tests.conftest import save_tiny_bert

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
# 40 texts of 3 to 22 tokens, special tokens included, in no order.
LETTERS = "abcdefghijklmnopqrst"
# Two different ones of each length from 1 to 20: equal texts would be computed once.
MANY = [
    " ".join((LETTERS + LETTERS[::-1])[20 * (i // 20) :][: 1 + (7 * i) % 20]) for i in range(40)
]


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(params=["runs", "packed at once", "padded"])
def embedder(request, tiny_bert, monkeypatch) -> BertEmbedder:
    """A fitted embedder with an encoder of its own, on each path."""
    monkeypatch.setattr("skbert._models.shared._SHARED", {})
    if request.param == "padded":
        monkeypatch.setattr(loading_module, "can_pack", lambda config: False)
    elif request.param == "packed at once":
        request.getfixturevalue("varlen_on_cpu")
    fitted = BertEmbedder(tiny_bert, device="cpu").fit(["a"])
    assert fitted._loaded().packed is (request.param != "padded")
    assert fitted._loaded().reads_runs is (request.param == "runs")
    return fitted


def alone(embedder: BertEmbedder, texts: list[str]) -> Any:
    """The reference: every text in a call of its own."""
    return [embedder.transform([text])[0] for text in texts]


# Order ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", ["auto", 1, 3, 7, 1000])
@pytest.mark.parametrize("pooling", ["mean", "cls", "max", "pooler"])
def test_vectors_come_in_the_order_of_the_texts(embedder, pooling, batch_size):
    expected = np.array(alone(embedder.set_params(pooling=pooling).fit(["a"]), MANY))
    assert len(np.unique(expected.round(3), axis=0)) == len(set(MANY))
    embedder.set_params(batch_size=batch_size)
    np.testing.assert_allclose(embedder.transform(MANY), expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(embedder.transform(MANY[::-1]), expected[::-1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("batch_size", ["auto", 1, 4])
def test_token_vectors_come_in_the_order_of_the_texts(embedder, batch_size):
    embedder.set_params(pooling=None, max_length=9, overflow="windows").fit(["a"])
    expected = alone(embedder, MANY)
    result = embedder.set_params(batch_size=batch_size).transform(MANY)
    assert len(result) == len(expected)
    for ours, theirs in zip(result, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)


def test_small_budget_makes_many_batches_and_the_same_vectors(embedder):
    expected = embedder.transform(MANY)
    forward = LimitedMemory.put_into(embedder, most_tokens=10**9)
    embedder.transform(MANY)
    few = len(forward.sizes)
    embedder._loaded().max_tokens = 25
    np.testing.assert_allclose(embedder.transform(MANY), expected, rtol=0, atol=1e-5)
    assert len(forward.sizes) - few > 10
    assert max(forward.sizes[few:]) <= 25


@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "pooler"])
def test_finished_batches_hold_only_their_results(embedder, pooling, monkeypatch):
    """While later batches run, no token vectors of earlier ones stay in memory."""
    reorder, held = inference_module._in_order, []

    def spy(done: list[torch.Tensor], *rest: Any) -> Any:
        held.extend((block.untyped_storage().nbytes(), 4 * block.numel()) for block in done)
        return reorder(done, *rest)

    monkeypatch.setattr(inference_module, "_in_order", spy)
    embedder.set_params(pooling=pooling).fit(["a"]).transform(MANY)
    assert held
    assert all(memory == needed for memory, needed in held), held


# Out of memory ----------------------------------------------------------------------------------


class LimitedMemory:
    """Stands before the model's forward and runs out of memory above so many tokens."""

    def __init__(self, forward: Callable[..., Any], most_tokens: int) -> None:
        self.forward, self.most_tokens = forward, most_tokens
        self.sizes: list[int] = []
        self.failed: list[bool] = []
        self.read: list[torch.Tensor] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        ids = kwargs["input_ids"]
        self.sizes.append(ids.numel())
        self.failed.append(ids.numel() > self.most_tokens)
        if self.failed[-1]:
            raise torch.OutOfMemoryError("CUDA out of memory (not really)")
        runs = kwargs.get("runs", [])
        n_filler = runs[-1][0] if runs and runs[-1][1] == 1 else 0  # no text is of one token
        self.read.append(ids[ids != 0][: ids.numel() - n_filler])  # without padding and filler
        return self.forward(*args, **kwargs)

    @classmethod
    def put_into(cls, embedder: BertEmbedder, most_tokens: int) -> LimitedMemory:
        model = embedder._loaded().model
        model.forward = cls(model.forward, most_tokens)
        return model.forward


def test_out_of_memory_halves_the_batches_and_goes_on_where_it_failed(embedder):
    expected = embedder.transform(MANY)
    n_tokens = len(inspect_tokens(MANY, embedder))
    forward = LimitedMemory.put_into(embedder, most_tokens=70)
    np.testing.assert_allclose(embedder.transform(MANY), expected, rtol=0, atol=1e-5)
    # All failures come first: what had succeeded is not computed again ...
    n_failures = sum(forward.failed)
    assert forward.failed == [True] * n_failures + [False] * (len(forward.failed) - n_failures)
    assert sum(len(ids) for ids in forward.read) == n_tokens
    # ... and each failure at least halves the batch.
    tried = forward.sizes[: n_failures + 1]
    assert n_failures >= 2
    assert all(later <= earlier / 2 for earlier, later in pairwise(tried))


def test_memory_that_runs_out_late_does_not_repeat_earlier_batches(embedder):
    """Another process may take memory at any time."""
    expected = embedder.transform(MANY)
    n_tokens = len(inspect_tokens(MANY, embedder))
    embedder.set_params(batch_size=4)
    forward = LimitedMemory.put_into(embedder, most_tokens=10**9)
    forward_once = forward.forward

    def less_after_five(*args: Any, **kwargs: Any) -> Any:
        if len(forward.read) == 5:
            forward.most_tokens = 30
        return forward_once(*args, **kwargs)

    forward.forward = less_after_five
    np.testing.assert_allclose(embedder.transform(MANY), expected, rtol=0, atol=1e-5)
    assert forward.failed[:5] == [False] * 5
    assert 1 <= sum(forward.failed) <= 3
    assert sum(len(ids) for ids in forward.read) == n_tokens


@pytest.mark.parametrize(("batch_size", "n_failures"), [(8, 2), (5, 1)])
def test_out_of_memory_halves_a_given_batch_size_too(embedder, batch_size, n_failures):
    expected = embedder.transform(MANY)
    embedder.set_params(batch_size=batch_size)
    forward = LimitedMemory.put_into(embedder, most_tokens=50)
    np.testing.assert_allclose(embedder.transform(MANY), expected, rtol=0, atol=1e-5)
    # Two of the longest, 22 tokens each, fit: 8 → 4 → 2; 5 → 2.
    assert forward.failed[: n_failures + 1] == [True] * n_failures + [False]
    assert sum(forward.failed) == n_failures
    assert len(forward.sizes) == n_failures + len(MANY) // 2
    assert embedder.batch_size == batch_size


def test_next_call_does_not_run_into_the_same_wall(embedder):
    forward = LimitedMemory.put_into(embedder, most_tokens=70)
    embedder.transform(MANY)
    n_failures = sum(forward.failed)
    embedder.transform(MANY)
    assert sum(forward.failed) == n_failures > 0


def test_text_that_memory_does_not_hold_alone_is_a_device_error(embedder):
    LimitedMemory.put_into(embedder, most_tokens=21)
    with pytest.raises(DeviceError, match=r"memory of cpu .*one text of 22 tokens.*max_length"):
        embedder.transform(MANY)


def test_other_errors_of_the_model_are_told_as_ours(embedder):
    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("something else")

    embedder._loaded().model.forward = broken
    with pytest.raises(CheckpointError, match=r"'bert'.*something else") as caught:
        embedder.transform(["a"])
    assert isinstance(caught.value.__cause__, RuntimeError)


# Ahead of the device ----------------------------------------------------------------------------


# Device and precision ---------------------------------------------------------------------------


# What belongs to the user -----------------------------------------------------------------------


def global_settings() -> dict[str, Any]:
    """Everything process-wide that a library may be tempted to change."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    return {
        "environment": dict(os.environ),
        "threads": torch.get_num_threads(),
        "interop threads": torch.get_num_interop_threads(),
        "matmul precision": torch.get_float32_matmul_precision(),
        "tf32": (torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.deterministic),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "onednn": torch.backends.mkldnn.is_available() and torch._C._get_mkldnn_enabled(),
        "default dtype": torch.get_default_dtype(),
        "default device": torch.get_default_device(),
        "torch random": torch.random.get_rng_state().tolist(),
        "numpy random": (kind, keys.tolist(), rest),
        "grad": torch.is_grad_enabled(),
        "inference mode": torch.is_inference_mode_enabled(),
        "verbosity": transformers_logging.get_verbosity(),
        "progress bars": transformers_logging.is_progress_bar_enabled(),
    }


@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize("pooling", ["mean", "pooler", None])
def test_no_global_setting_is_changed(tiny_bert, texts, monkeypatch, grad, pooling):
    monkeypatch.setattr("skbert._models.shared._SHARED", {})  # so that weights are really loaded
    with torch.set_grad_enabled(grad):
        before = global_settings()
        embedder = BertEmbedder(tiny_bert, device="cpu", pooling=pooling)
        vectors = embedder.fit(texts).transform(texts)
        after = global_settings()
    assert len(vectors) == len(texts)
    assert after == before


def test_weights_that_are_missing_do_not_use_up_random_numbers(tmp_path, texts):
    """A checkpoint without a pooler: transformers gives it random weights while loading."""
    folder = save_tiny_bert(tmp_path / "no-pooler", pooler=False)
    before = global_settings()
    BertEmbedder(str(folder), device="cpu").fit(texts).transform(texts)
    assert global_settings() == before


def test_global_settings_survive_an_error(tmp_path, tiny_bert, texts):
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    before = global_settings()
    with pytest.raises(ValueError, match="tokenizer"):
        BertEmbedder(str(tmp_path)).fit(texts)
    embedder = BertEmbedder(tiny_bert, device="cpu", max_length=4, overflow="error").fit(texts)
    with pytest.raises(ValueError, match="max_length=4"):
        embedder.transform(texts)
    assert global_settings() == before


def test_settings_the_user_chose_are_kept(tiny_bert, texts):
    threads, verbosity = torch.get_num_threads(), transformers_logging.get_verbosity()
    try:
        torch.set_num_threads(2)
        transformers_logging.set_verbosity_info()
        transformers_logging.disable_progress_bar()
        BertEmbedder(tiny_bert, device="cpu").fit(texts).transform(texts)
        assert torch.get_num_threads() == 2
        assert transformers_logging.get_verbosity() == transformers_logging.INFO
        assert not transformers_logging.is_progress_bar_enabled()
    finally:
        torch.set_num_threads(threads)
        transformers_logging.set_verbosity(verbosity)
        transformers_logging.enable_progress_bar()


FRESH_PROCESS = """
import os, sys
before = dict(os.environ)
import torch
threads, matmul = torch.get_num_threads(), torch.get_float32_matmul_precision()
state = torch.random.get_rng_state().tolist()
from skbert import BertEmbedder
assert "transformers" not in sys.modules, "imported before it is needed"
BertEmbedder(sys.argv[1], device="cpu").fit(["a"]).transform(["a", "the cat"])
after = dict(os.environ)
assert after == before, {k for k in after.keys() | before.keys() if after.get(k) != before.get(k)}
assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == (threads, matmul)
assert torch.random.get_rng_state().tolist() == state
print("unchanged")
"""


def test_environment_of_a_fresh_process_is_left_alone(tiny_bert):
    """There, transformers is imported by the fit."""
    done = subprocess.run(
        [sys.executable, "-c", FRESH_PROCESS, tiny_bert],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout.strip() == "unchanged", done.stderr
    assert done.stderr == ""


def test_result_takes_no_part_in_autograd(tiny_bert, texts):
    embedder = BertEmbedder(tiny_bert, device="cpu").fit(texts)
    seen: list[SimpleNamespace] = []
    model = embedder._loaded().model
    hook = model.register_forward_hook(
        lambda module, args, output: seen.append(
            SimpleNamespace(grad=output.last_hidden_state.requires_grad, training=module.training)
        )
    )
    embedder.transform(texts)
    hook.remove()
    assert seen
    assert not any(call.grad or call.training for call in seen)


# On a GPU ---------------------------------------------------------------------------------------


def test_packed_batches_are_as_full_on_a_gpu_as_on_a_cpu(tiny_bert, varlen_on_cpu):
    """Nothing is padded: beside a text of 22 tokens there is room for 19 of 4 in a batch of 100."""
    embedder = BertEmbedder(tiny_bert, device="cpu").fit(["a"])
    forward = LimitedMemory.put_into(embedder, most_tokens=10**9)
    embedder._loaded().max_tokens = 100
    embedder.transform([" ".join(LETTERS), *(f"a {letter}" for letter in LETTERS)])
    assert forward.sizes == [22 + 19 * 4, 4]


def test_one_long_text_does_not_spread_the_short_ones_out(tiny_bert, varlen_on_cpu, monkeypatch):
    """Vectors of a packed row are put below each other: never twice as many as there are tokens."""
    embedder = BertEmbedder(tiny_bert, device="cpu").fit(["a"])
    texts = [" ".join("a" * 62), *("a " + letter for letter in LETTERS)]
    sizes = []
    places = inference_module.padded_places

    def spy(lengths):
        sizes.append(places(lengths).size)
        return places(lengths)

    monkeypatch.setattr(inference_module, "padded_places", spy)
    vectors = embedder.transform(texts)
    assert 0 < sum(sizes) <= 2 * len(inspect_tokens(texts, embedder))
    np.testing.assert_allclose(vectors, alone(embedder, texts), rtol=0, atol=1e-5)


def test_gpu_computes_the_next_chunk_while_results_are_put_in_order(
    tiny_bert, varlen_on_cpu, monkeypatch
):
    monkeypatch.setattr("skbert._models.device.computes_alone", lambda device: True)
    monkeypatch.setattr("skbert._texts.encoding.CHUNK_TEXTS", 16)
    embedder = BertEmbedder(tiny_bert, device="cpu").fit(["a"])
    expected = np.array(alone(embedder, MANY))
    events = []
    reorder, forward = inference_module._in_order, embedder._loaded().model.forward

    def noted(name, function):
        def call(*args, **kwargs):
            events.append(name)
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(inference_module, "_in_order", noted("in order", reorder))
    embedder._loaded().model.forward = noted("model", forward)
    np.testing.assert_allclose(embedder.transform(MANY), expected, rtol=0, atol=1e-5)
    assert events[:3] == ["model", "model", "in order"]
    assert events[-2:] == ["in order", "in order"]
