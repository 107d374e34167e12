"""Texts together with other columns in one model."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skbert import BertClassifier, BertEmbedder, BertRegressor, InputError, ParameterError
from skbert._estimators.number_columns import NumberColumns

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["a good film", "a bad film", "the cat sat", "the dog sat on the mat"] * 4
FRAME = pd.DataFrame(
    {
        "price": [1.0, 2.0, np.nan, 8.0] * 4,
        "remark": TEXTS,
        "count": range(16),
        "new": [True, False] * 8,
    }
)
# The texts say nothing of it.
LABELS = np.array([0, 1] * 8)[np.argsort(np.argsort(FRAME["count"] % 5, kind="stable"))]
QUICK = {"max_epochs": 2, "min_steps": 0, "learning_rate": 1e-3, "random_state": 0}
MEAN = {"pooling": "mean", "text_columns": "remark"}


class TestNumbers:
    """NumberColumns itself."""

    def test_as_scikit_learns_steps(self):
        table = FRAME[["price", "count"]].to_numpy(float)
        columns = NumberColumns.fitted(table, np.ones(16))
        features = columns.features(table)
        np.testing.assert_allclose(
            features[:, :2], np.nan_to_num(StandardScaler().fit_transform(table)), atol=1e-6
        )
        assert features[:, 2].tolist() == [0.0, 0.0, 1.0, 0.0] * 4
        assert columns.features(np.full((1, 2), np.nan)).tolist() == [[0.0, 0.0, 1.0]]

    def test_weights_are_repetitions_and_zeros_count_for_nothing(self):
        table = np.array([[1.0], [4.0], [np.nan], [1e9]])
        weighted = NumberColumns.fitted(table, np.array([2.0, 1.0, 0.0, 0.0]))
        repeated = NumberColumns.fitted(np.array([[1.0], [1.0], [4.0]]), np.ones(3))
        np.testing.assert_allclose(weighted.mean, repeated.mean)
        np.testing.assert_allclose(weighted.scale, repeated.scale)
        assert weighted.n_features == 1

    @pytest.mark.parametrize("value", [7.0, 0.1, np.nan])
    def test_a_constant_column_and_an_empty_one_are_zeros(self, value):
        table = np.full((3, 1), value)
        features = NumberColumns.fitted(table, np.ones(3)).features(table)
        np.testing.assert_allclose(features[:, 0], 0, atol=1e-6)


class TestFit:
    def test_the_probe_is_linear_in_vectors_and_numbers(self, tiny_bert):
        model = BertClassifier(tiny_bert, max_epochs=0, **MEAN).fit(FRAME, LABELS)
        vectors = BertEmbedder(tiny_bert).fit_transform(TEXTS)
        vectors *= 32**0.5 / np.linalg.norm(vectors, axis=1, keepdims=True)
        numbers = FRAME[["price", "count", "new"]].to_numpy(float)
        beside = NumberColumns.fitted(numbers, np.ones(16)).features(numbers)
        head = model._encoder.model.head
        features = np.hstack([vectors, beside])
        scores = features @ head.weight.numpy(force=True).T + head.bias.numpy(force=True)
        np.testing.assert_allclose(
            model.decision_function(FRAME), scores[:, 1] - scores[:, 0], atol=1e-4
        )

    def test_learns_from_the_numbers(self, tiny_bert):
        y = FRAME["count"].to_numpy() > 7
        model = BertClassifier(tiny_bert, **MEAN, **QUICK).fit(FRAME, y)
        assert model.score(FRAME, y) > 0.8
        number = BertRegressor(tiny_bert, **MEAN, **QUICK).fit(FRAME, FRAME["count"] * 3.0)
        assert number.score(FRAME, FRAME["count"] * 3.0) > 0.9

    def test_training_goes_on_from_what_prediction_computes(self, tiny_bert):
        options = {**MEAN, "dropout": 0.0, "weight_mixing": 1.0, "train_batch_size": 99}
        recipe = {"max_epochs": 1, "min_steps": 0, "learning_rate": 1e-9}
        model = BertClassifier(tiny_bert, **options, **recipe).fit(FRAME, LABELS)
        odds = model.predict_proba(FRAME)
        loss = -np.log(odds[np.arange(16), LABELS]).mean()
        assert model.loss_curve_[0] == pytest.approx(loss, abs=1e-5)

    def test_a_plain_checkpoint_gets_a_pooling(self, tiny_bert):
        model = BertClassifier(tiny_bert, text_columns="remark", max_epochs=0)
        assert model.fit(FRAME, LABELS).pooling_ == "mean"
        alone = model.fit(FRAME[["remark"]], LABELS)
        assert alone.pooling_ == "head"

    def test_order_chunks_and_cache_do_not_matter(self, tiny_bert, monkeypatch, tmp_path):
        model = BertClassifier(tiny_bert, max_epochs=0, random_state=0, **MEAN).fit(FRAME, LABELS)
        expected = model.predict_proba(FRAME)
        np.testing.assert_allclose(model.predict_proba(FRAME[::-1]), expected[::-1], atol=1e-5)
        monkeypatch.setattr("skbert._texts.encoding.CHUNK_TEXTS", 3)
        np.testing.assert_allclose(model.predict_proba(FRAME), expected, atol=1e-5)
        cached = clone(model).set_params(cache=str(tmp_path / "c.sqlite")).fit(FRAME, LABELS)
        np.testing.assert_allclose(cached.predict_proba(FRAME), expected, atol=1e-4)

    @pytest.mark.parametrize("of", ["polars", "array"])
    def test_other_tables(self, tiny_bert, of):
        X = pl.from_pandas(FRAME) if of == "polars" else FRAME.to_numpy(object)
        options = MEAN | {"text_columns": "remark" if of == "polars" else 1}
        model = BertClassifier(tiny_bert, max_epochs=0, random_state=0, **options).fit(X, LABELS)
        expected = BertClassifier(tiny_bert, max_epochs=0, random_state=0, **MEAN)
        np.testing.assert_allclose(
            model.predict_proba(X), expected.fit(FRAME, LABELS).predict_proba(FRAME), atol=1e-5
        )

    def test_several_texts_are_named_and_missing_ones_left_out(self, tiny_bert):
        frame = FRAME.assign(title=["a title", None] * 8)
        model = BertClassifier(tiny_bert, max_epochs=0, text_columns=["title", "remark"])
        texts = model._read(frame)
        assert texts.first[:2] == ["title: a title\nremark: a good film", "remark: a bad film"]
        assert texts.numbers.shape == (16, 3)
        model.fit(frame, LABELS).predict(frame)

    def test_in_scikit_learn(self, tiny_bert):
        frame = FRAME.assign(shop=["a", "b"] * 8)
        numeric = make_column_transformer(
            (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), ["shop"]),
            remainder="passthrough",
            verbose_feature_names_out=False,
        ).set_output(transform="pandas")
        model = make_pipeline(numeric, BertClassifier(tiny_bert, max_epochs=0, **MEAN))
        search = GridSearchCV(model, {"bertclassifier__init": ["probe"]}, cv=2)
        assert search.fit(frame, LABELS).predict(frame).shape == (16,)

    def test_early_stopping_weights_and_names_of_classes(self, tiny_bert):
        y = np.where(LABELS, "dog", "cat")
        model = BertClassifier(
            tiny_bert, early_stopping=True, label_texts="auto", **MEAN, **QUICK
        ).fit(FRAME, y, sample_weight=np.r_[np.zeros(2), np.ones(14)])
        assert "validation_score" in model.history_[0]
        assert model.predict(FRAME).shape == (16,)

    def test_rows_of_weight_zero_count_for_nothing(self, tiny_bert):
        model = BertClassifier(tiny_bert, max_epochs=0, random_state=0, **MEAN)
        weights = np.r_[np.ones(12), np.zeros(4)]
        odd = FRAME.assign(count=[*range(12), 1e6, 1e6, 1e6, 1e6])
        weighted = clone(model).fit(odd, LABELS, sample_weight=weights).predict_proba(FRAME)
        left_out = clone(model).fit(FRAME[:12], LABELS[:12]).predict_proba(FRAME)
        np.testing.assert_allclose(weighted, left_out, atol=1e-5)


class TestKept:
    def test_pickled_saved_and_loaded(self, tiny_bert, tmp_path):
        model = BertRegressor(tiny_bert, **MEAN, **QUICK).fit(FRAME, LABELS.astype(float))
        expected = model.predict(FRAME)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(FRAME), expected)
        model.save_pretrained(tmp_path)
        loaded = BertRegressor.from_pretrained(str(tmp_path))
        assert loaded.text_columns == "remark"
        np.testing.assert_allclose(loaded.predict(FRAME), expected, atol=1e-5)
        with pytest.raises(InputError, match="must be in the same order"):
            loaded.predict(FRAME[["remark", "price", "count", "new"]])

    def test_a_column_by_position_is_saved(self, tiny_bert, tmp_path):
        X = FRAME.to_numpy(object)
        options = MEAN | {"text_columns": [np.int64(1)]}
        model = BertClassifier(tiny_bert, max_epochs=0, **options).fit(X, LABELS)
        model.save_pretrained(tmp_path)
        loaded = BertClassifier.from_pretrained(str(tmp_path))
        assert loaded.text_columns == [1]
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))

    def test_a_warm_start_keeps_the_units(self, tiny_bert):
        model = BertClassifier(tiny_bert, warm_start=True, **MEAN, **QUICK).fit(FRAME, LABELS)
        mean = model._numbers.mean
        model.fit(FRAME.assign(count=FRAME["count"] * 1000), LABELS)
        np.testing.assert_array_equal(model._numbers.mean, mean)
        with pytest.raises(InputError, match="continues a fit with 4 numbers beside each text"):
            model.fit(FRAME[["remark", "count"]], LABELS)

    def test_without_the_columns_again(self, tiny_bert):
        model = BertClassifier(tiny_bert, max_epochs=0, **MEAN).fit(FRAME, LABELS)
        model.set_params(text_columns=None).fit(TEXTS, LABELS)
        assert model.predict(TEXTS).shape == (16,)
        assert not hasattr(model, "n_features_in_")


class TestRefused:
    @pytest.mark.parametrize("value", [[], 1.5, -1, [["remark"]], {"remark"}])
    def test_what_is_no_column(self, tiny_bert, value):
        with pytest.raises(ParameterError, match="text_columns="):
            BertClassifier(tiny_bert, text_columns=value).fit(FRAME, LABELS)

    def test_a_column_that_is_not_there(self, tiny_bert):
        with pytest.raises(ParameterError, match=r"no column 'text'. Its columns are \['price'"):
            BertClassifier(tiny_bert, text_columns="text").fit(FRAME, LABELS)

    def test_single_texts(self, tiny_bert):
        with pytest.raises(InputError, match="chooses columns of a table"):
            BertClassifier(tiny_bert, text_columns="remark").fit(TEXTS, LABELS)

    def test_what_is_no_number_shows_how_to_make_it_one(self, tiny_bert):
        frame = FRAME.assign(shop=["a", "b"] * 8)
        with pytest.raises(
            InputError, match=r"X\['shop'\]\[0\] is 'a' \(str\).*OneHotEncoder\(.*\['shop'\]"
        ):
            BertClassifier(tiny_bert, **MEAN).fit(frame, LABELS)
        with pytest.raises(InputError, match="is inf, expected a finite number"):
            BertClassifier(tiny_bert, **MEAN).fit(FRAME.assign(price=np.inf), LABELS)
        with pytest.raises(InputError, match=r"X\['remark'\]\[0\] is 5 \(int\)"):
            BertClassifier(tiny_bert, **MEAN).fit(FRAME.assign(remark=5), LABELS)

    def test_the_own_head(self, tiny_bert):
        with pytest.raises(ParameterError, match="reads no numbers"):
            BertClassifier(tiny_bert, pooling="head", text_columns="remark").fit(FRAME, LABELS)

    def test_displays(self, tiny_bert):
        pytest.importorskip("matplotlib").use("Agg")
        from skbert.display import AttentionDisplay

        model = BertClassifier(tiny_bert, max_epochs=0, **MEAN).fit(FRAME, LABELS)
        with pytest.raises(ParameterError, match="reads numbers in addition to the text"):
            AttentionDisplay.from_estimator(model, FRAME[:1])
