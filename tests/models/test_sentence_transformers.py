"""Checkpoints of sentence-transformers give its vectors, to 1e-5, or one clear word why not."""

from __future__ import annotations

import json
import pickle
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from skbert import BertEmbedder, CheckpointError, CheckpointWarning, inspect_tokens
from skbert._models.sentence_settings import SETTINGS_FILES
from tests.conftest import save_tiny_bert

pytestmark = pytest.mark.usefixtures("one_thread")

TEXTS = [
    "the cat sat on the mat .",
    "",
    "It is not a very good Film , and that is that !",
    "a",
    "where is my card ? we lost the money in the bank",
]
MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
FLAGS = {
    "cls": "pooling_mode_cls_token",
    "max": "pooling_mode_max_tokens",
    "mean": "pooling_mode_mean_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def edit_json(file: Path, **changes) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps({**content, **changes}))


def write_modules(folder: Path, *kinds: str, pooling: dict | None = None, first: str = "") -> None:
    """Write modules.json: a transformer, a pooling and further steps, and the pooling's file."""
    names = ["Transformer", "Pooling", *kinds]
    paths = [first, *(f"{number}_{kind}" for number, kind in enumerate(names) if number)]
    steps = [
        {
            "idx": number,
            "name": str(number),
            "path": path,
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, (kind, path) in enumerate(zip(names, paths, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(steps))
    config = {"word_embedding_dimension": 32, **(pooling or {"pooling_mode": "mean"})}
    edit_json(folder / "1_Pooling" / "config.json", **config)


def expected(folder: Path, texts: list[str] = TEXTS, **options) -> np.ndarray:
    sentence_transformers = pytest.importorskip("sentence_transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = sentence_transformers.SentenceTransformer(str(folder), device="cpu")
    return model.encode(texts, **options)


def assert_same(folder: Path, texts: list[str] = TEXTS, **options) -> None:
    reference = expected(folder, texts)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CheckpointWarning)
        vectors = BertEmbedder(str(folder), device="cpu", **options).fit_transform(texts)
    scale = np.abs(reference).max()
    np.testing.assert_allclose(vectors, reference, rtol=0, atol=1e-5 * max(scale, 1))


class TestPooling:
    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("style", ["name", "list", "flag"])
    def test_every_mode(self, folder, mode, style):
        config = {"name": {"pooling_mode": mode}, "list": {"pooling_mode": [mode]}}.get(
            style, {flag: name == mode for name, flag in FLAGS.items()}
        )
        write_modules(folder, pooling=config)
        assert_same(folder)

    @pytest.mark.parametrize(
        "config",
        [
            {"pooling_mode": ["max", "cls"]},
            {"pooling_mode": list(reversed(MODES))},
            dict.fromkeys(FLAGS.values(), True),
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True},
            {"pooling_mode_mean_tokens": False},
            {},
        ],
    )
    def test_combinations_in_their_order_and_the_default(self, folder, config):
        write_modules(folder, pooling=config or {"embedding_dimension": 32})
        assert_same(folder)

    def test_a_combination_is_named_and_counted(self, folder):
        write_modules(folder, pooling={"pooling_mode": ["max", "cls"]})
        embedder = BertEmbedder(str(folder)).fit(["a"])
        assert embedder.pooling_ == ("max", "cls")
        assert embedder.n_features_out_ == len(embedder.get_feature_names_out()) == 64

    def test_no_files_mean(self, tiny_bert):
        assert BertEmbedder(tiny_bert).fit(["a"]).pooling_ == "mean"
        assert_same(Path(tiny_bert))

    def test_a_model_that_continues_texts_gives_its_last_token(self, folder):
        edit_json(folder / "config.json", architectures=["BertForCausalLM"])
        assert BertEmbedder(str(folder)).fit(["a"]).pooling_ == "last"
        edit_json(folder / "config.json", is_causal=False)
        assert BertEmbedder(str(folder)).fit(["a"]).pooling_ == "mean"

    @pytest.mark.parametrize("mode", ["splade", None, {}, []])
    def test_unknown_mode(self, folder, mode):
        write_modules(folder, pooling={"pooling_mode": mode})
        with pytest.raises(CheckpointError, match=r"1_Pooling/config\.json asks for pooling"):
            BertEmbedder(str(folder)).fit(["a"])
        BertEmbedder(str(folder), pooling="max").fit(["a"])

    def test_missing_files_of_the_pooling(self, folder):
        write_modules(folder)
        shutil.rmtree(folder / "1_Pooling")
        with pytest.raises(CheckpointError, match=r"1_Pooling/config\.json is not there.*pooling="):
            BertEmbedder(str(folder)).fit(["a"])

    @pytest.mark.parametrize("mode", MODES)
    def test_windows_of_a_long_text(self, folder, mode):
        """Every token once, as if the windows' tokens were those of one text."""
        write_modules(folder, pooling={"pooling_mode": mode})
        texts, windows = [TEXTS[4] * 4, "a"], {"overflow": "windows", "max_length": 12}
        pooled = BertEmbedder(str(folder), **windows).fit_transform(texts)
        for tokens, vector in zip(
            BertEmbedder(str(folder), pooling=None, **windows).fit_transform(texts),
            pooled,
            strict=True,
        ):
            weights = np.arange(1, len(tokens) + 1)[:, None]
            by_hand = {
                "mean": tokens.mean(0),
                "max": tokens.max(0),
                "mean_sqrt_len_tokens": tokens.sum(0) / len(tokens) ** 0.5,
                "weightedmean": (tokens * weights).sum(0) / weights.sum(),
                "lasttoken": tokens[-1],
            }
            if mode != "cls":  # the mean of the windows' own [CLS]
                np.testing.assert_allclose(vector, by_hand[mode], rtol=0, atol=1e-4)


def write_dense(folder: Path, n_in: int = 32, n_out: int = 8, **config) -> None:
    from safetensors.torch import save_file

    edit_json(folder / "config.json", in_features=n_in, out_features=n_out, **config)
    generator = torch.Generator().manual_seed(n_out)
    weights = {"linear.weight": torch.randn(n_out, n_in, generator=generator)}
    if config.get("bias", True):
        weights["linear.bias"] = torch.randn(n_out, generator=generator)
    if config.get("use_residual") and n_in != n_out:
        weights["residual.weight"] = torch.randn(n_out, n_in, generator=generator)
    if "PReLU" in str(config.get("activation_function")):
        weights["activation_function.weight"] = torch.full((1,), 0.3)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def write_norm(folder: Path, size: int = 32) -> None:
    from safetensors.torch import save_file

    edit_json(folder / "config.json", dimension=size)
    weights = {
        "norm.weight": torch.linspace(0.5, 2, size),
        "norm.bias": torch.linspace(-1, 1, size),
    }
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


class TestSteps:
    @pytest.mark.parametrize(
        "config",
        [
            {},
            {"activation_function": "torch.nn.modules.linear.Identity"},
            {"activation_function": "torch.nn.modules.activation.GELU", "bias": False},
            {"activation_function": "torch.nn.ReLU", "use_residual": True},
            {"use_residual": True, "n_out": 32},
            {"activation_function": "torch.nn.modules.activation.PReLU"},
            {"activation_function": "torch.nn.modules.activation.Softmax", "something_new": 1},
        ],
    )
    @pytest.mark.filterwarnings("ignore:Implicit dimension choice for softmax")
    def test_dense(self, folder, config):
        write_modules(folder, "Dense")
        write_dense(folder / "2_Dense", **config)
        assert_same(folder)
        assert BertEmbedder(str(folder)).fit(["a"]).n_features_out_ == config.get("n_out", 8)

    def test_several_steps_and_a_normalization_between_them(self, folder):
        write_modules(folder, "Normalize", "Dropout", "LayerNorm", "Dense", "Dense", "Normalize")
        write_norm(folder / "4_LayerNorm")
        write_dense(folder / "5_Dense", 32, 16)
        write_dense(folder / "6_Dense", 16, 8)
        edit_json(folder / "3_Dropout" / "config.json", dropout=0.5)
        assert_same(folder, normalize=True)

    def test_the_last_normalization_is_the_parameter(self, folder):
        write_modules(folder, "Normalize")
        assert_same(folder, normalize=True)
        lengths = np.linalg.norm(BertEmbedder(str(folder)).fit_transform(TEXTS), axis=1)
        assert (lengths > 1.5).all()

    def test_cut_vectors(self, folder):
        write_modules(folder, "Normalize")
        edit_json(folder / "config_sentence_transformers.json", truncate_dim=5)
        assert_same(folder)
        assert BertEmbedder(str(folder)).fit(["a"]).n_features_out_ == 5

    def test_with_windows_cache_workers_and_pickles(self, folder, tmp_path):
        write_modules(folder, "Dense")
        write_dense(folder / "2_Dense")
        reference = expected(folder)
        for options in ({"cache": tmp_path / "cache"}, {"n_jobs": 2}, {"save_weights": True}):
            embedder = BertEmbedder(str(folder), device="cpu", **options).fit(["a"])
            again = pickle.loads(pickle.dumps(embedder))
            for one in (embedder, again):
                np.testing.assert_allclose(one.transform(TEXTS), reference, atol=1e-5)

    def test_other_steps_have_other_entries_in_a_cache(self, folder, tmp_path):
        write_modules(folder, "Dense")
        write_dense(folder / "2_Dense", n_out=32)
        options = {"cache": tmp_path / "cache", "device": "cpu"}
        vectors = [BertEmbedder(str(folder), **options).fit_transform(TEXTS)]
        edit_json(
            folder / "2_Dense" / "config.json",
            activation_function="torch.nn.modules.linear.Identity",
        )
        vectors.append(BertEmbedder(str(folder), **options).fit_transform(TEXTS))
        vectors.append(BertEmbedder(str(folder), pooling="mean", **options).fit_transform(TEXTS))
        for one, other in ((0, 1), (0, 2), (1, 2)):
            assert np.abs(vectors[one] - vectors[other]).max() > 0.1

    def test_a_pooling_of_ones_own_leaves_the_steps_out(self, folder):
        write_modules(folder, "Dense")
        (folder / "2_Dense").mkdir()
        assert BertEmbedder(str(folder), pooling="cls").fit(["a"]).n_features_out_ == 32

    @pytest.mark.parametrize("kind", ["CNN", "LSTM", "WordWeights"])
    def test_unknown_steps_are_named(self, folder, kind):
        write_modules(folder, kind)
        with pytest.warns(CheckpointWarning, match=rf"models\.{kind}\. The vectors differ"):
            BertEmbedder(str(folder)).fit(["a"])

    def test_code_of_the_checkpoints_own_is_named(self, folder):
        write_modules(folder)
        steps = json.loads((folder / "modules.json").read_text())
        steps[0]["type"] = "custom_st.Transformer"
        (folder / "modules.json").write_text(json.dumps(steps))
        with pytest.warns(CheckpointWarning, match=r"custom_st\.Transformer"):
            BertEmbedder(str(folder)).fit(["a"])

    def test_an_activation_of_the_checkpoints_own_is_named(self, folder):
        write_modules(folder, "Dense")
        write_dense(folder / "2_Dense", activation_function="mine.Swish")
        with pytest.warns(CheckpointWarning, match=r"activation_function='mine\.Swish'"):
            vectors = BertEmbedder(str(folder)).fit_transform(TEXTS)
        np.testing.assert_allclose(vectors, expected(folder), atol=1e-5)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"activation_function": "torch.nn.functional.relu"}, "is not one of torch.nn"),
            ({"activation_function": "torch.nn.Threshold"}, "cannot be made"),
            ({"in_features": "32"}, "in_features='32', expected a number"),
            ({"out_features": 9}, "cannot be read: .*size mismatch"),
        ],
    )
    def test_wrong_settings_of_a_step(self, folder, changes, words):
        write_modules(folder, "Dense")
        write_dense(folder / "2_Dense")
        edit_json(folder / "2_Dense" / "config.json", **changes)
        with pytest.raises(CheckpointError, match=rf"2_Dense/.*{words}"):
            BertEmbedder(str(folder)).fit(["a"])

    def test_a_step_that_reads_other_features(self, folder):
        write_modules(folder, "Dense")
        write_dense(folder / "2_Dense")
        embedder = BertEmbedder(str(folder), layers=(1, 2), combine_layers="concat")
        with pytest.raises(CheckpointError, match=r"Dense layer reads 32 features, .* has 64"):
            embedder.fit(["a"])

    def test_missing_weights_of_a_step(self, folder):
        write_modules(folder, "Dense")
        write_dense(folder / "2_Dense")
        (folder / "2_Dense" / "model.safetensors").unlink()
        with pytest.raises(CheckpointError, match=r"2_Dense/model\.safetensors is not there"):
            BertEmbedder(str(folder)).fit(["a"])


class TestSettings:
    @pytest.mark.parametrize("name", SETTINGS_FILES)
    def test_every_name_of_the_file(self, folder, name):
        write_modules(folder)
        edit_json(folder / name, max_seq_length=10)
        embedder = BertEmbedder(str(folder)).fit(["a"])
        assert embedder.max_length_ == 10

    def test_the_first_name_counts(self, folder):
        write_modules(folder)
        edit_json(folder / "sentence_bert_config.json", max_seq_length=10)
        edit_json(folder / "sentence_albert_config.json", max_seq_length=20)
        assert BertEmbedder(str(folder)).fit(["a"]).max_length_ == 10

    @pytest.mark.parametrize("stated", [None, 5, 10, 48, 60])
    @pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
    def test_length_goes_before_the_tokenizers(self, folder, stated):
        write_modules(folder)
        edit_json(folder / "tokenizer_config.json", model_max_length=10)
        edit_json(folder / "sentence_bert_config.json", max_seq_length=stated)
        assert BertEmbedder(str(folder)).fit(["a"]).max_length_ == (stated or 10)
        assert_same(folder)

    def test_length_among_the_tokenizers_arguments(self, folder):
        write_modules(folder)
        arguments = {"model_max_length": 6}
        edit_json(folder / "sentence_bert_config.json", max_seq_length=10, tokenizer_args=arguments)
        assert BertEmbedder(str(folder)).fit(["a"]).max_length_ == 6

    @pytest.mark.parametrize("length", [0, -1, "48", 4.5, [64], True])
    def test_a_length_that_is_none(self, folder, length):
        edit_json(folder / "sentence_bert_config.json", max_seq_length=length)
        with pytest.raises(CheckpointError, match=r"sentence_bert_config.json: max_seq_length="):
            BertEmbedder(str(folder)).fit(["a"])

    @pytest.mark.parametrize("lowercases", [True, False])
    def test_lower_case_beside_any_tokenizer(self, folder, lowercases):
        write_modules(folder)
        edit_json(folder / "tokenizer_config.json", do_lower_case=lowercases)
        edit_json(folder / "sentence_bert_config.json", do_lower_case=True)
        texts = ["The CAT sat", "the cat sat", "ÀÉÎ İstanbul ẞ"]
        assert_same(folder, texts)
        vectors = BertEmbedder(str(folder)).fit_transform(texts)
        np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)

    @pytest.mark.parametrize(
        "changes",
        [
            {"config_args": {"hidden_act": "relu"}},
            {"tokenizer_args": {"do_lower_case": False}},
            {"processing_kwargs": {"text": {"max_length": 3}}},
            {"modality_config": {"text": {"method": "get_text_features"}}},
        ],
    )
    def test_settings_that_are_not_applied_are_named(self, folder, changes):
        write_modules(folder)
        edit_json(folder / "sentence_bert_config.json", max_seq_length=20, **changes)
        name = next(iter(changes))
        with pytest.warns(CheckpointWarning, match=rf"sentence_bert_config\.json: {name}"):
            BertEmbedder(str(folder)).fit(["a"])


class TestPrompts:
    def write(self, folder: Path, prompt: str, *, include: bool = True, mode: str = "mean") -> None:
        write_modules(folder, pooling={"pooling_mode": mode, "include_prompt": include})
        edit_json(
            folder / "config_sentence_transformers.json",
            prompts={"mine": prompt, "query": "no"},
            default_prompt_name="mine",
        )

    @pytest.mark.parametrize("include", [True, False])
    @pytest.mark.parametrize("mode", [*MODES, ["mean", "max"]])
    @pytest.mark.parametrize("prompt", ["The dog is: ", "where"])
    def test_default_prompt(self, folder, prompt, include, mode):
        self.write(folder, prompt, include=include, mode=mode)
        assert_same(folder)

    @pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
    @pytest.mark.parametrize("include", [True, False])
    @pytest.mark.parametrize("mode", set(MODES) - {"max"})
    def test_prompt_longer_than_the_model_reads(self, folder, include, mode):
        self.write(folder, "the cat sat on the mat . " * 3, include=include, mode=mode)
        edit_json(folder / "sentence_bert_config.json", max_seq_length=10)
        assert_same(folder)

    @pytest.mark.parametrize("mode", MODES)
    @pytest.mark.parametrize("include", [True, False])
    def test_in_windows(self, folder, include, mode):
        """The prompt's tokens are left out of the first window, or of several where it is long."""
        prompt = "the cat sat on the mat . the dog is : "
        self.write(folder, prompt, include=include, mode=mode)
        windows = {"overflow": "windows", "max_length": 9, "stride": 0, "device": "cpu"}
        n_skipped = 0 if include else 12
        for text, tokens, vector in zip(
            texts := [TEXTS[4], "a"],
            BertEmbedder(str(folder), pooling=None, **windows).fit_transform(texts),
            BertEmbedder(str(folder), **windows).fit_transform(texts),
            strict=True,
        ):
            places = np.arange(1, len(tokens) + 1)[n_skipped:, None]
            tokens = tokens[n_skipped:]
            by_hand = {
                "mean": tokens.mean(0),
                "max": tokens.max(0),
                "mean_sqrt_len_tokens": tokens.sum(0) / len(tokens) ** 0.5,
                "weightedmean": (tokens * places).sum(0) / places.sum(),
                "lasttoken": tokens[-1],
                "cls": vector,  # the mean of the windows' own
            }
            np.testing.assert_allclose(vector, by_hand[mode], atol=1e-4, err_msg=text)

    def test_text_of_the_users_own_and_none(self, folder):
        self.write(folder, "the dog is: ")
        plain = BertEmbedder(str(folder), prompt=None, device="cpu").fit(["a"])
        assert plain.prompt_ == ""
        np.testing.assert_allclose(plain.transform(TEXTS), expected(folder, prompt=""), atol=1e-5)
        mine = BertEmbedder(str(folder), prompt="my house ", device="cpu").fit(["a"])
        np.testing.assert_allclose(
            mine.transform(TEXTS), expected(folder, prompt="my house "), atol=1e-5
        )

    @pytest.mark.parametrize("name", ["query", "document"])
    def test_names_that_every_checkpoint_has(self, folder, name):
        write_modules(folder)
        edit_json(
            folder / "config_sentence_transformers.json", default_prompt_name=name, prompts={}
        )
        assert_same(folder)

    @pytest.mark.parametrize(
        "changes", [{"default_prompt_name": "other"}, {"prompts": {"mine": 3}}, {"prompts": ["a"]}]
    )
    def test_prompts_that_do_not_fit(self, folder, changes):
        self.write(folder, "the dog is: ")
        edit_json(folder / "config_sentence_transformers.json", **changes)
        with pytest.raises(CheckpointError, match=r"config_sentence_transformers\.json.*prompt="):
            BertEmbedder(str(folder)).fit(["a"])
        BertEmbedder(str(folder), prompt=None).fit(["a"])

    def test_it_is_part_of_a_caches_keys(self, folder, tmp_path):
        self.write(folder, "the dog is: ")
        options = {"cache": tmp_path / "cache", "device": "cpu"}
        first, second = (
            BertEmbedder(str(folder), prompt=prompt, **options).fit_transform(TEXTS)
            for prompt in ("auto", None)
        )
        assert np.abs(first - second).max() > 0.1

    def test_inspect_tokens_shows_it(self, folder):
        self.write(folder, "the dog ")
        embedder = BertEmbedder(str(folder), pooling=None).fit(["a"])
        tokens = inspect_tokens(["a cat"], embedder)
        assert tokens.token.tolist() == ["[CLS]", "the", "dog", "a", "cat", "[SEP]"]
        assert tokens.start.tolist() == [0, 0, 0, 0, 2, 0]
        assert tokens.end.tolist() == [0, 0, 0, 1, 5, 0]

    @pytest.mark.parametrize("prompt", [3, True, ["a"]])
    def test_a_prompt_that_is_none(self, tiny_bert, prompt):
        with pytest.raises(ValueError, match=r"prompt=.* expected a str or None"):
            BertEmbedder(tiny_bert, prompt=prompt).fit(["a"])


class TestFolders:
    @pytest.fixture(params=["0_Transformer", "0_BERT", "encoder"])
    def nested(self, request, tmp_path) -> Path:
        root = tmp_path / "root"
        save_tiny_bert(root / request.param)
        write_modules(root, "Dense", pooling={"pooling_mode": "cls"}, first=request.param)
        write_dense(root / "2_Dense")
        edit_json(root / request.param / "sentence_bert_config.json", max_seq_length=20)
        return root

    def test_model_in_a_sub_folder(self, nested):
        embedder = BertEmbedder(str(nested), device="cpu").fit(["a"])
        assert embedder.max_length_ == 20
        assert embedder.pooling_ == "cls"
        assert_same(nested)
        again = pickle.loads(pickle.dumps(embedder.set_params(save_weights=True)))
        moved = nested.rename(nested.with_name("elsewhere"))
        np.testing.assert_allclose(again.transform(TEXTS), expected(moved), atol=1e-5)

    def test_the_hub_is_asked_for_sub_folders(self, nested, monkeypatch):
        from huggingface_hub.utils import filter_repo_objects

        from skbert._models.checkpoint import HUB_FILES

        files = [file.relative_to(nested).as_posix() for file in nested.rglob("*.*")]
        files += [
            "onnx/model.onnx",
            "checkpoint-500/model.safetensors",
            "10_Dense/model.safetensors",
        ]
        asked = set(filter_repo_objects(files, allow_patterns=HUB_FILES))
        if (nested / "encoder").is_dir():
            files.remove("encoder/model.safetensors")
        assert asked == set(files) - {"onnx/model.onnx", "checkpoint-500/model.safetensors"}

    def test_the_sub_folder_alone_is_warned_of(self, nested):
        sub = next(
            folder
            for folder in nested.iterdir()
            if (folder / "vocab.txt").exists() or (folder / "tokenizer.json").exists()
        )
        with pytest.warns(CheckpointWarning, match=r"the other steps of .*modules\.json .pass mod"):
            embedder = BertEmbedder(str(sub)).fit(["a"])
        assert embedder.pooling_ == "mean"

    def test_a_folder_outside_is_refused(self, folder):
        write_modules(folder, first="../elsewhere")
        with pytest.raises(CheckpointError, match="expected one inside the checkpoint"):
            BertEmbedder(str(folder)).fit(["a"])

    def test_a_checkpoint_without_a_transformer(self, tmp_path):
        steps = [
            {"path": "0_StaticEmbedding", "type": "sentence_transformers.models.StaticEmbedding"}
        ]
        (tmp_path / "modules.json").write_text(json.dumps(steps))
        with pytest.raises(CheckpointError, match="StaticEmbedding, and no transformer"):
            BertEmbedder(str(tmp_path)).fit(["a"])

    def test_other_kinds_of_models_give_their_transformer(self, folder):
        write_modules(folder, pooling={"pooling_mode": "cls"})
        edit_json(
            folder / "config_sentence_transformers.json",
            model_type="SparseEncoder",
            prompts={"query": "the dog: "},
            default_prompt_name="query",
        )
        assert_same(folder)


@pytest.mark.parametrize(
    "name",
    [
        "modules.json",
        "1_Pooling/config.json",
        "2_Dense/config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ],
)
@pytest.mark.parametrize("content", [b"{", b"", b"3", b'"a"', b"\xff\xfe", b"[[]]"])
def test_damaged_files_are_named(folder, name, content):
    write_modules(folder, "Dense")
    write_dense(folder / "2_Dense")
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=name.replace(".", r"\.")):
        BertEmbedder(str(folder)).fit(["a"])


@pytest.mark.parametrize("step", [{"path": "1_Pooling"}, {"type": "x"}, {"type": 3, "path": ""}, 3])
def test_steps_without_type_or_path(folder, step):
    (folder / "modules.json").write_text(json.dumps([step]))
    with pytest.raises(CheckpointError, match=r"modules\.json has a step without a '(type|path)'"):
        BertEmbedder(str(folder)).fit(["a"])


def test_saved_by_sentence_transformers_itself(folder, tmp_path):
    """The files of the installed version, not only those written above."""
    models = pytest.importorskip("sentence_transformers.models")
    sentence_transformers = pytest.importorskip("sentence_transformers")
    transformer = models.Transformer(str(folder))
    pooling = models.Pooling(32, pooling_mode=("cls", "weightedmean"))
    dense = models.Dense(64, 16, activation_function=nn.GELU())
    model = sentence_transformers.SentenceTransformer(
        modules=[transformer, pooling, dense, models.LayerNorm(16), models.Normalize()],
        prompts={"mine": "the cat "},
        default_prompt_name="mine",
        device="cpu",
    )
    model.save(str(tmp_path / "saved"))
    assert_same(tmp_path / "saved", normalize=True)
