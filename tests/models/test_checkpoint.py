"""Finding, verifying and loading checkpoints; one clear error for what goes wrong."""

from __future__ import annotations

import json
import pickle
import shutil
import traceback
from pathlib import Path

import pytest
import torch
from huggingface_hub import errors

from skbert import (
    BertEmbedder,
    CheckpointError,
    CheckpointNotFoundError,
    CheckpointWarning,
    ParameterError,
    inspect_tokens,
)
from skbert._models import checkpoint as _checkpoint
from tests.conftest import save_tiny_bert, save_tokenizer

pytestmark = pytest.mark.usefixtures("one_thread")


def edit_json(file: Path, **changes) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps({**content, **changes}))


def hub_answers(monkeypatch, answer) -> list[tuple[str, str | None]]:
    """Let the hub give a folder, or an error; give what it was asked for."""
    asked = []

    def snapshot_download(name, revision, allow_patterns):
        asked.append((name, revision))
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    monkeypatch.setattr(_checkpoint, "_SNAPSHOTS", {})
    return asked


def hub_error(kind):
    """An error of the hub without the HTTP response that its constructor asks for."""
    return kind.__new__(kind, "no")


class TestFinding:
    def test_folder_is_found_and_digested(self, tiny_bert):
        found_in, checkpoint = _checkpoint.find_checkpoint(tiny_bert, None)
        assert found_in == Path(tiny_bert)
        assert checkpoint.name == tiny_bert
        assert checkpoint.revision is None
        assert len(checkpoint.digest) == 64

    def test_default_model_comes_from_the_verified_package(self, minilm):
        found_in, checkpoint = _checkpoint.find_checkpoint(_checkpoint.DEFAULT_MODEL, None)
        assert found_in == minilm
        assert checkpoint.revision == _checkpoint.OFFLINE_REVISION
        assert checkpoint.digest == _checkpoint.OFFLINE_DIGEST

    def test_altered_package_is_refused(self, monkeypatch, tiny_bert):
        monkeypatch.setattr(_checkpoint, "_offline_folder", lambda: Path(tiny_bert))
        with pytest.raises(CheckpointError, match=r"SHA-256 is .* expected 53aa51172d14.* Reinst"):
            BertEmbedder().fit(["a"])

    def test_hub_snapshot_names_its_commit(self, monkeypatch, tiny_bert, tmp_path):
        snapshot = Path(shutil.copytree(tiny_bert, tmp_path / "0123abc"))
        hub_answers(monkeypatch, snapshot)
        embedder = BertEmbedder("org/model", revision="v1").fit(["a"])
        assert embedder.checkpoint_.name == "org/model"
        assert embedder.checkpoint_.revision == "0123abc"

    def test_hub_is_asked_once(self, monkeypatch, tiny_bert, tmp_path):
        """Not at each of a grid search's fits, nor for the commit that it named."""
        snapshot = Path(shutil.copytree(tiny_bert, tmp_path / "0123abc"))
        asked = hub_answers(monkeypatch, snapshot)
        embedder = BertEmbedder("org/model", revision="v1").fit(["a"]).fit(["b"])
        pickle.loads(pickle.dumps(embedder)).transform(["a"])
        assert asked == [("org/model", "v1")]
        BertEmbedder("org/model", revision="v2").fit(["a"])
        BertEmbedder("org/other", revision="v1").fit(["a"])
        assert asked[1:] == [("org/model", "v2"), ("org/other", "v1")]

    def test_hub_is_asked_again_when_its_files_are_gone_or_it_was_out_of_reach(
        self, monkeypatch, tiny_bert, tmp_path
    ):
        asked = hub_answers(monkeypatch, errors.LocalEntryNotFoundError("no network"))
        for _ in range(2):
            with pytest.raises(CheckpointNotFoundError):
                BertEmbedder("org/model").fit(["a"])
        assert len(asked) == 2
        snapshot = Path(shutil.copytree(tiny_bert, tmp_path / "0123abc"))
        asked = hub_answers(monkeypatch, snapshot)
        BertEmbedder("org/model").fit(["a"])
        snapshot.rename(tmp_path / "elsewhere")
        with pytest.raises(CheckpointError):
            BertEmbedder("org/model").fit(["a"])
        assert len(asked) == 2

    def test_other_revision_of_the_default_model_asks_the_hub(self, monkeypatch, tiny_bert):
        hub_answers(monkeypatch, tiny_bert)
        _, checkpoint = _checkpoint.find_checkpoint(_checkpoint.DEFAULT_MODEL, "other")
        assert checkpoint.revision == Path(tiny_bert).name

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (
                errors.LocalEntryNotFoundError("no network"),
                "Check the spelling first.*hub cannot be reached.*Download",
            ),
            (errors.OfflineModeIsEnabled("offline"), "HF_HUB_OFFLINE=1 is set.*--local-dir"),
            (hub_error(errors.RepositoryNotFoundError), "neither a folder here nor a model"),
            (hub_error(errors.GatedRepoError), "hf auth login"),
            (hub_error(errors.RevisionNotFoundError), "no revision 'v9'"),
            (hub_error(errors.HfHubHTTPError), "hub cannot be reached"),
            (errors.HFValidationError("bad id"), "Check the spelling"),
        ],
    )
    def test_hub_trouble_is_one_clear_error(self, monkeypatch, answer, words):
        hub_answers(monkeypatch, answer)
        with pytest.raises(CheckpointNotFoundError, match=words) as caught:
            BertEmbedder("org/model", revision="v9").fit(["a"])
        shown = "".join(traceback.format_exception(caught.value))
        assert shown.count("Traceback") == 1  # not the hub's own errors before it

    def test_default_model_without_package_and_network(self, monkeypatch):
        monkeypatch.setattr(_checkpoint, "_offline_folder", lambda: None)
        hub_answers(monkeypatch, errors.LocalEntryNotFoundError("no network"))
        with pytest.raises(
            CheckpointNotFoundError, match=r'pip install "skbert\[offline\]"'
        ) as caught:
            BertEmbedder().fit(["a"])
        assert "spelling" not in str(caught.value)

    @pytest.mark.parametrize("setting", ["HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"])
    def test_the_real_hub_library_offline_names_the_setting(self, setting, monkeypatch, tmp_path):
        """The fixture no_hub has switched the library itself to offline mode."""
        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(setting, "true")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
        with pytest.raises(CheckpointNotFoundError) as caught:
            BertEmbedder("org/modle").fit(["a"])
        message = str(caught.value)
        assert 0 < message.index("Check the spelling first") < message.index(f"{setting}=true")
        assert len("".join(traceback.format_exception(caught.value)).splitlines()) < 40


class TestFolderWithTheNameOfAModel:
    @pytest.fixture
    def here(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        return tmp_path

    @pytest.mark.parametrize("name", ["acme/bert", "bert", _checkpoint.DEFAULT_MODEL])
    @pytest.mark.parametrize("content", [{}, {"config.json": "{}"}])
    def test_an_error_says_that_the_folder_was_taken(self, here, name, content):
        (here / name).mkdir(parents=True)
        for file, text in content.items():
            (here / name / file).write_text(text)
        with pytest.raises(
            CheckpointError, match=r"a folder here.*was taken, not the hub's.*rename"
        ):
            BertEmbedder(name).fit(["a"])

    def test_a_revision_means_nothing_for_it(self, here, tiny_bert):
        shutil.copytree(tiny_bert, here / "acme" / "bert")
        BertEmbedder("acme/bert").fit(["a"])
        with pytest.warns(CheckpointWarning, match=r"revision='v1' means nothing for a folder"):
            BertEmbedder("acme/bert", revision="v1").fit(["a"])

    def test_files_that_may_not_be_read(self, folder, monkeypatch):
        def refuse(*args, **options):
            raise PermissionError(13, "Permission denied", "model.safetensors")

        monkeypatch.setattr(_checkpoint, "_file_digest", refuse)
        with pytest.raises(CheckpointError, match=r"cannot be read: .*Permission denied.*rights"):
            BertEmbedder(str(folder)).fit(["a"])


class TestLoading:
    def test_folder_without_config(self, tmp_path):
        with pytest.raises(CheckpointError, match=r"no config.json"):
            BertEmbedder(str(tmp_path)).fit(["a"])

    def test_only_safetensors(self, folder):
        (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
        with pytest.raises(CheckpointError, match=r"no safetensors weights.*save_pretrained"):
            BertEmbedder(str(folder)).fit(["a"])

    def test_folder_without_tokenizer(self, folder):
        for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
            (folder / name).unlink(missing_ok=True)
        with pytest.raises(CheckpointError, match=r"tokenizer.*save_pretrained"):
            BertEmbedder(str(folder)).fit(["a"])

    def test_damaged_weights(self, folder):
        weights = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(weights[: len(weights) // 2])
        with pytest.raises(CheckpointError, match=r"cannot be loaded.*complete"):
            BertEmbedder(str(folder)).fit(["a"])

    def test_missing_weights_are_not_made_up(self, folder):
        from safetensors.torch import load_file, save_file

        weights = load_file(folder / "model.safetensors")
        weights.pop("encoder.layer.1.output.dense.weight")
        save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(CheckpointError, match="lacks 1 of the model's weights"):
            BertEmbedder(str(folder)).fit(["a"])

    def test_remote_code_is_not_run(self, folder):
        (folder / "evil.py").write_text("raise SystemExit('remote code ran')")
        edit_json(
            folder / "config.json", model_type="evil", auto_map={"AutoModel": "evil.EvilModel"}
        )
        with pytest.raises(CheckpointError):
            BertEmbedder(str(folder)).fit(["a"])

    def test_no_pooler(self, tmp_path):
        folder = save_tiny_bert(tmp_path / "bare", pooler=False)
        assert BertEmbedder(str(folder)).fit_transform(["a"]).shape == (1, 32)
        with pytest.raises(ParameterError, match="no trained pooler"):
            BertEmbedder(str(folder), pooling="pooler").fit(["a"])

    def test_global_random_state_is_left_alone(self, tmp_path):
        folder = save_tiny_bert(tmp_path / "bare", pooler=False)
        before = torch.random.get_rng_state()
        BertEmbedder(str(folder)).fit(["a"])
        assert torch.equal(torch.random.get_rng_state(), before)

    def test_nothing_is_printed(self, folder, capfd):
        BertEmbedder(str(folder)).fit_transform(["the cat"])
        assert capfd.readouterr() == ("", "")


class TestMaxLength:
    def test_position_embeddings_limit(self, tiny_bert):
        assert BertEmbedder(tiny_bert).fit(["a"]).max_length_ == 64

    def test_tokenizer_limit(self, folder):
        edit_json(folder / "tokenizer_config.json", model_max_length=48)
        assert BertEmbedder(str(folder)).fit(["a"]).max_length_ == 48
        assert BertEmbedder(str(folder), max_length=60).fit(["a"]).max_length_ == 60

    def test_no_limit_at_all(self, tmp_path):
        """XLNet's positions are relative, and its configuration says -1."""
        from transformers import XLNetConfig, XLNetModel

        config = XLNetConfig(vocab_size=save_tokenizer(tmp_path), d_model=32, n_layer=1, n_head=2)
        XLNetModel(config).save_pretrained(tmp_path)
        edit_json(tmp_path / "tokenizer_config.json", model_max_length=int(1e30))
        assert BertEmbedder(str(tmp_path)).fit(["a"]).max_length_ == 512

    @pytest.mark.filterwarnings("ignore::skbert.TruncationWarning")
    def test_truncation_side_of_the_tokenizer(self, folder):
        edit_json(folder / "tokenizer_config.json", truncation_side="left")
        embedder = BertEmbedder(str(folder), max_length=4, pooling=None).fit(["a"])
        tokens = inspect_tokens(["the cat sat on the mat"], embedder)
        assert tokens.token.tolist() == ["[CLS]", "the", "mat", "[SEP]"]
        assert tokens.start.tolist() == [0, 15, 19, 0]

    def test_sentence_transformers_limit(self, folder):
        edit_json(folder / "sentence_bert_config.json", max_seq_length=20)
        assert BertEmbedder(str(folder)).fit(["a"]).max_length_ == 20

    def test_more_than_the_model_can_read(self, tiny_bert):
        with pytest.raises(ParameterError, match="max_length=65 is more than the 64 tokens"):
            BertEmbedder(tiny_bert, max_length=65).fit(["a"])
