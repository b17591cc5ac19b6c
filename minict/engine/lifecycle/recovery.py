"""Clean up after killed processes: containers whose monitor, or whose creator, is gone."""

from __future__ import annotations

import os
import time

from minict.engine.containers.store import Record
from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import ContainerError

from . import task

_PATIENCE = 5.0  # seconds for another command to release a container whose run is over


def prune_container(id: str) -> bool:
    """Clean up the container *id* if its monitor is gone, and remove it if it should not exist; return whether either
    happened.
    """
    try:
        record = Record.load(id)
    except ContainerError:  # half created, or half removed; or created through the OCI runtime
        record = Record(id)
    settled = task.settle(record) if os.path.isdir(record.data) else end_abandoned_run(id)
    if should_be_gone(record) and lock(record, _PATIENCE if settled else 0):
        try:
            if should_be_gone(record):
                there = os.path.exists(f"{record.data}/container.json")
                record.remove()
                if there:
                    record.event("destroy")
                return True
        finally:
            record.unlock()
    return settled


def lock(record: Record, seconds: float) -> bool:
    """Lock a container that should be gone; False if it is gone, or in use for more than *seconds*.

    Another ``prune`` locks a container for a moment to look at it. The one that has cleaned up after the run must wait
    for that moment: the other one has already decided that there is nothing to remove.
    """
    end = time.monotonic() + seconds
    while not record.lock(wait=False):
        if not should_be_gone(record) or time.monotonic() >= end:
            return False
        time.sleep(0.005)
    return True


def end_abandoned_run(id: str) -> bool:
    """Clean up a run without a container record; return whether there was one."""
    container = RuntimeContainer(id, task.UNDO)
    if not container.state.lock():
        return False
    attached = any(kind == "attached" for kind, _ in container.state.ledger())
    if container.pid is not None and not attached:
        container.state.unlock()
        return False
    container.delete(force=True)
    return True


def should_be_gone(record: Record) -> bool:
    """Whether the creation of a container was never finished, or it has run and removes itself."""
    if not os.path.isdir(record.data) or os.path.isdir(record.state.directory):
        return False
    return not os.path.exists(f"{record.data}/container.json") or (
        record.removes_itself and bool(record.last_run.get("started"))
    )
