"""The eight namespaces of a container: which are created, which are joined, and which ids they map."""

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

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    """The flags for clone3 or unshare for these *kinds* of namespaces.

    Raises :class:`ContainerError` for an unknown kind. Source: config-linux.md, "Namespaces"; namespaces(7).
    """
    result = 0
    for kind in kinds:
        if kind not in FLAGS:
            known = ", ".join(FLAGS)
            raise ContainerError(f"unknown kind of namespace {kind!r}: use one of {known}")
        result |= FLAGS[kind]
    return result


def new_kinds(namespaces: list[Namespace]) -> list[str]:
    """The kinds of those of the spec's *namespaces* that are created, because they have no path to join.

    Source: config-linux.md, "Namespaces".
    """
    return [namespace.type for namespace in namespaces if not namespace.path]


def identify(pid: int | str = "self") -> dict[str, int]:
    """Which namespaces the process *pid* is in: for each kind its number.

    It is an inode number. Two processes with the same number share the namespace.
    Source: namespaces(7).
    """
    return {
        kind: os.stat(f"/proc/{pid}/ns/{file}").st_ino
        for kind, file in FILES.items()
        if os.path.exists(f"/proc/{pid}/ns/{file}")
    }


def join(namespaces: list[Namespace]) -> None:
    """Enter those of the spec's *namespaces* that have a path.

    The order matters. The user namespace may take away the right to enter the others, or
    give it: so they are tried before it, and those that failed once more after it.
    The mount namespace comes last: in it the paths of the others lead elsewhere.

    Joining a pid or time namespace takes effect only for later children. A cgroup
    namespace is joined later: see :mod:`.stage`.
    Raises :class:`ContainerError` with the path that cannot be entered. Source: setns(2).
    """
    joined = [(each.type, each.path) for each in namespaces if each.path and each.type != "cgroup"]
    user, mount = ([(kind, path) for kind, path in joined if kind == wanted] for wanted in ("user", "mount"))
    failed = []
    for kind, path in joined:
        if kind not in ("user", "mount"):
            try:
                enter(path, kind)
            except OSError:
                failed.append((kind, path))
    for kind, path in user + failed + mount:
        try:
            enter(path, kind)
        except OSError as error:
            raise _cannot_join(kind, path, error) from None


def _cannot_join(kind: str, path: str | None, error: OSError) -> ContainerError:
    why = os.strerror(error.errno or 0)
    return ContainerError(f"cannot join the {kind} namespace {path}: {why}", errno=error.errno)


def open_file(namespace: Namespace) -> int:
    """A descriptor of the spec's *namespace*, by its path. Raises :class:`ContainerError`. Source: namespaces(7)."""
    try:
        return os.open(namespace.path or "", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise _cannot_join(namespace.type, namespace.path, error) from None


def enter(path: str, kind: str) -> None:
    """Enter the namespace that *path*, such as ``/proc/PID/ns/net``, leads to.

    Raises :class:`OSError`, EINVAL when it is not of this *kind*. Source: setns(2).
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        setns(fd, flags([kind]))
    finally:
        os.close(fd)


def unshare_time(offsets: dict[str, dict[str, int]] | None) -> None:
    """Create a time namespace for later children, whose clocks differ from ours by *offsets* (secs, nanosecs).

    The offsets can be written only while the namespace has no process, so clone3 alone cannot do it.
    Raises :class:`OSError`, or :class:`ContainerError` for an offset that the kernel refuses.
    Source: time_namespaces(7); config-linux.md, "Time offsets".
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
            f"the clocks cannot be set as linux.timeOffsets says: {os.strerror(error.errno or 0)}; no clock may show a "
            "time before the boot",
            errno=error.errno,
        ) from None


def write_id_maps(pid: int, uids: list[IDMapping], gids: list[IDMapping]) -> None:
    """Define which ids of the user namespace of *pid* are which ids of ours.

    Only a process outside can do that, and only once, so the child has to wait for it.
    Raises :class:`ContainerError`. Source: user_namespaces(7); config-linux.md, "User namespace mappings".
    """
    for file, mappings in (("uid_map", uids), ("gid_map", gids)):
        text = "".join(f"{each.containerID} {each.hostID} {each.size}\n" for each in mappings)
        try:
            with open(f"/proc/{pid}/{file}", "w") as map_file:
                map_file.write(text)  # in one write: the kernel refuses a second
        except OSError as error:
            raise ContainerError(
                f"the kernel refuses the {file} {text.strip()!r}: {error.strerror}", errno=error.errno
            ) from None


def host_id(id: int, mappings: list[IDMapping]) -> int | None:
    """The id outside of a user namespace for the *id* inside; None where no line of the map has a place for it.

    Source: user_namespaces(7), "Defining user and group ID mappings".
    """
    for each in mappings:
        if each.containerID <= id < each.containerID + each.size:
            return each.hostID + id - each.containerID
    return None
