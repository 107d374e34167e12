"""The pictures of the pages, drawn from the model and from benchmarks/results.json.

conf.py calls `draw_all` at each build. `python docs/figures.py` draws the one picture that is
committed, that of the README.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import PCA

from skbert import BertEmbedder, inspect_tokens

ROOT = Path(__file__).parents[1]
BLUE, ORANGE, GREEN, RED, GREY = "#3a6ea5", "#e07b39", "#4d9a6a", "#b8423f", "#9a9a9a"
PAIR = ("The bank raised its rates.", "Unbelievable!")
SENTENCE = "The bank raised its rates."
STYLE = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}
# Letters as letters and the same names at each run: small files whose changes can be read.
README_STYLE = {"svg.fonttype": "none", "svg.hashsalt": "skbert"}

TOPICS = {
    "cards": [
        "I lost my card",
        "My wallet was stolen",
        "The machine swallowed my Visa",
        "Please block my card",
    ],
    "exchange rates": [
        "What is the rate for dollars?",
        "Is the pound up again?",
        "How many euros do I get for 100 francs?",
        "The yen fell today",
    ],
    "weather": [
        "It will rain tomorrow",
        "A storm is coming",
        "Take an umbrella with you",
        "What a sunny morning",
    ],
    "food": [
        "The soup was too salty",
        "I bake bread on Sundays",
        "A recipe for apple pie",
        "Dinner is ready",
    ],
}


def read_speeds() -> dict[str, float]:
    """Texts a second of each contender, from the last full run of the benchmarks."""
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    contenders = results["speed"]["mixed"]["contenders"]
    # Batches of 32 are the pipeline's slower choice, and give wrong means: see benchmarks/README.md.
    return {
        name.replace(", batch 1", "").replace(", 32 in input order", ""): one["texts_per_second"]
        for name, one in contenders.items()
        if name != "pipeline, batch 32"
    }


def draw_speed() -> plt.Figure:
    """Bars: texts a second of skbert and its peers."""
    speeds = dict(sorted(read_speeds().items(), key=lambda item: item[1]))
    figure, ax = plt.subplots(figsize=(7.5, 2.8), layout="constrained")
    colours = [BLUE if name.startswith("skbert") else GREY for name in speeds]
    bars = ax.barh(list(speeds), list(speeds.values()), color=colours)
    ax.bar_label(bars, fmt="%.0f", padding=4)
    ax.set_xlabel("texts a second (1,200 texts of mixed length, MiniLM, two cores)")
    ax.margins(x=0.1)
    return figure


def draw_map() -> plt.Figure:
    """A map of short texts, coloured by a topic that the model was never told."""
    texts = [text for group in TOPICS.values() for text in group]
    places = PCA(2, random_state=0).fit_transform(BertEmbedder(normalize=True).fit_transform(texts))
    figure, ax = plt.subplots(figsize=(8.5, 5), layout="constrained")
    groups = zip(TOPICS.items(), np.split(places, len(TOPICS)), (BLUE, ORANGE, GREEN, RED), strict=True)
    for (topic, group), of_group, colour in groups:
        ax.scatter(*of_group.T, color=colour, s=45, label=topic)
        for text, (x, y) in zip(group, of_group, strict=True):
            ax.annotate(text, (x, y), xytext=(6, 4), textcoords="offset points", fontsize=9)
    ax.legend(frameon=False, ncols=len(TOPICS), loc="upper center", bbox_to_anchor=(0.5, 1.09))
    ax.margins(x=0.2)
    ax.set(xticks=[], yticks=[])
    return figure


def draw_tokens() -> plt.Figure:
    """What BERT is given: a pair of texts, and a shorter one padded to its length."""
    pair = inspect_tokens([PAIR])
    short = inspect_tokens([PAIR[1]])
    n_tokens = len(pair)
    figure, axes = plt.subplots(2, 1, figsize=(11.5, 4.6), layout="constrained")
    for ax, table, title in zip(
        axes, (pair, short), ("A pair of texts", "One text in the same batch, padded"), strict=True
    ):
        n_pads = n_tokens - len(table)
        rows = {
            "token": [*table["token"], *["[PAD]"] * n_pads],
            "id": [*table["id"], *[0] * n_pads],
            "segment": [*table["segment"], *[0] * n_pads],
            "position": list(range(n_tokens)),
            "mask": [*table["attention_mask"], *[0] * n_pads],
        }
        draw_grid(ax, rows, title)
    return figure


def draw_grid(ax: plt.Axes, rows: dict[str, list[Any]], title: str) -> None:
    """Rows of cells with a text in each, coloured by what the token is."""
    kinds = [_kind(*cell) for cell in zip(rows["token"], rows["segment"], strict=True)]
    for y, name in enumerate(rows):
        ax.text(-0.65, y, name, ha="right", va="center", color="#444444")
        for x, (value, colour) in enumerate(zip(rows[name], kinds, strict=True)):
            ax.add_patch(plt.Rectangle((x - 0.48, y - 0.44), 0.96, 0.88, color=colour))
            ax.text(x, y, str(value), ha="center", va="center", fontsize=9)
    ax.set(xlim=(-1.6, len(kinds) - 0.4), ylim=(len(rows) - 0.5, -0.6))
    ax.set_title(title, loc="left")
    ax.axis("off")


def _kind(token: str, segment: int) -> str:
    if token == "[PAD]":
        return "#eeeeee"
    if token in ("[CLS]", "[SEP]"):
        return "#d9d2e9"
    return "#fce5cd" if segment else "#cfe2f3"


def draw_input_embeddings() -> plt.Figure:
    """Word, segment and position vectors, and the sum that the first layer reads."""
    from transformers import AutoModel

    from skbert._checkpoint import DEFAULT_MODEL, find_checkpoint

    folder, _ = find_checkpoint(DEFAULT_MODEL, None)
    tables = AutoModel.from_pretrained(folder).embeddings
    tokens = inspect_tokens([SENTENCE])
    parts = {
        "word": tables.word_embeddings.weight[tokens["id"].to_list()],
        "segment": tables.token_type_embeddings.weight[tokens["segment"].to_list()],
        "position": tables.position_embeddings.weight[: len(tokens)],
    }
    shown = {name: part.detach().numpy() for name, part in parts.items()}
    summed = BertEmbedder(layers=0, pooling=None).fit_transform([SENTENCE])[0]
    shown["input embedding\n(sum, layer norm)"] = summed
    figure, axes = plt.subplots(1, 4, figsize=(11.5, 3.4), sharey=True, layout="constrained")
    for ax, (name, values), sign in zip(axes, shown.items(), ("", "+", "+", "→"), strict=True):
        draw_vectors(ax, values, list(tokens["token"]))
        ax.set_title(f"{sign}  {name}" if sign else name, fontsize=11)
    return figure


def draw_vectors(ax: plt.Axes, values: np.ndarray, labels: list[str]) -> None:
    """The first 40 features of each vector as a row of colours, white for 0."""
    shown = values[:, :40]
    limit = np.quantile(np.abs(shown), 0.98)
    ax.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="none")
    ax.set_yticks(range(len(labels)), labels)
    ax.set_xticks([])
    ax.set_xlabel("40 of 384 features")
    ax.spines[:].set_visible(False)


def draw_pooling() -> plt.Figure:
    """Token vectors of the last layer, and the text vectors that poolings make of them."""
    tokens = list(inspect_tokens([SENTENCE])["token"])
    vectors = BertEmbedder(pooling=None).fit_transform([SENTENCE])[0]
    poolings = ["mean", "cls", "max"]
    pooled = [BertEmbedder(pooling=name).fit_transform([SENTENCE])[0] for name in poolings]
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(8.5, 4.6), height_ratios=[len(tokens), 3], layout="constrained"
    )
    draw_vectors(upper, vectors, tokens)
    upper.set_title("One vector a token: BertEmbedder(pooling=None)", fontsize=11, loc="left")
    upper.set_xlabel("")
    draw_vectors(lower, np.array(pooled), poolings)
    lower.set_title('One vector a text: BertEmbedder(pooling="mean"), ...', fontsize=11, loc="left")
    return figure


FIGURES: dict[str, Callable[[], plt.Figure]] = {
    "speed": draw_speed,
    "map": draw_map,
    "tokens": draw_tokens,
    "input-embeddings": draw_input_embeddings,
    "pooling": draw_pooling,
}


def draw_all(folder: Path) -> None:
    """Draw every picture into a folder."""
    folder.mkdir(exist_ok=True)
    for name, draw in FIGURES.items():
        with plt.rc_context(STYLE):
            save(draw(), folder / f"{name}.png")


def draw_for_readme(file: Path = ROOT / "docs" / "images" / "speed.svg") -> None:
    """Draw the bars of the README, without a date, so that equal figures give equal files."""
    file.parent.mkdir(exist_ok=True)
    with plt.rc_context(STYLE | README_STYLE):
        save(draw_speed(), file, metadata={"Date": None})


def save(figure: plt.Figure, file: Path, **options: Any) -> None:
    """Write one picture and forget it."""
    figure.savefig(file, dpi=130, facecolor="white", **options)
    plt.close(figure)


if __name__ == "__main__":
    draw_for_readme()
