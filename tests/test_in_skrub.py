"""BertEmbedder where skrub's users put it, for pandas and polars."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression

from skbert import BertEmbedder, InputError

skrub = pytest.importorskip("skrub")
pytestmark = pytest.mark.usefixtures("one_thread")

FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}
DATA = {
    "title": [f"the cat sat {number}" for number in range(60)],
    "body": [f"a good film {number % 50}" for number in range(60)],
    "price": list(range(60)),
    "shop": ["a", "b", "c"] * 20,
}


@pytest.fixture(params=FRAMES, ids=str)
def table(request):
    return FRAMES[request.param](DATA)


def names(frame) -> list[str]:
    return list(frame.columns)


class TestTableVectorizer:
    def test_two_columns_of_text(self, tiny_bert, table):
        vectorizer = skrub.TableVectorizer(high_cardinality=BertEmbedder(tiny_bert))
        result = vectorizer.fit_transform(table)
        expected = [f"{name}_{number:02}" for name in ("title", "body") for number in range(32)]
        assert names(result)[:64] == expected
        assert vectorizer.get_feature_names_out()[:64].tolist() == expected
        vectors = BertEmbedder(tiny_bert).fit_transform(DATA["body"])
        given = np.stack([np.asarray(result[name]) for name in expected[32:]], axis=1)
        np.testing.assert_allclose(given, vectors, atol=1e-6)

    def test_names_do_not_change_between_fits(self, tiny_bert, table):
        vectorizer = skrub.TableVectorizer(high_cardinality=BertEmbedder(tiny_bert))
        first = names(vectorizer.fit_transform(table))
        assert names(vectorizer.fit_transform(table)) == names(vectorizer.transform(table)) == first

    @pytest.mark.parametrize("chosen", [["title", "price"], ["price", "shop"]])
    def test_one_and_no_column_of_text(self, tiny_bert, table, chosen):
        vectorizer = skrub.TableVectorizer(high_cardinality=BertEmbedder(tiny_bert))
        result = vectorizer.fit_transform(table[chosen])
        assert sum(name.startswith("title_") for name in names(result)) == 32 * ("title" in chosen)

    def test_missing_texts(self, tiny_bert):
        frame = pd.DataFrame(DATA)
        frame.loc[3, "title"] = None
        vectorizer = skrub.TableVectorizer(high_cardinality=BertEmbedder(tiny_bert, missing="zero"))
        result = vectorizer.fit_transform(frame)
        assert (result.filter(like="title_").loc[3] == 0).all()
        refusing = skrub.TableVectorizer(high_cardinality=BertEmbedder(tiny_bert))
        with pytest.raises(ValueError, match='missing="empty"'):
            refusing.fit(frame)

    def test_tabular_pipeline(self, tiny_bert, table):
        model = skrub.tabular_pipeline(LogisticRegression())
        model.set_params(tablevectorizer__high_cardinality=BertEmbedder(tiny_bert))
        assert model.fit(table, np.arange(60) % 2).predict(table).shape == (60,)


class TestApply:
    def test_columns_that_are_no_texts_are_left_alone(self, tiny_bert, table):
        transformer = skrub.ApplyToCols(BertEmbedder(tiny_bert), allow_reject=True)
        result = transformer.fit_transform(table[["title", "price"]])
        assert names(result) == [*(f"title_{number:02}" for number in range(32)), "price"]
        strict = skrub.ApplyToCols(BertEmbedder(tiny_bert))
        with pytest.raises(ValueError, match="expected a str"):
            strict.fit_transform(table[["title", "price"]])

    def test_numbers_with_gaps_are_no_texts(self, tiny_bert):
        frame = pd.DataFrame({"title": DATA["title"][:3], "price": [1.0, np.nan, 2.0]})
        transformer = skrub.ApplyToCols(BertEmbedder(tiny_bert), allow_reject=True)
        assert names(transformer.fit_transform(frame))[-1] == "price"

    def test_data_ops(self, tiny_bert, table):
        planned = skrub.var("table", table).skb.apply(BertEmbedder(tiny_bert), cols="title")
        assert "title_31" in names(planned.skb.eval())


def test_the_error_is_ours_and_skrubs_and_crosses_processes(tiny_bert):
    from skrub.core import RejectColumn

    with pytest.raises(InputError) as caught:
        BertEmbedder(tiny_bert).fit([1, 2])
    assert isinstance(caught.value, RejectColumn)
    again = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(again, InputError)
    assert str(again) == str(caught.value)
