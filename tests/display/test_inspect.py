"""What a model reads of pairs of texts, and of an estimator that was fitted on them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from transformers import AutoTokenizer

from skbert import (
    BertClassifier,
    BertEmbedder,
    BertRegressor,
    InputError,
    ParameterError,
    TruncationWarning,
    inspect_tokens,
)
from skbert._texts.offsets import whole_characters
from skbert._texts.pairs import encode_pairs

PAIRS = [
    ("the cat sat on the mat .", "Unbelievable !"),
    ("", "a"),
    ("Größe 猫 🙂", "e\u0301 [SEP] b"),
    ("where is my card ?", "the dog " * 20),
]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def reference(tiny_bert):
    return AutoTokenizer.from_pretrained(tiny_bert)


def fitted(estimator, X):
    y = np.arange(len(X)) % 2
    return estimator.set_params(max_epochs=1, min_steps=0, random_state=0, device="cpu").fit(X, y)


class TestPairs:
    @pytest.mark.parametrize("max_length", [5, 9, 64])
    @pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
    def test_as_transformers_reads_them(self, tiny_bert, reference, max_length):
        tokens = inspect_tokens(PAIRS, tiny_bert, max_length=max_length)
        for position, pair in enumerate(PAIRS):
            rows = tokens[tokens.text == position]
            expected = reference(
                *pair,
                truncation="longest_first",
                max_length=max_length,
                return_offsets_mapping=True,
            )
            sequences = [-1 if text is None else text for text in expected.sequence_ids()]
            assert rows.id.tolist() == expected["input_ids"]
            assert rows.segment.tolist() == expected["token_type_ids"]
            assert rows.sequence.tolist() == sequences
            spans = list(zip(rows.start, rows.end, strict=True))
            # Ours include the marks that transformers drops.
            assert spans == [
                (start, whole_characters(pair[text or 0], start, end)[1] if end else 0)
                for text, (start, end) in zip(
                    expected.sequence_ids(), expected["offset_mapping"], strict=True
                )
            ]

    def test_characters_are_those_of_the_own_text(self, tiny_bert):
        tokens = inspect_tokens(PAIRS, tiny_bert)
        known = tokens[(tokens.sequence >= 0) & (tokens.token != "[UNK]")]
        assert len(known) > 40
        for row in known.itertuples():
            characters = PAIRS[row.text][row.sequence][row.start : row.end]
            if characters.isascii():
                assert characters.lower().removeprefix("##") == row.token.lower().removeprefix("##")

    @pytest.mark.parametrize(
        "container",
        [
            lambda pairs: [list(pair) for pair in pairs],
            lambda pairs: np.array(pairs),
            lambda pairs: np.array(pairs, dtype=object),
            lambda pairs: pd.DataFrame(pairs, columns=["question", "answer"]),
        ],
    )
    def test_every_form_of_pairs(self, tiny_bert, container):
        expected = inspect_tokens(PAIRS, tiny_bert)
        pd.testing.assert_frame_equal(inspect_tokens(container(PAIRS), tiny_bert), expected)

    def test_truncation_is_counted(self, tiny_bert):
        with pytest.warns(TruncationWarning, match="1 of 1 texts .* 3 of their tokens"):
            tokens = inspect_tokens([("the cat sat on", "a")], tiny_bert, max_length=5)
        assert tokens.token.tolist() == ["[CLS]", "the", "[SEP]", "a", "[SEP]"]
        with pytest.raises(ParameterError, match="no room for two texts"):
            inspect_tokens(PAIRS, tiny_bert, max_length=4)

    def test_end_is_kept_where_the_checkpoint_says_so(self, tiny_bert):
        tokenizer = BertEmbedder(tiny_bert).fit(["a"])._loaded().tokenizer
        try:
            tokenizer.keep_end = True
            cut = encode_pairs(
                tokenizer, ["the cat sat on"], ["a b"], max_length=6, with_offsets=True
            )
        finally:
            tokenizer.keep_end = False
        assert cut.offsets.tolist() == [[0, 0], [8, 11], [12, 14], [0, 0], [2, 3], [0, 0]]
        assert cut.sequences.tolist() == [-1, 0, 0, -1, 1, -1]

    def test_offsets_change_nothing_else(self, tiny_bert):
        tokenizer = BertEmbedder(tiny_bert).fit(["a"])._loaded().tokenizer
        first, second = zip(*PAIRS, strict=True)
        plain = encode_pairs(tokenizer, first, second, max_length=12)
        full = encode_pairs(tokenizer, first, second, max_length=12, with_offsets=True)
        assert plain.offsets is None
        assert plain.sequences is None
        for name in ("ids", "bounds", "owned", "text_bounds", "lost_tokens", "segments"):
            np.testing.assert_array_equal(getattr(plain, name), getattr(full, name))

    def test_padding_belongs_to_no_text(self, tiny_bert):
        tokens = inspect_tokens([("a", "b"), ("the cat", "sat on")], tiny_bert, padding=True)
        assert tokens.groupby("text").size().tolist() == [7, 7]
        padding = tokens[tokens.attention_mask == 0]
        assert padding.token.tolist() == ["[PAD]", "[PAD]"]
        assert set(padding.sequence) == {-1}
        assert set(padding.segment) == {0}

    @pytest.mark.parametrize("overflow", ["windows", "error"])
    def test_only_truncated(self, tiny_bert, overflow):
        with pytest.raises(ParameterError, match="can only be truncated"):
            inspect_tokens(PAIRS, tiny_bert, overflow=overflow)

    def test_refused_where_they_are_none(self, tiny_bert):
        with pytest.raises(InputError, match="X has 3 columns"):
            inspect_tokens([("a", "b", "c")] * 3, tiny_bert)
        with pytest.raises(InputError, match="missing value"):
            inspect_tokens([("a", None)], tiny_bert)
        with pytest.raises(InputError, match="expected one column"):
            inspect_tokens(PAIRS, BertEmbedder(tiny_bert).fit(["a"]))

    def test_read_apart(self, tiny_bert):
        pairs = [("the cat", "sat on the mat"), ("a", "b")]
        model = BertClassifier(tiny_bert, pair_mode="bi-encoder", max_epochs=0, prompt="the dog ")
        tokens = inspect_tokens(pairs, model.fit(pairs, ["x", "y"]))
        assert tokens[tokens.sequence >= 0].groupby(["text", "sequence"]).size().tolist() == [
            4, 6, 3, 3,
        ]  # fmt: skip
        cats = tokens[(tokens.text == 0) & (tokens.sequence == 0)]
        assert [pairs[0][0][a:b] for a, b in zip(cats.start, cats.end, strict=True)][2:] == [
            "the",
            "cat",
        ]
        assert set(tokens.segment) == {0}

    def test_with_the_prompt_and_windows_that_are_read(self, tiny_bert):
        """As predictions do: the prompt before the first text, long texts in windows."""
        options = {"max_epochs": 0, "prompt": "the dog "}
        pairs = [("the cat", "sat on the mat"), ("a", "b")]
        model = BertClassifier(tiny_bert, **options).fit(pairs, ["x", "y"])
        tokens = inspect_tokens(pairs[:1], model)
        assert tokens.token[1:5].tolist() == ["the", "dog", "the", "cat"]
        assert tokens[["start", "end"]].to_numpy()[1:7].tolist() == [
            [0, 0], [0, 0], [0, 3], [4, 7], [0, 0], [0, 3],
        ]  # fmt: skip
        options |= {"pooling": "mean", "overflow": "windows", "max_length": 8}
        texts = ["the cat sat on the mat and the dog", "a"]
        model = BertClassifier(tiny_bert, **options).fit(texts, ["x", "y"])
        assert inspect_tokens(texts, model).window.max() > 0


class TestSingleTexts:
    def test_special_tokens_belong_to_no_text(self, tiny_bert):
        tokens = inspect_tokens(["the cat", ""], tiny_bert)
        assert tokens.sequence.tolist() == [-1, 0, 0, -1, -1, -1]

    def test_special_tokens_of_windows(self, tiny_bert):
        tokens = inspect_tokens(["a b c d e f g"], tiny_bert, max_length=5, overflow="windows")
        assert tokens.sequence.tolist() == [-1, 0, 0, 0, 0, 0, 0, 0, -1]

    def test_special_tokens_spelt_out_belong_to_the_text(self, tiny_bert):
        tokens = inspect_tokens(["a [SEP] b"], tiny_bert)
        assert tokens.token.tolist() == ["[CLS]", "a", "[SEP]", "b", "[SEP]"]
        assert tokens.sequence.tolist() == [-1, 0, 0, 0, -1]


class TestFittedEstimator:
    @pytest.mark.parametrize("estimator", [BertClassifier, BertRegressor])
    def test_reads_pairs_with_its_own_settings(self, tiny_bert, estimator):
        model = fitted(estimator(tiny_bert, max_length=32), PAIRS[:3] + PAIRS[:1])
        with pytest.warns(TruncationWarning):
            tokens = inspect_tokens(PAIRS, model)
        with pytest.warns(TruncationWarning):
            expected = inspect_tokens(PAIRS, tiny_bert, max_length=32)
        pd.testing.assert_frame_equal(tokens, expected)

    def test_reads_single_texts(self, tiny_bert, texts):
        model = fitted(BertClassifier(tiny_bert), texts)
        pd.testing.assert_frame_equal(
            inspect_tokens(texts, model), inspect_tokens(texts, tiny_bert)
        )

    def test_wants_what_it_was_fitted_on(self, tiny_bert, texts):
        model = fitted(BertClassifier(tiny_bert), texts)
        with pytest.raises(InputError, match="fitted on single texts"):
            inspect_tokens(PAIRS, model)

    def test_takes_no_settings_beside_its_own(self, tiny_bert, texts):
        model = fitted(BertClassifier(tiny_bert), texts)
        with pytest.raises(ParameterError, match="fitted BertClassifier"):
            inspect_tokens(texts, model, max_length=5)

    def test_must_be_fitted(self, tiny_bert):
        with pytest.raises(NotFittedError):
            inspect_tokens(["a"], BertClassifier(tiny_bert))
