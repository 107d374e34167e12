"""One loaded model for all that ask for the same; files that change are noticed."""

from __future__ import annotations

import gc
import json
import pickle
import weakref

import numpy as np
import pytest
import torch

from skbert import BertEmbedder, CheckpointChangedError
from skbert._models import shared as _shared_encoders
from tests.conftest import overwrite_weights, save_tiny_bert

pytestmark = pytest.mark.usefixtures("one_thread")


def test_clones_share_one_model(tiny_bert):
    one, two = (BertEmbedder(tiny_bert, pooling=p).fit(["a"]) for p in ("mean", "cls"))
    assert one._encoder is two._encoder


def test_precisions_do_not_share(tiny_bert):
    one = BertEmbedder(tiny_bert).fit(["a"])
    two = BertEmbedder(tiny_bert, precision="bfloat16").fit(["a"])
    assert one._encoder is not two._encoder


def test_the_last_one_stays_for_the_next_fit(folder):
    first = BertEmbedder(str(folder)).fit(["a"])
    model = weakref.ref(first._encoder.model)
    del first
    assert BertEmbedder(str(folder)).fit(["a"])._encoder.model is model()


def test_only_one_stays(folder, tiny_bert):
    first = BertEmbedder(str(folder)).fit(["a"])
    model = weakref.ref(first._encoder.model)
    del first
    BertEmbedder(tiny_bert).fit(["a"])
    gc.collect()
    assert model() is None


def test_none_stays_on_a_gpu(folder, monkeypatch):
    """With the last estimator, a GPU's memory is free."""
    monkeypatch.setattr(_shared_encoders, "_load", lambda *place: type("Loaded", (), {})())
    loaded = _shared_encoders.load_encoder(folder, None, torch.device("cuda:0"), torch.float32)
    gone = weakref.ref(loaded)
    del loaded
    assert gone() is None


def test_changed_tokenizer_is_loaded_anew(folder):
    first = BertEmbedder(str(folder)).fit(["a"])
    tokenizer = folder / "tokenizer.json"
    words = json.loads(tokenizer.read_text())["model"]["vocab"]
    swapped = tokenizer.read_text().replace('"cat":', '"?":').replace('"dog":', '"cat":')
    tokenizer.write_text(swapped.replace('"?":', '"dog":'))
    second = BertEmbedder(str(folder)).fit(["a"])
    ids = [e._encoder.tokenizer.backend.encode("cat").ids[1] for e in (first, second)]
    assert ids == [words["cat"], words["dog"]]
    assert first._encoder.identity != second._encoder.identity


def test_changed_files_are_loaded_anew(folder):
    first = BertEmbedder(str(folder)).fit(["a"])
    before = first.transform(["the cat"])
    save_tiny_bert(folder, seed=1)
    second = BertEmbedder(str(folder)).fit(["a"])
    assert second.checkpoint_.digest != first.checkpoint_.digest
    assert abs(second.transform(["the cat"]) - before).max() > 0.01


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_loaded_model_does_not_read_its_file_any_more(folder, precision):
    """Safetensors maps it: what is written there would become weights, page by page."""
    embedder = BertEmbedder(str(folder), precision=precision).fit(["a"])
    expected = embedder.transform(["the cat"])
    overwrite_weights(folder)
    np.testing.assert_array_equal(embedder.transform(["the cat"]), expected)


def test_changed_files_are_noticed_later(folder):
    stored = pickle.dumps(BertEmbedder(str(folder)).fit(["a"]))
    save_tiny_bert(folder, seed=1)
    restored = pickle.loads(stored)
    with pytest.raises(CheckpointChangedError, match=r"not the ones.*expected"):
        restored.transform(["a"])
