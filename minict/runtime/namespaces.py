"""The eight namespaces of a container: which are made, which are joined, and whose ids they map."""

from __future__ import annotations

import os

from ..kernel.namespaces import (
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    setns,
    unshare,
)
from .errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

    from .spec import IDMapping, Namespace

# The names of the OCI specification (config-linux.md, namespaces), the flag of each, and the file
# in /proc/PID/ns that stands for it (namespaces(7)).
FLAGS = {
    "user": CLONE_NEWUSER,
    "mount": CLONE_NEWNS,
    "pid": CLONE_NEWPID,
    "network": CLONE_NEWNET,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
}
FILES = {
    "user": "user",
    "mount": "mnt",
    "pid": "pid",
    "network": "net",
    "uts": "uts",
    "ipc": "ipc",
    "cgroup": "cgroup",
    "time": "time",
}


def flags(kinds: list[str]) -> int:
    """The flags for clone3 or unshare that stand for these *kinds* of namespaces.

    Raises :class:`ContainerError` for a kind that is none.
    """
    result = 0
    for kind in kinds:
        if kind not in FLAGS:
            known = ", ".join(FLAGS)
            raise ContainerError(f"there is no namespace of kind {kind!r}: the kinds are {known}")
        result |= FLAGS[kind]
    return result


def made(namespaces: list[Namespace]) -> list[str]:
    """The kinds of those of the spec's *namespaces* that are to be made, because no path says what to join."""
    return [namespace.type for namespace in namespaces if not namespace.path]


def identify(pid: int | str = "self") -> dict[str, int]:
    """Which namespaces the process *pid* is in: for each kind the number that stands for one.

    It is an inode number.  Where two processes have the same, they share the namespace.
    Source: namespaces(7).
    """
    return {
        kind: os.stat(f"/proc/{pid}/ns/{file}").st_ino
        for kind, file in FILES.items()
        if os.path.exists(f"/proc/{pid}/ns/{file}")
    }


def join(namespaces: list[Namespace]) -> None:
    """Enter those of the spec's *namespaces* that have a path.

    The order counts.  The user namespace may take away the right to enter the others, or be
    what gives it: so they are tried before it, and those that refused once more after it.
    The mount namespace comes last: in it the paths of the others lead elsewhere.

    Joining a pid or time namespace moves only the children that come after.  A cgroup
    namespace is left out: it comes later, see :mod:`.launch`.
    Raises :class:`ContainerError`, naming the path that can't be entered.
    """
    joined = [(each.path, each.type) for each in namespaces if each.path and each.type != "cgroup"]
    user, mount = ([each for each in joined if each[1] == kind] for kind in ("user", "mount"))
    refused = []
    for path, kind in joined:
        if kind not in ("user", "mount"):
            try:
                enter(path, kind)
            except OSError:
                refused.append((path, kind))
    for path, kind in user + refused + mount:
        try:
            enter(path, kind)
        except OSError as error:
            raise ContainerError(
                f"can't join the {kind} namespace {path}: {os.strerror(error.errno or 0)}",
                errno=error.errno,
            ) from None


def open_file(namespace: Namespace) -> int:
    """A descriptor of the spec's *namespace* by its path.  Raises :class:`ContainerError`."""
    try:
        return os.open(namespace.path or "", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise ContainerError(
            f"can't join the {namespace.type} namespace {namespace.path}: {error.strerror}", errno=error.errno
        ) from None


def enter(path: str, kind: str) -> None:
    """Enter the namespace that *path*, such as ``/proc/PID/ns/net``, leads to.

    Raises :class:`OSError`, EINVAL when it is not of this *kind*.  Source: setns(2).
    """
    fd = os.open(path, os.O_RDONLY)
    try:
        setns(fd, flags([kind]))
    finally:
        os.close(fd)


def unshare_time(offsets: dict[str, Any] | None) -> None:
    """Make a time namespace for the children to come, whose clocks differ from ours by *offsets*.

    They can only be written before anyone is inside, which is why clone3 alone can't do it. Raises :class:`OSError`,
    or :class:`ContainerError` for an offset that the kernel refuses.  Source: time_namespaces(7).
    """
    unshare(CLONE_NEWTIME)
    lines = [
        f"{clock} {offset.get('secs', 0)} {offset.get('nanosecs', 0)}\n" for clock, offset in (offsets or {}).items()
    ]
    try:
        with open("/proc/self/timens_offsets", "w") as file:
            file.write("".join(lines))
    except OSError as error:
        raise ContainerError(
            f"the clocks can't be set as linux.timeOffsets says: {os.strerror(error.errno or 0)}; none may show a "
            "time before the boot",
            errno=error.errno,
        ) from None


def write_id_maps(pid: int, uids: list[IDMapping], gids: list[IDMapping]) -> None:
    """Say which ids of the user namespace of *pid* are which ids out here.

    Only a process outside can do that, once, which is why the child has to wait for it.
    Raises :class:`ContainerError`.  Source: user_namespaces(7).
    """
    for file, mappings in (("uid_map", uids), ("gid_map", gids)):
        text = "".join(f"{each.containerID} {each.hostID} {each.size}\n" for each in mappings)
        try:
            with open(f"/proc/{pid}/{file}", "w") as map_file:
                map_file.write(text)  # in one write: the kernel takes no second
        except OSError as error:
            raise ContainerError(
                f"the kernel refuses the {file} {text.strip()!r}: {error.strerror}", errno=error.errno
            ) from None
