"""Whether tokenizing and computing overlap: how busy the GPU is while transform runs."""

from functools import partial
from statistics import median

from gpu.contenders import fitted
from gpu.profile import profile
from shared.timing import timed

GOAL = 0.9
KINDS = ("mixed", "short", "long")


def measure(setting, record):
    found, notes = {}, []
    embedder = fitted(setting, precision="bfloat16")
    for kind in KINDS:
        run = partial(embedder.transform, setting.texts(kind))
        run()
        plain = median(timed(run)[0] for _ in range(3))
        figures = profile(setting, run)
        # The profiler takes time of the CPU, so that gaps look longer than they are without it.
        figures["seconds_without_profiler"] = plain
        figures["busy_share_without_profiler"] = min(1.0, figures["busy_seconds"] / plain)
        found[kind] = figures
        record.put("texts", found)
        gap = figures["gaps"][0]
        did = ", ".join(gap["host"]) or "nothing that is clocked"
        notes.append(
            f"{kind}: busy {figures['busy_share']:.2f} with the profiler; longest gap "
            f"{1e3 * gap['seconds']:.0f} ms at {gap['start']:.2f} s: {did}"
        )
        record.put("notes", notes)
    share = found["mixed"]["busy_share_without_profiler"]
    record.goal("of the time of transform the GPU computes, mixed texts", share, at_least=GOAL)
