"""The examples run, from any folder, and print what they promise."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.test_docs import load

EXAMPLES = Path(__file__).parents[1] / "examples"
NUMBER = r"-?\d+\.\d+"
QUICKSTART = ["no text", "TF-IDF", "BERT", "BERT and TF-IDF", "BERT, remarks only"]
GALLERY = sorted(EXAMPLES.glob("*/plot_*.py"))
IMPORTED_AS = {"scikit-learn": "sklearn", "mlflow-skinny": "mlflow"}
# `make docs` runs all of the gallery; the tests run what takes seconds.
QUICK = {
    "embed/plot_clustering.py": r"^BERT +adjusted Rand index 0\.[89]\d$",
    "embed/plot_semantic_search.py": r"^meaning \(BERT\): right document first for 12 of 12$",
    "embed/plot_token_vectors.py": r"^0 +0\.\d\d +0\.\d\d$",
}


def printed_by(example: str, *options: str, folder: Path) -> str:
    """What an example prints when it is run in some folder."""
    finished = subprocess.run(
        [sys.executable, str(EXAMPLES / example), *options],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture(scope="module")
def quickstart(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What examples/quickstart.py prints for a few rows."""
    options = ["--rows", "240", "--epochs", "0", "--intents", "6"]
    return printed_by("quickstart.py", *options, folder=tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def fine_tune(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What examples/fine_tune.py prints for a few texts and steps."""
    options = ["--labelled", "24", "--steps", "4"]
    return printed_by("fine_tune.py", *options, folder=tmp_path_factory.mktemp("elsewhere"))


@pytest.mark.minilm
@pytest.mark.parametrize("contender", QUICKSTART)
def test_quickstart_prints_a_result_for_each(quickstart: str, contender: str):
    line = rf"^{contender} +{NUMBER} +{NUMBER} ± {NUMBER} +{NUMBER} s$"
    assert re.search(line, quickstart, re.MULTILINE), quickstart


@pytest.mark.minilm
def test_quickstart_fine_tunes_in_one_fold(quickstart: str):
    line = rf"^one fine-tuned model +{NUMBER} +– +{NUMBER} s$"
    assert re.search(line, quickstart, re.MULTILINE), quickstart


@pytest.mark.minilm
def test_quickstart_names_the_one_with_the_best_mean(quickstart: str):
    means = {
        name.strip(): float(mean)
        for name, mean in re.findall(
            rf"^(.{{24}}) +{NUMBER} +({NUMBER}) ± ", quickstart, re.MULTILINE
        )
    }
    winner = re.search(r"^Best on this table: (.+)\.$", quickstart, re.MULTILINE)
    assert winner is not None
    assert len(means) == len(QUICKSTART)
    assert means[winner[1]] == max(means.values())


@pytest.mark.minilm
def test_quickstart_shows_five_remarks(quickstart: str):
    rows = re.findall(r"^ +(?:yes|no)(?: +[01]\.\d\d){4} +\S.+$", quickstart, re.MULTILINE)
    assert len(rows) == 5, quickstart


@pytest.mark.minilm
def test_quickstart_names_the_best_with_few_labels(quickstart: str):
    of_intents = quickstart.partition("intents,")[2]
    accuracy = {
        name: float(value)
        for name, value in re.findall(
            rf"^(TF-IDF|BERT|BERT and names) +({NUMBER}) +{NUMBER} s$", of_intents, re.MULTILINE
        )
    }
    winner = re.search(r"^Best with few labels: (.+)\.$", of_intents, re.MULTILINE)
    assert winner is not None
    assert len(accuracy) == 3
    assert accuracy[winner[1]] == max(accuracy.values())


@pytest.mark.minilm
@pytest.mark.parametrize("contender", ["TF-IDF", "BERT"])
def test_fine_tune_prints_a_result_for_each(fine_tune: str, contender: str):
    line = rf"^{contender} +{NUMBER} +{NUMBER} +{NUMBER} s$"
    assert re.search(line, fine_tune, re.MULTILINE), fine_tune


@pytest.mark.minilm
def test_fine_tune_names_the_better_one_where_it_is_clear(fine_tune: str):
    accuracy = {
        name: float(value)
        for name, value in re.findall(rf"^(TF-IDF|BERT) +({NUMBER})", fine_tune, re.MULTILINE)
    }
    winner = re.search(r"^Better on these texts: (.+)\.$", fine_tune, re.MULTILINE)
    if winner is None:
        assert "Too close to call" in fine_tune
    else:
        assert accuracy[winner[1]] == max(accuracy.values())


@pytest.mark.minilm
@pytest.mark.usefixtures("minilm")
@pytest.mark.parametrize("example", QUICK)
def test_quick_gallery_scripts_print_their_result(
    example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MPLBACKEND", "Agg")
    printed = printed_by(example, folder=tmp_path)
    assert re.search(QUICK[example], printed, re.MULTILINE), printed


@pytest.mark.parametrize("script", GALLERY, ids=lambda script: script.stem)
def test_gallery_scripts_have_a_title_and_can_be_read_by_python(script: Path):
    text = script.read_text(encoding="utf-8")
    compile(text, str(script), "exec")
    title = re.match(r'"""\n(=+)\n(.+)\n(=+)\n', text)
    assert title is not None
    assert title[1] == title[3]
    assert len(title[1]) >= len(title[2])
    assert "../shared" not in text
    code = re.sub(r"^# %%\n(?:#.*\n)+", "# %%\n", text, flags=re.MULTILINE).splitlines()
    code = code[code.index("# %%") :]  # below title and introduction
    assert not [line for line in code if len(line) > 79], "clipped beside the navigation"
    assert "plt.show()" in text


def packages_imported_by(script: Path) -> set[str]:
    """The packages, not those of Python itself."""
    names = []
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


@pytest.mark.parametrize("script", GALLERY, ids=lambda script: script.stem)
def test_make_docs_installs_what_the_gallery_imports(script: Path):
    """`make docs` runs every script, so that none is silently left out."""
    text = (EXAMPLES.parent / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    needs = [*project["dependencies"], "skbert"]
    for extra in ("docs", "explain", "dask"):  # docs names the others
        needs += project["optional-dependencies"][extra]
    names = [re.split(r"[^\w-]", need)[0] for need in needs]
    assert packages_imported_by(script) <= {IMPORTED_AS.get(name, name) for name in names}


def test_the_gallery_orders_exactly_the_scripts_that_are_there():
    sections = load("gallery").SECTIONS
    ordered = [f"{section}/{name}.py" for section, names in sections.items() for name in names]
    assert sorted(ordered) == [str(script.relative_to(EXAMPLES)) for script in GALLERY]
    for section, names in sections.items():
        assert sorted(names, key=load("gallery").BestFirst(f"examples/{section}")) == names
        assert (EXAMPLES / section / "GALLERY_HEADER.rst").is_file()


def test_shipped_data_come_with_their_notice():
    notice = (EXAMPLES / "data" / "NOTICE.md").read_text(encoding="utf-8")
    for file in (EXAMPLES / "data").glob("*.csv"):
        assert file.name in notice
    assert "modeldata authors" in notice
    assert "Permission is hereby granted" in notice
    assert "CC BY 4.0" in notice
    assert "public domain" in notice
