"""Where this machine has its control groups: which controllers, mounted where, in which version."""

from __future__ import annotations

import os

from .. import place
from ..errors import ContainerError
from . import files

# Mount options of cgroup v1 that are names of controllers, unlike "rw" or "name=systemd".
_V1_CONTROLLERS = {
    "cpu",
    "cpuacct",
    "cpuset",
    "memory",
    "devices",
    "freezer",
    "blkio",
    "pids",
    "hugetlb",
    "net_cls",
    "net_prio",
    "perf_event",
    "rdma",
    "misc",
}

#: What gives an ordinary user control groups: systemd, which minict asks where it runs for this user.
REMEDY = "boot with cgroup v2, and log in as the user, not by su or sudo; or run loginctl enable-linger USER as root"

_hierarchies: tuple[dict[str, str], str | None] | None = None  # of this process's mount namespace, read once


def find_hierarchies() -> tuple[dict[str, str], str | None]:
    """(controller -> mount point, mount point of the cgroup v2 tree or None).

    Source: proc_pid_mountinfo(5), cgroups(7).
    """
    global _hierarchies
    if _hierarchies is None:
        mounts: dict[str, tuple[str, list[str]]] = {}
        for line in files.read("/proc/self/mountinfo").splitlines():
            mount, _, filesystem = line.partition(" - ")
            kind, _, words = filesystem.split(" ", 2)
            if kind in ("cgroup", "cgroup2"):
                # A later mount on the same directory hides the earlier one.
                mounts[_unescape(mount.split(" ")[4])] = kind, words.split(",")
        if place.in_user_namespace():  # what was not delegated to us is as if it were not there
            mounts = {point: each for point, each in mounts.items() if os.access(f"{point}/cgroup.procs", os.W_OK)}
        found: dict[str, str] = {}
        unified = None
        for point, (kind, options) in mounts.items():
            if kind == "cgroup2":
                unified = unified or point
                names = (files.read_if_there(f"{point}/cgroup.controllers") or "").split()
            else:
                names = [option for option in options if option in _V1_CONTROLLERS]
            for name in names:
                found.setdefault(name, point)
        _hierarchies = found, unified
    return _hierarchies


def _unescape(word: str) -> str:
    """A path from mountinfo, where blanks and backslashes are octal (``\\040``). Source: proc_pid_mountinfo(5)."""
    first, *others = word.split("\\")
    return first + "".join(chr(int(part[:3], 8)) + part[3:] for part in others)


def controllers() -> dict[str, str]:
    """Each controller of this machine, and where it is mounted.

    The names are the kernel's: block devices are ``blkio`` in v1 and ``io`` in v2. Source: cgroups(7).
    """
    return dict(find_hierarchies()[0])


def check_reach() -> None:
    """Raise :class:`ContainerError` for a tree of cgroup v2 that lies outside of this process's cgroup namespace.

    systemd mounts it with nsdelegate: then no process can be moved there. Source: cgroup_namespaces(7): in mountinfo,
    the root of such a mount begins with ``/..``; cgroup-v2.rst, "nsdelegate".
    """
    for line in files.read("/proc/self/mountinfo").splitlines():
        mount, _, filesystem = line.partition(" - ")
        if filesystem.startswith("cgroup2 ") and "nsdelegate" in filesystem and mount.split(" ")[3].startswith("/.."):
            point = mount.split(" ")[4]
            raise ContainerError(
                f"the cgroups in {point} lie outside of this cgroup namespace: umount {point}; mount -t cgroup2 "
                f"cgroup2 {point}; or do without the namespace (unshare --cgroup)"
            )


def mode() -> str:
    """The cgroup version of this machine: ``v1``, ``hybrid`` or ``v2``.

    It is ``hybrid`` when some controller is mounted as v1 and the v2 tree is mounted too.
    Raises :class:`ContainerError` when neither is mounted. Source: cgroups(7).
    """
    found, unified = find_hierarchies()
    if not found and not unified:
        raise ContainerError(
            "no control groups are mounted on this machine, so a container's processes can be neither "
            "limited nor found again: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
        )
    if unified and all(point == unified for point in found.values()):
        return "v2"
    return "hybrid" if unified else "v1"


def missing(setting: str, controller: str) -> ContainerError:
    """The error for a missing controller: the reason and the remedy. Source: cgroups(7), /proc/cgroups."""
    kernel: dict[str, str] = {}  # controller -> whether it was enabled at boot
    for line in (files.read_if_there("/proc/cgroups") or "").splitlines():
        name, _, _, enabled = line.split()
        kernel[name] = enabled
    v1_name = "blkio" if controller == "io" else controller
    if place.in_user_namespace():
        return ContainerError(
            f"{setting} needs the cgroup controller {controller}, which is not delegated to this user: leave it out, "
            f"or have systemd delegate it: {REMEDY}"
        )
    if kernel.get(v1_name) == "0":
        remedy = f"it was switched off at boot; boot with cgroup_enable={v1_name} on the kernel's command line"
    elif v1_name not in kernel:
        remedy = "this kernel lacks it; use another kernel, or leave this setting out"
    elif mode() == "v2":
        remedy = (
            f"the group above does not hand it down; write +{controller} to its cgroup.subtree_control, or "
            "start minict outside of the container that it runs in"
        )
    else:
        remedy = f"it is not mounted; mount -t cgroup -o {v1_name} cgroup /sys/fs/cgroup/{v1_name}"
    return ContainerError(f"{setting} needs the cgroup controller {controller}, which this machine lacks: {remedy}")
