"""Seconds from the start of a process to its first vector, beside sentence-transformers."""

import subprocess
import sys
import time
from functools import partial
from itertools import pairwise

from shared.peers import SENTENCE_TRANSFORMERS, SKBERT
from shared.report import print_table, print_verdict, summary_line
from shared.timing import TIMES, pairwise_median, spread

TARGET = 0.5  # of sentence-transformers' time
# What both import and load: no library on torch and transformers can start sooner.
LEAST = "torch and transformers alone"
TEXT = "How do I change the PIN of my card?"
# The wall clock is the one that two processes share.
PROGRAM = """
import sys, time
folder, text = sys.argv[1:]
{imports}
imported = time.time()
{load}
loaded = time.time()
{embed}
print(imported, loaded, time.time())
"""
PROGRAMS = {
    SKBERT: (
        "from skbert import BertEmbedder",
        "model = BertEmbedder(folder, normalize=True, device='cpu').fit([text])",
        "model.transform([text])",
    ),
    SENTENCE_TRANSFORMERS: (
        "from sentence_transformers import SentenceTransformer",
        "model = SentenceTransformer(folder, device='cpu')",
        "model.encode([text], normalize_embeddings=True)",
    ),
    LEAST: (
        "import torch\nfrom transformers import BertModel, BertTokenizerFast",
        "tokenizer = BertTokenizerFast.from_pretrained(folder)\n"
        "model = BertModel.from_pretrained(folder).eval()",
        "torch.set_grad_enabled(False)\nmodel(**tokenizer(text, return_tensors='pt'))",
    ),
}
STEPS = ("import", "load", "first text")  # the first with the start of Python
COLUMNS = {**TIMES, **{f"{step} s": f"{{steps[{step}][median]:.3f}}" for step in STEPS}}


def measure(options):
    """Start processes of each in turn; print the median of each step."""
    runs = {name: partial(_start, parts, options.folder) for name, parts in PROGRAMS.items()}
    for run in runs.values():
        run()  # brings the files into the system's cache
    steps = {name: [] for name in runs}
    for _ in range(options.rounds):
        for name, run in runs.items():
            steps[name].append(run())
    whole = {name: [sum(each) for each in its] for name, its in steps.items()}
    contenders = {
        name: {
            "seconds": spread(whole[name]),
            "steps": {
                step: spread(list(times))
                for step, times in zip(STEPS, zip(*its, strict=True), strict=True)
            },
        }
        for name, its in steps.items()
    }
    share, least = (
        pairwise_median(whole[name], whole[SENTENCE_TRANSFORMERS]) for name in (SKBERT, LEAST)
    )
    print_table("Start-up, to the first vector", "process", COLUMNS, contenders)
    print_verdict("of sentence-transformers' time", share, at_most=TARGET)
    print(f"  {least:.2f} with {LEAST}")
    return {"contenders": contenders, "share": share, "least": least}


def _start(parts, folder):
    """Return the seconds of each step of a fresh process."""
    program = PROGRAM.format(**dict(zip(("imports", "load", "embed"), parts, strict=True)))
    started = time.time()
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder), TEXT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # progress bars
        text=True,
        check=True,
    )
    moments = [started, *map(float, done.stdout.split())]
    return [after - before for before, after in pairwise(moments)]


def summarize(results):
    medians = {name: its["seconds"]["median"] for name, its in results["contenders"].items()}
    ours, theirs = medians[SKBERT], medians[SENTENCE_TRANSFORMERS]
    yield summary_line(
        "start-up, s to the first vector", ours, SENTENCE_TRANSFORMERS, theirs, 1 / results["share"]
    )
