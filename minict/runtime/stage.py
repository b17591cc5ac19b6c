"""Where a container's first process is cloned: in this process, or in a short-lived copy of it, the stage.

The stage may enter the namespaces that the container joins, from which there is not always a way back; and
it has one thread, even if the process that it was forked from has many.
"""

from __future__ import annotations

import os

from ..kernel import process as kernel
from ..kernel.namespaces import CLONE_PARENT, clone3, setns
from . import birth as births
from . import messages, mounts, namespaces
from .process import kill_child, reset_inherited


def direct(birth: births.Birth) -> tuple[int, int]:
    """Clone the child from this very process, which must have one thread only.

    Returns (pid, pidfd). Raises :class:`OSError`. Source: clone3(2).
    """
    births.preload(birth)
    pid, pidfd = clone(birth, open_cgroup(birth))
    if pid == 0:
        births.child(birth)
    return pid, pidfd


def staged(birth: births.Birth) -> tuple[int, int]:
    """Fork a stage and let it clone: with CLONE_PARENT, so that the container is our own child.

    Returns (pid, pidfd), or (-1, -1) when the stage failed: it has written the reason into the report.
    Raises :class:`OSError`, :class:`.errors.ContainerError`. Source: clone(2), CLONE_PARENT.
    """
    births.preload(birth)
    answer, stage_end = os.pipe2(os.O_CLOEXEC)
    stage = os.fork()
    if stage == 0:
        try:
            os.write(stage_end, str(enter_and_clone(birth)).encode())
        except BaseException as error:
            messages.report_error(birth.descriptors.report, "make the process", error)
        finally:
            os._exit(0)
    os.close(stage_end)
    stage_fd = kernel.pidfd_open(stage)
    try:
        messages.wait_readable(answer, "clone")
        pid = int(os.read(answer, 32) or -1)
    finally:
        os.close(answer)
        kill_child(stage, stage_fd)  # the stage, which has nothing left to do
    return pid, kernel.pidfd_open(pid) if pid > 0 else -1


def enter_and_clone(birth: births.Birth) -> int:
    """The work of a stage: enter what the container joins, and clone its first process as a sibling; return its pid.

    In the container's mount namespace the host's cgroups are out of sight. So the cgroup of v2 is opened, and those of
    v1 are joined, before; the sibling inherits them. A cgroup namespace is only opened here: the sibling
    enters it after its cgroup, because a process inside cannot be moved by one outside (cgroup_namespaces(7)).
    Raises :class:`OSError`, :class:`.errors.ContainerError`. Source: setns(2), clone3(2).
    """
    joined = [each for each in birth.spec.linux.namespaces if each.path]
    cgroup = open_cgroup(birth)
    for namespace in joined:
        if namespace.type == "cgroup":
            birth.descriptors.cgroup_namespace = namespaces.open_file(namespace)
    reset_inherited()  # inside a user namespace the child lacks the right to
    affinity = birth.spec.process.execCPUAffinity
    if birth.joins and affinity:
        from . import attributes  # rarely needed

        attributes.run_on(affinity.initial, "process.execCPUAffinity.initial")
    if birth.joins or any(each.type == "mount" for each in joined):
        for tasks in birth.tasks:
            births.write(tasks, "0")
        birth.tasks = []
    if birth.joins:
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # processes inside may not trace us, nor look at our descriptors
        setns(birth.descriptors.join, namespaces.flags(birth.joins))
    if mounts.has_idmapped(birth.spec):
        from . import idmap  # rarely needed

        idmap.prepare(birth)
    namespaces.join(birth.spec.linux.namespaces)
    if birth.creates("time"):
        namespaces.unshare_time(birth.spec.linux.timeOffsets)
    pid, pidfd = clone(birth, cgroup, CLONE_PARENT)
    if pid == 0:
        births.child(birth)
    os.close(pidfd)  # the parent is another process, which opens one for itself
    return pid


def has_threads() -> bool:
    """Whether this process has more than one thread. Source: proc_pid_task(5)."""
    return len(os.listdir("/proc/self/task")) > 1


def needs_stage(birth: births.Birth) -> bool:
    """Whether a process has to enter or prepare something before it clones. Source: namespaces(7)."""
    joined = any(each.path for each in birth.spec.linux.namespaces)
    return bool(birth.joins) or birth.creates("time") or joined or mounts.has_idmapped(birth.spec)


def open_cgroup(birth: births.Birth) -> int:
    """The container's directory in the cgroup v2 tree, for clone3; -1 where there is none.

    Raises :class:`OSError`. Source: clone3(2), CLONE_INTO_CGROUP.
    """
    return os.open(birth.cgroup_v2, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if birth.cgroup_v2 else -1


def clone(birth: births.Birth, cgroup: int, flags: int = 0) -> tuple[int, int]:
    """clone3 into the container's new namespaces, and into *cgroup*, which is closed. Returns as clone3 does.

    Two kinds are not for clone3: the cgroup namespace has to come after joining the cgroup, and a time namespace
    takes effect only for later children, so the stage has already created it.
    Raises :class:`OSError`. Source: clone3(2), cgroup_namespaces(7), time_namespaces(7).
    """
    new = namespaces.new_kinds(birth.spec.linux.namespaces)
    kinds = [kind for kind in new if kind not in ("cgroup", "time")]
    try:
        return clone3(flags | namespaces.flags(kinds), cgroup)
    finally:
        if cgroup >= 0:
            os.close(cgroup)
