"""How long the GPU computes in a piece of work, its longest gaps, and what the CPU did in these."""

import threading
import time
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pkgutil import resolve_name
from typing import NamedTuple
from unittest.mock import patch

import torch
from gpu.rates import wait
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity

N_GAPS = 8
# Functions of skbert that are clocked, so that a gap can be told by what the CPU did.
CLOCKED = (
    "skbert._estimators.embedder.BertEmbedder._check_X",
    "skbert._texts.encoding.TextTokenizer.encode",
    "skbert._texts.encoding.TextTokenizer._one_window_each",
    "skbert._texts.distinct.DistinctTexts.__init__",
    "skbert._texts.distinct.DistinctTexts.put",
    "skbert._texts.distinct.DistinctTexts.results",
    "skbert._inference.loop.length_order",
    "skbert._inference.loop.pack_batch",
    "skbert._inference.loop.pad_batch",
    "skbert._inference.loop.model_inputs",
    "skbert._inference.loop._in_order",
    "skbert._inference.loop.check_finite",
    "skbert._inference.embedding.merge_windows",
    "skbert._inference.embedding.l2_normalize",
    "skbert._training.readers.pad_batch",
    "skbert._training.loop._clip_gradients",
    "skbert._training.loop._log_losses",
)
# The parts of a fit; what is left is tokenizing, and weights kept for the mixing.
PARTS_OF_FIT = (
    "skbert._estimators.fine_tuned.FineTunedEstimator._load_trainable",
    "skbert._estimators.probed_head.ProbedHead._probe",
    "skbert._estimators.fine_tuned.train",
    "skbert._estimators.fine_tuned.state_of",
    "skbert._estimators.trained.TrainedEstimator._load_fitted",
)


class Span(NamedTuple):
    """What a function did, in seconds from the beginning of the work."""

    name: str
    thread: str
    start: float
    stop: float


def profile(setting, run):
    """Run once with a profiler.

    Returns
    -------
    figures : dict
        Seconds of the run, the share of it in which the device computed, and its longest gaps.
    """
    activity = ProfilerActivity.CUDA if setting.on_gpu else ProfilerActivity.CPU
    mark = torch.zeros(1, device=setting.device)
    wait(setting)
    with clocked(CLOCKED) as spans, torch.profiler.profile(activities=[activity]) as profiler:
        mark.add_(1)  # the first thing that the profiler sees: both clocks begin here
        wait(setting)
        begun = time.perf_counter()
        run()
        wait(setting)
        seconds = time.perf_counter() - begun
    busy = _busy(profiler.events(), setting, seconds)
    of_run = [
        span._replace(start=span.start - begun, stop=span.stop - begun) for span in list(spans)
    ]
    return {
        "seconds": seconds,
        "busy_seconds": sum(stop - start for start, stop in busy),
        "busy_share": sum(stop - start for start, stop in busy) / seconds,
        "n_intervals": len(busy),
        "gaps": _longest_gaps(busy, seconds, of_run),
        "host_seconds": totals(of_run),
    }


@contextmanager
def clocked(targets):
    """Note when functions run; a list of `Span`, which grows inside the block."""
    spans = []
    with ExitStack() as stack:
        for target in targets:
            function = resolve_name(target)
            stack.enter_context(patch(target, _noting(function, target, spans)))
        yield spans


def _noting(function, target, spans):
    name = ".".join(target.split(".")[-2:])

    def call(*args, **kwargs):
        start = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            thread = threading.current_thread().name
            spans.append(Span(name, thread, start, time.perf_counter()))

    return call


def _busy(events, setting, seconds):
    """Return the disjoint intervals in which the device computed, from the mark's end on.

    Copies do not count.
    """
    kind = DeviceType.CUDA if setting.on_gpu else DeviceType.CPU
    ranges = sorted(
        (event.time_range.start / 1e6, event.time_range.end / 1e6)
        for event in events
        if event.device_type == kind
        and not event.name.startswith(("Memcpy", "Memset"))
        and not getattr(event, "is_user_annotation", False)
    )
    if not ranges:
        raise AssertionError("the profiler saw nothing of the device")
    zero = ranges[0][1]
    busy = []
    for start, stop in ranges[1:]:
        start, stop = max(0.0, start - zero), min(seconds, stop - zero)
        if stop <= start:
            continue
        if busy and start <= busy[-1][1]:
            busy[-1] = (busy[-1][0], max(stop, busy[-1][1]))
        else:
            busy.append((start, stop))
    return busy


def _longest_gaps(busy, seconds, spans):
    edges = [(0.0, 0.0), *busy, (seconds, seconds)]
    gaps = [(left[1], right[0]) for left, right in pairwise(edges)]
    gaps.sort(key=lambda gap: gap[0] - gap[1])
    return [
        {"start": start, "seconds": stop - start, "host": _overlapping(spans, start, stop)}
        for start, stop in gaps[:N_GAPS]
    ]


def _overlapping(spans, start, stop):
    """Return the seconds of each function inside a gap."""
    found = {}
    for span in spans:
        inside = min(stop, span.stop) - max(start, span.start)
        if inside > 0:
            key = f"{span.name} ({_short(span.thread)})"
            found[key] = found.get(key, 0.0) + inside
    return dict(sorted(found.items(), key=lambda item: -item[1])[:4])


def totals(spans):
    """Return the seconds of each function."""
    found = {}
    for span in spans:
        key = f"{span.name} ({_short(span.thread)})"
        found[key] = found.get(key, 0.0) + span.stop - span.start
    return found


def _short(thread):
    return "main" if thread == "MainThread" else "ahead"
