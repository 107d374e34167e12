"""EmbeddingCache: each text once, for folds, processes, runs; never a vector of other settings."""

from __future__ import annotations

import copy
import pickle
import shutil
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline

from skbert import (
    BertEmbedder,
    CacheError,
    EmbeddingCache,
    ParameterError,
    TextTooLongError,
    TruncationWarning,
)
from skbert._cache.file import connected
from skbert._inference import embedding as _embedding
from tests.conftest import WORDS, save_tiny_bert
from tests.models.test_checkpoint import edit_json

pytestmark = pytest.mark.usefixtures("one_thread")

LONG = "the cat sat on the mat . " * 20


@pytest.fixture
def cache(tmp_path) -> EmbeddingCache:
    return EmbeddingCache(tmp_path / "cache.sqlite")


@pytest.fixture
def computed(monkeypatch) -> list[str]:
    """Every text that this process tokenises for computing, in order."""
    seen: list[str] = []
    encode = _embedding.Settings.encode

    def spy(self, tokenizer, texts, *args, **options):
        seen.extend(texts)
        return encode(self, tokenizer, texts, *args, **options)

    monkeypatch.setattr(_embedding.Settings, "encode", spy)
    return seen


def many_texts(n: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    words = [word for word in WORDS if word.isalpha()]
    return list({" ".join(rng.choice(words, rng.integers(1, 30))): None for _ in range(n)})


class TestOnlyNewTexts:
    def test_within_one_call(self, tiny_bert, texts, computed):
        BertEmbedder(tiny_bert).fit_transform([*texts, *texts])
        assert computed == list(dict.fromkeys(texts))

    def test_second_call_clone_and_new_rows(self, tiny_bert, texts, cache, computed):
        expected = BertEmbedder(tiny_bert).fit_transform([*texts, "one more"])
        computed.clear()
        embedder = BertEmbedder(tiny_bert, cache=cache).fit(texts)
        first = embedder.transform(texts)
        np.testing.assert_array_equal(first, expected[:-1])
        assert computed == list(dict.fromkeys(texts))
        computed.clear()
        np.testing.assert_array_equal(clone(embedder).fit_transform(texts), first)
        assert computed == []
        np.testing.assert_allclose(embedder.transform([*texts, "one more"]), expected, atol=1e-6)
        assert computed == ["one more"]

    def test_path_is_a_cache(self, tiny_bert, texts, tmp_path, computed):
        for path in (tmp_path / "a.sqlite", str(tmp_path / "a.sqlite")):
            BertEmbedder(tiny_bert, cache=path).fit_transform(texts)
        assert len(computed) == 6
        assert len(EmbeddingCache(tmp_path / "a.sqlite")) == 6

    def test_cross_validation(self, tiny_bert, cache, computed):
        X = many_texts(40)
        pipeline = Pipeline(
            [("bert", BertEmbedder(tiny_bert, cache=cache)), ("lr", LogisticRegression())]
        )
        y = np.arange(len(X)) % 2
        expected = cross_val_score(clone(pipeline).set_params(bert__cache=None), X, y, cv=4)
        computed.clear()
        np.testing.assert_array_equal(cross_val_score(pipeline, X, y, cv=4), expected)
        assert sorted(computed) == sorted(X)

    def test_grid_search(self, tiny_bert, cache, computed):
        X = many_texts(30)
        pipeline = Pipeline(
            [("bert", BertEmbedder(tiny_bert, cache=cache)), ("lr", LogisticRegression())]
        )
        grid = {"lr__C": [0.1, 1, 10], "bert__pooling": ["mean", "cls"]}
        GridSearchCV(pipeline, grid, cv=3, error_score="raise").fit(X, np.arange(len(X)) % 2)
        assert sorted(computed) == sorted(2 * X)
        assert cache.info()["entries"] == 2 * len(X)

    def test_grid_search_in_two_processes(self, tiny_bert, cache):
        X = many_texts(30)
        pipeline = Pipeline(
            [("bert", BertEmbedder(tiny_bert, cache=cache)), ("lr", LogisticRegression())]
        )
        y = np.arange(len(X)) % 2
        search = GridSearchCV(pipeline, {"lr__C": [0.1, 1, 10]}, cv=3, n_jobs=2)
        scores = search.fit(X, y).cv_results_["mean_test_score"]
        assert len(cache) == len(X)
        with connected(cache.path) as connection:
            (n_writes,) = connection.execute("SELECT tick FROM clock").fetchone()
        # Both processes may begin with the same texts. Each alone would write 20 times.
        assert n_writes <= 8
        before = cache.path.read_bytes()
        search.fit(X, y)
        assert cache.path.read_bytes() == before
        bare = clone(search).set_params(estimator__bert__cache=None, n_jobs=None).fit(X, y)
        np.testing.assert_allclose(scores, bare.cv_results_["mean_test_score"])


class TestNothingMixes:
    SETTINGS = (
        {"pooling": "cls"},
        {"pooling": None},
        {"pooling": "pooler"},
        {"layers": 1},
        {"layers": (1, 2)},
        {"layers": (1, 2), "combine_layers": "concat"},
        {"layers": (2, 1), "combine_layers": "concat"},
        {"normalize": True},
        {"max_length": 8},
        {"max_length": 8, "overflow": "windows"},
        {"max_length": 8, "overflow": "windows", "stride": 3},
        {"precision": "bfloat16"},
        {"missing": "zero"},
    )

    @pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
    def test_settings(self, tiny_bert, texts, cache):
        """All in one file, twice: what comes back is what each setting computes alone."""
        X = [*texts, None]
        for _ in range(2):
            for settings in self.SETTINGS:
                settings = {"missing": "empty", **settings}
                found = BertEmbedder(tiny_bert, cache=cache, **settings).fit_transform(X)
                alone = BertEmbedder(tiny_bert, **settings).fit_transform(X)
                for a, b in zip(found, alone, strict=True):
                    np.testing.assert_array_equal(a, b)
        # Only missing="zero" shares its vectors with another, the default's.
        assert cache.info()["entries"] == 6 * len(self.SETTINGS)

    def test_cached_empty_text_is_not_the_missing_one(self, tiny_bert, cache):
        embedder = BertEmbedder(tiny_bert, cache=cache, missing="zero").fit([""])
        expected = embedder.transform([""])
        np.testing.assert_array_equal(embedder.transform([None, ""])[0], np.zeros(32))
        np.testing.assert_array_equal(embedder.transform([None, ""])[1], expected[0])

    def test_default_stride_is_the_same_as_its_number(self, tiny_bert, cache, computed):
        """A quarter of the 8 body tokens."""
        settings = {"max_length": 10, "overflow": "windows", "cache": cache}
        BertEmbedder(tiny_bert, **settings).fit_transform([LONG])
        BertEmbedder(tiny_bert, stride=2, **settings).fit_transform([LONG])
        assert computed == [LONG]

    @pytest.mark.parametrize("change", ["weights", "tokenizer", "side", "config"])
    def test_changed_checkpoint(self, tiny_bert, tmp_path, cache, change):
        folder = Path(shutil.copytree(tiny_bert, tmp_path / "copy"))
        X, settings = ["the cat sat on a mat"], {"max_length": 6, "cache": cache}
        with pytest.warns(TruncationWarning):
            before = BertEmbedder(str(folder), **settings).fit_transform(X)
        if change == "weights":
            save_tiny_bert(folder, seed=1)
        elif change == "tokenizer":
            file = folder / "tokenizer.json"
            swapped = file.read_text().replace('"cat":', '"?":').replace('"dog":', '"cat":')
            file.write_text(swapped.replace('"?":', '"dog":'))
        elif change == "side":
            edit_json(folder / "tokenizer_config.json", truncation_side="left")
        else:
            edit_json(folder / "config.json", hidden_act="relu")
        with pytest.warns(TruncationWarning):
            after = BertEmbedder(str(folder), **settings).fit_transform(X)
        assert np.abs(after - before).max() > 0.01
        assert len(cache) == 2

    def test_same_files_elsewhere_are_the_same(self, tiny_bert, tmp_path, texts, cache, computed):
        BertEmbedder(tiny_bert, cache=cache).fit_transform(texts)
        folder = shutil.copytree(tiny_bert, tmp_path / "copy")
        BertEmbedder(str(folder), cache=cache).fit_transform(texts)
        assert len(computed) == 6

    def test_batch_size_and_device_share(self, tiny_bert, texts, cache, computed):
        BertEmbedder(tiny_bert, cache=cache).fit_transform(texts)
        BertEmbedder(tiny_bert, cache=cache, batch_size=2, device="cpu").fit_transform(texts)
        assert len(computed) == 6

    def test_odd_texts(self, tiny_bert, cache, computed):
        X = ["a\0b", "a", "\ud83d", "\ufffd", "a\n", "é", "e\u0301"]
        expected = BertEmbedder(tiny_bert).fit_transform(X)
        for _ in range(2):
            found = BertEmbedder(tiny_bert, cache=cache).fit_transform(X)
            np.testing.assert_allclose(found, expected, atol=1e-6)
        assert len(cache) == len(X)


class TestSameAsWithout:
    def test_truncation_is_warned_of_again(self, tiny_bert, cache):
        embedder = BertEmbedder(tiny_bert, cache=cache).fit(["a"])
        for _ in range(2):
            with pytest.warns(TruncationWarning, match=r"2 of 3 .* 156 of their tokens") as seen:
                embedder.transform([LONG, "the cat", LONG])
            assert len(seen) == 1
            assert seen[0].filename == __file__
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            embedder.transform(["the cat"])

    def test_refused_text_is_named_by_its_place(self, tiny_bert, texts, cache):
        embedder = BertEmbedder(tiny_bert, cache=cache, overflow="error").fit(texts)
        embedder.transform(texts)
        with pytest.raises(TextTooLongError, match=r"X\[8\] has 142 tokens"):
            embedder.transform([*texts, "new", LONG, "newer"])
        assert len(cache) == 6

    def test_token_vectors_can_be_changed(self, tiny_bert, texts, cache):
        embedder = BertEmbedder(tiny_bert, cache=cache, pooling=None).fit(texts)
        expected = [array.copy() for array in embedder.transform(texts)]
        for array in embedder.transform(texts):
            array *= 0
        for a, b in zip(embedder.transform(texts), expected, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_progress_counts_all_texts(self, tiny_bert, texts, cache, capfd):
        embedder = BertEmbedder(tiny_bert, cache=cache, verbose=1).fit(texts)
        for _ in range(2):
            embedder.transform(texts)
            assert "7/7" in capfd.readouterr().err


class TestTheObject:
    def test_info_len_and_clear(self, tiny_bert, texts, cache):
        embedder = BertEmbedder(tiny_bert, cache=cache).fit(texts)
        assert len(cache) == 0
        assert not cache.path.exists()
        cache.clear()
        embedder.transform(texts)
        embedder.transform([*texts, "new"])
        info = cache.info()
        assert info.pop("bytes") > 7 * 4 * 32
        assert info == {
            "path": cache.path,
            "entries": 7,
            "max_bytes": None,
            "hits": 6,
            "misses": 7,
        }
        assert len(cache) == 7
        cache.clear()
        assert len(cache) == 0
        assert cache.info()["misses"] == 0
        embedder.transform(texts)
        assert len(cache) == 6

    def test_clear_shrinks_the_file(self, tiny_bert, cache):
        embedder = BertEmbedder(tiny_bert, cache=cache, pooling=None).fit(["a"])
        embedder.transform(many_texts(300))
        before = cache.path.stat().st_size
        cache.clear()
        assert cache.path.stat().st_size < before / 5

    def test_limit(self, tiny_bert, tmp_path):
        cache = EmbeddingCache(tmp_path / "small.sqlite", max_bytes=2**20)
        embedder = BertEmbedder(tiny_bert, cache=cache, pooling=None).fit(["a"])
        alone = BertEmbedder(tiny_bert, pooling=None).fit(["a"])
        for seed in range(4):
            X = many_texts(300, seed)
            for a, b in zip(embedder.transform(X), alone.transform(X), strict=True):
                np.testing.assert_allclose(a, b, atol=1e-6)
        assert 2**19 < cache.info()["bytes"] <= 2**20

    @pytest.mark.parametrize("max_bytes", [0, 1000, -1, 2.0**21, True, "1GB"])
    def test_unusable_limit(self, tmp_path, max_bytes):
        with pytest.raises(ParameterError, match=r"max_bytes=.*at least 1048576"):
            EmbeddingCache(tmp_path / "a", max_bytes=max_bytes)

    @pytest.mark.parametrize("value", ["", 3, True, {}])
    def test_unusable_cache(self, tiny_bert, value):
        with pytest.raises(ParameterError, match=r"cache=.*expected None, the path"):
            BertEmbedder(tiny_bert, cache=value).fit(["a"])

    def test_foreign_file_is_refused_in_fit(self, tiny_bert, tmp_path):
        file = tmp_path / "notes.txt"
        file.write_text("mine " * 100)
        with pytest.raises(CacheError, match=r"notes\.txt is not a cache of skbert"):
            BertEmbedder(tiny_bert, cache=file).fit(["a"])
        for use in (EmbeddingCache(file).info, EmbeddingCache(file).clear):
            with pytest.raises(CacheError):
                use()
        assert file.read_text() == "mine " * 100

    @pytest.mark.parametrize(
        "trip", [copy.deepcopy, copy.copy, lambda cache: pickle.loads(pickle.dumps(cache))]
    )
    def test_copies_are_equal(self, tiny_bert, texts, cache, trip):
        BertEmbedder(tiny_bert, cache=cache).fit_transform(texts)
        again = trip(cache)
        assert again == cache
        assert hash(again) == hash(cache)
        assert joblib.hash(again) == joblib.hash(cache)
        assert len(again) == 6
        assert again != EmbeddingCache(cache.path, max_bytes=2**20)

    def test_embedder_with_a_cache_is_copied(self, tiny_bert, texts, cache, computed):
        embedder = BertEmbedder(tiny_bert, cache=cache).fit(texts)
        before, digest = embedder.transform(texts), joblib.hash(embedder)
        assert clone(embedder).get_params() == embedder.get_params()
        restored = pickle.loads(pickle.dumps(embedder))
        np.testing.assert_array_equal(restored.transform(texts), before)
        assert joblib.hash(embedder) == joblib.hash(restored) == digest
        assert len(computed) == 6
        assert "EmbeddingCache" in repr(embedder)

    def test_relative_path_means_the_folder_it_was_made_in(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        cache = EmbeddingCache("a.sqlite")
        monkeypatch.chdir("/")
        assert cache.path == tmp_path / "a.sqlite"

    def test_a_folder_means_the_usual_file_in_it(self, tiny_bert, tmp_path):
        folder = tmp_path / "there"
        folder.mkdir()
        for path in (folder, str(folder), f"{folder}/"):
            assert EmbeddingCache(path).path == folder / "embeddings.sqlite"
        new = f"{tmp_path}/new/"
        assert EmbeddingCache(new).path == tmp_path / "new" / "embeddings.sqlite"
        BertEmbedder(tiny_bert, cache=folder).fit_transform(["a"])
        BertEmbedder(tiny_bert, cache=new).fit_transform(["a"])
        assert len(EmbeddingCache(folder)) == len(EmbeddingCache(new)) == 1


EMBED = """
import os, signal, sys
import numpy as np
from skbert import BertEmbedder
from skbert._estimators import embedder as _embedder
from tests.cache.test_cache import many_texts
_embedder.CHARACTERS_PER_WRITE = 2_000
path, model, first, n_writes = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
write = _embedder.store

def store(*args, **options):
    global n_writes
    if n_writes == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    n_writes -= 1
    write(*args, **options)

_embedder.store = store
BertEmbedder(model, cache=path).fit_transform(many_texts(400)[first:])
"""


def embed_in_process(cache: EmbeddingCache, model: str, first: int, n_writes: int):
    code = [sys.executable, "-c", EMBED, str(cache.path), model, str(first), str(n_writes)]
    return subprocess.Popen(code)


class TestProcesses:
    def test_killed_in_the_middle(self, tiny_bert, cache, computed):
        """kill -9 after three chunks: these are there, the rest is computed, nothing is wrong."""
        X = many_texts(400)
        assert embed_in_process(cache, tiny_bert, 0, 3).wait() == -signal.SIGKILL
        n_stored = len(cache)
        assert 0 < n_stored < len(X) / 2
        embedder = BertEmbedder(tiny_bert, cache=cache).fit(X)
        found = embedder.transform(X)
        assert computed == X[n_stored:]
        np.testing.assert_allclose(found, BertEmbedder(tiny_bert).fit_transform(X), atol=1e-5)
        assert len(cache) == len(X)

    def test_two_at_once(self, tiny_bert, cache):
        """Two processes embed overlapping texts into one new file."""
        X = many_texts(400)
        processes = [embed_in_process(cache, tiny_bert, first, 1000) for first in (0, 100)]
        assert [process.wait() for process in processes] == [0, 0]
        assert len(cache) == len(X)
        embedder = BertEmbedder(tiny_bert, cache=cache).fit(X)
        expected = BertEmbedder(tiny_bert).fit_transform(X)
        np.testing.assert_allclose(embedder.transform(X), expected, atol=1e-5)
        assert cache.info()["hits"] >= len(X)
