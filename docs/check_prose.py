"""Check the English of the pages and of the public docstrings; part of `make check`.

proselint knows prose, not Markdown: it is given the pages without their code. Beside it, the
project's own list of phrases that scikit-learn's documentation would put in another way.
"""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import check_docstrings

ROOT = Path(__file__).parents[1]
PAGES = [*(ROOT / name for name in ("README.md", "CONTRIBUTING.md")), *ROOT.glob("docs/*.md")]
# Code, tables, options of directives, headings, parameters, comments, links.
CODE = re.compile(
    r"^```.*?^```$|^\|.*?$|^:.*?$|^#+ .*?$|^\w+ : .*?$|<!--.*?-->|`+[^`]+`+|\]\([^)]*\)",
    re.MULTILINE | re.DOTALL,
)
# Quotes and dots are those of code here.
CHECKS = {"typography": False}
# What is said otherwise in scikit-learn's documentation, and how.
PHRASES = {
    r"(?:is|are|was) told (?:in|by)": "see ...",
    r"\bthe BERT\b(?! model| family)": "the pretrained model",
    r"\bone (?:vector|label|array|row) an? (?!time)": "one vector per text",
    r"\b(?:texts|tokens|sentences|examples|questions) a second\b": "texts per second",
    r"\btexts that no model saw\b": "held-out texts",
    r"\b(?:reading of each text|readings there and back)\b": "forward pass",
    r"\d times the speed\b": "is 1.6 times as fast",
    r"\b(?:extra|package|pip)[^.]{0,40}\bbrings\b": "installs",
    r"\breckon": "compute, estimate",
}


def prose(text: str) -> str:
    """Return a page with blanks for its code, so that each line keeps its number."""
    return CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)


def docstrings() -> Iterator[tuple[str, str]]:
    """Return the public names with their docstrings, without examples."""
    for name in check_docstrings.public_names():
        module = next(part for part in ("skbert.display", "skbert") if name.startswith(part))
        value = import_module(module)
        for part in name.removeprefix(f"{module}.").split("."):
            value = getattr(value, part)
        said = inspect.getdoc(value) or ""
        yield name, prose(said.partition("\nExamples\n----")[0])


def own_findings(name: str, text: str) -> list[str]:
    """Return where a text has one of our phrases."""
    return [
        f"{name}:{text.count(chr(10), 0, found.start()) + 1}: {found[0]!r}: say {better!r}"
        for phrase, better in PHRASES.items()
        for found in re.finditer(phrase, text)
    ]


def proselint_findings(texts: dict[str, str]) -> list[str]:
    """Return what proselint says of texts."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        # Where proselint looks for its settings by itself; those of --config count for less.
        settings = json.dumps({"checks": CHECKS})
        (folder / ".proselintrc.json").write_text(settings, encoding="utf-8")
        for title, text in texts.items():
            (folder / f"{title}.md").write_text(text, encoding="utf-8")
        program = Path(sys.executable).with_name("proselint")
        command = [program, "check", *sorted(folder.glob("*.md"))]
        done = subprocess.run(command, cwd=folder, capture_output=True, encoding="utf-8")
        found = done.stdout + done.stderr
        assert done.returncode in (0, 1), found
        return found.replace(f"{folder}/", "").splitlines()


def main() -> int:
    """Print what is found; 1 if anything is."""
    texts = {page.stem: prose(page.read_text(encoding="utf-8")) for page in PAGES}
    texts |= dict(docstrings())
    findings = [found for name, text in texts.items() for found in own_findings(name, text)]
    findings += proselint_findings(texts)
    print(*findings, f"{len(texts)} texts, {len(findings)} problems", sep="\n")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
