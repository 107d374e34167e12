"""The JSON file: each figure is written as soon as it is known, so that a cut-off loses none."""

import json
import os
import time
from pathlib import Path


class Record:
    """The file, and the section that is being written.

    Parameters
    ----------
    path : str or Path
        It is read if it is there.
    """

    def __init__(self, path):
        self.path, self.name = Path(path), None
        self.content = json.loads(self.path.read_text()) if self.path.is_file() else {}
        self.content.setdefault("sections", {})

    def begin(self, name):
        """Start a section; its earlier figures, if any, are kept."""
        self.name, self.begun = name, time.time()
        self.put("state", "running")
        self.put("begun", self.begun)

    def put(self, key, value):
        """Write something that was found out."""
        self.content["sections"].setdefault(self.name, {})[key] = value
        self.write()

    def goal(self, what, value, *, at_least=None, at_most=None):
        """Compare a figure with what was aimed at, write both and print them."""
        reached = value >= at_least if at_least is not None else value <= at_most
        aim = {"at_least": at_least} if at_least is not None else {"at_most": at_most}
        entry = {"what": what, "value": value, **aim, "reached": bool(reached)}
        section = self.content["sections"].setdefault(self.name, {})
        section.setdefault("goals", []).append(entry)
        self.write()
        print(f"  {said(entry)}", flush=True)

    def end(self, state, reason=None):
        """Say how the section ended."""
        section = self.content["sections"].setdefault(self.name, {})
        now = time.time()
        section["seconds"] = round(now - section.pop("begun", now), 1)
        section["state"] = state
        if reason is not None:
            section["reason"] = reason
        self.write()

    def write(self):
        """Replace the file at once: whoever reads it never sees half of it."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(self.path.name + ".part")
        partial.write_text(json.dumps(self.content, indent=1, default=str) + "\n")
        os.replace(partial, self.path)


def said(goal):
    """Return a goal in one line."""
    word = "reached" if goal["reached"] else "MISSED "
    at_least = goal.get("at_least")
    aim = f"at least {at_least}" if at_least is not None else f"at most {goal['at_most']}"
    return f"{word}  {goal['value']:.4g}  {goal['what']} (goal: {aim})"


class Skipped(Exception):
    """A section cannot run here; the message says why."""
