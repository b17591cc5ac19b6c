"""A further process in a container that runs: it enters the namespaces and the cgroup of the first one.

It never comes from this process itself but from a zygote of its own, which executes a sealed copy of the
interpreter: between entering and execve, what runs inside can look at the process that enters, and
``/proc/PID/exe`` must not be a way to the host's interpreter (CVE-2019-5736).
"""

from __future__ import annotations

import os

from ..kernel import process as kernel
from . import birth as births
from . import launch, namespaces
from .errors import ContainerError
from .spec import Linux, Process, Spec

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from .container import Container


def execute(
    container: Container,
    process: Process,
    *,
    streams: tuple[int, int, int] = (0, 1, 2),
    console: int = -1,
    seccomp_filter: bytes = b"",
    die_with_parent: bool = False,
) -> tuple[int, int]:
    """Execute *process* in the running *container*; return its (pid, pidfd).  It is our child.

    *streams*, *console* and *seccomp_filter*: as in :meth:`.container.Container.run`.
    Raises :class:`ContainerError`.
    """
    pid = container.pid
    if pid is None:
        raise ContainerError(f"the container {container.id} is not running")
    pidfd = kernel.pidfd_open(pid)
    cgroup_namespace = os.open(f"/proc/{pid}/ns/cgroup", os.O_RDONLY | os.O_CLOEXEC)
    try:
        own = namespaces.identify()
        joins = [kind for kind, number in namespaces.identify(pid).items() if own[kind] != number and kind != "cgroup"]
        if container.pid != pid:  # now the handle and the numbers are known to be those of the container's process
            raise ContainerError(f"the container {container.id} has just ended")
        birth = births.Birth(
            Spec(process=process, linux=Linux()),
            "/",
            tasks=container.cgroup.join_files(),
            cgroup_v2=container.cgroup.v2_directory(),
            joins=joins,
            seccomp_filter=seccomp_filter,
            die_with_parent=die_with_parent,
            descriptors={
                "stdin": streams[0],
                "stdout": streams[1],
                "stderr": streams[2],
                "console": console,
                "join": pidfd,
                "cgroup_namespace": cgroup_namespace,
            },
        )
        child, child_pidfd, _ = births.bear(birth, launch.by_zygote)
        return child, child_pidfd
    finally:
        os.close(pidfd)
        os.close(cgroup_namespace)
