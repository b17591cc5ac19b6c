"""Freezing a container, for ``pause`` and for ``commit``, and recording when it was frozen.

The file ``paused`` exists in the container's state directory while the container is frozen: it is written before
the freeze and removed after the thaw. The file ``thawed`` holds the time of the last thaw. A health check reads both: a
check that was interrupted by a freeze has lost time through no fault of its own.

Source: docker-pause(1); the kernel's documentation of the freezers, cgroup-v1/freezer-subsystem and cgroup-v2.
"""

from __future__ import annotations

import os
import time

from minict.runtime import jsonfile
from minict.runtime.errors import ContainerError
from minict.runtime.state import State


def freeze(state: State) -> None:
    """Stop all processes of the container until :func:`thaw`. Raises :class:`ContainerError`."""
    from minict.runtime.container import RuntimeContainer

    open(state.path("paused"), "w").close()
    _remove(state.path("thawed"))
    try:
        RuntimeContainer(state.id).cgroup.freeze()
    except ContainerError:
        _remove(state.path("paused"))  # or its health would never be checked again
        raise


def thaw(state: State) -> None:
    """Let all processes of the container continue. Raises :class:`ContainerError`."""
    from minict.runtime.container import RuntimeContainer

    RuntimeContainer(state.id).cgroup.thaw()
    jsonfile.write(state.path("thawed"), time.monotonic_ns())  # before "paused" goes: overtook() must not miss it
    _remove(state.path("paused"))


def is_marked(state: State) -> bool:
    """Whether the container is frozen, or about to be."""
    return os.path.exists(state.path("paused"))


def overtook(state: State, since: int) -> bool:
    """Whether the container was frozen at any moment since *since*, a time of ``time.monotonic_ns()``."""
    if is_marked(state):
        return True
    try:
        return bool(jsonfile.read(state.path("thawed")) >= since)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
