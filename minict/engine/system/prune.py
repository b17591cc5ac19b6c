"""``minict prune``: release everything that killed processes have left on the host."""

from __future__ import annotations

import os

from minict.engine.containers import names
from minict.engine.containers.store import Record
from minict.engine.images.store import prune as prune_images
from minict.engine.lifecycle.recovery import prune_container
from minict.engine.networks import connect, store
from minict.engine.volumes import store as volume_store
from minict.runtime import files, paths, state
from minict.runtime.errors import ContainerError


def prune() -> list[str]:
    """Clean up runs whose monitor is gone, and remove what was never finished; return a line for each.

    It touches only what a ledger names, and minict's own directories. A container created without ``--rm`` stays, as
    one that has exited. It may be called at any time, also while other processes create containers: it respects their
    locks. Raises the first error, after everything has been tried.
    """
    removed, errors = [], []
    for id in all_ids():
        try:
            removed += [f"container {id}"] * prune_container(id)
            removed += [f"unfinished change of the networks of container {id}"] * mend_networks(id)
            files.remove_unfinished(paths.container_data(id), but="log")
            files.remove_unfinished(paths.container_state(id))
        except (OSError, ContainerError) as error:
            errors.append(error)
    files.remove_unfinished(f"{paths.run_root()}/seccomp")
    removed += prune_names()
    removed += [f"unfinished volume {name.lstrip('.')}" for name in volume_store.sweep()]
    removed += prune_images()
    removed += store.remove_unused_bridges()
    if not state.all_ids():
        for directory in (f"{paths.run_root()}/containers", f"{paths.data_root()}/containers", names.directory()):
            try:
                os.rmdir(directory)
            except OSError:
                pass
    if errors:
        raise errors[0]
    return removed


def all_ids() -> list[str]:
    """The ids of all containers that have a state or files."""
    return sorted({*state.all_ids(), *files.names_in(f"{paths.data_root()}/containers")})


def mend_networks(id: str) -> bool:
    """Repair the networks of a running container after a change was killed; return whether there was anything to do."""
    record = Record(id)
    if not record.lock(wait=False):
        return False
    try:
        return connect.mend(record)
    finally:
        record.unlock()


def prune_names() -> list[str]:
    """Release the names whose container is gone, or has another name, because a rename was killed."""
    return [
        f"name {name}" for name in files.names_in(names.directory()) if release_stale(name, names.find(name) or "-")
    ]


def release_stale(name: str, id: str) -> bool:
    """Release *name* if the container *id* does not exist or has another name, unless that container is locked."""
    record = Record(id)
    locked = record.lock(wait=False)
    try:
        stale = Record.load(id).name != name if locked else not os.path.isdir(record.data)
        if stale:
            names.release(f"{name}/{id}")
        return stale
    except ContainerError:  # half created
        return False
    finally:
        record.unlock()
