"""What many texts cost: arithmetic on measured speeds, written into docs/scale.md.

``python docs/costs.py`` writes the tables; a test compares them. ``python docs/costs.py measure``
measures the speeds anew, on one core, and writes costs.json: a few minutes on a quiet machine.
"""

from __future__ import annotations

import json
import re
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import blocks

DOCS = Path(__file__).parent
FIGURES, PAGE = DOCS / "costs.json", DOCS / "scale.md"
PRECISIONS = ("float32", "bfloat16", "int8")
FEATURES = 384
# What is assumed, not measured.
N_TEXTS, TOKENS_A_TEXT, DOLLARS_A_CORE_HOUR, DOLLARS_A_GB_MONTH = 10**9, 30, 0.04, 0.02
CORES = (1, 64, 1000)


def read_figures() -> dict[str, Any]:
    """Read what was measured."""
    figures: dict[str, Any] = json.loads(FIGURES.read_text(encoding="utf-8"))
    return figures


def core_hours(tokens_per_second: float) -> float:
    """Return hours of one core for all texts."""
    return N_TEXTS * TOKENS_A_TEXT / tokens_per_second / 3600


def speed_table(figures: dict[str, Any]) -> str:
    """Return hours and money for each precision."""
    heads = [f"{cores:,} core{'s' * (cores > 1)}" for cores in CORES]
    lines = [
        "| precision | tokens/s per core | core hours | " + " | ".join(heads) + " | money |",
        "| --- |" + " --- |" * (len(CORES) + 3),
    ]
    for precision in PRECISIONS:
        speed = round(figures["tokens_per_second"][precision])
        hours = core_hours(speed)
        times = " | ".join(_time(hours / cores) for cores in CORES)
        money = round(hours * DOLLARS_A_CORE_HOUR)
        lines.append(f"| {precision} | {speed:,} | {hours:,.0f} | {times} | {money:,} $ |")
    return "\n".join(lines)


def disk_table(figures: dict[str, Any]) -> str:
    """Return the disk that vectors take."""
    share = figures["bytes_in_parquet"] / (4 * FEATURES)
    lines = ["| what | bytes per text | a billion texts | per month |", "| --- | --- | --- | --- |"]
    for what, n_bytes in (
        (f"{FEATURES} float32 in memory", 4 * FEATURES),
        (f"... in the Parquet of embed_files ({share:.0%})", figures["bytes_in_parquet"]),
    ):
        gigabytes = N_TEXTS * n_bytes / 1e9
        money = gigabytes * DOLLARS_A_GB_MONTH
        lines.append(f"| {what} | {n_bytes:,.0f} | {gigabytes:,.0f} GB | {money:,.0f} $ |")
    return "\n".join(lines)


def machine(figures: dict[str, Any]) -> str:
    """Return the sentence that says where it was measured."""
    sizes = f"{figures['n_texts']:,} texts, {figures['n_tokens']:,} tokens"
    return (
        f"Measured {figures['date']} on one core of {figures['cpu']} ({figures['instructions']}), "
        f"{sizes}, processor time, median of {figures['rounds']} rounds."
    )


def page(figures: dict[str, Any]) -> str:
    """Return the page with its tables computed."""
    parts = {"machine": machine, "speed": speed_table, "disk": disk_table}
    functions = {name: partial(write, figures) for name, write in parts.items()}
    return blocks.fill(PAGE.read_text(encoding="utf-8"), "costs.py", functions)


def _time(hours: float) -> str:
    return f"{hours / 24:,.0f} days" if hours >= 72 else f"{hours:,.1f} h"


def measure(rounds: int = 5) -> dict[str, Any]:
    """Embed the mixed texts of the benchmarks; processor time, of all threads, is of one core."""
    sys.path.insert(0, str(DOCS.parent / "benchmarks"))
    import torch
    from shared import data

    from skbert import BertEmbedder

    torch.set_num_threads(1)
    texts = data.mixed()
    embedders = {name: BertEmbedder(precision=name).fit(texts[:1]) for name in PRECISIONS}
    tokenizer = embedders["float32"]._loaded().tokenizer
    most = embedders["float32"].max_length_
    n_tokens = int(tokenizer.encode(texts, max_length=most).lengths.sum())
    seconds: dict[str, list[float]] = {name: [] for name in PRECISIONS}
    for number in range(rounds + 1):  # the first is a warm-up
        for name, embedder in embedders.items():
            start = time.process_time()
            vectors = embedder.transform(texts)
            if number:
                seconds[name].append(time.process_time() - start)
    return {
        **_cpu(),
        "date": time.strftime("%Y-%m-%d"),
        "rounds": rounds,
        "n_texts": len(texts),
        "n_tokens": n_tokens,
        "seconds": seconds,
        "tokens_per_second": {name: n_tokens / median(all_) for name, all_ in seconds.items()},
        "bytes_in_parquet": _bytes_in_parquet(vectors),
    }


def _cpu() -> dict[str, str]:
    """Return the name of the processor, and which instructions of those that count it has."""
    said = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    flags = set(re.findall(r"^flags\s*: (.*)$", said, re.MULTILINE)[0].split())
    known = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
    name = re.findall(r"^model name\s*: (.*)$", said, re.MULTILINE)[0]
    return {"cpu": name, "instructions": ", ".join(flag for flag in known if flag in flags)}


def _bytes_in_parquet(vectors: Any) -> float:
    """Return what a vector takes in a part that embed_files writes."""
    from tempfile import TemporaryDirectory

    import pyarrow as pa

    from skbert._files.parts import Part, write_part

    values = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    part = Part(0, 0, len(vectors), 0, 0)
    with TemporaryDirectory() as name:
        write_part(Path(name), part, pa.table({"v": values}), ["v"])
        return (Path(name) / part.name).stat().st_size / len(vectors)


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        FIGURES.write_text(json.dumps(measure(), indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(read_figures()), encoding="utf-8")
