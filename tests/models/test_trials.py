"""Models that are tried at loading: what they cannot read, and padding that they do read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from skbert import BertClassifier, BertEmbedder, CheckpointError, DeviceError, ParameterError
from skbert._kernels.packable import PACKED_MODEL_TYPES
from skbert._models.encoder import make_encoder
from skbert._models.loading import load_model
from skbert._models.tokenizer import load_tokenizer
from skbert._models.trials import Trial, try_model
from tests.conformity.checkpoints import FAMILIES, save_checkpoint

pytestmark = pytest.mark.usefixtures("one_thread")


def encoder_of(folder: Path, dtype: torch.dtype = torch.float32) -> Any:
    model, _ = load_model(folder, dtype)
    return make_encoder(model, load_tokenizer(folder), folder, torch.device("cpu"), dtype)


@pytest.mark.parametrize(
    ("name", "can_pad"),
    [
        *((name, True) for name in ("roformer", "t5", "gpt2", "xlnet")),
        *((name, False) for name in ("fnet", "convbert", "funnel", "big_bird")),
    ],
)
def test_padding_that_leaks_is_found(name, can_pad, tmp_path):
    assert encoder_of(save_checkpoint(tmp_path, FAMILIES[name])).can_pad is can_pad


@pytest.mark.parametrize(("name", "needs"), [("roformer", False), ("fnet", True), ("xlnet", True)])
def test_types_are_left_to_torch_where_a_model_mixes_them(name, needs, tmp_path):
    encoder = encoder_of(save_checkpoint(tmp_path, FAMILIES[name]), torch.bfloat16)
    assert encoder.needs_autocast is needs


@pytest.mark.parametrize("name", sorted(PACKED_MODEL_TYPES))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_packed_types_need_no_trial(name, dtype, tmp_path):
    """Where they are padded, on a GPU, they are taken for what this finds."""
    folder = save_checkpoint(tmp_path, FAMILIES[name])
    model, _ = load_model(folder, dtype)
    tokenizer = encoder_of(folder).tokenizer
    assert try_model(model, tokenizer, dtype) == Trial(can_pad=True, needs_autocast=False)


def test_precision_that_a_model_does_not_have_is_named(tmp_path):
    folder = str(save_checkpoint(tmp_path, FAMILIES["deberta"]))
    with pytest.raises(DeviceError, match=r'\'deberta\'.*"bfloat16".*Use precision="float32"'):
        BertEmbedder(folder, device="cpu", precision="bfloat16").fit(["a"])


def test_model_that_cannot_be_called_is_named(tiny_bert, monkeypatch):
    def broken(self: Any, *args: Any, **kwargs: Any) -> Any:
        raise TypeError("missing pixel_values")

    monkeypatch.setattr("transformers.BertModel.forward", broken)
    monkeypatch.setattr("skbert._models.encoder.can_pack", lambda config: False)
    with pytest.raises(CheckpointError, match=r"BertModel.*'bert'.*missing pixel_values"):
        encoder_of(Path(tiny_bert))


def test_layers_without_one_vector_a_token_are_refused(tmp_path):
    folder = str(save_checkpoint(tmp_path, FAMILIES["funnel"]))
    embedder = BertEmbedder(folder, device="cpu", layers=1).fit(["the cat"])
    with pytest.raises(ParameterError, match=r"'funnel'.*Use layers=-1"):
        embedder.transform(["the cat"])


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_padding_id_is_that_of_the_end_where_there_is_none(name, tmp_path):
    folder = save_checkpoint(tmp_path, FAMILIES[name])
    encoder = encoder_of(folder)
    end = load_tokenizer(folder).eos_token_id
    assert encoder.tokenizer.pad_id == encoder.model.config.pad_token_id == end


def test_gradient_checkpointing_is_refused_by_name(tmp_path):
    folder = str(save_checkpoint(tmp_path, FAMILIES["xlnet"]))
    classifier = BertClassifier(folder, gradient_checkpointing=True, max_epochs=1, device="cpu")
    with pytest.raises(ParameterError, match=r"gradient_checkpointing=True.*'xlnet'"):
        classifier.fit(["a", "cat"], ["a", "b"])


def test_stored_half_precision_is_no_wish_to_compute_in_it(tmp_path):
    """DeBERTa does not compute in float16; from_pretrained reads what was stored in it."""
    folder = save_checkpoint(tmp_path / "base", FAMILIES["deberta"])
    classifier = BertClassifier(str(folder), max_epochs=1, min_steps=0, device="cpu")
    classifier.fit(["a", "cat"], ["a", "b"]).save_pretrained(tmp_path / "tuned")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "tuned")
    model.half().save_pretrained(tmp_path / "tuned")
    loaded = BertClassifier.from_pretrained(str(tmp_path / "tuned"), device="cpu")
    expected = classifier.predict_proba(["the cat"])
    np.testing.assert_allclose(loaded.predict_proba(["the cat"]), expected, atol=0.01)
