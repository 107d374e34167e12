"""The part of the benchmarks that switches off each file of skbert/_kernels: it really does."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from skbert import _kernels
from skbert._kernels.prepacked import can_prepack

ROOT = Path(__file__).parents[1]
TEXTS = ["the cat sat on the mat .", "where is my card ?", "it is a very good film", "the bank"] * 4
LABELS = ["cat", "bank", "film", "bank"] * 4
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 320,
}
# A function of each file that runs where the file is on, and only there.
MARKS = {
    "dropout": "FastDropout.forward",
    "dropped_attention": "dropped_attention",
    "int8": "Int8Linear.forward",
    "linear": "OneDnnLinear.forward",
    "merged_attention": "MergedSelfAttention.forward",
    "own_attention": "use_own_packed_attention",
    "packed_heads": "FirstTokenLayer.forward",
    "packing": "use_packed_attention",
    "prepacked": "PrepackedLinear.forward",
    "product_attention": "attend_by_products",
    "static_int8": "StaticInt8Linear.forward",
    "used_rows": "UsedRows.forward",
}


@pytest.fixture(scope="module")
def part() -> Iterator[Any]:
    """The module `embedding.kernels` of the benchmarks."""
    before = set(sys.modules)
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        from embedding import kernels

        yield kernels
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
        # Their names, such as "shared", may be those of others.
        for name in set(sys.modules) - before:
            file = getattr(sys.modules[name], "__file__", None) or ""
            if file.startswith(str(ROOT / "benchmarks")):
                del sys.modules[name]


@pytest.fixture(scope="module")
def folders(part: Any, tiny_bert: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from shared.checkpoints import save_random

    work = tmp_path_factory.mktemp("kernels")
    for name, kind in (("MiniLM", "Bert"), ("MPNet", "MPNet")):
        save_random(work / name, kind, tiny_bert, **SMALL)
    return {name: work / name for name in ("MiniLM", "MPNet")}


def called(run: Callable[[], Any]) -> set[tuple[str, str]]:
    """Run; return the functions of skbert/_kernels that were called, each with its file."""
    (folder,) = _kernels.__path__
    seen = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(folder):
            seen.add((Path(frame.f_code.co_filename).stem, frame.f_code.co_qualname))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]
    return seen


def test_every_file_has_a_switch_or_serves_others(part):
    part.check_files()
    assert not set(part.SWITCHES) & set(part.SERVING)
    assert set(MARKS) == set(part.SWITCHES)


def test_a_file_that_came_or_went_is_an_error(part, monkeypatch):
    monkeypatch.setattr(part, "files", lambda: {*part.SWITCHES, *part.SERVING, "new"})
    with pytest.raises(ValueError, match=r"without a switch: .'new'"):
        part.check_files()
    monkeypatch.setattr(part, "files", lambda: {*part.SWITCHES, *part.SERVING} - {"linear"})
    with pytest.raises(ValueError, match=r"that have a switch: .'linear'"):
        part.check_files()


def test_an_unknown_name_is_an_error(part):
    with pytest.raises(ValueError, match="unknown file of skbert/_kernels: 'liner'"):
        part.prepared("training, questions", "liner", None, TEXTS, LABELS)


@pytest.mark.parametrize("name", MARKS)
def test_a_file_that_is_switched_off_is_not_used(part, folders, name):
    from shared.peers import computed_precisions

    switch, mark = part.SWITCHES[name], (name, MARKS[name])
    for work in switch.works:
        its = part.WORKS[work]
        if its.precision not in computed_precisions():
            pytest.skip(f"this CPU does not compute in {its.precision}")

        def used(off: str, work: str = work, model: str = its.model) -> set[tuple[str, str]]:
            return called(lambda: part.prepared(work, off, folders[model], TEXTS, LABELS)())

        if name not in ("linear", "prepacked") or can_prepack(part.torch.float32):
            assert mark in used(switch.without), f"{work}: {mark} is not used at all"
        assert mark not in used(name), f"{work}: {mark} is still used"
