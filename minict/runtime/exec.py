"""A further process in a running container: it enters the namespaces and the cgroup of the first one.

It never comes from this process itself but from a zygote of its own, which executes a sealed copy of the
interpreter: between entering and execve, processes inside can look at the process that enters, and
``/proc/PID/exe`` must not be a way to the host's interpreter (CVE-2019-5736).
"""

from __future__ import annotations

import os

from ..kernel import process as kernel
from . import birth as births
from . import launch, namespaces, zygote
from .cgroup import Cgroup
from .errors import ContainerError
from .spec import Linux, Process, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .container import RuntimeContainer


def execute(
    container: RuntimeContainer,
    process: Process,
    *,
    streams: tuple[int, int, int] = (0, 1, 2),
    console: int = -1,
    seccomp_filter: bytes = b"",
    seccomp_flags: int = 0,
    preserved: list[int] | tuple[int, ...] = (),
    cgroup: list[str] | tuple[str, ...] = (),
    even_frozen: bool = False,
) -> tuple[int, int]:
    """Execute *process* in the running *container*; return its (pid, pidfd). It is our child.

    *streams*, *console*, *seccomp_filter* and *preserved*: see :class:`.container.Options`.
    *cgroup* names a group below the container's. A process for a frozen container is refused unless *even_frozen*: it
    begins when the container is thawed.
    Raises :class:`ContainerError`. Source: setns(2); runc-exec(8).
    """
    pid = container.pid
    if pid is None:
        raise ContainerError(f"the container {container.id} is not running: start it first")
    group = Cgroup(container.cgroup.path + "/" + cgroup[0].strip("/")) if cgroup else container.cgroup
    if group.frozen and not even_frozen:  # a process that joins a frozen cgroup stops too
        raise ContainerError(f"the container {container.id} is frozen: thaw it first")
    pidfd = kernel.pidfd_open(pid)
    cgroup_namespace = os.open(f"/proc/{pid}/ns/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    try:
        own = namespaces.identify()
        theirs = namespaces.identify(pid)
        joins = [kind for kind, number in theirs.items() if own[kind] != number and kind != "cgroup"]
        if container.pid != pid:  # now the handle and the numbers are known to be the container's
            raise ContainerError(f"the container {container.id} has just ended: start it again")
        birth = births.Birth(
            spec=Spec(process=process, linux=Linux()),
            rootfs="/",
            tasks=group.join_files(),
            cgroup_v2=group.v2_directory(),
            joins=joins,
            seccomp_filter=seccomp_filter,
            seccomp_flags=seccomp_flags,
            preserved=list(preserved),
            descriptors=births.Descriptors(
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                console=console,
                join=pidfd,
                cgroup_namespace=cgroup_namespace,
            ),
        )
        child, child_pidfd, _ = launch.create_process(birth, zygote.clone)
        return child, child_pidfd
    finally:
        os.close(pidfd)
        os.close(cgroup_namespace)
