"""One table of everything: what results.json holds of us and our peers, a line a comparison."""

from statistics import mean

from embedding.flat_memory import worst_growth
from shared.report import print_table

HEADERS = ("figure", "skbert", "beside it", "its figure", "ratio")


def print_summary(results):
    """Print all comparisons; those of parts that never ran are left out."""
    lines = [
        line for part, lines_of in LINES.items() if part in results for line in lines_of(results)
    ]
    print_table(
        "Everything (ratio: ours is so many times better, by speed or by size)", HEADERS, lines
    )


def _speed(results):
    for name, found in results["speed"].items():
        ours = found["contenders"]["skbert"]
        floor = found["n_texts"] / found["floor_seconds"]["median"]
        what = f"embedding, {name}, texts/s"
        yield _line(
            what, ours["texts_per_second"], "this machine's floor", floor, ours["floor_pairwise"]
        )
        for peer, its in found["contenders"].items():
            if peer != "skbert":
                speed, ratio = its["texts_per_second"], its["ratio_pairwise"]
                yield _line(what, ours["texts_per_second"], peer, speed, ratio)


def _int8(results):
    found = results["int8"]["speed"]
    speeds = {
        name: found["n_texts"] / its["seconds"]["median"]
        for name, its in found["contenders"].items()
    }
    its = found["contenders"]["int8"]
    for peer, key in (
        ("float32", "faster_than_float32"),
        ("sentence-transformers", "faster_than_sentence_transformers"),
    ):
        yield _line("embedding in int8, texts/s", speeds["int8"], peer, speeds[peer], its[key])
    accuracy = results["int8"]["accuracy"]
    theirs = 100 * accuracy["float32"]
    yield _line("quality, int8, frozen, BANKING77, %", 100 * accuracy["int8"], "float32", theirs)


def _grid_search(results):
    peers = dict(results["grid-search"]["peers"])
    n_texts = peers.pop("n_texts")
    ours = peers.pop("skbert, cache")["seconds"]
    for peer, its in peers.items():
        seconds = its["seconds"]
        yield _line(f"grid search, {n_texts} texts, s", ours, peer, seconds, seconds / ours)


def _fine_tuning_speed(results):
    for name, found in results["fine-tuning-speed"].items():
        ours, theirs = (
            found["n_texts"] / found["seconds"][who]["median"]
            for who in ("BertClassifier", "Trainer")
        )
        yield _line(f"training, {name}, texts/s", ours, "Trainer", theirs, found["times_trainer"])


def _fine_tuning_prediction(results):
    contenders = results["fine-tuning-prediction"]["contenders"]
    ours = contenders["BertClassifier"]["texts_per_second"]
    for peer, its in contenders.items():
        if peer != "BertClassifier":
            speed, ratio = its["texts_per_second"], its["ratio_pairwise"]
            yield _line("classifier's prediction, texts/s", ours, peer, speed, ratio)


def _side_by_side(part, unit):
    def lines(results):
        for kind, found in results[part].items():
            names, n = found["contenders"], found["n"]
            ours, theirs = (n / found["seconds"][name]["median"] for name in names)
            what = f"{part.removesuffix('-speed')}, {kind}, {unit}/s"
            yield _line(what, ours, names[1], theirs, found["ratio"])

    return lines


def _memory(results):
    found = results["memory"]
    what = f"memory of {found['n_texts']:,} texts beside their vectors, MB"
    yield _line(what, found["beyond_output_mb"])


def _fine_tuning_memory(results):
    found = results["fine-tuning-memory"]
    ours, theirs = (found[who]["peak_mb"] for who in ("skbert", "trainer"))
    yield _line("memory, peak of a fit, MB", ours, "Trainer", theirs, theirs / ours)


def _flat_memory(results):
    growth = worst_growth(results["flat-memory"])
    yield _line("memory, growth over 50 transforms, MB", growth)


def _quality(part, ours, peers):
    """Lines of mean accuracies or F1 of several seeds."""

    def lines(results):
        for name, found in results[part].items():
            mine = 100 * mean(found[ours])
            for key, peer in peers.items():
                theirs = found[key]
                theirs = 100 * (mean(theirs) if isinstance(theirs, list) else theirs)
                yield _line(f"quality, {name}, %", mine, peer, theirs)

    return lines


def _answers_quality(results):
    found = results["answers-quality"]
    for peer, its in found.items():
        if peer != "BertQuestionAnswerer" and isinstance(its, dict):
            yield _line("quality, XQuAD, F1", found["BertQuestionAnswerer"]["f1"], peer, its["f1"])


def _line(what, ours, peer="", theirs=None, ratio=None):
    return (
        what,
        f"{ours:,.1f}",
        peer,
        "" if theirs is None else f"{theirs:,.1f}",
        "" if ratio is None else f"{ratio:.2f}",
    )


LINES = {
    "speed": _speed,
    "int8": _int8,
    "grid-search": _grid_search,
    "fine-tuning-speed": _fine_tuning_speed,
    "words-speed": _side_by_side("words-speed", "sentences"),
    "answers-speed": _side_by_side("answers-speed", "questions"),
    "fine-tuning-prediction": _fine_tuning_prediction,
    "memory": _memory,
    "flat-memory": _flat_memory,
    "fine-tuning-memory": _fine_tuning_memory,
    "fine-tuning-quality": _quality(
        "fine-tuning-quality",
        "BertClassifier",
        {"Trainer": "Trainer", "frozen": "frozen + LR", "tfidf": "TF-IDF + LR"},
    ),
    "words-quality": _quality("words-quality", "BertTokenClassifier", {"Trainer": "Trainer"}),
    "answers-quality": _answers_quality,
}
