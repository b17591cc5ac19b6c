"""Who forks.  A container's first process can come from three places, and they differ in nothing else.

=================  =====================================================================================
:func:`here`       clone3 from this process: the command line, which is small and has one thread
:func:`staged`     fork first, clone3 from the copy: to join namespaces, or to run a learner's own functions
:func:`by_zygote`  a small helper process clones for us: a notebook kernel, which is large and has a dozen threads; and
                   wherever somebody else can write to what the container executes
=================  =====================================================================================

To fork copies the page tables: 3 ms for a small Python, 10 for a notebook, 50 with a large array in it.  And a
raw clone3 from a process with threads would copy locks that no thread of the copy will ever open.
"""

from __future__ import annotations

import os

from ..kernel import process as kernel
from ..kernel.namespaces import CLONE_PARENT, clone3, setns
from . import birth as births
from . import idmap, learner, namespaces

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable


def choose(birth: births.Birth) -> Callable[[births.Birth], tuple[int, int]]:
    """The one of the three that fits the calling process.

    A passed exercise has replaced a function in this process and nowhere else: then the container must come from
    this process.
    """
    if not learner.replaced and (has_threads() or shares_programs(birth)):
        return by_zygote
    return staged if learner.replaced or needs_stage(birth) else here


def here(birth: births.Birth) -> tuple[int, int]:
    """Clone from this very process, which must have one thread.

    Returns (pid, pidfd).  Raises :class:`OSError`.
    """
    births.preload(birth)
    pid, pidfd = clone(birth, open_cgroup(birth))
    if pid == 0:
        births.child(birth)
    return pid, pidfd


def staged(birth: births.Birth) -> tuple[int, int]:
    """Fork a process that lives for a moment, and let it clone: the clone is our own child by CLONE_PARENT.

    The stage may enter the namespaces that the container joins, from which there is not always a way back; and
    it has one thread, even if the process that it was forked from has a dozen.
    Returns (pid, pidfd), or (-1, -1) when the stage failed: it has written why into the report.
    """
    births.preload(birth)
    answer, told = os.pipe2(os.O_CLOEXEC)
    stage = os.fork()
    if stage == 0:
        try:
            os.write(told, str(enter_and_clone(birth)).encode())
        except BaseException as error:
            births.report_error(birth, "make the process", error)
        finally:
            os._exit(0)
    os.close(told)
    pid = int(os.read(answer, 32) or -1)
    os.close(answer)
    os.waitpid(stage, 0)
    return pid, kernel.pidfd_open(pid) if pid > 0 else -1


def enter_and_clone(birth: births.Birth) -> int:
    """The stage's work: enter what the container joins, and clone a sibling, which becomes the container; its pid.

    In the container's mount namespace the host's cgroups can't be seen any more: so that of v2 is opened, and those of
    v1 are joined, before; the sibling inherits them.  A cgroup namespace to join is only opened here: the sibling
    enters it when it is in its cgroup, because who is in one can't be moved from without (cgroup_namespaces(7)).
    """
    cgroup = open_cgroup(birth)
    for namespace in birth.spec.linux.namespaces:
        if namespace.type == "cgroup" and namespace.path:
            birth.descriptors["cgroup_namespace"] = namespaces.open_file(namespace)
    if birth.joins or any(each.type == "mount" and each.path for each in birth.spec.linux.namespaces):
        for tasks in birth.tasks:
            births.write(tasks, "0")
        birth.tasks = []
    if birth.joins:
        kernel.prctl(kernel.PR_SET_DUMPABLE, 0)  # nobody inside may trace us, or look at what we have open
        setns(birth.descriptors["join"], namespaces.flags(birth.joins))
    if idmap.wanted(birth.spec):
        idmap.prepare(birth)
    namespaces.join(birth.spec.linux.namespaces)
    if birth.makes("time"):
        namespaces.unshare_time(birth.spec.linux.timeOffsets)
    pid, pidfd = clone(birth, cgroup, CLONE_PARENT)
    if pid == 0:
        births.child(birth)
    os.close(pidfd)  # its parent is somebody else, who opens one for itself
    return pid


def by_zygote(birth: births.Birth) -> tuple[int, int]:
    """Let the helper process of :mod:`.zygote` clone for us; the container is our own child all the same.

    Returns and raises as :func:`staged`.
    """
    from . import zygote

    pid = zygote.request(birth)
    return pid, kernel.pidfd_open(pid) if pid > 0 else -1


def has_threads() -> bool:
    return len(os.listdir("/proc/self/task")) > 1


def shares_programs(birth: births.Birth) -> bool:
    """Whether what the container executes may lie in a place to which others write: in a directory or file of the host.

    That a command is no link to ``/proc/self/exe``, and no script for it, is looked up before execve; in such a place
    a hostile second container could put one there in between.  It shall find the sealed interpreter of the zygote, and
    not the host's (CVE-2019-5736).
    """
    return any(
        "noexec" not in mount.options and (mount.type == "bind" or {"bind", "rbind"} & set(mount.options))
        for mount in birth.spec.mounts
    )


def needs_stage(birth: births.Birth) -> bool:
    return (
        bool(birth.joins)
        or birth.makes("time")
        or any(each.path for each in birth.spec.linux.namespaces)
        or idmap.wanted(birth.spec)
    )


def open_cgroup(birth: births.Birth) -> int:
    """The container's directory in the cgroup v2 tree, for clone3; -1 where there is none."""
    return os.open(birth.cgroup_v2, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if birth.cgroup_v2 else -1


def clone(birth: births.Birth, cgroup: int, flags: int = 0) -> tuple[int, int]:
    """clone3 into the birth's new namespaces, and into *cgroup*, which is closed.  Returns as clone3 does, in both
    processes.

    Two kinds are not for clone3: the cgroup namespace has to come after joining the cgroup, and a time namespace
    moves only children, so that the stage has already made it.
    """
    kinds = [kind for kind in namespaces.made(birth.spec.linux.namespaces) if kind not in ("cgroup", "time")]
    try:
        return clone3(flags | namespaces.flags(kinds), cgroup)
    finally:
        if cgroup >= 0:
            os.close(cgroup)
