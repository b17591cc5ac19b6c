"""The files of a container, running or not, as the container sees them: for ``cp``, ``diff`` and ``export``."""

from __future__ import annotations

from minict.engine.archive.fsview import Mounted, Running
from minict.runtime import spec
from minict.runtime.errors import ContainerError


def of_container(record, volumes: bool = True):
    """The files of a container as it sees them, without /proc, /sys and other kernel file systems, with or without
    *volumes*.

    The caller holds the lock of a container that does not run, so that it is not started, and calls close() on the
    files of a running one. Raises :class:`ContainerError`.
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
        own = [mount for mount in record.state.read_spec().mounts if _is_own(mount)] if volumes else []
        found = Running(pid, place, [mount.destination for mount in own])
    except FileNotFoundError:
        raise ContainerError(f"the container {record.name} has just ended: try again") from None
    if record.pid != pid:  # the pid may belong to another process by now
        found.close()
        raise ContainerError(f"the container {record.name} has just ended: try again")
    return found


def _is_own(mount: spec.Mount) -> bool:
    """Whether the files of a mount belong to the container."""
    return (
        mount.type in ("bind", "tmpfs") and mount.destination != "/" and not f"{mount.destination}/".startswith("/dev/")
    )


def with_files(record, function, volumes: bool = True):
    """Call *function* with the files of a container and return its result; a stopped container cannot start
    meanwhile."""
    if record.pid is not None:
        files = of_container(record, volumes)
        try:
            return function(files)
        finally:
            files.close()
    with record:
        if record.status == "restarting":
            raise ContainerError(f"the container {record.name} is about to restart: stop it, or wait until it runs")
        return function(of_container(record, volumes))
