"""Heads on pooled vectors: what they read, begin as, and are saved as."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skbert import (
    BertClassifier,
    BertEmbedder,
    BertRegressor,
    CheckpointError,
    EmbeddingCache,
    InputError,
    ParameterError,
    TruncationWarning,
)
from tests.models.test_sentence_transformers import write_modules

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["a good film", "a bad film", "the cat sat", "the dog sat on the mat"] * 3
LABELS = ["film", "film", "animal", "animal"] * 3
NUMBERS = np.array([5.0, 1.0, 3.0, 2.0] * 3)
LONG = [" ".join(TEXTS), *TEXTS[1:]]
PAIRS = list(zip(LONG, ["the cat sat on the mat", "a film", "a good dog"] * 4, strict=True))
APART = {"pair_mode": "bi-encoder", "pooling": "mean"}
QUICK = {"max_epochs": 2, "min_steps": 0, "learning_rate": 1e-3, "random_state": 0}
POOLINGS = ["mean", "cls", "max", "mean_sqrt_len", "weighted_mean", "last", "pooler"]


def model_encodings(model: BertClassifier, texts: list[str]):
    return model._loaded().tokenizer.encode(texts, max_length=model.max_length_)


def unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / length * vectors.shape[1] ** 0.5


class TestPooling:
    def test_auto_is_a_sentence_encoders_own_and_else_the_own_head(self, folder, tiny_bert):
        write_modules(folder, pooling={"pooling_mode": "max"})
        own = BertClassifier(str(folder), **QUICK).fit(TEXTS, LABELS)
        assert own.pooling_ == "max"
        assert BertClassifier(tiny_bert, **QUICK).fit(TEXTS, LABELS).pooling_ == "head"

    @pytest.mark.parametrize("pooling", POOLINGS)
    @pytest.mark.parametrize("X", [TEXTS, LONG], ids=["short", "long"])
    def test_the_probe_is_linear_in_the_embedders_vectors(self, tiny_bert, pooling, X):
        """With no epoch, the logits are those of a linear layer on BertEmbedder's vectors."""
        options = {"pooling": pooling, "overflow": "windows", "max_length": 16}
        model = BertClassifier(tiny_bert, max_epochs=0, **options).fit(X, LABELS)
        assert model.n_iter_ == 0
        assert model.history_ == []
        vectors = unit(BertEmbedder(tiny_bert, **options).fit_transform(X))
        head = model._encoder.model.head
        expected = vectors @ head.weight.numpy(force=True).T + head.bias.numpy(force=True)
        np.testing.assert_allclose(
            model.decision_function(X), expected[:, 1] - expected[:, 0], atol=1e-4
        )

    @pytest.mark.parametrize("pooling", POOLINGS)
    def test_training_goes_on_from_what_prediction_computes(self, tiny_bert, pooling):
        """Without dropout a loss is that of the predictions, windows or not."""
        options = {"pooling": pooling, "overflow": "windows", "max_length": 16, "dropout": 0.0}
        recipe = {"max_epochs": 1, "min_steps": 0, "train_batch_size": 99, "learning_rate": 1e-9}
        recipe["weight_mixing"] = 1.0  # what is mixed in has sharper probabilities
        trained = BertClassifier(tiny_bert, **options, **recipe).fit(LONG, LABELS)
        probabilities = trained.predict_proba(LONG)
        codes = np.searchsorted(trained.classes_, LABELS)
        expected = -np.log(probabilities[np.arange(len(codes)), codes]).mean()
        assert trained.loss_curve_[0] == pytest.approx(expected, abs=1e-5)

    def test_a_prompt_is_read_and_not_pooled_where_the_files_say_so(self, folder):
        write_modules(folder, pooling={"pooling_mode": "mean", "include_prompt": False})
        embedder = BertEmbedder(str(folder), prompt="the cat ")
        vectors = unit(embedder.fit_transform(TEXTS))
        model = BertClassifier(str(folder), prompt="the cat ", max_epochs=0).fit(TEXTS, LABELS)
        head = model._encoder.model.head
        scores = vectors @ head.weight.numpy(force=True).T + head.bias.numpy(force=True)
        np.testing.assert_allclose(
            model.decision_function(TEXTS), scores[:, 1] - scores[:, 0], atol=1e-4
        )

    def test_windows_need_a_pooling_and_no_cross_encoder(self, tiny_bert):
        with pytest.raises(ParameterError, match=r"own head .* reads one window"):
            BertClassifier(tiny_bert, overflow="windows").fit(TEXTS, LABELS)
        pairs = [(text, "a film") for text in TEXTS]
        with pytest.raises(ParameterError, match="reads pairs whole or cut off"):
            BertClassifier(tiny_bert, overflow="windows", pooling="mean").fit(pairs, LABELS)

    def test_error_names_the_row_that_is_too_long(self, tiny_bert):
        model = BertClassifier(tiny_bert, overflow="error", max_length=16)
        with pytest.raises(InputError, match=r"X\[2\] has .* tokens, more than max_length=16"):
            model.fit([*TEXTS[:2], LONG[0]], [*LABELS[:2], "animal"])
        pairs = [("a", "b"), (LONG[0], "b")]
        with pytest.raises(InputError, match=r"X\[1\] has .* tokens"):
            model.fit(pairs, ["a", "b"])

    def test_a_pooler_that_is_not_there(self, tmp_path):
        from tests.conftest import save_tiny_bert

        bare = str(save_tiny_bert(tmp_path / "bare", pooler=False))
        with pytest.raises(ParameterError, match="has no trained pooler"):
            BertClassifier(bare, pooling="pooler").fit(TEXTS, LABELS)


class TestBiEncoder:
    """Pairs whose texts are read each by itself."""

    def test_auto_is_for_sentence_encoders_and_few_pairs(self, folder, tiny_bert, monkeypatch):
        write_modules(folder, pooling={"pooling_mode": "max"})
        model = BertClassifier(str(folder), max_epochs=0)
        assert model.fit(TEXTS, LABELS).pair_mode_ is None
        few = model.fit(PAIRS, LABELS)
        assert (few.pair_mode_, few.pooling_) == ("bi-encoder", "max")
        monkeypatch.setattr("skbert._estimators.text_estimator.MOST_PAIRS_APART", 11)
        many = model.fit(PAIRS, LABELS)
        assert (many.pair_mode_, many.pooling_) == ("cross-encoder", "head")
        windows = clone(model).set_params(overflow="windows").fit(PAIRS, LABELS)
        assert windows.pair_mode_ == "bi-encoder"
        plain = BertClassifier(tiny_bert, max_epochs=0).fit(PAIRS, LABELS)
        assert (plain.pair_mode_, plain.pooling_) == ("cross-encoder", "head")
        chosen = BertClassifier(tiny_bert, pair_mode="bi-encoder", max_epochs=0)
        assert chosen.fit(PAIRS, LABELS).pooling_ == "mean"

    @pytest.mark.parametrize("pooling", POOLINGS)
    def test_the_head_reads_what_two_vectors_say_of_each_other(self, tiny_bert, pooling):
        options = {"pooling": pooling, "overflow": "windows", "max_length": 16}
        model = BertClassifier(tiny_bert, pair_mode="bi-encoder", max_epochs=0, **options)
        model.fit(PAIRS, LABELS)
        embedder = BertEmbedder(tiny_bert, **options)
        u, v = (unit(embedder.fit_transform(list(column))) for column in zip(*PAIRS, strict=True))
        head = model._encoder.model.head
        features = np.hstack([u, v, np.abs(u - v), u * v])
        expected = features @ head.weight.numpy(force=True).T + head.bias.numpy(force=True)
        np.testing.assert_allclose(
            model.decision_function(PAIRS), expected[:, 1] - expected[:, 0], atol=1e-3
        )

    @pytest.mark.parametrize("freeze", [None, 1])
    def test_training_goes_on_from_what_prediction_computes(self, tiny_bert, freeze):
        options = {**APART, "overflow": "windows", "max_length": 16, "dropout": 0.0}
        recipe = {"max_epochs": 2, "min_steps": 0, "train_batch_size": 5, "learning_rate": 1e-9}
        recipe |= {"weight_mixing": 1.0, "freeze": freeze}
        model = BertClassifier(tiny_bert, **options, **recipe).fit(PAIRS, LABELS)
        odds = model.predict_proba(PAIRS)
        codes = np.searchsorted(model.classes_, LABELS)
        # Batches of 5, 5 and 2 pairs: each update's mean counts once.
        assert np.mean(model.loss_curve_) == pytest.approx(
            -np.log(odds[np.arange(len(codes)), codes]).mean(), abs=0.1
        )
        whole = BertClassifier(tiny_bert, **options, **recipe | {"train_batch_size": 99})
        whole.fit(PAIRS, LABELS)
        odds = whole.predict_proba(PAIRS)
        loss = -np.log(odds[np.arange(len(codes)), codes]).mean()
        np.testing.assert_allclose(whole.loss_curve_, loss, atol=1e-5)

    def test_rows_keep_their_place_in_chunks_of_any_size(self, tiny_bert, monkeypatch):
        model = BertClassifier(tiny_bert, **APART, max_epochs=0).fit(PAIRS, LABELS)
        expected = model.predict_proba(PAIRS)
        np.testing.assert_allclose(model.predict_proba(PAIRS[::-1]), expected[::-1], atol=1e-5)
        monkeypatch.setattr("skbert._texts.encoding.CHUNK_TEXTS", 3)
        np.testing.assert_allclose(model.predict_proba(PAIRS), expected, atol=1e-5)

    def test_saved_loaded_and_continued(self, tiny_bert, tmp_path):
        model = BertRegressor(tiny_bert, **APART, **QUICK).fit(PAIRS, NUMBERS)
        expected = model.predict(PAIRS)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(PAIRS), expected)
        model.save_pretrained(tmp_path)
        loaded = BertRegressor.from_pretrained(str(tmp_path))
        assert loaded.pair_mode_ == "bi-encoder"
        np.testing.assert_allclose(loaded.predict(PAIRS), expected, atol=1e-5)
        with pytest.raises(InputError, match="single texts"):
            loaded.predict(TEXTS)
        loaded.set_params(warm_start=True, **QUICK).fit(PAIRS, NUMBERS)
        assert loaded.pair_mode_ == "bi-encoder"
        with pytest.raises(InputError, match="continues the fit of a bi-encoder"):
            loaded.set_params(pair_mode="cross-encoder").fit(PAIRS, NUMBERS)

    def test_sentence_transformers_reads_the_trained_vectors(self, tiny_bert, tmp_path):
        peer = pytest.importorskip("sentence_transformers")
        model = BertClassifier(tiny_bert, **APART, **QUICK).fit(PAIRS, LABELS)
        model.save_pretrained(tmp_path)
        encoded = peer.SentenceTransformer(str(tmp_path), device="cpu").encode(TEXTS)
        ours = BertEmbedder(str(tmp_path)).fit_transform(TEXTS)
        np.testing.assert_allclose(encoded, ours, atol=1e-5)

    def test_a_head_that_is_not_there(self, tiny_bert, tmp_path):
        model = BertClassifier(tiny_bert, **APART, max_epochs=0).fit(PAIRS, LABELS)
        model.save_pretrained(tmp_path)
        (tmp_path / "head" / "model.safetensors").unlink()
        with pytest.raises(CheckpointError, match=r"head.model\.safetensors cannot be read"):
            BertClassifier.from_pretrained(str(tmp_path))

    def test_the_cache_holds_single_texts(self, tiny_bert, tmp_path):
        cache = EmbeddingCache(tmp_path / "cache")
        options = {**APART, "max_epochs": 0, "random_state": 0}
        cached = BertClassifier(tiny_bert, cache=cache, **options).fit(PAIRS, LABELS)
        assert len(cache) == len({text for pair in PAIRS for text in pair})
        plain = BertClassifier(tiny_bert, **options).fit(PAIRS, LABELS)
        np.testing.assert_allclose(
            cached.predict_proba(PAIRS), plain.predict_proba(PAIRS), atol=1e-4
        )

    def test_early_stopping_holds_out_whole_pairs(self, tiny_bert):
        options = QUICK | {"early_stopping": True, "validation_fraction": 0.25}
        model = BertClassifier(tiny_bert, **APART, **options).fit(PAIRS, LABELS)
        assert "validation_score" in model.history_[0]
        assert model.predict(PAIRS).shape == (12,)

    def test_each_cut_text_is_counted(self, tiny_bert):
        model = BertClassifier(tiny_bert, **APART, max_length=8, max_epochs=0)
        with pytest.warns(TruncationWarning, match=r"\b1 of 24 texts"):
            model.fit([(LONG[0], "a film"), *[("a", "a film")] * 11], LABELS)

    def test_what_cannot_be_read_apart(self, tiny_bert):
        with pytest.raises(ParameterError, match="a head for both"):
            BertClassifier(tiny_bert, pair_mode="bi-encoder", pooling="head").fit(PAIRS, LABELS)
        model = BertClassifier(tiny_bert, **APART, overflow="error", max_length=16)
        with pytest.raises(InputError, match=r"X\[1\] has .* tokens, more than max_length=16"):
            model.fit([("a", "b"), ("b", LONG[0])], ["a", "b"])

    def test_displays_explain_one_reading(self, tiny_bert):
        pytest.importorskip("matplotlib").use("Agg")
        from skbert.display import AttentionDisplay, TokenImportanceDisplay

        model = BertClassifier(tiny_bert, **APART, max_epochs=0).fit(PAIRS, LABELS)
        for display in (AttentionDisplay, TokenImportanceDisplay):
            with pytest.raises(ParameterError, match="reads the texts of a pair separately"):
                display.from_estimator(model, PAIRS[1:2])


class TestInit:
    def test_probe_separates_what_a_random_head_cannot(self, tiny_bert):
        probe = BertClassifier(tiny_bert, pooling="mean", max_epochs=0).fit(TEXTS, LABELS)
        assert probe.score(TEXTS, LABELS) == 1.0

    def test_no_epoch_needs_a_probe(self, tiny_bert):
        with pytest.raises(ParameterError, match='init="random" results in a random head'):
            BertClassifier(tiny_bert, max_epochs=0, init="random").fit(TEXTS, LABELS)

    def test_head_learning_rate_moves_the_head_only(self, tiny_bert):
        options = QUICK | {"learning_rate": 1e-9, "pooling": "mean", "init": "random"}
        slow, fast = (
            BertClassifier(tiny_bert, **options, head_learning_rate=rate).fit(TEXTS, LABELS)
            for rate in (None, 1e-1)
        )
        for name, weight in slow._state.weights.items():
            is_equal = np.allclose(weight, fast._state.weights[name], atol=1e-6)
            assert is_equal != name.startswith("head."), name

    def test_own_head_begins_as_a_probe_too(self, tiny_bert):
        model = BertClassifier(tiny_bert, max_epochs=0, pooling="head").fit(TEXTS, LABELS)
        assert model.score(TEXTS, LABELS) == 1.0

    def test_multilabel_and_numbers(self, tiny_bert):
        y = np.array([[1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 1]] * 3)
        model = BertClassifier(tiny_bert, pooling="mean", max_epochs=0).fit(TEXTS, y)
        assert (model.predict(TEXTS)[:, :2] == y[:, :2]).all()
        regressor = BertRegressor(tiny_bert, pooling="mean", max_epochs=0).fit(TEXTS, NUMBERS)
        assert regressor.score(TEXTS, NUMBERS) > 0.9
        table = np.stack([NUMBERS, -NUMBERS], axis=1)
        assert clone(regressor).fit(TEXTS, table).predict(TEXTS).shape == (12, 2)

    def test_rows_of_weight_zero_count_for_nothing(self, tiny_bert):
        model = BertClassifier(tiny_bert, pooling="mean", max_epochs=0, random_state=0)
        weights = np.r_[np.ones(8), np.zeros(4)]
        wrong = [*LABELS[:8], *LABELS[2:4], *LABELS[:2]]
        weighted = clone(model).fit(TEXTS, wrong, sample_weight=weights).decision_function(TEXTS)
        left_out = clone(model).fit(TEXTS[:8], LABELS[:8]).decision_function(TEXTS)
        np.testing.assert_allclose(weighted, left_out, atol=1e-6)

    def test_a_class_with_one_text(self, tiny_bert):
        model = BertClassifier(tiny_bert, pooling="mean", max_epochs=0)
        model.fit(["a film", "the cat", "the dog"], ["a", "b", "c"])
        assert model.predict(["a film", "the cat"]).tolist() == ["a", "b"]

    def test_one_seed_gives_the_same_weights(self, tiny_bert):
        model = BertClassifier(tiny_bert, pooling="mean", **QUICK)
        first, second = clone(model).fit(TEXTS, LABELS), clone(model).fit(TEXTS, LABELS)
        assert first._state.digest == second._state.digest


class TestWarmStart:
    def test_continues_the_pooled_head(self, tiny_bert):
        # Without dropout, whose noise in four updates is as large as what they learn.
        model = BertClassifier(tiny_bert, pooling="mean", warm_start=True, dropout=0.0, **QUICK)
        first = model.fit(TEXTS, LABELS).loss_curve_[-1]
        assert model.fit(TEXTS, LABELS).loss_curve_[0] < first + 0.1
        assert model.pooling_ == "mean"

    def test_another_pooling_is_refused(self, tiny_bert):
        model = BertClassifier(tiny_bert, pooling="mean", warm_start=True, **QUICK)
        model.fit(TEXTS, LABELS).set_params(pooling="max")
        with pytest.raises(InputError, match="reads pooling 'mean', but pooling='max'"):
            model.fit(TEXTS, LABELS)


class TestSaved:
    @pytest.mark.parametrize("pooling", ["mean", "cls", "max", "weighted_mean", "last"])
    def test_sentence_transformers_gives_the_logits(self, tiny_bert, tmp_path, pooling):
        peer = pytest.importorskip("sentence_transformers")
        labels = ["a", "b", "c", "d"] * 3
        model = BertClassifier(tiny_bert, pooling=pooling, **QUICK).fit(TEXTS, labels)
        model.save_pretrained(tmp_path / "saved")
        encoded = peer.SentenceTransformer(str(tmp_path / "saved"), device="cpu").encode(TEXTS)
        np.testing.assert_allclose(encoded, model.decision_function(TEXTS), atol=1e-5)

    def test_sentence_transformers_gives_numbers_in_their_unit(self, tiny_bert, tmp_path):
        peer = pytest.importorskip("sentence_transformers")
        model = BertRegressor(tiny_bert, pooling="mean", prompt="the cat ", **QUICK)
        model.fit(TEXTS, NUMBERS).save_pretrained(tmp_path)
        encoded = peer.SentenceTransformer(str(tmp_path), device="cpu").encode(TEXTS)
        np.testing.assert_allclose(encoded[:, 0], model.predict(TEXTS), atol=1e-5)
        again = BertRegressor.from_pretrained(str(tmp_path))
        np.testing.assert_allclose(again.predict(TEXTS), model.predict(TEXTS), atol=1e-5)

    def test_from_pretrained_and_pickle(self, tiny_bert, tmp_path: Path):
        model = BertClassifier(tiny_bert, pooling="mean", **QUICK).fit(TEXTS, LABELS)
        model.save_pretrained(tmp_path)
        loaded = BertClassifier.from_pretrained(str(tmp_path))
        assert (loaded.pooling_, loaded.classes_.tolist()) == ("mean", ["animal", "film"])
        expected = model.decision_function(TEXTS)
        np.testing.assert_allclose(loaded.decision_function(TEXTS), expected, atol=1e-5)
        unpickled = pickle.loads(pickle.dumps(model))
        np.testing.assert_array_equal(unpickled.decision_function(TEXTS), expected)
        again = loaded.set_params(warm_start=True, **QUICK).fit(TEXTS, LABELS)
        assert again.pooling_ == "mean"


def test_a_pooled_head_draws_nothing_from_the_callers_generator(tiny_bert, tmp_path):
    model = BertClassifier(tiny_bert, pooling="mean", max_epochs=0).fit(TEXTS, LABELS)
    before = torch.get_rng_state()
    model.save_pretrained(tmp_path)
    BertClassifier.from_pretrained(str(tmp_path)).predict(TEXTS)
    pickle.loads(pickle.dumps(model)).predict(TEXTS)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_head_on_the_pooler_is_saved_too(tiny_bert, tmp_path):
    """sentence-transformers has no such pooling."""
    model = BertClassifier(tiny_bert, pooling="pooler", **QUICK).fit(TEXTS, LABELS)
    model.save_pretrained(tmp_path)
    loaded = BertClassifier.from_pretrained(str(tmp_path))
    np.testing.assert_allclose(loaded.predict_proba(TEXTS), model.predict_proba(TEXTS), atol=1e-5)


class TestDisplays:
    def test_a_pooled_head_is_explained(self, tiny_bert):
        pytest.importorskip("captum")
        from skbert.display import TokenImportanceDisplay

        model = BertClassifier(tiny_bert, pooling="mean", **QUICK).fit(TEXTS, LABELS)
        pytest.importorskip("matplotlib").use("Agg")
        display = TokenImportanceDisplay.from_estimator(model, TEXTS[:1])
        scores = model.decision_function(TEXTS[:1])
        logits = model._run(model._loaded(), model_encodings(model, TEXTS[:1]))
        assert display.output == pytest.approx(float(logits.max()), abs=1e-4)
        total = float(np.sum(display.token_importances))
        assert total == pytest.approx(display.output - display.baseline_output, rel=0.03, abs=1e-3)
        assert (logits[0, 1] > logits[0, 0]) == (scores[0] > 0)


class TestCache:
    """The probe's vectors are the embedder's, computed once."""

    @pytest.mark.parametrize(
        "options",
        [
            {"pooling": "mean"},
            {"pooling": "cls", "prompt": "query: "},
            {"pooling": "mean", "overflow": "windows", "max_length": 16},
        ],
        ids=["mean", "prompt", "windows"],
    )
    def test_the_probe_is_the_same_and_the_second_fit_embeds_nothing(
        self, tiny_bert, tmp_path, options, monkeypatch
    ):
        cache = EmbeddingCache(tmp_path / "cache")
        computed = BertClassifier(tiny_bert, max_epochs=0, random_state=0, **options).fit(
            LONG, LABELS
        )
        cached = BertClassifier(tiny_bert, max_epochs=0, random_state=0, cache=cache, **options)
        np.testing.assert_allclose(
            cached.fit(LONG, LABELS).predict_proba(LONG), computed.predict_proba(LONG), atol=1e-4
        )
        assert len(cache) == len(set(LONG))
        monkeypatch.setattr(
            "skbert._estimators.embedder.embed_texts",
            lambda *args, **kwargs: pytest.fail("embedded"),
        )
        again = clone(cached).set_params(cache=str(cache.path)).fit(LONG, LABELS)
        np.testing.assert_allclose(again.predict_proba(LONG), cached.predict_proba(LONG), atol=1e-4)

    def test_a_sentence_encoders_entries_are_those_of_the_default_embedder(self, folder, tmp_path):
        write_modules(folder, "Normalize")
        cache = EmbeddingCache(tmp_path / "cache")
        BertEmbedder(str(folder), cache=cache).fit_transform(TEXTS)
        n_entries = len(cache)
        model = BertClassifier(str(folder), max_epochs=0, random_state=0, cache=cache).fit(
            TEXTS, LABELS
        )
        assert len(cache) == n_entries
        plain = BertClassifier(str(folder), max_epochs=0, random_state=0).fit(TEXTS, LABELS)
        np.testing.assert_allclose(
            model.predict_proba(TEXTS), plain.predict_proba(TEXTS), atol=1e-4
        )

    def test_an_own_head_needs_none(self, tiny_bert, tmp_path):
        cache = EmbeddingCache(tmp_path / "cache")
        BertClassifier(tiny_bert, max_epochs=0, random_state=0, cache=cache).fit(TEXTS, LABELS)
        assert len(cache) == 0

    def test_what_is_no_cache(self, tiny_bert):
        with pytest.raises(ParameterError, match="cache=3"):
            BertClassifier(tiny_bert, cache=3).fit(TEXTS, LABELS)
