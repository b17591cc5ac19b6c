"""A further process in a running container: it enters the namespaces and the cgroup of the first one.

It never comes from this process itself but from a zygote of its own, which executes a sealed copy of the
interpreter: between entering and execve, processes inside can look at the process that enters, and
``/proc/PID/exe`` must not be a way to the host's interpreter (CVE-2019-5736).
"""

from __future__ import annotations

import errno
import os

from ..kernel import process as kernel
from . import birth as births
from . import launch, namespaces, zygote
from .cgroup import Cgroup
from .cgroup.hierarchy import find_hierarchies
from .errors import ContainerError
from .spec import Linux, Process, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

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
    linux: Linux | None = None,
    hook_state: dict[str, Any] | None = None,
) -> tuple[int, int]:
    """Execute *process* in the running *container*; return its (pid, pidfd). It is our child.

    *streams*, *console*, *seccomp_filter* and *preserved*: see :class:`.container.Options`.
    *cgroup* names a group below the container's, in those hierarchies where it exists. A process for a frozen container
    is refused unless *even_frozen*: it begins when the container is thawed. *linux*: its seccomp profile, for an agent
    that is told *hook_state*, and its personality and memory policy.
    Raises :class:`ContainerError`. Source: setns(2); runc-exec(8).
    """
    pid = container.pid
    if pid is None:
        raise ContainerError(f"the container {container.id} is not running: start it first")
    group = container.cgroup
    below = Cgroup(group.path + "/" + cgroup[0].strip("/")) if cgroup else group
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
            spec=Spec(process=process, linux=linux or Linux()),
            rootfs="/",
            tasks=[new if os.path.exists(new) else old for new, old in zip(below.join_files(), group.join_files())],
            cgroup_v2=next(
                (each.v2_directory() for each in (below, group) if os.path.isdir(each.v2_directory() or "")), None
            ),
            joins=joins,
            seccomp_filter=seccomp_filter,
            seccomp_flags=seccomp_flags,
            preserved=list(preserved),
            hook_state=hook_state or {},
            descriptors=births.Descriptors(
                stdin=streams[0],
                stdout=streams[1],
                stderr=streams[2],
                console=console,
                join=pidfd,
                cgroup_namespace=cgroup_namespace,
            ),
        )
        try:
            child, child_pidfd, _ = launch.create_process(birth, zygote.clone)
        except ContainerError as error:
            if error.errno != errno.EBUSY or cgroup:
                raise
            birth.cgroup_v2 = own_group(pid) or birth.cgroup_v2
            child, child_pidfd, _ = launch.create_process(birth, zygote.clone)
        return child, child_pidfd
    finally:
        os.close(pidfd)
        os.close(cgroup_namespace)


def own_group(pid: int) -> str | None:
    """The directory of the v2 cgroup in which the process *pid* is.

    An init such as systemd makes groups of its own and moves there. Then its former group hands controllers on, and no
    process may be in it any more. Source: cgroup-v2.rst, "No Internal Process Constraint"; proc_pid_cgroup(5).
    """
    unified = find_hierarchies()[1]
    with open(f"/proc/{pid}/cgroup") as lines:
        found = next((line.rstrip("\n")[3:] for line in lines if line.startswith("0::/")), None)
    return unified + found if unified and found else None
