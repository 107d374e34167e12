"""Tokenizers read texts as their files say, whatever transformers makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import RobertaConfig, RobertaModel

from skbert import BertClassifier, BertEmbedder, CheckpointError
from skbert._models.tokenizer import load_tokenizer
from tests.conftest import WORDS

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = ["It's a cat-dog, the CAT sat — ÀÉ 柏林!", "the cat sat on the mat .", " a  b\tc", ""]
REPLACE = {"type": "Replace", "pattern": {"String": "-"}, "content": " "}


def edit(file: Path, **changes) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**content, **changes}))


def ids(tokenizer) -> list[list[int]]:
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return [tokenizer.encode(text).ids for text in TEXTS]


def assert_reads_as_its_file(folder: Path) -> None:
    file = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert ids(load_tokenizer(folder).backend_tokenizer) == ids(file)


class TestWordPiece:
    @pytest.mark.parametrize(
        "change",
        [
            lambda said: said.update(
                normalizer={"type": "Sequence", "normalizers": [REPLACE, said["normalizer"]]}
            ),
            lambda said: said.update(normalizer={"type": "Lowercase"}),
            lambda said: said.update(normalizer=None),
            lambda said: said.update(pre_tokenizer={"type": "WhitespaceSplit"}),
            lambda said: said["model"].update(max_input_chars_per_word=2),
            lambda said: said["model"].update(continuing_subword_prefix="@@"),
            lambda said: said["normalizer"].update(clean_text=False),
            lambda said: said.update(
                post_processor={"type": "BertProcessing", "sep": ["[UNK]", 1], "cls": ["[CLS]", 2]}
            ),
            lambda said: said["added_tokens"].append(
                {
                    "id": 7,
                    "content": "at",
                    "single_word": False,
                    "lstrip": False,
                    "rstrip": False,
                    "normalized": True,
                    "special": False,
                }
            ),
            lambda said: said["model"].pop("type"),
            lambda said: said.update(post_processor=None),
        ],
    )
    def test_what_the_file_says_counts(self, folder, change):
        said = json.loads((folder / "tokenizer.json").read_text())
        change(said)
        (folder / "tokenizer.json").write_text(json.dumps(said))
        assert_reads_as_its_file(folder)

    @pytest.mark.parametrize("lowercases", [True, False])
    @pytest.mark.parametrize("strips", [True, False, None])
    def test_settings_of_a_plain_normalizer(self, folder, lowercases, strips):
        """They go before the file's, as in transformers 4."""
        settings = {"do_lower_case": lowercases, "strip_accents": strips}
        edit(folder / "tokenizer_config.json", tokenize_chinese_chars=False, **settings)
        normalizer = load_tokenizer(folder).backend_tokenizer.normalizer
        assert normalizer.lowercase is lowercases
        assert normalizer.strip_accents is strips
        assert not normalizer.handle_chinese_chars

    def test_tokens_that_other_files_add(self, folder):
        file = folder / "tokenizer.json"
        said = json.loads(file.read_text())
        edit(file, normalizer={"type": "Sequence", "normalizers": [REPLACE, said["normalizer"]]})
        edit(folder / "tokenizer_config.json", extra_special_tokens=["<url>"])
        tokenizer = load_tokenizer(folder).backend_tokenizer
        assert tokenizer.encode("<url>").tokens == ["[CLS]", "<url>", "[SEP]"]

    def test_a_trained_model_keeps_it(self, folder, tmp_path):
        """Through pickles, saved folders and transformers alone."""
        import transformers

        said = json.loads((folder / "tokenizer.json").read_text())
        said["normalizer"] = {"type": "Sequence", "normalizers": [REPLACE, said["normalizer"]]}
        (folder / "tokenizer.json").write_text(json.dumps(said))
        edit(folder / "sentence_bert_config.json", do_lower_case=True)
        texts = ["a-good film", "a-bad film", "very-good", "very-bad"]
        classifier = BertClassifier(str(folder), min_steps=2, max_epochs=1).fit(texts, [0, 1, 0, 1])
        classifier.save_pretrained(tmp_path / "saved")
        loaded = BertClassifier.from_pretrained(str(tmp_path / "saved"))
        np.testing.assert_allclose(
            loaded.predict_proba(texts), classifier.predict_proba(texts), atol=1e-5
        )
        elsewhere = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
        expected = classifier._loaded().tokenizer.backend.encode("A-Good").ids
        assert elsewhere("A-Good").input_ids == expected


SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def save_roberta(folder: Path, pre_tokenizer, **config) -> Path:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([*WORDS, *TEXTS], trainer)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = ("bos", "pad", "eos", "unk", "mask")
    tokens = {f"{name}_token": token for name, token in zip(names, SPECIAL, strict=True)}
    tokens |= {"cls_token": "<s>", "sep_token": "</s>"}
    edit(folder / "tokenizer_config.json", tokenizer_class="RobertaTokenizer", **tokens, **config)
    model = RobertaConfig(
        vocab_size=400,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=66,
        type_vocab_size=1,
        initializer_range=0.3,
    )
    RobertaModel(model).save_pretrained(folder)
    return folder


class TestByteLevel:
    @pytest.mark.parametrize(
        "pre_tokenizer",
        [
            pre_tokenizers.ByteLevel(add_prefix_space=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            pre_tokenizers.Sequence(
                [pre_tokenizers.Whitespace(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
            ),
            pre_tokenizers.Sequence(
                [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=True)]
            ),
        ],
    )
    def test_what_the_file_says_counts(self, tmp_path, pre_tokenizer):
        assert_reads_as_its_file(save_roberta(tmp_path, pre_tokenizer))

    def test_setting_of_a_plain_splitting(self, tmp_path):
        plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
        folder = save_roberta(tmp_path, plain, add_prefix_space=True)
        assert load_tokenizer(folder).backend_tokenizer.pre_tokenizer.add_prefix_space

    def test_pairs_with_a_tokenizer_that_has_segments(self, tmp_path):
        """RoBERTa has one segment: what BERT's tokenizer numbers 1 has no embedding."""
        folder = save_roberta(tmp_path, pre_tokenizers.ByteLevel(add_prefix_space=False))
        edit(
            folder / "tokenizer_config.json",
            tokenizer_class="PreTrainedTokenizerFast",
            model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        )
        said = json.loads((folder / "tokenizer.json").read_text())
        said["post_processor"] = {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0]}
        (folder / "tokenizer.json").write_text(json.dumps(said))
        pairs = [("the cat", "a dog"), ("my house", "a tree")]
        classifier = BertClassifier(str(folder), min_steps=1, max_epochs=1).fit(pairs, [0, 1])
        assert np.isfinite(classifier.predict_proba(pairs)).all()


@pytest.mark.parametrize("kind", [None, "BertTokenizer", "XLMRobertaTokenizer"])
def test_a_file_of_another_kind_than_the_models(folder, kind):
    """Unigram beside a BertConfig, as multilingual MiniLM has it."""
    pieces = [*((token, 0.0) for token in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"))]
    pieces += [(f"▁{word}", -float(rank)) for rank, word in enumerate(["the", "cat", "sat", "on"])]
    pieces += [(letter, -20.0) for letter in "abcdefghijklmnopqrstuvwxyz▁.,!"]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=1))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").unlink()
    if kind is not None:
        edit(folder / "tokenizer_config.json", tokenizer_class=kind)
    assert_reads_as_its_file(folder)
    vectors = BertEmbedder(str(folder)).fit_transform(["the cat", "the sat"])
    assert np.abs(vectors[0] - vectors[1]).max() > 0.1


class TestNoWords:
    def alone(self, folder: Path, name: str, content: bytes, **config) -> None:
        """Leave one vocabulary file only."""
        for file in ("tokenizer.json", "vocab.txt", "tokenizer_config.json"):
            (folder / file).unlink(missing_ok=True)
        (folder / name).write_bytes(content)
        if config:
            edit(folder / "tokenizer_config.json", **config)

    @pytest.mark.parametrize(
        ("name", "content", "kind"),
        [
            ("vocab.json", json.dumps({"the": 0, "cat": 1}).encode(), "BertTokenizer"),
            ("spiece.model", b"\x0a\x03", "DebertaV2Tokenizer"),
            ("spm.model", b"\x0a\x03", "DebertaV2Tokenizer"),
            ("sentencepiece.bpe.model", b"\x0a\x03", "XLMRobertaTokenizer"),
            ("tokenizer.model", b"\x0a\x03", "BertTokenizer"),
            ("vocab.txt", b"", "BertTokenizer"),
            ("vocab.txt", b"[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", "BertTokenizer"),
        ],
    )
    def test_is_refused(self, folder, name, content, kind):
        self.alone(folder, name, content, tokenizer_class=kind)
        with pytest.raises(
            CheckpointError, match=r"only special tokens|sentencepiece and protobuf"
        ):
            BertEmbedder(str(folder)).fit(["a"])

    def test_a_vocabulary_of_the_right_kind_is_read(self, folder):
        vocabulary = "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cat", "dog"])
        self.alone(folder, "vocab.txt", vocabulary.encode(), tokenizer_class="BertTokenizer")
        assert load_tokenizer(folder).backend_tokenizer.encode("dog").ids == [2, 6, 3]


@pytest.mark.parametrize(
    "said",
    [
        {"model": {"type": "Magic"}},
        {"model": {"type": "WordPiece", "vocab": {"a": "b"}, "unk_token": "[UNK]"}},
        {"model": None},
        {"normalizer": {"type": "Magic"}},
        {"added_tokens": 3},
        {"version": "9.0"},
    ],
)
def test_a_file_that_tokenizers_cannot_read(folder, said):
    edit(folder / "tokenizer.json", **said)
    with pytest.raises(CheckpointError, match="tokenizer"):
        BertEmbedder(str(folder)).fit(["a"])
