"""The place where minict runs, as far as it decides what can work: a container, a chroot, a /proc of other processes.

A chroot (a rescue system, a build root) has no root mount of its own, and ``unshare --pid`` leaves the old /proc in
place. A container has namespaces of its own.
"""

from __future__ import annotations

import errno
import os

from .errors import ContainerError

CHROOT = (
    "minict runs in a chroot whose root is not a mount: bind the directory to itself before you enter it "
    "(mount --rbind DIR DIR; chroot DIR)"
)
_OUTER = (
    "start the outer container with --privileged, or with --userns private --cap-add SYS_ADMIN --cap-add NET_ADMIN "
    "--security-opt seccomp=unconfined"
)
_UNMAPPED = 65534  # proc_sys_fs(5), /proc/sys/fs/overflowuid
_SYS_ADMIN = 21  # linux/capability.h
# The numbers of the host's own namespaces: linux/proc_ns.h
_HOSTS = {"cgroup": 0xEFFFFFFB, "pid": 0xEFFFFFFC, "user": 0xEFFFFFFD}


def own_namespaces() -> list[str]:
    """The kinds of namespaces in which this process differs from the host, among those that distinguish a container
    from it.

    Source: namespaces(7); linux/proc_ns.h.
    """
    return [kind for kind, number in _HOSTS.items() if os.stat(f"/proc/self/ns/{kind}").st_ino != number]


def in_user_namespace() -> bool:
    """Whether this process is in a user namespace of its own, where even root has no rights on the host.

    Source: user_namespaces(7); linux/proc_ns.h.
    """
    return os.stat("/proc/self/ns/user").st_ino != _HOSTS["user"]


def owner(status: os.stat_result) -> tuple[int, int]:
    """The user and the group of a file; root for those that this user namespace does not map.

    The kernel shows such an id as 65534. Source: user_namespaces(7), "Unmapped user and group IDs".
    """
    if not in_user_namespace():
        return status.st_uid, status.st_gid
    return tuple(0 if id == _UNMAPPED else id for id in (status.st_uid, status.st_gid))  # type: ignore[return-value]


def parent(pid: int) -> int:
    """The parent of the process *pid*; 0 when it has ended. Source: proc_pid_stat(5), field 4."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def last_group() -> int:
    """The last of the groups, counted from 0, that this user namespace maps. Source: user_namespaces(7)."""
    last = -1
    with open("/proc/self/gid_map") as lines:
        for first, _, size in sorted(tuple(map(int, line.split())) for line in lines):
            last = first + size - 1 if first == last + 1 else last
    return last


def in_chroot() -> bool:
    """Whether this process's root is a plain directory, and not a mount. Source: proc_pid_mountinfo(5), field 5.

    A chroot into a mount point does not count: containers work there.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
        return all(line.split(" ", 5)[4] != "/" for line in lines)


def check_rights() -> None:
    """Raise :class:`ContainerError` for a root without CAP_SYS_ADMIN, as in a container. Source: capabilities(7)."""
    from ..kernel.capability import capget

    if not capget()[0] >> _SYS_ADMIN & 1:
        raise ContainerError(f"minict lacks CAP_SYS_ADMIN, and runs inside a container: {_OUTER}")


def refused_pivot_root() -> ContainerError:
    """The error for EPERM of pivot_root(2) in a process with all rights. Source: moby, profiles/seccomp."""
    return ContainerError(f"a seccomp filter or a security module forbids pivot_root: {_OUTER}", errno=errno.EPERM)


def check_proc() -> None:
    """Raise :class:`ContainerError` when /proc is missing or shows another pid namespace. Source: proc(5)."""
    try:
        if os.readlink("/proc/self") == str(os.getpid()):
            return
        why = "shows the processes of another pid namespace"
    except OSError as error:
        why = "is not mounted" if error.errno == errno.ENOENT else "cannot be read"
        if os.path.exists("/proc/mounts"):
            why = "shows the processes of another pid namespace"
    raise ContainerError(f"/proc {why}: mount -t proc proc /proc (with unshare: add --mount-proc)")
