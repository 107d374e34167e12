"""The process that watches: it starts the one that measures, and again after one that failed."""

import subprocess
import sys
import time

from gpu.record import Record, said
from gpu.sections import SECTIONS

# Less than this is not worth starting a section for.
LEAST_SECONDS = 15
ENDED = ("done", "failed", "skipped", "cut off")
MOST_LINES = 55


def run(options, folder, program):
    """Run all sections; return the exit status: 0 if none failed."""
    names = options.only or list(SECTIONS)
    unknown = [name for name in names if name not in SECTIONS]
    if unknown:
        print(f"gpu-proof: no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
        return 2
    options.output.unlink(missing_ok=True)
    deadline = time.monotonic() + options.seconds
    Record(options.output).write()
    while left := [name for name in names if _state(options, name) not in ENDED]:
        if deadline - time.monotonic() < LEAST_SECONDS:
            for name in left:
                _end(options, name, "cut off", "no time was left")
            break
        _run_worker(options, folder, program, left, deadline)
    print_summary(Record(options.output).content)
    print(f"\nWritten: {options.output}")
    return int(any(_state(options, name) in ("failed", "cut off") for name in names))


def _run_worker(options, folder, program, names, deadline):
    """Let one process measure until it is through, fails or takes too long."""
    own = [*sys.argv[1:], "--worker", str(folder), ",".join(names), str(options.output)]
    worker = subprocess.Popen([sys.executable, "-u", program, *own])
    begun = time.monotonic()
    while worker.poll() is None:
        time.sleep(0.2)
        running = _running(options)
        late = time.monotonic() > deadline
        if running is not None:
            name, since = running
            late = late or time.time() - since > SECTIONS[name].seconds
        elif time.monotonic() - begun > 120:  # it does not even import
            name, late = names[0], True
        if late and running is None:
            name = names[0]
        if late:
            worker.kill()
            worker.wait()
            _end(options, name, "cut off", "it took longer than its time")
            return
    running = _running(options)
    if running is not None:
        _end(options, running[0], "failed", f"the process ended with {worker.returncode}")
    elif worker.returncode and not any(_state(options, name) in ENDED for name in names):
        _end(options, names[0], "failed", f"the process ended with {worker.returncode}")


def _state(options, name):
    return Record(options.output).content["sections"].get(name, {}).get("state")


def _running(options):
    """Return the section that is running and when it began, or None."""
    sections = Record(options.output).content["sections"]
    found = [(name, its["begun"]) for name, its in sections.items() if its.get("begun")]
    return found[0] if found else None


def _end(options, name, state, reason):
    record = Record(options.output)
    record.name = name
    record.end(state, reason)


def print_summary(content):
    """Print a line a section and a line a goal."""
    lines = ["", "Summary"]
    for name, its in content["sections"].items():
        line = f"{name}: {its['state']} in {its.get('seconds', 0):.0f} s"
        reason = str(its.get("reason", "")).strip().splitlines()
        lines.append(f"{line}; {reason[-1][:140]}" if reason else line)
        lines += [f"  {said(goal)}" for goal in its.get("goals", [])]
        lines += [f"  {note}" for note in its.get("notes", [])]
    missed = len(lines) - MOST_LINES
    if missed > 0:
        lines[MOST_LINES:] = [f"... and {missed} lines more, in the file"]
    print("\n".join(lines))
