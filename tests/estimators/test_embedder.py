"""BertEmbedder where users put it: alone, in pipelines, in searches, in pickles."""

from __future__ import annotations

import copy
import gc
import pickle
import shutil
import warnings
import weakref
from pathlib import Path

import joblib
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from sklearn.base import clone
from sklearn.compose import (
    ColumnTransformer,
    make_column_selector,
    make_column_transformer,
)
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder

from skbert import (
    BertEmbedder,
    CheckpointNotFoundError,
    DeviceError,
    InputError,
    ParameterError,
    TextTooLongError,
    TruncationWarning,
    inspect_tokens,
)
from skbert._estimators import embedder as embedder_module

LONG = "the cat sat on the mat . " * 20  # 140 tokens and two special ones

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def embedder(tiny_bert, texts) -> BertEmbedder:
    return BertEmbedder(tiny_bert).fit(texts)


class TestParameters:
    def test_init_only_stores(self):
        embedder = BertEmbedder("nowhere", pooling="nonsense", batch_size=-1)
        assert not [name for name in vars(embedder) if name.endswith("_")]
        assert clone(embedder).get_params() == embedder.get_params()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("model", ""),
            ("model", 3),
            ("revision", 1),
            ("pooling", "sum"),
            ("layers", ()),
            ("layers", 1.0),
            ("layers", True),
            ("combine_layers", "sum"),
            ("normalize", "yes"),
            ("max_length", 0),
            ("max_length", "auto"),
            ("overflow", "cut"),
            ("stride", -1),
            ("missing", "drop"),
            ("batch_size", 0),
            ("batch_size", 2.5),
            ("device", None),
            ("precision", "float8"),
            ("cache", 1),
            ("n_jobs", 0),
            ("n_jobs", 1.5),
            ("save_weights", "always"),
            ("verbose", -1),
        ],
    )
    def test_unusable_value_is_named(self, tiny_bert, name, value):
        embedder = BertEmbedder(tiny_bert).set_params(**{name: value})
        with pytest.raises(ParameterError, match=f"{name}=.*expected"):
            embedder.fit(["a"])

    @pytest.mark.parametrize("layers", [3, -4, (0, 5)])
    def test_layers_out_of_range(self, tiny_bert, layers):
        with pytest.raises(ParameterError, match="has 2 layers"):
            BertEmbedder(tiny_bert, layers=layers).fit(["a"])

    def test_pooler_reads_the_last_layer_only(self, tiny_bert):
        with pytest.raises(ParameterError, match="last layer only"):
            BertEmbedder(tiny_bert, pooling="pooler", layers=1).fit(["a"])

    def test_no_room_for_text(self, tiny_bert):
        with pytest.raises(ParameterError, match="Use at least 3"):
            BertEmbedder(tiny_bert, max_length=2).fit(["a"])

    def test_stride_must_move_forward(self, tiny_bert):
        embedder = BertEmbedder(tiny_bert, max_length=10, overflow="windows", stride=8)
        with pytest.raises(ParameterError, match="smaller than the 8 tokens"):
            embedder.fit(["a"])

    def test_absent_device(self, tiny_bert):
        with pytest.raises(DeviceError, match="cuda:99"):
            BertEmbedder(tiny_bert, device="cuda:99").fit(["a"])

    def test_numpy_integers_are_integers(self, tiny_bert, texts, embedder):
        other = BertEmbedder(tiny_bert, layers=np.int64(-1), batch_size=np.int32(2)).fit(texts)
        np.testing.assert_allclose(other.transform(texts), embedder.transform(texts), atol=1e-6)

    def test_path_as_model(self, tiny_bert, texts, embedder):
        other = BertEmbedder(Path(tiny_bert)).fit(texts)
        np.testing.assert_array_equal(other.transform(texts), embedder.transform(texts))


class TestResults:
    def test_shape_type_and_order(self, embedder, texts):
        vectors = embedder.transform(texts)
        assert vectors.shape == (len(texts), 32)
        assert vectors.dtype == np.float32
        np.testing.assert_allclose(vectors[0], vectors[4], atol=1e-5)  # equal texts
        assert np.abs(vectors[0] - vectors[2]).max() > 0.1

    @pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
    def test_batch_size_changes_nothing(self, tiny_bert, texts, embedder, batch_size):
        other = BertEmbedder(tiny_bert, batch_size=batch_size).fit(texts)
        np.testing.assert_allclose(other.transform(texts), embedder.transform(texts), atol=1e-5)

    def test_many_chunks_are_one(self, monkeypatch, embedder, texts):
        expected = embedder.transform(texts)
        monkeypatch.setattr("skbert._texts.encoding.CHUNK_TEXTS", 2)
        np.testing.assert_allclose(embedder.transform(texts), expected, atol=1e-5)

    def test_normalize(self, tiny_bert, texts, embedder):
        unit = BertEmbedder(tiny_bert, normalize=True).fit_transform(texts)
        np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1, atol=1e-6)
        expected = embedder.transform(texts)
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        np.testing.assert_allclose(unit, expected, atol=1e-6)

    def test_concat_and_mean_of_layers(self, tiny_bert, texts):
        layers = [BertEmbedder(tiny_bert, layers=k).fit_transform(texts) for k in (0, 1, 2)]
        assert np.abs(layers[0] - layers[2]).max() > 0.1
        joined = BertEmbedder(tiny_bert, layers=(0, 2), combine_layers="concat")
        np.testing.assert_allclose(
            joined.fit_transform(texts), np.hstack([layers[0], layers[2]]), atol=1e-5
        )
        assert joined.n_features_out_ == 64
        averaged = BertEmbedder(tiny_bert, layers=(-1, -2)).fit_transform(texts)
        np.testing.assert_allclose(averaged, (layers[2] + layers[1]) / 2, atol=1e-5)

    @pytest.mark.parametrize("precision", ["bfloat16", "float16"])
    def test_half_precisions_are_close(self, tiny_bert, texts, embedder, precision):
        half = BertEmbedder(tiny_bert, precision=precision, normalize=True).fit_transform(texts)
        full = BertEmbedder(tiny_bert, normalize=True).fit_transform(texts)
        assert half.dtype == np.float32
        assert (half * full).sum(1).min() > 0.995
        assert np.abs(half - full).max() > 0

    def test_refit_forgets(self, tiny_bert, texts):
        embedder = BertEmbedder(tiny_bert, layers=(0, 1), combine_layers="concat").fit(texts)
        embedder.set_params(layers=-1, combine_layers="mean").fit(texts)
        assert embedder.transform(texts).shape == (len(texts), 32)
        assert embedder.get_feature_names_out().shape == (32,)

    def test_failed_refit_leaves_nothing(self, embedder, texts):
        embedder.set_params(model="./nowhere")
        with pytest.raises(CheckpointNotFoundError):
            embedder.fit(texts)
        with pytest.raises(NotFittedError):
            embedder.transform(texts)

    def test_refused_parameter_leaves_nothing_fitted(self, tiny_bert, texts):
        embedder = BertEmbedder(tiny_bert, layers=9)
        with pytest.raises(ParameterError, match="layers=9"):
            embedder.fit(texts)
        with pytest.raises(NotFittedError):
            embedder.transform(texts)

    def test_unfitted(self, texts):
        with pytest.raises(NotFittedError):
            BertEmbedder("./nowhere").transform(texts)

    def test_progress_is_shown_on_request(self, tiny_bert, texts, capfd):
        BertEmbedder(tiny_bert, verbose=1).fit_transform(texts)
        assert "7/7" in capfd.readouterr().err
        BertEmbedder(tiny_bert).fit_transform(texts)
        assert capfd.readouterr().err == ""


class TestMissing:
    @pytest.mark.parametrize("gone", [None, float("nan"), pd.NA])
    def test_choices(self, tiny_bert, gone):
        X = ["the cat", gone]
        with pytest.raises(InputError, match="1 missing value"):
            BertEmbedder(tiny_bert).fit(X)
        empty = BertEmbedder(tiny_bert, missing="empty").fit_transform(X)
        np.testing.assert_array_equal(empty[1], BertEmbedder(tiny_bert).fit_transform([""])[0])
        zero = BertEmbedder(tiny_bert, missing="zero").fit_transform(X)
        np.testing.assert_array_equal(zero[1], np.zeros(32))
        np.testing.assert_array_equal(zero[0], empty[0])

    def test_zero_token_vectors(self, tiny_bert):
        tokens = BertEmbedder(tiny_bert, missing="zero", pooling=None).fit_transform(["a", None])
        assert [part.shape for part in tokens] == [(3, 32), (0, 32)]


class TestOverflow:
    def test_truncation_is_counted_once(self, embedder):
        with pytest.warns(
            TruncationWarning, match=r"2 of 3 .* max_length=64: 156 of their tokens"
        ) as seen:
            embedder.transform([LONG, "the cat", LONG])
        assert len(seen) == 1
        assert seen[0].filename == __file__  # the user's line, not scikit-learn's wrapper

    def test_what_fits_gives_no_warning(self, embedder, texts):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            embedder.transform(texts)

    def test_error(self, tiny_bert):
        embedder = BertEmbedder(tiny_bert, overflow="error").fit(["a"])
        with pytest.raises(TextTooLongError, match=r"X\[1\] has 142 tokens.*max_length=64"):
            embedder.transform(["the cat", LONG])

    @pytest.mark.parametrize("pooling", ["mean", "max", "mean_sqrt_len"])
    def test_windows_pool_every_token_once(self, tiny_bert, pooling):
        settings = {"overflow": "windows", "max_length": 20, "stride": 6}
        tokens = BertEmbedder(tiny_bert, pooling=None, **settings).fit_transform([LONG, "a"])
        pooled = BertEmbedder(tiny_bert, pooling=pooling, **settings).fit_transform([LONG, "a"])
        assert len(tokens[0]) == 142
        expected = {
            "mean": tokens[0].mean(0),
            "max": tokens[0].max(0),
            "mean_sqrt_len": tokens[0].sum(0) / np.sqrt(142),
        }[pooling]
        np.testing.assert_allclose(pooled[0], expected, atol=1e-5)

    def test_windows_of_short_texts_change_nothing(self, tiny_bert, texts, embedder):
        windows = BertEmbedder(tiny_bert, overflow="windows").fit_transform(texts)
        np.testing.assert_array_equal(windows, embedder.transform(texts))

    def test_each_token_comes_from_its_best_window(self, tiny_bert):
        """Windows of 8 body tokens, 4 of them shared: tokens 0-5 are owned by the first."""
        words = "one two three red blue green house tree runs sleeps eats he".split()
        tokens = BertEmbedder(
            tiny_bert, pooling=None, overflow="windows", max_length=10, stride=4
        ).fit_transform([" ".join(words)])[0]
        alone = BertEmbedder(tiny_bert, pooling=None)
        first = alone.fit_transform([" ".join(words[:8])])[0]
        second = alone.fit_transform([" ".join(words[4:])])[0]
        np.testing.assert_allclose(tokens[:7], first[:7], atol=1e-5)  # [CLS] and six words
        np.testing.assert_allclose(tokens[7:], second[3:], atol=1e-5)  # six words and [SEP]


class TestTokenVectors:
    def test_one_array_a_text(self, tiny_bert, texts):
        tokens = BertEmbedder(tiny_bert, pooling=None).fit_transform(texts)
        pooled = BertEmbedder(tiny_bert).fit_transform(texts)
        assert isinstance(tokens, list)
        for part, vector in zip(tokens, pooled, strict=True):
            np.testing.assert_allclose(part.mean(0), vector, atol=1e-5)

    def test_no_names_and_no_frames(self, tiny_bert, texts):
        embedder = BertEmbedder(tiny_bert, pooling=None)
        assert not hasattr(embedder, "get_feature_names_out")
        assert not hasattr(embedder, "set_output")
        with sklearn.config_context(transform_output="pandas"):
            assert isinstance(embedder.fit_transform(texts), list)

    @pytest.mark.parametrize("overflow", ["truncate", "windows"])
    @pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
    def test_inspect_tokens_lines_up(self, tiny_bert, texts, overflow):
        settings = {"overflow": overflow, "max_length": 12}
        texts = [*texts, LONG]
        vectors = BertEmbedder(tiny_bert, pooling=None, **settings).fit_transform(texts)
        tokens = inspect_tokens(texts, tiny_bert, **settings)
        assert tokens.groupby("text").size().tolist() == [len(part) for part in vectors]
        for row in tokens[tokens.end > 0].itertuples():
            piece = row.token.removeprefix("##")
            assert texts[row.text][row.start : row.end].lower() == piece

    def test_inspect_tokens_of_one_word(self, tiny_bert):
        tokens = inspect_tokens(["Unbelievable !"], tiny_bert)
        assert tokens.token.tolist() == ["[CLS]", "un", "##believ", "##able", "!", "[SEP]"]
        assert tokens.start.tolist() == [0, 0, 2, 8, 13, 0]
        assert tokens.end.tolist() == [0, 2, 8, 12, 14, 0]
        assert set(tokens.attention_mask) == {1}
        assert set(tokens.segment) == {0}

    def test_inspect_tokens_shows_padding(self, tiny_bert):
        tokens = inspect_tokens(["a", "the cat sat"], tiny_bert, padding=True)
        assert tokens.groupby("text").size().tolist() == [5, 5]
        padding = tokens[tokens.attention_mask == 0]
        assert padding.token.tolist() == ["[PAD]", "[PAD]"]

    def test_inspect_tokens_of_an_embedder(self, tiny_bert):
        embedder = BertEmbedder(tiny_bert, max_length=4).fit(["a"])
        with pytest.warns(TruncationWarning, match="1 of 1 texts"):
            tokens = inspect_tokens(["the cat sat on"], embedder)
        assert tokens.token.tolist() == ["[CLS]", "the", "cat", "[SEP]"]
        with pytest.raises(ParameterError, match="max_length=5 cannot be combined"):
            inspect_tokens(["the cat"], embedder, max_length=5)
        with pytest.raises(NotFittedError):
            inspect_tokens(["the cat"], BertEmbedder(tiny_bert))


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    label = np.tile([0, 1], 20)
    return pd.DataFrame(
        {
            "review": np.where(label, "very good film", "bad film"),
            "price": rng.normal(size=40),
            "shop": rng.choice(["red", "blue"], 40),
            "label": label,
        },
        index=np.arange(100, 140),
    )


class TestColumns:
    """Several columns of texts, and what they are called."""

    FRAME = pd.DataFrame(
        {"title": ["the cat", "a dog", "the cat"], "body": ["a good film", "the cat", "sat on"]}
    )

    def test_vectors_stand_side_by_side_and_each_text_is_computed_once(
        self, tiny_bert, monkeypatch
    ):
        embedder = BertEmbedder(tiny_bert).fit(self.FRAME)
        read = []
        compute = embedder_module.embed_texts
        monkeypatch.setattr(
            embedder_module,
            "embed_texts",
            lambda encoder, settings, texts, *args, **kwargs: (
                read.extend(texts) or compute(encoder, settings, texts, *args, **kwargs)
            ),
        )
        vectors = embedder.transform(self.FRAME)
        assert sorted(read) == ["a dog", "a good film", "sat on", "the cat"]
        single = BertEmbedder(tiny_bert)
        expected = [single.fit_transform(self.FRAME[name]) for name in self.FRAME]
        np.testing.assert_allclose(vectors, np.hstack(expected), atol=1e-6)
        assert vectors.shape == (3, embedder.n_features_out_) == (3, 64)

    @pytest.mark.parametrize(
        "of", [pl.DataFrame, pa.table, lambda data: nw.from_native(pl.DataFrame(data))]
    )
    def test_every_frame_gives_the_same(self, tiny_bert, of):
        data = {name: self.FRAME[name].tolist() for name in self.FRAME}
        embedder = BertEmbedder(tiny_bert).fit(of(data))
        expected = BertEmbedder(tiny_bert).fit_transform(self.FRAME)
        np.testing.assert_array_equal(embedder.transform(of(data)), expected)
        assert embedder.get_feature_names_out()[[0, -1]].tolist() == ["title_00", "body_31"]

    def test_names_are_those_of_the_columns(self, tiny_bert):
        embedder = BertEmbedder(tiny_bert)
        names = embedder.fit(self.FRAME).get_feature_names_out()
        assert names[[0, 31, 32, 63]].tolist() == ["title_00", "title_31", "body_00", "body_31"]
        assert embedder.feature_names_in_.tolist() == ["title", "body"]
        assert embedder.n_features_in_ == 2
        array = self.FRAME.to_numpy()
        assert embedder.fit(array).get_feature_names_out()[32] == "x1_00"
        assert embedder.n_features_in_ == 2
        assert not hasattr(embedder, "feature_names_in_")
        assert embedder.fit(self.FRAME["body"]).get_feature_names_out()[0] == "body_00"
        assert embedder.fit(["a"]).get_feature_names_out()[0] == "x0_00"
        assert not hasattr(embedder, "n_features_in_")
        assert embedder.get_feature_names_out(["t"])[0] == "t_00"

    def test_other_input_features_are_refused(self, tiny_bert):
        embedder = BertEmbedder(tiny_bert).fit(self.FRAME)
        with pytest.raises(InputError, match="should have length equal"):
            embedder.get_feature_names_out(["title"])
        with pytest.raises(InputError, match="not equal to feature_names_in_"):
            embedder.get_feature_names_out(["body", "title"])

    def test_other_columns_are_refused(self, tiny_bert):
        embedder = BertEmbedder(tiny_bert).fit(self.FRAME)
        with pytest.raises(InputError, match="must be in the same order"):
            embedder.transform(self.FRAME[["body", "title"]])
        with pytest.raises(InputError, match="should match those"):
            embedder.transform(self.FRAME.rename(columns={"body": "text"}))
        with pytest.raises(InputError, match="1 features, but BertEmbedder is expecting 2"):
            embedder.transform(["a"])
        with pytest.raises(InputError, match="expecting 1 features as input: expected one column"):
            BertEmbedder(tiny_bert).fit(["a"]).transform(self.FRAME)

    def test_a_series_of_another_name_is_read(self, tiny_bert):
        embedder = BertEmbedder(tiny_bert).fit(self.FRAME[["title"]])
        renamed = self.FRAME["title"].rename("headline")
        np.testing.assert_array_equal(
            embedder.transform(renamed), embedder.transform(self.FRAME[["title"]])
        )

    def test_errors_name_column_and_row(self, tiny_bert):
        frame = self.FRAME.astype(object)
        frame.loc[1, "body"] = None
        with pytest.raises(InputError, match=r"Column 'body' of X has 1 missing .* position 1"):
            BertEmbedder(tiny_bert).fit(frame)
        frame.loc[1, "body"] = 5
        with pytest.raises(InputError, match=r"X\['body'\]\[1\] is 5 \(int\), expected a str"):
            BertEmbedder(tiny_bert).fit(frame)
        embedder = BertEmbedder(tiny_bert, overflow="error", max_length=8).fit(self.FRAME)
        with pytest.raises(InputError, match=r"X\[2\] has .* tokens, more than max_length=8"):
            embedder.transform(self.FRAME.assign(body=["a", "a", "the cat sat " * 5]))

    def test_missing_texts_of_one_column(self, tiny_bert):
        frame = self.FRAME.astype(object)
        frame.loc[1, "body"] = None
        vectors = BertEmbedder(tiny_bert, missing="zero").fit_transform(frame)
        assert (vectors[1, 32:] == 0).all()
        assert (vectors[1, :32] != 0).any()

    @pytest.mark.parametrize("missing", ["empty", "zero"])
    def test_an_indicator_of_missing_texts(self, tiny_bert, missing):
        frame = self.FRAME.astype(object)
        frame.loc[1, "body"] = None
        embedder = BertEmbedder(tiny_bert, missing=missing, add_indicator=True)
        vectors = embedder.fit_transform(frame)
        assert vectors.shape == (3, 66)
        assert vectors[:, [32, 65]].tolist() == [[0, 0], [0, 1], [0, 0]]
        assert embedder.get_feature_names_out()[[32, 65]].tolist() == [
            "title_missing",
            "body_missing",
        ]
        plain = BertEmbedder(tiny_bert, missing=missing).fit_transform(frame)
        np.testing.assert_array_equal(vectors[:, 33:65], plain[:, 32:])

    def test_parameters_of_the_form_count_from_the_next_fit_on(self, tiny_bert):
        embedder = BertEmbedder(tiny_bert, missing="zero").fit(["a", "b"])
        embedder.set_params(add_indicator=True, n_components=2)
        assert embedder.transform(["a"]).shape == (1, 32)
        assert len(embedder.get_feature_names_out()) == 32
        assert embedder.fit_transform(["a", "b"]).shape == (2, 3)

    def test_an_indicator_of_what_is_refused(self, tiny_bert):
        with pytest.raises(ParameterError, match='missing="error" refuses'):
            BertEmbedder(tiny_bert, add_indicator=True).fit(["a"])
        with pytest.raises(ParameterError, match="one vector per token"):
            BertEmbedder(tiny_bert, missing="zero", add_indicator=True, pooling=None).fit(["a"])

    def test_no_rows_give_no_vectors(self, tiny_bert):
        embedder = BertEmbedder(tiny_bert).fit(self.FRAME)
        assert embedder.transform(self.FRAME[:0]).shape == (0, 64)
        single = BertEmbedder(tiny_bert).fit(["a"])
        for nothing in ([], np.array([], object), pd.Series([], dtype=object)):
            result = single.transform(nothing)
            assert (result.shape, result.dtype) == ((0, 32), np.float32)
        assert BertEmbedder(tiny_bert, pooling=None).fit(["a"]).transform([]) == []
        with pytest.raises(InputError, match="0 sample"):
            single.fit([])

    def test_token_vectors_are_of_one_column(self, tiny_bert):
        with pytest.raises(InputError, match=r"2 columns of text, but pooling=None"):
            BertEmbedder(tiny_bert, pooling=None).fit(self.FRAME)

    def test_a_selector_may_find_one_column_or_two(self, tiny_bert):
        # The dtype that text columns have by default from pandas 3 on.
        frame = self.FRAME.astype("string").assign(price=[1.0, 2.0, 3.0])
        text = make_column_selector(dtype_include="string")
        columns = make_column_transformer(
            (BertEmbedder(tiny_bert), text), remainder="passthrough"
        ).set_output(transform="pandas")
        assert columns.fit_transform(frame).shape == (3, 65)
        assert columns.fit_transform(frame[["title", "price"]]).shape == (3, 33)
        pairs = make_column_transformer(
            (BertEmbedder(tiny_bert), "title"),
            (BertEmbedder(tiny_bert), "body"),
            verbose_feature_names_out=False,
        ).set_output(transform="pandas")
        assert pairs.fit_transform(frame).columns[[0, -1]].tolist() == ["title_00", "body_31"]

    def test_pickled_with_its_columns(self, tiny_bert):
        embedder = pickle.loads(pickle.dumps(BertEmbedder(tiny_bert).fit(self.FRAME)))
        assert embedder.get_feature_names_out()[-1] == "body_31"
        assert embedder.transform(self.FRAME).shape == (3, 64)


class TestInScikitLearn:
    @pytest.mark.parametrize("column", ["review", ["review"]])
    def test_column_transformer(self, tiny_bert, table, column):
        columns = ColumnTransformer(
            [
                ("text", BertEmbedder(tiny_bert), column),
                ("shop", OneHotEncoder(), ["shop"]),
                ("number", "passthrough", ["price"]),
            ]
        )
        assert columns.fit_transform(table).shape == (40, 32 + 2 + 1)
        assert columns.get_feature_names_out()[0] == "text__review_00"
        scores = cross_val_score(
            make_pipeline(columns, LogisticRegression()), table, table.label, cv=3
        )
        assert scores.min() == 1.0

    def test_grid_search_in_processes(self, tiny_bert, table):
        pipeline = make_pipeline(BertEmbedder(tiny_bert), LogisticRegression())
        search = GridSearchCV(
            pipeline,
            {"bertembedder__pooling": ["mean", "cls"], "bertembedder__layers": [0, -1]},
            n_jobs=2,
            cv=2,
            error_score="raise",
        )
        search.fit(table.review, table.label)
        assert search.best_score_ == 1.0
        assert len(search.cv_results_["params"]) == 4

    def test_feature_union(self, tiny_bert, texts):
        union = FeatureUnion([(p, BertEmbedder(tiny_bert, pooling=p)) for p in ("mean", "max")])
        assert union.fit_transform(texts).shape == (len(texts), 64)

    def test_regression_pipeline_learns(self, tiny_bert):
        X = ["one red", "two red", "three red", "one blue", "two blue", "three blue"] * 3
        y = np.array([1, 2, 3] * 6, float)
        assert make_pipeline(BertEmbedder(tiny_bert), Ridge(0.1)).fit(X, y).score(X, y) > 0.9

    def test_set_output_pandas_keeps_the_index(self, tiny_bert, table):
        frame = BertEmbedder(tiny_bert).set_output(transform="pandas").fit_transform(table.review)
        assert isinstance(frame, pd.DataFrame)
        assert frame.index.equals(table.index)
        assert frame.columns[31] == "review_31"
        assert (frame.dtypes == np.float32).all()

    def test_set_output_polars(self, tiny_bert, texts):
        frame = BertEmbedder(tiny_bert).set_output(transform="polars").fit_transform(texts)
        assert isinstance(frame, pl.DataFrame)
        assert frame.shape == (len(texts), 32)

    def test_html_repr(self, embedder):
        assert "BertEmbedder" in embedder._repr_html_()


class TestRelease:
    def test_stays_fitted_and_loads_again(self, tmp_path, tiny_bert, texts):
        folder = shutil.copytree(tiny_bert, tmp_path / "copy")
        embedder = BertEmbedder(str(folder)).fit(texts)
        before = embedder.transform(texts)
        model = weakref.ref(embedder._encoder.model)
        digest = joblib.hash(embedder)
        assert embedder.release() is embedder
        gc.collect()
        assert model() is None
        assert joblib.hash(embedder) == digest
        np.testing.assert_array_equal(embedder.transform(texts), before)

    def test_clones_go_on_with_theirs(self, tiny_bert, texts):
        one, two = (BertEmbedder(tiny_bert).fit(texts) for _ in range(2))
        one.release()
        model = two._encoder.model
        assert one.fit(texts)._encoder.model is model

    def test_the_last_one_is_let_go_by_any(self, tmp_path, tiny_bert):
        """After a search nobody holds the clones: the fitted or the unfitted estimator frees."""
        folder = shutil.copytree(tiny_bert, tmp_path / "copy")
        model = weakref.ref(BertEmbedder(str(folder)).fit(["a"])._encoder.model)
        gc.collect()
        assert model() is not None
        BertEmbedder(tiny_bert).release()
        gc.collect()
        assert model() is None

    def test_cached_memory_goes_back_to_the_device(self, embedder, monkeypatch):
        devices = []
        monkeypatch.setattr("skbert._estimators.base.free_cached_memory", devices.append)
        embedder.release().release()
        assert [device.type for device in devices] == ["cpu"]


class TestPickling:
    @pytest.mark.parametrize("restore", [lambda e: pickle.loads(pickle.dumps(e)), copy.deepcopy])
    def test_round_trip(self, embedder, texts, restore):
        restored = restore(embedder)
        assert "_encoder" not in vars(restored)
        np.testing.assert_array_equal(restored.transform(texts), embedder.transform(texts))

    def test_joblib(self, embedder, texts, tmp_path):
        joblib.dump(embedder, tmp_path / "embedder.joblib")
        restored = joblib.load(tmp_path / "embedder.joblib", mmap_mode="r")
        np.testing.assert_array_equal(restored.transform(texts), embedder.transform(texts))

    def test_small_and_free_of_torch(self, embedder):
        stored = pickle.dumps(embedder)
        assert len(stored) < 2_000
        assert b"torch" not in stored

    def test_relative_folder_is_found_from_elsewhere(self, tiny_bert, texts, monkeypatch, tmp_path):
        monkeypatch.chdir(Path(tiny_bert).parent)
        embedder = BertEmbedder(Path(tiny_bert).name).fit(texts)
        stored = pickle.dumps(embedder)
        monkeypatch.chdir(tmp_path)
        restored = pickle.loads(stored)
        np.testing.assert_array_equal(restored.transform(texts), embedder.transform(texts))

    def test_hash_is_stable(self, embedder, texts):
        before = joblib.hash(embedder)
        embedder.transform(texts)
        assert joblib.hash(pickle.loads(pickle.dumps(embedder))) == before

    def test_unfitted_and_again(self, embedder, texts):
        unfitted = pickle.loads(pickle.dumps(clone(embedder)))
        assert unfitted.fit(texts).transform(texts).shape == (len(texts), 32)
        twice = pickle.loads(pickle.dumps(pickle.loads(pickle.dumps(embedder))))
        np.testing.assert_array_equal(twice.transform(texts), embedder.transform(texts))

    def test_loads_without_the_device_it_was_made_on(self, embedder, texts, monkeypatch):
        """Fitted with device="auto" on a GPU machine, used on one without: the CPU is taken."""
        import torch

        stored = pickle.dumps(embedder)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        restored = pickle.loads(stored)
        restored.transform(texts)
        assert restored._encoder.device == torch.device("cpu")

    def test_missing_files_are_named(self, tiny_bert, tmp_path):
        folder = shutil.copytree(tiny_bert, tmp_path / "gone")
        stored = pickle.dumps(BertEmbedder(str(folder)).fit(["a"]))
        shutil.rmtree(folder)
        with pytest.raises(CheckpointNotFoundError, match="gone"):
            pickle.loads(stored).transform(["a"])

    def test_by_value_needs_no_files(self, tiny_bert, tmp_path, texts):
        folder = shutil.copytree(tiny_bert, tmp_path / "carried")
        embedder = BertEmbedder(str(folder), save_weights=True).fit(texts)
        expected = embedder.transform(texts)
        stored = pickle.dumps(embedder)
        shutil.rmtree(folder)
        assert b"torch" not in stored
        restored = pickle.loads(stored)
        np.testing.assert_array_equal(restored.transform(texts), expected)
        again = pickle.loads(pickle.dumps(restored))
        np.testing.assert_array_equal(again.transform(texts), expected)

    def test_tampered_weights_are_noticed(self, tiny_bert, texts):
        from skbert import CheckpointChangedError

        restored = pickle.loads(pickle.dumps(BertEmbedder(tiny_bert, save_weights=True).fit(texts)))
        restored._files["model.safetensors"] = restored._files["model.safetensors"].copy()
        restored._files["model.safetensors"][-1] ^= 1
        with pytest.raises(CheckpointChangedError, match="SHA-256"):
            restored.transform(texts)
