"""Put the host in order after anything: give back what containers hold whose makers are gone."""
from __future__ import annotations

import os

from minict.runtime import paths, state
from minict.runtime.container import Container
from minict.runtime.errors import ContainerError
from minict.runtime.files import remove_tree

from . import names, network, run
from .image import prune as prune_images


def prune() -> list[str]:
    """Remove every container that nobody looks after and whose process has ended or must not live; say what was removed.

    Touched is only what a ledger names, or what lies in minict's own directories.  May be called at any time, also
    while others make containers: their locks are respected.
    Raises the first error, after all has been tried.
    """
    removed, errors = [], []
    for id in state.all_ids():
        try:
            removed += [f"container {id}"] * prune_container(id)
        except (OSError, ContainerError) as error:
            errors.append(error)
    removed += prune_data(errors)
    removed += prune_names()
    removed += prune_images()
    if not state.all_ids():
        if network.Network("bridge").remove_bridge_if_unused():
            removed.append("network bridge")
        for directory in (f"{paths.run_root()}/containers", f"{paths.run_root()}/names"):
            try:
                os.rmdir(directory)
            except OSError:
                pass
    if errors:
        raise errors[0]
    return removed


def prune_container(id: str) -> bool:
    """Remove the container *id* unless a living process looks after it, or its command runs on its own."""
    container = Container(id, run.UNDO)
    if not container.state.lock():
        return False
    attached = any(kind == "attached" for kind, _ in container.state.ledger())
    if container.pid is not None and not attached:
        container.state.unlock()
        return False
    container.delete(force=True)
    return True


def prune_data(errors: list) -> list[str]:
    """Remove the files of containers that have no state: a reboot has emptied the state's directory."""
    removed = []
    directory = f"{paths.data_root()}/containers"
    for id in os.listdir(directory) if os.path.isdir(directory) else ():
        if not os.path.isdir(paths.container_state(id)):
            try:
                remove_tree(f"{directory}/{id}")
                removed.append(f"files of container {id}")
            except (OSError, ContainerError) as error:
                errors.append(error)
    return removed


def prune_names() -> list[str]:
    """Release the names whose container is gone."""
    directory = f"{paths.run_root()}/names"
    gone = [name for name in (os.listdir(directory) if os.path.isdir(directory) else ())
            if not os.path.isdir(paths.container_state(names.find(name) or "-"))]
    for name in gone:
        names.release(f"{name}/{names.find(name)}")
    return [f"name {name}" for name in gone]
