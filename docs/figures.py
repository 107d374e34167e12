"""The pictures of the pages, drawn from the model and from benchmarks/results.json.

conf.py calls `draw_all` at each build.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import measured
import numpy as np

from skbert import BertEmbedder, inspect_tokens

BLUE, GREY = "#3a6ea5", "#9a9a9a"
LINES = [(BLUE, "o"), ("#c8752d", "s"), ("#777777", "^"), ("#5f8f4e", "d")]  # colours, markers
PAIR = ("The bank raised its rates.", "Unbelievably high!")
SENTENCE = "The bank raised its rates."
STYLE = {"font.size": 11, "axes.spines.top": False, "axes.spines.right": False}

TEXTS = [
    "I lost my card",
    "My wallet was stolen",
    "Please block my Visa",
    "What is the rate for dollars?",
    "Is the pound up again?",
    "How many euros do I get?",
    "It will rain tomorrow",
    "A storm is coming",
    "Take an umbrella with you",
]


def draw_growth() -> plt.Figure:
    """Draw texts per second as texts become more, and tokens per second as they become longer."""
    growth = measured.results()["growth"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    draw_lines(left, growth["number"])
    left.set(xlabel="texts, of about eleven tokens each", ylabel="texts per second")
    left.set_title("More texts", fontsize=11, loc="left")
    by_length = {
        size: {name: speed * int(size) for name, speed in found.items()}
        for size, found in growth["length"].items()
    }
    draw_lines(right, by_length)
    right.set(xlabel="tokens per text", ylabel="tokens per second")
    right.set_title("Longer texts", fontsize=11, loc="left")
    right.legend(frameon=False, loc="lower right")
    return figure


def draw_lines(ax: plt.Axes, sizes: dict[str, dict[str, float]]) -> None:
    """Draw a line for each contender, over sizes that grow by factors."""
    names = dict.fromkeys(name for found in sizes.values() for name in found)
    for name, (colour, marker) in zip(names, LINES, strict=False):
        points = [(int(size), found[name]) for size, found in sizes.items() if name in found]
        ax.plot(*zip(*points, strict=True), marker=marker, label=name, color=colour)
    ax.set(xscale="log", ylim=(0, None))
    ax.set_xticks([int(size) for size in sizes], [f"{int(size):,}" for size in sizes])
    ax.minorticks_off()


def draw_similarity() -> plt.Figure:
    """Draw how similar the vectors of nine texts on three topics are."""
    vectors = BertEmbedder(normalize=True).fit_transform(TEXTS)
    cosines = vectors @ vectors.T
    figure, ax = plt.subplots(figsize=(8, 4.6), layout="constrained")
    ax.imshow(cosines, cmap="Blues", vmin=0, vmax=1.2, aspect="auto")
    for (row, column), cosine in np.ndenumerate(cosines):
        colour = "white" if cosine > 0.7 else "black"
        ax.text(column, row, f"{cosine:.2f}", ha="center", va="center", fontsize=9, color=colour)
    for line in (2.5, 5.5):
        ax.axhline(line, color="white", lw=4)
        ax.axvline(line, color="white", lw=4)
    ax.set_yticks(range(len(TEXTS)), TEXTS)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return figure


def draw_tokens() -> plt.Figure:
    """Draw what BERT is given: a pair of texts, and a shorter one padded to its length."""
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
    """Draw rows of cells with a text in each, coloured by what the token is."""
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
    """Draw word, segment and position vectors, and the sum that the first layer reads."""
    from transformers import AutoModel

    from skbert._models.checkpoint import DEFAULT_MODEL, find_checkpoint

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
    """Draw 40 features of each vector as a row of colours, white for 0."""
    shown = values[:, :40]
    limit = np.quantile(np.abs(shown), 0.98)
    ax.imshow(shown, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", interpolation="none")
    ax.set_yticks(range(len(labels)), labels)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.set_xlabel("40 of 384 features")
    ax.spines[:].set_visible(False)


def draw_pooling() -> plt.Figure:
    """Draw token vectors of the last layer, and the text vectors that poolings make of them."""
    tokens = list(inspect_tokens([SENTENCE])["token"])
    vectors = BertEmbedder(pooling=None).fit_transform([SENTENCE])[0]
    poolings = ["mean", "cls", "max"]
    pooled = [BertEmbedder(pooling=name).fit_transform([SENTENCE])[0] for name in poolings]
    figure, (upper, lower) = plt.subplots(
        2, 1, figsize=(8.5, 4.6), height_ratios=[len(tokens), 3], layout="constrained"
    )
    draw_vectors(upper, vectors, tokens)
    upper.set_title("One vector per token: BertEmbedder(pooling=None)", fontsize=11, loc="left")
    upper.set_xlabel("")
    draw_vectors(lower, np.array(pooled), poolings)
    lower.set_title(
        'One vector per text: BertEmbedder(pooling="mean"), ...', fontsize=11, loc="left"
    )
    return figure


FIGURES: dict[str, Callable[[], plt.Figure]] = {
    "growth": draw_growth,
    "similarity": draw_similarity,
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


def save(figure: plt.Figure, file: Path, **options: Any) -> None:
    """Write one picture and forget it."""
    figure.savefig(file, dpi=130, facecolor="white", **options)
    plt.close(figure)
