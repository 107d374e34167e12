"""A trained model as plain data: pickles of every kind, and what was altered is refused."""

from __future__ import annotations

import copy
import io
import json
import pickle
import pickletools
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from skbert import BertClassifier, BertRegressor, CheckpointChangedError, CheckpointError
from skbert._models.loading import model_from_weights
from skbert._models.state import (
    ModelState,
    model_config,
    new_state,
    state_of,
    tokenizer_of,
    weight_tensors,
)

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["the cat sat on the mat .", "", "it is not a very good film !", "a"]
HEAD = "AutoModelForSequenceClassification"


@pytest.fixture(scope="module")
def fitted(tiny_bert):
    options = {"min_steps": 0, "max_epochs": 1, "learning_rate": 1e-3, "random_state": 0}
    return BertClassifier(tiny_bert, **options).fit(TEXTS * 2, list("abca") * 2)


@pytest.fixture
def state(fitted) -> ModelState:
    return fitted._state


def by_pickle(value: Any, folder: Path) -> Any:
    return pickle.loads(pickle.dumps(value))


def by_old_pickle(value: Any, folder: Path) -> Any:
    return pickle.loads(pickle.dumps(value, protocol=2))


def by_buffers(value: Any, folder: Path) -> Any:
    """Protocol 5 with the arrays out of band: read-only ones."""
    buffers: list[pickle.PickleBuffer] = []
    data = pickle.dumps(value, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=[bytes(buffer) for buffer in buffers])


def by_joblib(value: Any, folder: Path) -> Any:
    joblib.dump(value, folder / "value")
    return joblib.load(folder / "value")


def by_compressed_joblib(value: Any, folder: Path) -> Any:
    joblib.dump(value, folder / "value", compress=3)
    return joblib.load(folder / "value")


def by_memory_map(value: Any, folder: Path) -> Any:
    joblib.dump(value, folder / "value")
    return joblib.load(folder / "value", mmap_mode="r")


def by_cloudpickle(value: Any, folder: Path) -> Any:
    cloudpickle = pytest.importorskip("cloudpickle")  # some versions of joblib bring it along
    return cloudpickle.loads(cloudpickle.dumps(value))


def by_deepcopy(value: Any, folder: Path) -> Any:
    return copy.deepcopy(value)


TRIPS = [
    by_pickle,
    by_old_pickle,
    by_buffers,
    by_joblib,
    by_compressed_joblib,
    by_memory_map,
    by_cloudpickle,
    by_deepcopy,
]


@pytest.mark.parametrize("trip", TRIPS, ids=lambda trip: trip.__name__)
def test_estimator_after_a_round_trip(fitted, trip, tmp_path):
    again = trip(fitted, tmp_path)
    assert "_encoder" not in vars(again) or trip is by_deepcopy
    np.testing.assert_array_equal(again.predict_proba(TEXTS), fitted.predict_proba(TEXTS))
    assert again.predict(TEXTS).tolist() == fitted.predict(TEXTS).tolist()
    assert again.history_ == fitted.history_
    assert again.get_params() == fitted.get_params()
    assert again._state.digest == fitted._state.digest


@pytest.mark.parametrize("trip", TRIPS, ids=lambda trip: trip.__name__)
def test_state_after_a_round_trip(state, trip, tmp_path):
    again = trip(state, tmp_path)
    assert again.weights.keys() == state.weights.keys()
    for name, array in state.weights.items():
        assert again.weights[name].dtype == array.dtype
        np.testing.assert_array_equal(again.weights[name], array)
    assert (again.config, again.tokenizer) == (state.config, state.tokenizer)
    again.verify()


def test_memory_map_is_read_where_it_lies(fitted, tmp_path):
    again = by_memory_map(fitted, tmp_path)
    large = "bert.embeddings.word_embeddings.weight"
    assert isinstance(again._state.weights[large], np.memmap)
    again.predict(TEXTS)
    assert isinstance(again._state.weights[large], np.memmap)


@pytest.mark.filterwarnings("error:The given NumPy array is not writable")
def test_estimator_that_was_mapped_can_be_trained_on_and_saved(fitted, tmp_path):
    again = by_memory_map(fitted, tmp_path).set_params(warm_start=True, learning_rate=1e-2)
    content = (tmp_path / "value").read_bytes()
    before = again.predict_proba(TEXTS)
    again.save_pretrained(tmp_path / "saved")
    again.fit(TEXTS * 2, list("abca") * 2)
    assert np.abs(again.predict_proba(TEXTS) - before).max() > 1e-3
    assert (tmp_path / "value").read_bytes() == content
    loaded = BertClassifier.from_pretrained(str(tmp_path / "saved"))
    np.testing.assert_array_equal(loaded.predict_proba(TEXTS), before)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_pickle_holds_no_torch_object(fitted, protocol):
    """It names skbert's, numpy's and Python's own classes only."""
    data = pickle.dumps(fitted, protocol=protocol)
    modules = asked_modules(data)
    assert {"skbert", "skbert._models.state"} <= modules
    roots = {module.split(".")[0] for module in modules}
    assert roots <= {
        "skbert",
        "numpy",
        "builtins",
        "copyreg",
        "collections",
        "__builtin__",
        "_codecs",
    }
    # Whatever way a name may be given: no string in the pickle is that of a module of torch's.
    strings = {value for _, value, _ in pickletools.genops(data) if isinstance(value, str)}
    assert not {text for text in strings if text.startswith(("torch", "transformers."))}


def asked_modules(data: bytes) -> set[str]:
    """Give the modules that unpickling asks for."""
    asked = set()

    class Watched(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            asked.add(module)
            return super().find_class(module, name)

    Watched(io.BytesIO(data)).load()
    return asked


def test_estimator_that_was_used_pickles_the_same_data(fitted):
    """What prediction loads is left out, and leaves nothing behind."""
    fitted.predict(TEXTS)
    used = pickle.dumps(fitted)
    again = pickle.loads(used)
    assert "_encoder" not in vars(again)
    assert abs(len(pickle.dumps(again)) - len(used)) < 100


def test_hash_is_stable(fitted, tmp_path):
    """Equal after a round trip too, so that caches and joblib's memory maps find it again."""
    before = joblib.hash(fitted)
    assert joblib.hash(fitted) == before
    fitted.predict(TEXTS)
    assert joblib.hash(fitted) == before
    for trip in (trip for trip in TRIPS if trip is not by_cloudpickle):
        again = trip(fitted, tmp_path)
        # joblib tells mapped arrays from others, but where its Memory itself maps them.
        mapped = trip is by_memory_map
        assert joblib.hash(again, coerce_mmap=mapped) == before, trip.__name__
    assert joblib.hash(fitted._state) == joblib.hash(copy.deepcopy(fitted._state))


def test_hash_tells_other_weights_apart(fitted):
    other = clone(fitted)
    other.fit(TEXTS * 2, list("abca") * 2)
    assert joblib.hash(other._state) == joblib.hash(fitted._state)  # the same seed
    other.set_params(random_state=1).fit(TEXTS * 2, list("abca") * 2)
    assert joblib.hash(other._state) != joblib.hash(fitted._state)
    assert other._state.digest != fitted._state.digest


def test_regressor_after_a_round_trip(tiny_bert, tmp_path):
    options = {"min_steps": 0, "max_epochs": 1, "random_state": 0}
    regressor = BertRegressor(tiny_bert, **options).fit(TEXTS, [100.0, 300, 200, 500])
    again = by_memory_map(regressor, tmp_path)
    np.testing.assert_array_equal(again.predict(TEXTS), regressor.predict(TEXTS))
    assert joblib.hash(again, coerce_mmap=True) == joblib.hash(regressor)


# What is in it ----------------------------------------------------------------------------------


@pytest.fixture
def model(tiny_bert):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForSequenceClassification.from_pretrained(tiny_bert, num_labels=3).eval()


@pytest.fixture
def tokenizer(tiny_bert):
    return AutoTokenizer.from_pretrained(tiny_bert)


def logits(model: Any, tokenizer: Any) -> torch.Tensor:
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model(**inputs).logits


def rebuilt(state: ModelState) -> Any:
    return model_from_weights(model_config(state), weight_tensors(state), HEAD)


def test_state_gives_back_the_model_and_its_tokenizer(model, tokenizer):
    state = state_of(model, tokenizer)
    again = rebuilt(state)
    assert not again.training
    assert torch.equal(logits(again, tokenizer_of(state)), logits(model, tokenizer))
    names = {"_name_or_path": None}  # where it was loaded from
    assert again.config.to_dict() | names == model.config.to_dict() | names
    assert again.num_labels == 3


def test_state_is_plain_data(model, tokenizer):
    state = state_of(model, tokenizer)
    assert json.loads(state.config)["model_type"] == "bert"
    assert "tokenizer.json" in state.tokenizer
    assert all(json.loads(text) for name, text in state.tokenizer.items() if ".json" in name)
    assert {type(array) for array in state.weights.values()} == {np.ndarray}
    assert len(state.digest) == 64


def test_arrays_share_the_memory_of_the_model_and_of_the_tensors(model, tokenizer):
    """Nothing is copied on the way, in either direction."""
    state = state_of(model, tokenizer)
    name = "classifier.weight"
    parameter = model.classifier.weight
    assert state.weights[name].ctypes.data == parameter.data_ptr()
    assert weight_tensors(state)[name].data_ptr() == parameter.data_ptr()
    assert rebuilt(state).classifier.weight.data_ptr() == parameter.data_ptr()


def test_given_weights_are_taken_instead(model, tokenizer):
    zeros = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    state = state_of(model, tokenizer, zeros)
    assert not any(array.any() for array in state.weights.values())


def test_tokenizer_has_no_truncation_and_padding_of_earlier_calls(model, tokenizer):
    tokenizer(TEXTS, truncation=True, max_length=4, padding="max_length")
    state = state_of(model, tokenizer)
    saved = json.loads(state.tokenizer["tokenizer.json"])
    assert saved["truncation"] is None
    assert saved["padding"] is None
    ids = tokenizer_of(state)(TEXTS[0])["input_ids"]
    assert len(ids) == 9


def test_bfloat16_survives_bit_for_bit(model, tokenizer, tmp_path):
    """Numpy has no such type: the bits are kept as int16."""
    model = model.to(torch.bfloat16)
    state = state_of(model, tokenizer)
    assert set(state.bfloat16) == set(state.weights)
    assert {array.dtype for array in state.weights.values()} == {np.dtype(np.int16)}
    for trip in (trip for trip in TRIPS if trip is not by_cloudpickle):
        tensors = weight_tensors(trip(state, tmp_path))
        for name, tensor in model.state_dict().items():
            assert tensors[name].dtype == torch.bfloat16
            assert torch.equal(tensors[name], tensor), name
    again = rebuilt(state)
    assert again.dtype == torch.bfloat16
    assert torch.equal(logits(again, tokenizer), logits(model, tokenizer))


def test_mixed_types(model, tokenizer):
    model.classifier.to(torch.bfloat16)
    state = state_of(model, tokenizer)
    assert set(state.bfloat16) == {"classifier.weight", "classifier.bias"}
    assert weight_tensors(state)["classifier.weight"].dtype == torch.bfloat16
    assert rebuilt(state).dtype == torch.float32


def test_weights_that_do_not_lie_behind_each_other(model, tokenizer):
    model.classifier.weight.data = torch.randn(32, 3).T
    state = state_of(model, tokenizer)
    np.testing.assert_array_equal(state.weights["classifier.weight"], model.classifier.weight.data)
    state.verify()


# What was altered is refused --------------------------------------------------------------------

TABLE = "bert.embeddings.word_embeddings.weight"
BIAS = "classifier.bias"


def with_weight(state: ModelState, name: str, array: np.ndarray) -> ModelState:
    return replace(state, weights={**state.weights, name: array})


def one_bit_flipped(state: ModelState) -> ModelState:
    array = state.weights[TABLE].copy()
    array.view(np.uint8)[-1, -1] ^= 1
    return with_weight(state, TABLE, array)


def two_swapped(state: ModelState) -> ModelState:
    names = ["bert.encoder.layer.0.output.dense.bias", "bert.encoder.layer.1.output.dense.bias"]
    first, second = (state.weights[name] for name in names)
    return replace(state, weights={**state.weights, names[0]: second, names[1]: first})


def one_missing(state: ModelState) -> ModelState:
    weights = {name: array for name, array in state.weights.items() if name != BIAS}
    return replace(state, weights=weights)


ALTERED = {
    "one bit": one_bit_flipped,
    "swapped": two_swapped,
    "missing": one_missing,
    "renamed": lambda state: replace(
        state, weights={("x" if n == BIAS else n): a for n, a in state.weights.items()}
    ),
    "truncated": lambda state: with_weight(state, TABLE, state.weights[TABLE][:-1]),
    "other shape": lambda state: with_weight(state, TABLE, state.weights[TABLE].reshape(32, -1)),
    "other type": lambda state: with_weight(state, BIAS, state.weights[BIAS].view(np.int32)),
    "bfloat16": lambda state: replace(state, bfloat16=(BIAS,)),
    "configuration": lambda state: replace(state, config=state.config.replace('"c"', '"d"')),
    "tokenizer": lambda state: replace(
        state,
        tokenizer={
            **state.tokenizer,
            "tokenizer.json": state.tokenizer["tokenizer.json"].replace("cat", "dog"),
        },
    ),
    "digest": lambda state: replace(state, digest="0" * 64),
}
MESSAGE = r"was altered or is incomplete: its SHA-256 is \w{12}\.\.\., expected \w{12}.*fit again"


@pytest.mark.parametrize("name", ALTERED)
@pytest.mark.parametrize("trip", [by_pickle, by_memory_map, by_deepcopy], ids=lambda t: t.__name__)
def test_altered_state_is_refused(fitted, name, trip, tmp_path):
    altered = copy.copy(fitted)
    altered._state = ALTERED[name](fitted._state)
    with pytest.raises(CheckpointChangedError, match=MESSAGE):
        trip(altered, tmp_path)


def test_state_that_was_not_altered_is_not(fitted, tmp_path):
    same = copy.copy(fitted)
    same._state = with_weight(fitted._state, TABLE, fitted._state.weights[TABLE].copy())
    by_pickle(same, tmp_path).predict(TEXTS)


def test_file_in_which_a_byte_changed_is_refused(fitted, tmp_path):
    path = tmp_path / "model"
    joblib.dump(fitted, path)
    content = bytearray(path.read_bytes())
    weights = fitted._state.weights[TABLE].tobytes()
    place = bytes(content).index(weights[:64])
    content[place + 1000] ^= 0xFF
    path.write_bytes(bytes(content))
    for mmap_mode in (None, "r"):
        with pytest.raises(CheckpointChangedError, match=MESSAGE):
            joblib.load(path, mmap_mode=mmap_mode)


def test_file_that_ends_early_is_refused(fitted, tmp_path):
    data = pickle.dumps(fitted)
    with pytest.raises((EOFError, pickle.UnpicklingError)):
        pickle.loads(data[: len(data) // 2])


def test_array_that_is_changed_in_the_process_is_seen_by_verify(model, tokenizer):
    state = state_of(model, tokenizer)
    state.verify()
    with torch.no_grad():
        model.classifier.bias[0] += 1
    with pytest.raises(CheckpointChangedError, match=MESSAGE):
        state.verify()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (one_missing, "lack 1 of the model's, the first is 'classifier.bias'. Fit again"),
        (ALTERED["truncated"], "do not fit their configuration: .*Fit again"),
        (ALTERED["other shape"], "do not fit their configuration: .*Fit again"),
    ],
    ids=["missing", "truncated", "other shape"],
)
def test_weights_that_do_not_fit_their_configuration(state, change, message):
    """With a digest that is right: somebody put the state together so."""
    changed = change(state)
    wrong = new_state(changed.config, changed.tokenizer, changed.weights)
    wrong.verify()
    with pytest.raises(CheckpointError, match=message):
        rebuilt(wrong)
