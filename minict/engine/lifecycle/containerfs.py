"""minict.engine.lifecycle.containerfs"""

from __future__ import annotations

from minict.engine.archive.fsview import Mounted, Running
from minict.runtime import spec
from minict.runtime.errors import ContainerError


def of_container(record, volumes: bool = True):
    """The files of a container, running or not, as it sees them itself; without /proc, /sys and what else is the
    kernel's, and with *volumes* or without.

    Of one that does not run, hold the lock as long as the work goes on, lest it be started; close() the files of one
    that runs.  Raises :class:`ContainerError`.
    """
    pid = record.pid
    place = f"{record.data}/root"
    if pid is None:
        from minict.engine.images import overlay
        from minict.engine.images.image import Image
        from minict.engine.volumes.mounts import spec_mounts

        own = [mount for mount in spec_mounts(record.mounts or []) if mount.type == "bind"] if volumes else []
        root = overlay.root(Image.load(record.image), record.data)
        return Mounted(root, place, own, readonly=bool(record.settings.get("read_only")))
    try:
        own = filter(_is_own, record.state.read_spec().mounts) if volumes else []
        found = Running(pid, place, [mount.destination for mount in own])
    except FileNotFoundError:
        raise ContainerError(f"the container {record.name} has just ended: do it again") from None
    if record.pid != pid:  # then the number may be another process's by now
        found.close()
        raise ContainerError(f"the container {record.name} has just ended: do it again")
    return found


def _is_own(mount: spec.Mount) -> bool:
    """Whether a mount holds files that are the container's own."""
    return (
        mount.type in ("bind", "tmpfs") and mount.destination != "/" and not f"{mount.destination}/".startswith("/dev/")
    )


def with_files(record, function, volumes: bool = True):
    """Call *function* with the files of a container, and return what it returns; who does not run can't be started
    meanwhile."""
    if record.pid is not None:
        files = of_container(record, volumes)
        try:
            return function(files)
        finally:
            files.close()
    with record:
        if record.status == "restarting":
            raise ContainerError(f"the container {record.name} is about to start again: stop it, or wait until it runs")
        return function(of_container(record, volumes))
