"""Work in a fresh process, and the memory of a process."""

import json
import resource
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).resolve().parents[1]
MB = 2**20
PROGRAM = """
import json, sys
from {module} import {name}
print(json.dumps({name}(*json.loads(sys.argv[1]))))
"""


def in_fresh_process(function, *arguments):
    """Call a function of the benchmarks in a new process; return what it returns, through JSON."""
    program = PROGRAM.format(module=function.__module__, name=function.__name__)
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(arguments)],
        cwd=BENCHMARKS,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def resident_mb():
    """Return the MB that this process holds now, or its peak where the system does not say."""
    status = _status_mb("VmRSS")
    return peak_mb() if status is None else status


def peak_mb():
    """Return the most MB that this process held at once."""
    # On Linux ru_maxrss is inherited from the parent, here a large one; VmHWM is not.
    status = _status_mb("VmHWM")
    if status is not None:
        return status
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MB


def _status_mb(key):
    path = Path("/proc/self/status")
    if not path.exists():
        return None
    lines = [line for line in path.read_text().splitlines() if line.startswith(key + ":")]
    return int(lines[0].split()[1]) * 1024 / MB
