"""Clean up after killed processes: containers whose monitor, or whose creator, is gone."""

from __future__ import annotations

import os

from minict.engine.containers.store import Record
from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import ContainerError

from . import task


def prune_container(id: str) -> bool:
    """Clean up the container *id* if its monitor is gone, and remove it if it should not exist; return whether either
    happened.
    """
    try:
        record = Record.load(id)
    except ContainerError:  # half created, or half removed; or created through the OCI runtime
        record = Record(id)
    settled = task.settle(record) if os.path.isdir(record.data) else end_abandoned_run(id)
    if should_be_gone(record) and record.lock(wait=False):
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
