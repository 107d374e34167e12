"""BertTokenClassifier, compared with plain loops over transformers' own models."""

from __future__ import annotations

import io
import math
import pickle
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import ClassifierMixin, clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.utils import check_random_state
from torch import nn
from transformers import AutoModelForTokenClassification, AutoTokenizer

from skbert import BertTokenClassifier, CheckpointError, Entity, InputError, ParameterError
from skbert._exceptions import LabelWarning
from skbert._inference.batching import pad_batch
from skbert._models import encoder as encoder_module
from skbert._models.device import seeded
from skbert._models.loading import load_config, load_model
from skbert._texts.entities import find_scheme, word_score
from skbert._texts.word_labels import encode_words, piece_labels
from skbert._training.losses import LabelledPieces
from skbert._training.optimization import shuffled_batches
from skbert._training.word_task import WordTask
from tests.conftest import WORDS
from tests.texts.test_pairs import roberta_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")
CPU = torch.device("cpu")

NOUNS, COLOURS = ("cat", "dog", "tree", "house"), ("red", "blue", "green")
ODD_WORDS = ["", "\x00", "\u200b", "🙂", "\ud83d", "猫", "New York", "[SEP]", "x" * 120, "don't"]


def many_sentences(n: int, longest: int = 12, seed: int = 0) -> list[list[str]]:
    rng = np.random.default_rng(seed)
    words = [*WORDS[:12], *NOUNS, *COLOURS, "unbelievable", "sitting"]
    return [rng.choice(words, rng.integers(1, longest)).tolist() for _ in range(n)]


def rule(sentence: list[str]) -> list[str]:
    """Nouns begin things, and colours go on with them."""
    kinds = dict.fromkeys(NOUNS, "B-THING") | dict.fromkeys(COLOURS, "I-THING")
    return [kinds.get(word, "O") for word in sentence]


X = many_sentences(24)
Y = [rule(sentence) for sentence in X]
QUICK = {"min_steps": 0, "max_epochs": 2, "learning_rate": 2e-3, "random_state": 0}
SURE = {"min_steps": 30, "learning_rate": 1e-2, "random_state": 0, "dropout": 0.0}


@pytest.fixture(scope="module")
def tagger(tiny_bert) -> BertTokenClassifier:
    """One that has learned the rule."""
    sentences = many_sentences(100, seed=1)
    labels = [rule(sentence) for sentence in sentences]
    return BertTokenClassifier(
        tiny_bert, learning_rate=1e-2, dropout=0.0, random_state=0, device="cpu"
    ).fit(sentences, labels)


def save_checkpoint(folder: Path, labels: list[str], kind: str = "bert") -> str:
    """Write a tagger with a random head, as transformers does."""
    size = {
        "num_hidden_layers": 2,
        "hidden_size": 32,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "initializer_range": 0.5,
        "id2label": dict(enumerate(labels)),
        "label2id": {label: number for number, label in enumerate(labels)},
    }
    if kind == "bert":
        from tests.conftest import save_tokenizer

        config = transformers.BertConfig(
            vocab_size=save_tokenizer(folder), max_position_embeddings=64, **size
        )
    else:
        roberta_tokenizer(folder)
        n_tokens = len(AutoTokenizer.from_pretrained(folder))
        config = transformers.RobertaConfig(
            vocab_size=n_tokens, max_position_embeddings=66, pad_token_id=1, **size
        )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        AutoModelForTokenClassification.from_config(config).save_pretrained(folder)
    return str(folder)


UNSORTED = ["O", "I-PER", "B-PER", "B-LOC", "I-LOC"]
CHECKPOINTS = {
    "bio": ("bert", UNSORTED),
    "plain": ("bert", ["VERB", "O", "NOUN"]),
    "bio and more": ("bert", ["X", "I-PER", "B-PER", "O"]),
    "roberta": ("roberta", UNSORTED),
}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return {
        name: save_checkpoint(tmp_path_factory.mktemp("tagger"), labels, kind)
        for name, (kind, labels) in CHECKPOINTS.items()
    }


@pytest.fixture(params=[True, False], ids=["packed", "padded"])
def packed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    if not request.param:
        monkeypatch.setattr(encoder_module, "can_pack", lambda config: False)
    return request.param


class Plain:
    """Probabilities of words by transformers, one window at a time."""

    def __init__(self, folder: str) -> None:
        options = {"add_prefix_space": True} if "roberta" in folder else {}
        self.tokenizer = AutoTokenizer.from_pretrained(folder, **options)
        if self.tokenizer.bos_token == "<s>":
            self.tokenizer = AutoTokenizer.from_pretrained(folder, add_prefix_space=True)
        self.model = AutoModelForTokenClassification.from_pretrained(folder).eval()
        names = self.model.config.id2label
        self.order = sorted(names, key=names.get)

    def pieces(self, sentence: list[str]) -> tuple[list[int], list[int]]:
        """Pieces of a sentence without special tokens, and where each word's first is."""
        body, first = [], []
        clean = [w.encode("utf-8", "replace").decode() if "\ud83d" in w else w for w in sentence]
        clean = ["\ufffd" if "\ud83d" in w else c for w, c in zip(sentence, clean, strict=True)]
        for word in clean:
            ids = self.tokenizer([word], is_split_into_words=True, add_special_tokens=False)
            first.append(len(body))
            body += ids["input_ids"] or [self.tokenizer.unk_token_id]
        return body, first

    @torch.no_grad()
    def window(self, ids: list[int]) -> np.ndarray:
        """Probabilities of the pieces of one window, labels sorted."""
        prefix = self.tokenizer.cls_token_id
        inputs = torch.tensor([[prefix, *ids, self.tokenizer.sep_token_id]])
        return self.model(input_ids=inputs).logits[0, 1:-1].softmax(-1)[:, self.order].numpy()

    def words(self, sentence: list[str], max_length: int = 64) -> np.ndarray:
        """Of each word, in the window where it has most context (the later of two equals)."""
        body, first = self.pieces(sentence)
        room = max_length - 2
        last = max(len(body) - room, 0)
        starts = [*range(0, last, room - room // 4), last]
        windows = [self.window(body[start : start + room]) for start in starts]
        rows = np.empty((len(first), len(self.order)))
        for word, place in enumerate(first):
            contexts = [
                min(
                    math.inf if start == 0 else place - start,
                    math.inf if start == last else start + room - 1 - place,
                )
                for start in starts
            ]
            best = max(range(len(starts)), key=lambda number: (contexts[number], number))
            rows[word] = windows[best][place - starts[best]]
        return rows


# Prediction -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.parametrize("batch_size", ["auto", 2])
def test_probabilities_equal_those_of_transformers(checkpoints, name, batch_size, packed):
    sentences = [*X[:6], [], ODD_WORDS, ["a"], *X[:2]]
    tagger = BertTokenClassifier.from_pretrained(
        checkpoints[name], batch_size=batch_size, device="cpu"
    )
    plain = Plain(checkpoints[name])
    probabilities = tagger.predict_proba(sentences)
    for sentence, rows in zip(sentences, probabilities, strict=True):
        np.testing.assert_allclose(rows, plain.words(sentence), rtol=0, atol=1e-5)
    assert np.ptp(np.concatenate(probabilities), axis=0).max() > 0.3  # the words matter


@pytest.mark.parametrize("name", ["bio", "roberta"])
@pytest.mark.parametrize("max_length", [3, 4, 7, 16, 33])
def test_long_sentences_equal_brute_force_over_windows(checkpoints, name, max_length):
    sentences = [*many_sentences(3, 60, seed=2), ODD_WORDS * 4, ["unbelievable"] * 30, ["a"], []]
    tagger = BertTokenClassifier.from_pretrained(
        checkpoints[name], max_length=max_length, device="cpu"
    )
    plain = Plain(checkpoints[name])
    for sentence, rows in zip(sentences, tagger.predict_proba(sentences), strict=True):
        expected = plain.words(sentence, max_length)
        np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-5)
    assert np.abs(tagger.predict_proba(sentences)[0] - plain.words(sentences[0])).max() > 0.01


def test_sentence_of_five_thousand_words(tagger):
    sentence = many_sentences(1, 3, seed=3)[0] * 5_000
    assert len(tagger.predict([sentence])[0]) == len(sentence) >= 5_000


def test_neighbours_order_and_batch_size_do_not_matter(tagger):
    sentences = [*X, ["a"] * 150, [], ODD_WORDS]
    expected = tagger.predict_proba(sentences)
    alone = [tagger.predict_proba([sentence])[0] for sentence in sentences]
    backwards = tagger.predict_proba(sentences[::-1])[::-1]
    by_two = clone_of(tagger, batch_size=2).predict_proba(sentences)
    for others in (alone, backwards, by_two):
        for rows, other in zip(expected, others, strict=True):
            np.testing.assert_allclose(other, rows, rtol=0, atol=1e-5)


def test_chunks_do_not_matter(tagger, monkeypatch):
    sentences = [*X, [], ["a"] * 150]
    expected = tagger.predict_proba(sentences)
    monkeypatch.setattr("skbert._inference.chunks.CHUNK_SENTENCES", 3)
    for rows, other in zip(expected, tagger.predict_proba(sentences), strict=True):
        np.testing.assert_allclose(other, rows, rtol=0, atol=1e-5)


def clone_of(tagger: BertTokenClassifier, **params: Any) -> BertTokenClassifier:
    return pickle.loads(pickle.dumps(tagger)).set_params(**params)


@pytest.mark.parametrize(
    "sentences", [[["the", "cat"], ["a", "dog"]], [["the"], ["a", "dog"], []], [["cat"]], [[], []]]
)
def test_shapes_and_types(tagger, sentences):
    labels, probabilities = tagger.predict(sentences), tagger.predict_proba(sentences)
    for result in (labels, probabilities):
        assert type(result) is np.ndarray
        assert result.dtype == object
        assert result.shape == (len(sentences),)
    for words, names, rows in zip(sentences, labels, probabilities, strict=True):
        assert type(names) is list
        assert len(names) == len(words)
        assert all(type(name) is str for name in names)
        assert rows.shape == (len(words), 3)
        assert rows.dtype == np.float64
        np.testing.assert_allclose(rows.sum(1), 1)
        assert names == [tagger.classes_[row.argmax()] for row in rows]


def test_sorted_classes(tagger):
    assert tagger.classes_.tolist() == ["B-THING", "I-THING", "O"]


def test_containers_predict_and_fit_the_same(tiny_bert, tagger):
    expected = tagger.predict(X).tolist()
    column = np.empty(len(X), dtype=object)
    column[:] = X
    for data in (
        [tuple(sentence) for sentence in X],
        column,
        pd.Series([np.array(sentence, dtype=object) for sentence in X]),
        pd.DataFrame({"words": X}),
        pl.Series(X),
        pl.DataFrame({"words": X}),
        pa.array(X),
        pa.table({"words": X}),
    ):
        assert tagger.predict(data).tolist() == expected
    reference = BertTokenClassifier(tiny_bert, **QUICK).fit(X, Y).predict_proba(X)
    frame = pd.DataFrame({"words": X, "labels": Y})
    for data, labels in (
        (frame["words"], frame["labels"]),
        (frame[["words"]], frame[["labels"]]),
        (pl.Series(X), pl.Series(Y)),
    ):
        fitted = BertTokenClassifier(tiny_bert, **QUICK).fit(data, labels)
        np.testing.assert_array_equal(
            np.concatenate(fitted.predict_proba(X)), np.concatenate(reference)
        )


def test_two_dimensional_arrays(tiny_bert):
    words = np.array([["the", "cat"], ["a", "dog"], ["red", "rug"]])
    labels = np.array([[1, 2], [1, 2], [3, 2]])
    fitted = BertTokenClassifier(tiny_bert, **QUICK).fit(words, labels)
    assert fitted.predict(words).shape == (3,)
    assert 0 <= fitted.score(words, labels) <= 1


# Training ---------------------------------------------------------------------------------------


def word_task(sentences: list[list[str]], labels: list[list[str]]) -> WordTask:
    classes = np.array(sorted({label for row in labels for label in row}), dtype=object)
    codes = [np.searchsorted(classes, row).astype(np.int64) for row in labels]
    scheme = find_scheme(classes.tolist())
    return WordTask(sentences, labels, codes, classes, np.ones(len(sentences)), scheme)


def test_loss_is_the_mean_over_first_pieces(checkpoints):
    """As transformers computes it, with -100 for all other pieces."""
    tagger = BertTokenClassifier.from_pretrained(checkpoints["bio"], device="cpu")
    plain = Plain(checkpoints["bio"])
    sentences, encoder = [["unbelievable", "cat"], *X[:5], ODD_WORDS], tagger._loaded()
    encodings = encode_words(encoder.tokenizer, sentences, max_length=64)
    codes = np.random.default_rng(0).integers(0, 5, sum(map(len, sentences)))
    objective = LabelledPieces(encodings, piece_labels(encodings, codes), CPU)
    rows = np.array([6, 0, 3])
    bounds = np.cumsum([0, *map(len, sentences)])

    chosen = [plain.pieces(sentences[row]) for row in rows]
    longest = max(len(body) for body, _ in chosen) + 2
    ids = torch.zeros((3, longest), dtype=torch.int64)
    targets = torch.full((3, longest), -100)
    for position, (row, (body, first)) in enumerate(zip(rows, chosen, strict=True)):
        whole = [plain.tokenizer.cls_token_id, *body, plain.tokenizer.sep_token_id]
        ids[position, : len(whole)] = torch.tensor(whole)
        of_words = torch.from_numpy(codes[bounds[row] : bounds[row + 1]])
        targets[position, torch.tensor(first) + 1] = of_words
    mask = (ids > 0).long()
    with torch.no_grad():
        output = plain.model(input_ids=ids, attention_mask=mask, labels=targets)
    logits = output.logits[mask > 0]
    assert objective.divisor(rows) == sum(len(sentences[row]) for row in rows)
    mean = objective.loss(logits, rows) / objective.divisor(rows)
    torch.testing.assert_close(mean, output.loss)


def plain_loop(folder: str, sentences: Any, labels: Any, options: dict[str, Any]) -> Any:
    """The same training with transformers' model, padding, torch's AdamW and no shortcut."""
    seed = int(check_random_state(options["random_state"]).randint(2**31 - 1))
    task = word_task(sentences, labels)
    config = load_config(Path(folder))
    config.num_labels = len(task.classes)
    config.hidden_dropout_prob = config.attention_probs_dropout_prob = 0.0
    with seeded(CPU, seed):
        model, _ = load_model(
            Path(folder),
            torch.float32,
            auto_class="AutoModelForTokenClassification",
            config=config,
        )
    model.set_attn_implementation("eager")
    model.train()
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": 0.01},
            {"params": [p for p in model.parameters() if p.ndim == 1]},
        ],
        weight_decay=0.0,
    )
    tokenizer = BertTokenClassifier.from_pretrained(options["tokenizer"])._loaded().tokenizer
    encodings = encode_words(tokenizer, sentences, max_length=options["max_length"])
    targets = piece_labels(encodings, np.concatenate(task.codes))
    n_updates = math.ceil(len(encodings.lengths) / 16)
    total, step = n_updates * options["max_epochs"], 0
    n_warmup = math.ceil(total * 0.1)
    losses = []
    for epoch in range(1, options["max_epochs"] + 1):
        losses.append([])
        rng = np.random.default_rng([seed, epoch])
        for rows in shuffled_batches(encodings.lengths, 16, rng, group=False):
            batch = pad_batch(encodings, rows, tokenizer.pad_id)
            of_batch = torch.full(batch.ids.shape, -100)
            for position, row in enumerate(rows):
                window = targets[encodings.bounds[row] : encodings.bounds[row + 1]]
                of_batch[position, : len(window)] = torch.from_numpy(window)
            optimizer.zero_grad()
            loss = model(input_ids=batch.ids, attention_mask=batch.mask, labels=of_batch).loss
            loss.backward()
            losses[-1].append(loss.item())
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            rise, fall = (step + 1) / n_warmup, (total - step) / (total - n_warmup)
            for group in optimizer.param_groups:
                group["lr"] = options["learning_rate"] * (rise if step < n_warmup else fall)
            optimizer.step()
            step += 1
    return model.state_dict(), [float(np.mean(epoch)) for epoch in losses]


def test_weights_equal_those_of_a_plain_loop(tiny_bert, checkpoints, packed):
    """Also with sentences in several windows."""
    options = {**QUICK, "max_length": 9, "dropout": 0.0, "device": "cpu"}
    sentences = many_sentences(30, 14)
    labels = [rule(sentence) for sentence in sentences]
    fitted = BertTokenClassifier(tiny_bert, init="random", **options).fit(sentences, labels)
    expected, losses = plain_loop(
        tiny_bert, sentences, labels, {**options, "tokenizer": checkpoints["bio"]}
    )
    np.testing.assert_allclose(fitted.loss_curve_, losses, rtol=1e-4)
    assert fitted._state.weights.keys() == expected.keys()
    for name, tensor in expected.items():
        if not name.endswith("key.bias"):  # their gradient is nothing but rounding
            found = torch.from_numpy(fitted._state.weights[name])
            torch.testing.assert_close(found, tensor, rtol=0, atol=1e-4, msg=name)
            assert (found - tensor).abs().mean() < 1e-5, name


def test_learns_a_rule(tagger):
    sentences = many_sentences(60, seed=9)
    labels = [rule(sentence) for sentence in sentences]
    assert tagger.metric_ == "entity_f1"
    assert tagger.score(sentences, labels) > 0.95
    assert tagger.loss_curve_[-1] < 0.1 * tagger.loss_curve_[0]
    assert tagger.score([["the", "cat", "sat"]], [["O", "B-OTHER", "O"]]) == 0


def test_same_seed_same_weights(tiny_bert):
    fits = [
        BertTokenClassifier(tiny_bert, **{**QUICK, "random_state": seed}).fit(X, Y)
        for seed in (0, 0, 1)
    ]
    first, second, other = (np.concatenate(fit.predict_proba(X)) for fit in fits)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 1e-3


def test_sentences_without_words_teach_nothing(tiny_bert):
    without = BertTokenClassifier(tiny_bert, **QUICK).fit(X, Y)
    sentences, labels = [[], *X[:5], [], *X[5:], []], [[], *Y[:5], [], *Y[5:], []]
    fitted = BertTokenClassifier(tiny_bert, **QUICK).fit(sentences, labels)
    assert fitted.loss_curve_ == without.loss_curve_
    np.testing.assert_array_equal(
        np.concatenate(fitted.predict_proba(X)), np.concatenate(without.predict_proba(X))
    )


def test_early_stopping_keeps_the_epoch_with_the_best_score(tiny_bert):
    rng = np.random.default_rng(0)
    sentences = many_sentences(40, seed=4)
    labels = [rng.choice(["B-X", "I-X", "O"], len(words)).tolist() for words in sentences]
    options = {**QUICK, "max_epochs": 40, "early_stopping": True, "validation_fraction": 0.25}
    fitted = BertTokenClassifier(tiny_bert, **options).fit(sentences, labels)
    ranks = [(entry["validation_score"], -entry["validation_loss"]) for entry in fitted.history_]
    assert fitted.n_iter_ == len(ranks) < 40
    assert ranks.index(max(ranks)) == len(ranks) - 3

    seed = int(check_random_state(0).randint(2**31 - 1))
    _, held_out = train_test_split(np.arange(40), test_size=0.25, random_state=seed)
    words, true = [sentences[row] for row in held_out], [labels[row] for row in held_out]
    assert fitted.score(words, true) == pytest.approx(max(ranks)[0])
    probabilities = np.concatenate(fitted.predict_proba(words))
    codes = np.searchsorted(fitted.classes_, np.concatenate(true))
    loss = -np.log(probabilities[np.arange(len(codes)), codes]).mean()
    assert loss == pytest.approx(-max(ranks)[1], rel=1e-4)


def test_warm_start_continues(tiny_bert):
    recipe = {**QUICK, "max_epochs": 8}
    fitted = BertTokenClassifier(tiny_bert, init="random", **recipe).fit(X, Y)
    first, last = fitted.loss_curve_[0], fitted.loss_curve_[-1]
    assert last < 0.8 * first
    assert fitted.set_params(warm_start=True).fit(X, Y).loss_curve_[0] < 0.9 * first
    assert fitted.set_params(warm_start=False).fit(X, Y).loss_curve_[0] == first


@pytest.mark.parametrize(
    ("sentences", "labels", "message"),
    [
        (["the cat"], [["O", "B-X"]], r"X\[0\] is a single str"),
        ([], [], "X contains no text"),
        ([["a", "b"]], None, "requires y to be passed"),
        ([["a"], ["b", "c"]], [["O"], ["O"]], r"Sentence 1 has 2 words, but y\[1\] has 1 labels"),
        ([["a", "b"]], [["O", None]], r"y\[0\] has a missing label"),
        ([["a", "b"]], [["O", "O"]], r"only 1 class\(es\), expected at least 2 classes"),
        ([[], []], [[], []], r"only 0 class\(es\)"),
        ([["a", "b"]], [["O", 1]], "expected str, or numbers, throughout"),
    ],
)
def test_refusals_of_fit(tiny_bert, sentences, labels, message):
    with pytest.raises(InputError, match=message):
        BertTokenClassifier(tiny_bert, **QUICK).fit(sentences, labels)


# Scores and kinds of labels ---------------------------------------------------------------------


def test_entity_f1_by_hand(tagger):
    sentences = [["the", "cat", "red"], ["a", "mat"], ["dog"]]
    assert tagger.predict(sentences).tolist() == [
        ["O", "B-THING", "I-THING"],
        ["O"] * 2,
        ["B-THING"],
    ]
    # Two found, one of them right; two true.
    true = [["O", "B-THING", "O"], ["O", "B-THING"], ["I-THING"]]
    assert tagger.score(sentences, true) == pytest.approx(2 * 1 / (2 + 3))


def test_metric_follows_the_labels(tiny_bert):
    plain = [[label[0] for label in row] for row in Y]
    fitted = BertTokenClassifier(tiny_bert, **QUICK).fit(X, plain)
    assert fitted.metric_ == "token_accuracy"
    predicted = np.concatenate(fitted.predict(X))
    assert fitted.score(X, plain) == np.mean(predicted == np.concatenate(plain))
    assert fitted.fit(X, Y).metric_ == "entity_f1"


@pytest.mark.parametrize(
    ("values", "kind"), [((7, 3, 5), int), ((0.5, 2.0, 1.5), float), ((True, False, True), bool)]
)
def test_labels_that_are_numbers(tiny_bert, tmp_path, values, kind):
    numbers = [[dict(zip("BIO", values, strict=True))[label[0]] for label in row] for row in Y]
    fitted = BertTokenClassifier(tiny_bert, **SURE).fit(X, numbers)
    assert fitted.metric_ == "token_accuracy"
    assert fitted.classes_.tolist() == sorted(set(values))
    predicted = fitted.predict(X)
    assert {type(label) for row in predicted for label in row} == {kind}
    assert fitted.score(X, numbers) > 0.8
    fitted.save_pretrained(tmp_path)
    loaded = BertTokenClassifier.from_pretrained(str(tmp_path))
    assert loaded.classes_.dtype == fitted.classes_.dtype
    assert loaded.predict(X).tolist() == predicted.tolist()
    assert loaded.score(X, numbers) == fitted.score(X, numbers)


def test_score_of_nothing(tagger, checkpoints):
    assert tagger.score([[]], [[]]) == 1
    assert BertTokenClassifier.from_pretrained(checkpoints["plain"]).score([[]], [[]]) == 1


def test_score_refuses_other_lengths_before_it_predicts(tagger, monkeypatch):
    monkeypatch.setattr(BertTokenClassifier, "predict", None)
    with pytest.raises(InputError, match=r"Sentence 0 has 1 words, but y\[0\] has 2 labels"):
        tagger.score([["a"]], [["O", "O"]])


# Entities in texts ------------------------------------------------------------------------------

characters = st.characters(codec=None, categories=None)
any_word = st.one_of(st.sampled_from([*WORDS, *NOUNS, *ODD_WORDS]), st.text(characters, max_size=5))
some = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


@some
@given(sentences=st.lists(st.lists(any_word, max_size=90), min_size=1, max_size=4))
def test_any_words_have_as_many_labels(tagger, sentences):
    assert [len(row) for row in tagger.predict(sentences)] == [len(words) for words in sentences]


@some
@given(texts=st.lists(st.lists(any_word, max_size=40).map(" ".join), min_size=1, max_size=4))
def test_entities_are_exact_slices_of_any_text(tagger, texts):
    result = tagger.predict_entities(texts)
    assert len(result) == len(texts)
    for text, entities in zip(texts, result, strict=True):
        end = 0
        for entity in entities:
            assert type(entity) is Entity
            assert entity.text == text[entity.start : entity.end] == entity.text.strip() != ""
            assert entity.start >= end
            assert entity.label == "THING"
            assert 1 / 3 < entity.score <= 1
            end = entity.end


def test_entities_by_hand(tagger):
    text = "  The CAT  red on dog\tdog blue\na mat"
    assert tagger.predict(["the cat red on dog dog blue a mat".split()])[0] == (
        "O B-THING I-THING O B-THING B-THING I-THING O O".split()
    )
    (found,) = tagger.predict_entities([text])
    assert [(entity.text, entity.start, entity.end) for entity in found] == [
        ("CAT  red", 6, 14),
        ("dog", 18, 21),
        ("dog blue", 22, 30),
    ]
    probabilities = tagger.predict_proba(["The CAT red on dog dog blue a mat".split()])[0].max(1)
    np.testing.assert_allclose(
        [entity.score for entity in found],
        [probabilities[1:3].mean(), probabilities[4], probabilities[5:7].mean()],
        rtol=1e-5,
    )


def test_texts_without_words(tagger):
    assert tagger.predict_entities(["", "  \n", "\x00"]) == [[], [], []]
    assert tagger.predict_entities(pd.Series(["the cat"]))[0][0].text == "cat"
    with pytest.raises(InputError, match="X is a single str"):
        tagger.predict_entities("the cat")


def random_texts(n: int) -> list[str]:
    rng = np.random.default_rng(5)
    parts = [
        *WORDS[:40],
        *NOUNS * 3,
        *COLOURS * 3,
        "Unbelievable",
        "Zürich",
        "xyzzy",
        "12.5",
        "猫",
        "isn't",
        "x-ray",
    ]
    parts += [*".,!?()", " ", "\n"]
    return [
        "".join(rng.choice(parts) + rng.choice([" ", " ", ""]) for _ in range(18)) for _ in range(n)
    ]


def assert_same_as_pipeline(folder: str, tagger: BertTokenClassifier) -> None:
    texts = random_texts(40)
    pipeline = transformers.pipeline(
        "token-classification", model=folder, aggregation_strategy="first", device="cpu"
    )
    several_words = 0
    for text, found in zip(texts, tagger.predict_entities(texts), strict=True):
        expected = pipeline(text)
        assert [(entity.label, entity.start, entity.end) for entity in found] == [
            (entity["entity_group"], entity["start"], entity["end"]) for entity in expected
        ], text
        np.testing.assert_allclose(
            [entity.score for entity in found],
            [entity["score"] for entity in expected],
            rtol=0,
            atol=1e-4,
        )
        several_words += sum(" " in entity.text for entity in found)
    assert several_words > 20


def test_entities_of_a_trained_model_are_those_of_the_pipeline(tagger, tmp_path):
    tagger.save_pretrained(tmp_path)
    assert_same_as_pipeline(str(tmp_path), tagger)


@pytest.mark.parametrize("name", ["bio", "plain", "bio and more"])
def test_entities_of_a_checkpoint_are_those_of_the_pipeline(checkpoints, name):
    assert_same_as_pipeline(
        checkpoints[name], BertTokenClassifier.from_pretrained(checkpoints[name], device="cpu")
    )


# Checkpoints ------------------------------------------------------------------------------------


def test_save_and_load(tagger, tmp_path):
    tagger.save_pretrained(tmp_path)
    loaded = BertTokenClassifier.from_pretrained(str(tmp_path), device="cpu")
    assert loaded.classes_.tolist() == tagger.classes_.tolist()
    assert (loaded.metric_, loaded.max_length_) == (tagger.metric_, tagger.max_length_)
    sentences = [*X, ODD_WORDS, [], ["a", "cat"] * 100]
    for rows, expected in zip(
        loaded.predict_proba(sentences), tagger.predict_proba(sentences), strict=True
    ):
        np.testing.assert_allclose(rows, expected, rtol=0, atol=1e-6)
    model = AutoModelForTokenClassification.from_pretrained(tmp_path)
    assert model.config.id2label == dict(enumerate(tagger.classes_))


def test_foreign_checkpoint_with_unsorted_labels(checkpoints):
    tagger = BertTokenClassifier.from_pretrained(checkpoints["bio"])
    assert tagger.classes_.tolist() == sorted(UNSORTED)
    assert tagger.metric_ == "entity_f1"
    model = AutoModelForTokenClassification.from_pretrained(checkpoints["bio"]).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoints["bio"])
    for words, labels in zip(X, tagger.predict(X), strict=True):
        inputs = tokenizer(words, is_split_into_words=True, return_tensors="pt")
        of_pieces = model(**inputs).logits[0].argmax(-1).tolist()
        word_ids = inputs.word_ids()
        expected = [UNSORTED[of_pieces[word_ids.index(word)]] for word in range(len(words))]
        assert labels == expected
    assert len({label for row in tagger.predict(X) for label in row}) > 2
    again = pickle.loads(pickle.dumps(tagger))
    assert again.predict(X).tolist() == tagger.predict(X).tolist()


def test_foreign_checkpoint_saved_again(checkpoints, tmp_path):
    tagger = BertTokenClassifier.from_pretrained(checkpoints["bio"])
    tagger.save_pretrained(tmp_path)
    assert BertTokenClassifier.from_pretrained(str(tmp_path)).predict(X).tolist() == (
        tagger.predict(X).tolist()
    )


def test_checkpoint_without_a_head(tiny_bert):
    with pytest.raises(CheckpointError, match="has no trained head for BertTokenClassifier"):
        BertTokenClassifier.from_pretrained(tiny_bert)


# In scikit-learn --------------------------------------------------------------------------------


def test_is_no_classifier(tiny_bert):
    """scikit-learn refuses lists of labels from classifiers."""
    tagger = BertTokenClassifier(tiny_bert)
    assert not isinstance(tagger, ClassifierMixin)
    assert not is_classifier(tagger)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "predict_entities", "score"])
def test_not_fitted(method):
    tagger = BertTokenClassifier("no/such-model")  # nothing is loaded
    arguments = ([["a"]], [["O"]]) if method == "score" else ([["a"]],)
    with pytest.raises(NotFittedError):
        getattr(tagger, method)(*arguments)


def test_clone_is_not_fitted(tagger):
    copy = clone(tagger)
    assert copy.get_params() == tagger.get_params()
    with pytest.raises(NotFittedError):
        copy.predict(X)


def test_pickles(tagger, tmp_path):
    joblib.dump(tagger, tmp_path / "tagger.joblib")
    for copy in (clone_of(tagger), joblib.load(tmp_path / "tagger.joblib")):
        assert copy.predict(X).tolist() == tagger.predict(X).tolist()
        assert copy.metric_ == "entity_f1"
        assert copy.predict_entities(["the cat sat"]) == tagger.predict_entities(["the cat sat"])


def as_objects(rows: list[list[str]]) -> np.ndarray:
    array = np.empty(len(rows), dtype=object)
    array[:] = rows
    return array


@pytest.mark.parametrize("make", [list, as_objects, pd.Series, pl.Series])
def test_splits_and_cross_validation(tiny_bert, make):
    tagger = BertTokenClassifier(tiny_bert, **QUICK)
    scores = cross_val_score(tagger, make(X), make(Y), cv=3, error_score="raise")
    assert scores.shape == (3,)
    parts = train_test_split(make(X), make(Y), test_size=0.25, random_state=0)
    train_words, test_words, train_labels, test_labels = parts
    fitted = tagger.fit(train_words, train_labels)
    assert len(fitted.predict(test_words)) == 6
    assert 0 <= fitted.score(test_words, test_labels) <= 1


def test_cross_validation_by_hand(tiny_bert):
    """The folds are those of KFold, and the scores those of `score`."""
    tagger = BertTokenClassifier(tiny_bert, **SURE)
    scores = cross_val_score(tagger, X, Y, cv=2, error_score="raise")
    first = clone(tagger).fit(X[12:], Y[12:]).score(X[:12], Y[:12])
    assert scores[0] == pytest.approx(first)
    assert scores.min() > 0.1


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_grid_search(tiny_bert, n_jobs):
    search = GridSearchCV(
        BertTokenClassifier(tiny_bert, **SURE),
        {"learning_rate": [1e-7, 1e-2]},
        cv=2,
        n_jobs=n_jobs,
        error_score="raise",
    ).fit(X, Y)
    assert search.best_params_ == {"learning_rate": 1e-2}
    assert search.score(X, Y) == search.best_estimator_.score(X, Y) > 0.5
    assert search.predict(X[:2]).shape == (2,)
    assert search.classes_.tolist() == ["B-THING", "I-THING", "O"]


def test_verbose_shows_progress(tiny_bert):
    long = [*X, ["a"] * 200]
    with redirect_stderr(io.StringIO()) as shown:
        fitted = BertTokenClassifier(tiny_bert, verbose=1, **QUICK).fit(X, Y)
        assert "48/48" in shown.getvalue()  # two epochs
        fitted.predict(long)
    n_windows = 24 + 1 + math.ceil((200 - 62) / (62 - 15))
    assert f"{n_windows}/{n_windows}" in shown.getvalue()
    with redirect_stderr(io.StringIO()) as shown:
        fitted.set_params(verbose=0).predict(X)
    assert shown.getvalue() == ""


def test_warm_start_of_a_checkpoint_with_unsorted_labels(tiny_bert, tmp_path):
    """The head's order is kept; training that changes nothing predicts as before."""
    import json

    X, y = [["the", "cat", "sat"], ["a", "good", "film"]], [["b", "a", "c"], ["b", "c", "a"]]
    first = BertTokenClassifier(tiny_bert, min_steps=5, learning_rate=3e-3, random_state=0)
    first.fit(X, y).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    config["id2label"] = {"0": "c", "1": "a", "2": "b"}
    config["label2id"] = {"c": 0, "a": 1, "b": 2}
    del config["skbert"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    still = {"learning_rate": 1e-12, "weight_decay": 0.0, "min_steps": 1, "max_epochs": 1}
    loaded = BertTokenClassifier.from_pretrained(str(tmp_path), warm_start=True, **still)
    before = loaded.predict_proba(X)
    after = loaded.fit(X, y).predict_proba(X)
    assert list(loaded.classes_) == ["a", "b", "c"]
    np.testing.assert_allclose(np.concatenate(after), np.concatenate(before), atol=1e-6)


# Schemes ----------------------------------------------------------------------------------------

BIOES = {"cat": "S-ANIMAL", "dog": "S-ANIMAL", "red": "B-COLOUR", "blue": "E-COLOUR"}


def test_entities_in_another_scheme(tiny_bert):
    sentences = [sentence for sentence in X if sentence] * 2
    labels = [[BIOES.get(word, "O") for word in sentence] for sentence in sentences]
    fitted = BertTokenClassifier(tiny_bert, **SURE).fit(sentences, labels)
    assert (fitted.scheme_, fitted.metric_) == ("BIOES", "entity_f1")
    nothing = [["O"] * len(sentence) for sentence in sentences]
    assert (
        word_score(fitted.classes_.tolist(), find_scheme(fitted.classes_.tolist()))(labels, nothing)
        == 0
    )
    assert fitted.score(sentences, labels) > 0.8
    (found,) = fitted.predict_entities(["the cat , the dog ."])
    assert [(entity.text, entity.label) for entity in found] == [
        ("cat", "ANIMAL"),
        ("dog", "ANIMAL"),
    ]


def test_a_label_that_may_mean_outside_is_warned_of(tiny_bert, tmp_path):
    labels = [[label.replace("O", "OUT", label == "O") for label in row] for row in Y]
    with pytest.warns(
        LabelWarning, match=r"but 'OUT' are written in the scheme BIO.*outside='OUT'"
    ):
        fitted = BertTokenClassifier(tiny_bert, **QUICK).fit(X, labels)
    assert fitted.metric_ == "token_accuracy"
    with pytest.warns(LabelWarning, match="outside='O' is not one of the labels"):
        fitted.predict_entities(["the cat"])
    told = BertTokenClassifier(tiny_bert, outside="OUT", **QUICK).fit(X, labels)
    assert told.metric_ == "entity_f1"
    told.save_pretrained(tmp_path)
    loaded = BertTokenClassifier.from_pretrained(str(tmp_path))
    assert loaded.outside == "OUT"
    assert loaded.predict_entities(["the cat"]) == told.predict_entities(["the cat"])


def test_numbers_as_labels_with_their_own_outside(tiny_bert):
    sentences = [sentence for sentence in X if sentence] * 2
    labels = [[int(word == "cat") for word in sentence] for sentence in sentences]
    fitted = BertTokenClassifier(tiny_bert, outside=0, init="random", **SURE).fit(sentences, labels)
    (found,) = fitted.predict_entities(["the cat ."])
    assert [(entity.text, entity.label) for entity in found] == [("cat", "1")]


@pytest.mark.parametrize("rate", [0, -1e-5, "fast", None, True])
def test_what_is_no_learning_rate(tiny_bert, rate):
    with pytest.raises(ParameterError, match="'auto' or a number above 0"):
        BertTokenClassifier(tiny_bert, learning_rate=rate).fit([["a"], ["b"]], [["x"], ["y"]])
