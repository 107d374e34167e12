"""The README's picture, its two charts, and the logo: ``python docs/picture.py`` draws them.

Plain SVG, written by hand, so that equal figures give equal files.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

import measured

FOLDER = Path(__file__).parent / "_static"
BLUE, ORANGE, GREY, INK, PALE = "#2f6db5", "#e07b39", "#a3a9b2", "#24292f", "#57606a"
FONT = "font-family='Helvetica, Arial, sans-serif'"
WIDTH = 430  # of a chart
TASKS = {
    "BANKING77, 5 a class": "77 intents, 385 texts",
    "BANKING77, 10 a class": "77 intents, 770 texts",
    "snips, 70": "7 intents, 70 texts",
    "faa_wildlife, 500": "bird strikes, 500 reports",
    "fine_foods, 500": "food, 500 reviews",
    "question-sentence pairs, 500": "questions, 500 pairs",
}
ROWS = [("I lost my card", "9"), ("Rates for dollars?", "15"), ("My card was stolen", "23")]


def text(x: float, y: float, words: str, size: int = 12, **options: str) -> str:
    """Return a line of text; `weight`, `anchor` and `fill` are options."""
    weight, anchor = options.get("weight", "normal"), options.get("anchor", "start")
    return (
        f"<text x='{x}' y='{y}' font-size='{size}' font-weight='{weight}' text-anchor='{anchor}' "
        f"fill='{options.get('fill', INK)}'>{escape(words)}</text>"
    )


def box(x: float, y: float, width: float, height: float, fill: str, radius: float = 0) -> str:
    """Return a rectangle."""
    size = f"width='{width:.1f}' height='{height:.1f}' rx='{radius}'"
    return f"<rect x='{x:.1f}' y='{y:.1f}' {size} fill='{fill}'/>"


def picture(width: float, height: float, parts: list[str]) -> str:
    """Return a file: a white sheet, so that it can be read on dark pages, and what is on it."""
    sheet = box(0, 0, width, height, "#ffffff", 8)
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width} {height}' width='{width}'"
    return "\n".join([f"{head} height='{height}' {FONT}>", sheet, *parts, "</svg>", ""])


def speed_chart() -> tuple[list[str], float]:
    """Return bars of texts per second, and their height."""
    speeds = measured.speeds(measured.results()["cpu-peers"])
    names = sorted(speeds, key=lambda name: (_rank(name), speeds[name]))
    parts = [text(16, 26, "Texts per second on a CPU", 15, weight="bold")]
    parts.append(text(16, 43, _machine("cpu-peers"), 11, fill=PALE))
    for number, name in enumerate(names):
        y = 58 + 20 * number
        length = 176 * speeds[name] / max(speeds.values())
        ours = name.startswith("skbert")
        weight = "bold" if ours else "normal"
        parts.append(text(196, y + 11, name, 11, anchor="end", weight=weight))
        parts.append(box(202, y, length, 14, BLUE if ours else GREY, 2))
        parts.append(text(207 + length, y + 11, f"{speeds[name]:,.0f}", 11, fill=PALE))
    return parts, 70 + 20 * len(names)


def accuracy_chart() -> tuple[list[str], float]:
    """Return points of accuracy with default parameters, and their height."""
    rows = measured.results()["accuracy"]
    kinds = {"TF-IDF": GREY, "frozen": ORANGE, "unset": BLUE}
    parts = [text(16, 26, "Accuracy with default parameters, in percent", 15, weight="bold")]
    parts.append(text(16, 43, _machine("accuracy"), 11, fill=PALE))
    for (kind, colour), x, said in zip(
        kinds.items(), (16, 96, 220), ("TF-IDF", "frozen vectors", "BertClassifier()"), strict=True
    ):
        parts += [_point(x + 5, 63, colour, kind), text(x + 15, 67, said, 12)]
    for number, (name, title) in enumerate(TASKS.items()):
        y = 92 + 23 * number
        parts.append(text(160, y + 4, title, 11, anchor="end"))
        parts.append(f"<path d='M172 {y}H410' stroke='#e3e6ea' stroke-width='2'/>")
        scores = {kind: rows[name][kind]["score"][0] for kind in kinds}
        parts += [_point(_x(score), y, kinds[kind], kind) for kind, score in scores.items()]
    end = 92 + 23 * len(TASKS)
    parts += [text(_x(at), end + 2, f"{at}", 11, anchor="middle", fill=PALE) for at in SCALE]
    return parts, end + 18


def flow() -> tuple[list[str], float]:
    """Return a text column on its way through a pipeline, and its height."""
    parts = [box(24, 24, 190, 96, "#eef2f7", 6)]
    parts += [text(34, 44, "message", 12, weight="bold"), text(174, 44, "hour", 12, weight="bold")]
    for number, (message, hour) in enumerate(ROWS):
        y = 66 + 22 * number
        parts += [text(34, y, message), text(200, y, hour, anchor="end")]
    parts += [_arrow(222, 72), box(258, 46, 150, 52, BLUE, 6)]
    parts.append(text(333, 77, "BertEmbedder()", 15, weight="bold", anchor="middle", fill="#fff"))
    parts.append(_arrow(416, 72))
    for row in range(3):
        for column in range(12):
            shade = (37 * (row + 2) * (column + 3) + 11 * column * column) % 101 / 100
            colour = f"rgb({235 - 188 * shade:.0f},{241 - 132 * shade:.0f},{248 - 67 * shade:.0f})"
            parts.append(box(454 + 9 * column, 52 + 15 * row, 8, 11, colour))
    parts += [_arrow(572, 72), box(608, 46, 150, 52, "#eef2f7", 6)]
    parts.append(text(683, 68, "any estimator of", 13, anchor="middle"))
    parts += [text(683, 86, "scikit-learn", 13, anchor="middle"), _arrow(766, 72)]
    for number, label in enumerate(("card", "rate", "card")):
        parts.append(text(804, 56 + 22 * number, label, 13, weight="bold"))
    return parts, 132


def overview() -> str:
    """Return the README's picture: the way of a text column, and both charts."""
    (way, height), (speed, tall), (accuracy, other) = flow(), speed_chart(), accuracy_chart()
    moved = [_moved(speed, 0, height), _moved(accuracy, WIDTH, height)]
    return picture(2 * WIDTH, height + max(tall, other), [*way, *moved])


def logo(ink: str) -> str:
    """Return the logo: a token in brackets, as BERT's own [CLS], and the name."""
    size = "font-size='29' font-weight='bold' textLength='100'"
    name = f"<text x='54' y='34' {size} fill='{ink}'>skbert</text>"
    head = f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 160 48' {FONT}>"
    return "\n".join([head, *_mark(), name, "</svg>", ""])


def favicon() -> str:
    """Return the mark alone."""
    head = "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 48 48'>"
    return "\n".join([head, *_mark(), "</svg>", ""])


SCALE = (50, 60, 70, 80, 90, 100)


def drawn() -> dict[str, str]:
    """Return every picture by the name of its file."""
    speed, accuracy = speed_chart(), accuracy_chart()
    return {
        "overview.svg": overview(),
        "speed.svg": picture(WIDTH, speed[1], speed[0]),
        "accuracy.svg": picture(WIDTH, accuracy[1], accuracy[0]),
        "logo.svg": logo(INK),
        "logo-dark.svg": logo("#f0f3f6"),
        "favicon.svg": favicon(),
    }


def _rank(name: str) -> int:
    """Return the place of a precision: the default first."""
    return measured.PRECISIONS.index(name.rpartition(", ")[2])


def _machine(part: str) -> str:
    return f"all-MiniLM-L6-v2, {measured.cpu(part)}"


def _x(score: float) -> float:
    return round(172 + 238 * (score - SCALE[0]) / (SCALE[-1] - SCALE[0]), 1)


def _point(x: float, y: float, colour: str, kind: str) -> str:
    shapes = {
        "TF-IDF": f"<path d='M{x - 5} {y + 4}h10l-5 -9z' fill='{colour}'/>",
        "frozen": box(x - 4.5, y - 4.5, 9, 9, colour),
        "unset": f"<circle cx='{x}' cy='{y}' r='5.5' fill='{colour}'/>",
    }
    return shapes[kind]


def _arrow(x: float, y: float) -> str:
    line = f"M{x} {y}h20m-7 -6l7 6l-7 6"
    return f"<path d='{line}' fill='none' stroke='{PALE}' stroke-width='2'/>"


def _moved(parts: list[str], x: float, y: float) -> str:
    return "\n".join([f"<g transform='translate({x} {y})'>", *parts, "</g>"])


def _mark() -> list[str]:
    bracket = "<path d='{}' fill='none' stroke='#2f6db5' stroke-width='5'/>"
    bars = [box(16, 12, 16, 6, ORANGE, 2), box(16, 21, 16, 6, BLUE, 2), box(16, 30, 16, 6, GREY, 2)]
    return [bracket.format("M13 6.5H6.5V41.5H13"), bracket.format("M35 6.5H41.5V41.5H35"), *bars]


if __name__ == "__main__":
    for name, svg in drawn().items():
        (FOLDER / name).write_text(svg, encoding="utf-8")
