"""What has no form as a graph is refused; a graph that came out wrong is noticed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from skbert import ParameterError
from skbert._inference import onnx_graph
from skbert._inference.loop import HiddenStates
from skbert._inference.onnx_graph import TextGraph, write_graph
from skbert._models.encoder import make_encoder
from skbert._models.loading import load_config, load_encoder_model
from skbert._models.tokenizer import load_tokenizer
from tests.conformity.checkpoints import FAMILIES, save_checkpoint
from tests.conftest import save_tiny_bert

pytestmark = pytest.mark.usefixtures("one_thread")


def graph_of(folder: Path) -> TextGraph:
    config = load_config(folder)
    model = load_encoder_model(folder, torch.float32, config)
    tokenizer = load_tokenizer(folder, config)
    encoder = make_encoder(model, tokenizer, folder, torch.device("cpu"), torch.float32)
    return TextGraph(encoder, HiddenStates((encoder.n_layers,)), ("mean",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_bert(tmp_path_factory.mktemp("onnx") / "small", n_layers=1)


@pytest.fixture(scope="module")
def written(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in onnx_graph.PACKAGES:
        pytest.importorskip(package)
    file = tmp_path_factory.mktemp("onnx") / "model.onnx"
    write_graph(graph_of(folder), "vectors", 64, file)
    return file


class Saved:
    """What the exporter returns, of a graph that was written before."""

    def __init__(self, file: Path) -> None:
        self.content = file.read_bytes()
        self.external_data = False

    def save(self, file: str, *, external_data: bool) -> None:
        Path(file).write_bytes(self.content)
        self.external_data = external_data


def test_sizes_have_names(written):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(written), providers=["CPUExecutionProvider"])
    names = ["input_ids", "attention_mask", "token_type_ids"]
    inputs = {value.name: value.shape for value in session.get_inputs()}
    assert inputs == {name: ["batch", "length"] for name in names}
    (output,) = session.get_outputs()
    assert (output.name, output.shape) == ("vectors", ["batch", 32])


def test_every_length_alone_and_beside_the_longest(folder, written):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(written), providers=["CPUExecutionProvider"])
    graph = graph_of(folder).eval()
    for length in range(1, 65):
        ids = torch.arange(5, 69).repeat(2, 1)
        mask = (torch.arange(64) < torch.tensor([[length], [64]])).long()
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}
        alone = {name: value[:1, :length] for name, value in inputs.items()}
        with torch.inference_mode():
            expected = graph(**alone).numpy()
        for values in (alone, inputs):
            (found,) = session.run(None, {name: value.numpy() for name, value in values.items()})
            np.testing.assert_allclose(found[:1], expected, rtol=0, atol=1e-5)


def test_large_weights_get_a_file_beside_the_graph(folder, written, tmp_path, monkeypatch):
    saved = Saved(written)
    monkeypatch.setattr(onnx_graph, "_exported", lambda *args: saved)
    write_graph(graph_of(folder), "vectors", 64, tmp_path / "model.onnx")
    assert not saved.external_data
    monkeypatch.setattr(onnx_graph, "MOST_BYTES", 1_000)
    write_graph(graph_of(folder), "vectors", 64, tmp_path / "model.onnx")
    assert saved.external_data


@pytest.mark.parametrize("n_tokens", [3, 64])
def test_a_wrong_result_at_some_length_is_noticed(folder, written, tmp_path, monkeypatch, n_tokens):
    """As of a model that goes another way where a text is short, or long."""

    graph = graph_of(folder)
    forward = graph.forward

    def another_way(input_ids, *args, **kwargs):
        result = forward(input_ids, *args, **kwargs)
        return result * 1.01 if input_ids.shape[1] == n_tokens else result

    graph.forward = another_way
    monkeypatch.setattr(onnx_graph, "_exported", lambda *args: Saved(written))
    with pytest.raises(ParameterError, match=f"'bert'.*for a text of {n_tokens} tokens.*Use a"):
        write_graph(graph, "vectors", 64, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize("content", [b"no graph", None])
def test_what_onnxruntime_cannot_do(folder, written, tmp_path, monkeypatch, content):
    saved = Saved(written)
    if content is None:  # a graph that wants other inputs
        monkeypatch.setattr(TextGraph, "input_names", ["input_ids", "attention_mask"])
    else:
        saved.content = content
    monkeypatch.setattr(onnx_graph, "_exported", lambda *args: saved)
    what = "compute it" if content is None else "read it"
    with pytest.raises(ParameterError, match=f"onnxruntime cannot {what}"):
        write_graph(graph_of(folder), "vectors", 64, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_what_the_exporter_cannot_do(folder, tmp_path, monkeypatch):
    def fail(*args):
        try:
            raise ZeroDivisionError("the first reason")
        except ZeroDivisionError as error:
            raise RuntimeError("advice") from error

    monkeypatch.setattr(onnx_graph, "_exported", fail)
    with pytest.raises(ParameterError, match=r"'bert' cannot.*gives up \(the first reason\)\. Use"):
        write_graph(graph_of(folder), "vectors", 64, tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("family", "why"),
    [
        ("fnet", "padding changes its results"),
        ("big_bird", "padding changes its results"),
        ("longformer", "it fills up texts itself"),
    ],
)
def test_models_that_read_texts_by_their_length(tmp_path, family, why):
    folder = save_checkpoint(tmp_path / family, FAMILIES[family])
    with pytest.raises(ParameterError, match=f"type '{family}'.*{why}.*Use a model of another"):
        write_graph(graph_of(folder), "vectors", 60, tmp_path / "model.onnx")
