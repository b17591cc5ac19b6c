"""The learner's record: what was solved, answered and opened on this machine, in ``~/.minict/progress.json``.

One JSON object with a section for each kind of thing, and in it an entry for each id::

    {"exercises": {"pivot-1": {"source": "def …", "at": 1764…}}, "quizzes": {"pivot-root/2": {"missed": true, …}}, …}

Several notebooks write at once: each change happens under a lock.  Where the variable CI is set nothing is read or
written, so that what notebooks show does not depend on the person who runs them; this notebook still remembers its own
changes.
"""

from __future__ import annotations

import os
import time

from minict.runtime import jsonfile, locks

_here: dict[str, dict[str, dict]] = {}  # what this notebook has changed


def path() -> str:
    """The file of the record."""
    return os.path.expanduser("~/.minict/progress.json")


def section(name: str) -> dict[str, dict]:
    """All entries of one section, such as ``exercises``, by their ids."""
    return {**_saved().get(name, {}), **_here.get(name, {})}


def note(name: str, id: str, **facts) -> None:
    """Record *facts* about the thing *id* in the section *name*, with the time. A full or read-only home is not an
    error."""
    entry = {**section(name).get(id, {}), **facts, "at": int(time.time())}
    _here.setdefault(name, {})[id] = entry
    if os.environ.get("CI"):
        return
    try:
        os.makedirs(os.path.dirname(path()), exist_ok=True)
        with locks.Held(f"{path()}.lock", locks.FILE):
            saved = _saved()
            saved.setdefault(name, {})[id] = entry
            jsonfile.write(path(), saved)
    except OSError:
        pass  # a solved exercise stays solved in this notebook, whether or not it can be saved


def _saved() -> dict[str, dict[str, dict]]:
    if os.environ.get("CI"):
        return {}
    try:
        saved = jsonfile.read(path())
    except (OSError, ValueError):
        return {}
    if not isinstance(saved, dict):
        return {}
    sections = {name: entries for name, entries in saved.items() if isinstance(entries, dict)}
    # the first version of this file was the exercises alone: id -> source
    old = {id: {"source": source} for id, source in saved.items() if isinstance(source, str)}
    return {**sections, "exercises": {**old, **sections.get("exercises", {})}} if old else sections
