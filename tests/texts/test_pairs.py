"""Pairs of texts → ids and segments, and the predictions made of them, as transformers does."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import ByteLevelBPETokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from skbert import BertClassifier, CheckpointError, InputError, ParameterError, TruncationWarning
from skbert._models import encoder as encoder_module
from skbert._texts.encoding import TextTokenizer, chunks
from skbert._texts.offsets import repaired_offsets
from skbert._texts.pairs import encode_pairs, longest_first, pair_template
from skbert._texts.windows import Encodings, concatenate
from tests.conftest import WORDS, save_tokenizer, vocabulary

pytestmark = pytest.mark.usefixtures("one_thread")

CLS, SEP = 2, 3  # lines of conftest's vocabulary
TEXTS = [
    "the cat sat on the mat .",
    "",
    "unbelievable !",
    "Größe 猫 🙂 é e\u0301",
    "a [SEP] b [PAD] c [MASK] [CLS] <s> </s> <pad>",
    "the dog " * 40,
    "\x00\t \n\u200b",
    " leading and trailing space ",
    "x" * 120,
]


def bert_tokenizer(folder: Path) -> None:
    save_tokenizer(folder, max_length=512)


def distilbert_tokenizer(folder: Path) -> None:
    save_tokenizer(folder)
    tokenizer = transformers.DistilBertTokenizer(str(folder / "vocab.txt"), model_max_length=512)
    tokenizer.save_pretrained(folder)


def roberta_tokenizer(folder: Path) -> None:
    """Bytes, and few merges of them: ``<s> first </s></s> second </s>``."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    learned = ByteLevelBPETokenizer()
    learned.train_from_iterator(
        [" ".join(WORDS)], vocab_size=320, show_progress=False, special_tokens=special
    )
    model = json.loads(learned.to_str())["model"]
    tokenizer = transformers.RobertaTokenizer(
        vocab=model["vocab"],
        merges=[tuple(merge) for merge in model["merges"]],
        model_max_length=512,
    )
    tokenizer.save_pretrained(folder)


TOKENIZERS = {
    "bert": bert_tokenizer,
    "distilbert": distilbert_tokenizer,
    "roberta": roberta_tokenizer,
}


@pytest.fixture(scope="module")
def tokenizer_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for name, save in TOKENIZERS.items():
        folders[name] = tmp_path_factory.mktemp(name)
        save(folders[name])
    return folders


@pytest.fixture(scope="module", params=TOKENIZERS)
def reference(request: pytest.FixtureRequest, tokenizer_folders: dict[str, Path]) -> Any:
    return AutoTokenizer.from_pretrained(tokenizer_folders[request.param])


@pytest.fixture(scope="module")
def tiny_reference(tokenizer_folders: dict[str, Path]) -> Any:
    return AutoTokenizer.from_pretrained(tokenizer_folders["bert"])


def ours(reference: Any) -> TextTokenizer:
    return TextTokenizer(
        reference.backend_tokenizer,
        reference.pad_token_id,
        keep_end=reference.truncation_side == "left",
        has_segments="token_type_ids" in reference.model_input_names,
    )


def windows_of(encodings: Encodings) -> list[list[int]]:
    return [encodings.ids[start:stop].tolist() for start, stop in pairwise(encodings.bounds)]


def segments_of(encodings: Encodings) -> list[list[int]]:
    return [encodings.segments[start:stop].tolist() for start, stop in pairwise(encodings.bounds)]


def assert_same_as_transformers(
    reference: Any, first: list[str], second: list[str], max_length: int
) -> None:
    encodings = encode_pairs(ours(reference), first, second, max_length=max_length)
    windows = windows_of(encodings)
    assert len(windows) == len(first)
    for row, (a, b) in enumerate(zip(first, second, strict=True)):
        # In lists: transformers reads one pair with an empty second text as a single text.
        whole = reference([a], [b])["input_ids"][0]
        expected = reference([a], [b], truncation=True, max_length=max_length)
        assert windows[row] == expected["input_ids"][0], (a, b, max_length)
        assert encodings.lost_tokens[row] == len(whole) - len(expected["input_ids"][0])
        if "token_type_ids" in expected:
            assert segments_of(encodings)[row] == expected["token_type_ids"][0]
        else:
            assert encodings.segments is None
    assert encodings.owned.tolist() == [[0, len(window)] for window in windows]
    assert encodings.text_bounds.tolist() == list(range(len(windows) + 1))


# As transformers tokenises ----------------------------------------------------------------------


@pytest.mark.parametrize("max_length", [6, 13, 512])
@pytest.mark.parametrize("side", ["right", "left"])
def test_every_two_texts(reference, max_length, side, monkeypatch):
    monkeypatch.setattr(reference, "truncation_side", side)
    first = [a for a in TEXTS for _ in TEXTS]
    assert_same_as_transformers(reference, first, TEXTS * len(TEXTS), max_length)


@pytest.mark.parametrize("side", ["right", "left"])
def test_many_lengths(reference, side, monkeypatch):
    """Longest-first truncation at random lengths, one of the texts often empty."""
    monkeypatch.setattr(reference, "truncation_side", side)
    rng = np.random.default_rng(0)
    for _ in range(150):
        n_first, n_second = rng.integers(0, 30, 2) * rng.integers(0, 4, 2).clip(0, 1)
        a, b = (" ".join(rng.choice(WORDS, n)) for n in (n_first, n_second))
        assert_same_as_transformers(reference, [a], [b], int(rng.integers(6, 70)))


@pytest.mark.parametrize("n_words", [1, 5, 12])
def test_every_room_for_equal_and_nearly_equal_lengths(tiny_reference, n_words):
    """Where the odd token goes depends on which text is longer."""
    for n_second in range(max(0, n_words - 2), n_words + 3):
        for max_length in range(5, n_words + n_second + 5):
            first, second = "the " * n_words, "cat " * n_second
            assert_same_as_transformers(tiny_reference, [first], [second], max_length)


characters = st.characters(codec="utf-8")
any_text = st.one_of(
    st.text(characters, max_size=30),
    st.lists(st.sampled_from([*WORDS, "[SEP]", "</s>", "猫"]), max_size=30).map(" ".join),
)


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(first=any_text, second=any_text, max_length=st.integers(6, 40))
def test_any_texts(reference, first, second, max_length):
    assert_same_as_transformers(reference, [first], [second], max_length)


def test_lone_surrogates_are_read_as_replacement_characters(tiny_reference):
    tokenizer = ours(tiny_reference)
    found = encode_pairs(tokenizer, ["the \ud83d cat"], ["\udfff"], max_length=32)
    expected = encode_pairs(tokenizer, ["the \ufffd cat"], ["\ufffd"], max_length=32)
    assert windows_of(found) == windows_of(expected)


def test_hand_made_pair(tiny_reference):
    ids = {word: number for number, word in enumerate(vocabulary())}
    encodings = encode_pairs(ours(tiny_reference), ["the cat"], ["dog"], max_length=8)
    assert windows_of(encodings) == [[CLS, ids["the"], ids["cat"], SEP, ids["dog"], SEP]]
    assert segments_of(encodings) == [[0, 0, 0, 0, 1, 1]]
    assert encodings.segments.dtype == np.int8
    assert encodings.lost_tokens.tolist() == [0]


@pytest.mark.parametrize("side", ["right", "left"])
def test_offsets_count_characters_of_each_text(reference, side, monkeypatch):
    monkeypatch.setattr(reference, "truncation_side", side)
    first = [a for a in TEXTS for _ in TEXTS]
    second = TEXTS * len(TEXTS)
    encodings = encode_pairs(ours(reference), first, second, max_length=14, with_offsets=True)
    expected = reference(first, second, truncation=True, max_length=14, return_offsets_mapping=True)
    for row, (start, stop) in enumerate(pairwise(encodings.bounds)):
        assert encodings.ids[start:stop].tolist() == expected["input_ids"][row]
        offsets = np.array(expected["offset_mapping"][row])
        for number, text in enumerate((first[row], second[row])):
            own = [place == number for place in expected.sequence_ids(row)]
            offsets[own] = repaired_offsets(text, offsets[own].tolist())
        assert encodings.offsets[start:stop].tolist() == offsets.tolist()
        sequences = [-1 if text is None else text for text in expected.sequence_ids(row)]
        assert encodings.sequences[start:stop].tolist() == sequences
    plain = encode_pairs(ours(reference), first, second, max_length=14)
    assert plain.offsets is None
    assert plain.sequences is None
    np.testing.assert_array_equal(plain.ids, encodings.ids)


def test_encodings_of_chunks_join_with_their_segments(tiny_reference, monkeypatch):
    monkeypatch.setattr("skbert._texts.encoding.CHUNK_TEXTS", 2)
    tokenizer = ours(tiny_reference)
    second = TEXTS[::-1]
    parts = [
        encode_pairs(tokenizer, TEXTS[part], second[part], max_length=20)
        for part in chunks(TEXTS, second)
    ]
    assert len(parts) == 5
    whole = encode_pairs(tokenizer, TEXTS, second, max_length=20)
    together = concatenate(parts)
    for name in ("ids", "bounds", "owned", "text_bounds", "lost_tokens", "segments"):
        np.testing.assert_array_equal(getattr(together, name), getattr(whole, name), err_msg=name)


# The pieces -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("n_first", "n_second", "room", "expected"),
    [
        (3, 4, 7, (3, 4)),
        (0, 0, 2, (0, 0)),
        (9, 2, 7, (5, 2)),
        (2, 9, 7, (2, 5)),
        (9, 5, 7, (4, 3)),
        (5, 9, 7, (3, 4)),
        (9, 9, 7, (3, 4)),
        (9, 9, 8, (4, 4)),
        (0, 9, 4, (0, 4)),
        (9, 0, 4, (4, 0)),
        (1, 9, 2, (1, 1)),
    ],
)
def test_longest_first(n_first, n_second, room, expected):
    assert longest_first(n_first, n_second, room) == expected


@given(st.integers(0, 60), st.integers(0, 60), st.integers(2, 60))
def test_longest_first_fills_the_room_and_cuts_the_longer_text(n_first, n_second, room):
    kept_first, kept_second = longest_first(n_first, n_second, room)
    assert 0 <= kept_first <= n_first
    assert 0 <= kept_second <= n_second
    assert kept_first + kept_second == min(room, n_first + n_second)
    if kept_first < n_first:
        assert kept_first >= kept_second - 1
    if kept_second < n_second:
        assert kept_second >= kept_first - 1


def test_templates(tokenizer_folders):
    found = {
        name: pair_template(ours(AutoTokenizer.from_pretrained(folder)))
        for name, folder in tokenizer_folders.items()
    }
    assert (found["bert"].before, found["bert"].between, found["bert"].after) == (
        [CLS],
        [SEP],
        [SEP],
    )
    assert found["bert"].segments == ([0], [0], [0], [1], [1])
    assert (found["roberta"].before, found["roberta"].between, found["roberta"].after) == (
        [0],
        [2, 2],
        [2],
    )
    assert found["bert"].segments_of(2, 3) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert found["roberta"].n_special_tokens == 4


@pytest.mark.parametrize(("name", "n_special"), [("bert", 3), ("roberta", 4)])
def test_no_room_is_refused(tokenizer_folders, name, n_special):
    tokenizer = ours(AutoTokenizer.from_pretrained(tokenizer_folders[name]))
    encode_pairs(tokenizer, ["the cat"], ["the dog"], max_length=n_special + 2)
    message = f"max_length={n_special + 1} leaves no room .*{n_special} special.*{n_special + 2}"
    with pytest.raises(ParameterError, match=message):
        encode_pairs(tokenizer, ["a"], ["b"], max_length=n_special + 1)


def test_tokenizer_of_single_texts_only_is_refused():
    probe = SimpleNamespace(ids=[CLS, 9, SEP], type_ids=[0, 0, 0], sequence_ids=[None, 0, None])
    tokenizer = SimpleNamespace(backend=SimpleNamespace(encode=lambda first, second: probe))
    with pytest.raises(CheckpointError, match="does not read pairs"):
        pair_template(tokenizer)


# Segments reach the model -----------------------------------------------------------------------

SIZE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 70,
    "initializer_range": 0.3,
    "num_labels": 3,
}
DISTIL_SIZE = {
    "dim": 32,
    "n_layers": 2,
    "n_heads": 4,
    "hidden_dim": 48,
    "max_position_embeddings": 70,
    "initializer_range": 0.3,
    "num_labels": 3,
}
MODELS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("bert", "BertConfig", SIZE),
    "distilbert": ("distilbert", "DistilBertConfig", DISTIL_SIZE),
    "electra": ("bert", "ElectraConfig", {**SIZE, "embedding_size": 16}),
    "roberta": ("roberta", "RobertaConfig", {**SIZE, "pad_token_id": 1, "type_vocab_size": 1}),
    "albert": ("bert", "AlbertConfig", {**SIZE, "embedding_size": 16}),
    # BERT's tokenizer makes segments, of which DistilBERT knows nothing.
    "distilbert, bert's tokenizer": ("bert", "DistilBertConfig", DISTIL_SIZE),
}
SINGLES = ["the cat sat on the mat .", "", "a", "it is not a very good film !", "a", "🙂 猫"]
PAIRS = list(zip(SINGLES, [*SINGLES[3:], *SINGLES[:3]], strict=True))


@pytest.fixture(scope="module", params=MODELS)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of a model with a random head."""
    tokenizer, config_name, options = MODELS[request.param]
    folder = tmp_path_factory.mktemp("pairs")
    TOKENIZERS[tokenizer](folder)
    n_tokens = len(AutoTokenizer.from_pretrained(folder))
    config = getattr(transformers, config_name)(vocab_size=n_tokens, **options)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config)
        for name, parameter in model.named_parameters():
            if "token_type" in name:  # segments are to matter
                torch.nn.init.normal_(parameter)
        model.save_pretrained(folder)
    return str(folder)


@torch.no_grad()
def plain_loop(folder: str, X: list[Any]) -> np.ndarray:
    """Probabilities by transformers, one text or pair at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    rows = []
    for row in X:
        # In lists: transformers reads one pair with an empty second text as a single text.
        columns = [[text] for text in ([row] if isinstance(row, str) else row)]
        inputs = tokenizer(*columns, return_tensors="pt", truncation=True, max_length=64)
        rows.append(model(**inputs).logits[0].softmax(-1))
    return torch.stack(rows).numpy()


@pytest.mark.parametrize("can_pack", [True, False], ids=["packed", "padded"])
@pytest.mark.parametrize("X", [SINGLES, PAIRS], ids=["singles", "pairs"])
@pytest.mark.parametrize("batch_size", ["auto", 2])
def test_predictions_equal_a_plain_loop(checkpoint, can_pack, X, batch_size, monkeypatch):
    if not can_pack:
        monkeypatch.setattr(encoder_module, "can_pack", lambda config: False)
    classifier = BertClassifier.from_pretrained(checkpoint, batch_size=batch_size, device="cpu")
    expected = plain_loop(checkpoint, X)
    np.testing.assert_allclose(classifier.predict_proba(X), expected, rtol=0, atol=1e-5)
    assert np.ptp(expected, axis=0).max() > 0.01  # the texts matter


def test_segments_change_the_prediction_of_bert_and_not_of_roberta(checkpoint):
    """So that the test above can fail."""
    classifier = BertClassifier.from_pretrained(checkpoint, device="cpu")
    encoder = classifier._loaded()
    right = classifier.predict_proba(PAIRS)
    encoder.tokenizer.has_segments = not encoder.tokenizer.has_segments
    if "roberta" in checkpoint or encoder.model.config.model_type in ("roberta", "distilbert"):
        encoder.tokenizer.has_segments = False
        np.testing.assert_allclose(classifier.predict_proba(PAIRS), right, atol=1e-6)
    else:
        assert np.abs(classifier.predict_proba(PAIRS) - right).max() > 1e-3


def test_truncated_pairs_are_counted_and_predicted_as_transformers_does(checkpoint):
    long = [("the cat " * 60, "a dog"), ("a", "b"), ("the red " * 50, "he went " * 50)]
    classifier = BertClassifier.from_pretrained(checkpoint, max_length=64, device="cpu")
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    lost = sum(max(0, len(tokenizer(*pair)["input_ids"]) - 64) for pair in long)
    with pytest.warns(TruncationWarning, match=rf"2 of 3 texts .*max_length=64: {lost} of"):
        probabilities = classifier.predict_proba(long)
    np.testing.assert_allclose(probabilities, plain_loop(checkpoint, long), rtol=0, atol=1e-5)


# Pairs and single texts are not the same --------------------------------------------------------


@pytest.fixture(scope="module")
def fitted_on_pairs(tiny_bert):
    options = {"min_steps": 0, "max_epochs": 1, "random_state": 0}
    return BertClassifier(tiny_bert, **options).fit(PAIRS, [0, 1] * 3)


def test_estimator_of_pairs_refuses_single_texts(fitted_on_pairs):
    with pytest.raises(
        InputError, match=r"X contains single texts, but .* fitted on pairs of texts"
    ):
        fitted_on_pairs.predict(SINGLES)


def test_estimator_of_pairs_may_be_fitted_again_on_single_texts(tiny_bert):
    classifier = BertClassifier(tiny_bert, min_steps=0, max_epochs=1)
    classifier.fit(PAIRS, [0, 1] * 3).fit(SINGLES, [0, 1] * 3)
    classifier.predict(SINGLES)
    with pytest.raises(InputError, match=r"X contains pairs of texts, but .* on single texts"):
        classifier.predict(PAIRS)


def test_what_was_read_is_kept_by_save_pretrained(fitted_on_pairs, tmp_path):
    fitted_on_pairs.save_pretrained(tmp_path)
    loaded = BertClassifier.from_pretrained(str(tmp_path))
    with pytest.raises(InputError, match="X contains single texts"):
        loaded.predict(SINGLES)
    np.testing.assert_allclose(
        loaded.predict_proba(PAIRS), fitted_on_pairs.predict_proba(PAIRS), atol=1e-6
    )


def test_containers_of_pairs_predict_the_same(fitted_on_pairs):
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    expected = fitted_on_pairs.predict_proba(PAIRS)
    first, second = map(list, zip(*PAIRS, strict=True))
    columns = {"question": first, "sentence": second}
    for X in (np.array(PAIRS), pd.DataFrame(columns), pl.DataFrame(columns), pa.table(columns)):
        np.testing.assert_array_equal(fitted_on_pairs.predict_proba(X), expected)


def test_order_and_neighbours_of_pairs_do_not_matter(fitted_on_pairs):
    expected = fitted_on_pairs.predict_proba(PAIRS)
    alone = np.concatenate([fitted_on_pairs.predict_proba([pair]) for pair in PAIRS])
    np.testing.assert_allclose(alone, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(
        fitted_on_pairs.predict_proba(PAIRS[::-1]), expected[::-1], rtol=0, atol=1e-5
    )


def test_swapped_columns_of_pairs_are_refused(tiny_bert, tmp_path):
    """They would be read the wrong way round."""
    import pandas as pd

    frame = pd.DataFrame(PAIRS, columns=["question", "sentence"])
    model = BertClassifier(tiny_bert, max_epochs=0, device="cpu")
    model.fit(frame, np.arange(len(PAIRS)) % 2).save_pretrained(tmp_path)
    assert model.feature_names_in_.tolist() == ["question", "sentence"]
    for fitted in (model, BertClassifier.from_pretrained(str(tmp_path), device="cpu")):
        with pytest.raises(InputError, match="must be in the same order"):
            fitted.predict(frame[["sentence", "question"]])
        assert len(fitted.predict(PAIRS)) == len(PAIRS)
