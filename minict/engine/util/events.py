"""What happens to containers, images, volumes and networks: a journal, as there is no daemon to ask.

Each command appends a line for what it does to ``MINICT_RUN/events/journal``, and ``minict events`` reads it (see
:mod:`minict.engine.system.journal`).  A reboot deletes it.  When the journal has grown to a megabyte, it is renamed to
``journal.1``, which replaces an older one.  An event that cannot be written, for example because the disk is full, is
lost: no command fails for that reason.

Source: docker system events.
"""

from __future__ import annotations

import os
import time

from minict.runtime import jsonfile, locks, paths

_LARGEST = 1 << 20  # bytes


def directory() -> str:
    return f"{paths.run_root()}/events"


def emit(kind: str, action: str, id: str, attributes: dict | None = None) -> None:
    """Note that *action* has happened to the object *id* of a *kind*: container, image, volume, network or builder."""
    event = {"time": time.time_ns(), "kind": kind, "action": action, "id": id, "attributes": attributes or {}}
    line = jsonfile.dumps(event).replace("\n", "").encode() + b"\n"  # in texts a newline is escaped
    try:
        fd = _open()
        try:
            os.write(fd, line)  # in one write to the end: lines of two processes do not mix
            if os.fstat(fd).st_size > _LARGEST:
                _rotate(fd)
        finally:
            os.close(fd)
    except OSError:
        pass


def _open() -> int:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(f"{directory()}/journal", flags, 0o600)
    except FileNotFoundError:
        make_directory()
        return os.open(f"{directory()}/journal", flags, 0o600)


def make_directory() -> None:
    """Make the journal's directory.  Raises :class:`OSError`."""
    os.makedirs(directory(), 0o711, exist_ok=True)


def _rotate(fd: int) -> None:
    """Begin a new journal, unless another process has just done so."""
    path = f"{directory()}/journal"
    if locks.lock(fd, path):
        os.rename(path, f"{path}.1")
