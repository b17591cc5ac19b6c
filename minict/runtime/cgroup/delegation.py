"""cgroup v2: how a group gets its controllers from the groups above it.

In v1 every group has its tree's controller. In v2 a group has only those that its parent lists in
``cgroup.subtree_control``, and such a parent may not have processes of its own (the no-internal-processes rule; the
root of the tree is exempt), because these would compete with the groups beside them without having a weight.

Inside a container that rule is in the way: the root of its cgroup namespace looks like the root of the tree, but it is
an ordinary group, and all of the container's processes are in it. As long as no limit needs a controller, it stays as
it is. For a limit, the processes move into a leaf, the group ``init``, as in the images that hold Docker or Podman.

Source: cgroup-v2.rst, "Delegation" and "No Internal Process Constraint"; cgroup_namespaces(7); moby, hack/dind.
"""

from __future__ import annotations

import errno
import os

from .. import place
from ..errors import ContainerError
from . import files

LEAF = "init"
_ROUNDS = 1000  # how often the list of processes is read again: some may fork meanwhile


def offer_controllers(mount: str, path: str) -> None:
    """Let each group from *mount* down to the parent of *path* hand its controllers to the groups below it.

    A group that cannot, because it has processes, is left as it is. Raises :class:`OSError`, :class:`ContainerError`.
    Source: cgroup-v2.rst, "Enabling and Disabling".
    """
    parent = mount + path.rpartition("/")[0]
    for directory in _way(mount, path):
        there = files.read(f"{directory}/cgroup.controllers").split()
        enabled = files.read(f"{directory}/cgroup.subtree_control").split()
        # The file lists a controller as soon as a process begins to enable it; the group below may not
        # have its files yet. A write waits until that is done, so to our own parent we always write.
        complete = set(there) <= set(enabled)
        if not complete and has_processes(directory):
            return
        if there and (directory == parent or not complete):
            _hand_down(directory, there)


def demand_controllers(mount: str, path: str, names: set[str]) -> str:
    """Like :func:`offer_controllers`, for the controllers *names*, which a limit needs: processes that are in the way
    in the root of a container move into the group :data:`LEAF`.

    Returns a sentence about the processes moved, or an empty string. Raises :class:`ContainerError` when foreign
    processes are in the way, :class:`OSError`. Source: cgroup-v2.rst, "No Internal Process Constraint".
    """
    told = ""
    for directory in _way(mount, path):
        there = set(files.read(f"{directory}/cgroup.controllers").split())
        wanted = sorted(names & there - set(files.read(f"{directory}/cgroup.subtree_control").split()))
        if wanted and has_processes(directory):
            if directory != mount or not is_containers_root(mount):
                raise internal_processes(directory)
            told = make_room(mount)
        if wanted:
            _hand_down(directory, wanted)
    return told


def _way(mount: str, path: str) -> list[str]:
    """The groups above *path*, from the root *mount* on."""
    ways = [mount]
    for name in path.split("/")[1:-1]:
        ways.append(f"{ways[-1]}/{name}")
    return ways


def _hand_down(directory: str, names: list[str]) -> None:
    """Enable the controllers *names* for the groups below *directory*. Raises :class:`ContainerError`."""
    words = [f"+{name}" for name in names]
    try:
        files.write(f"{directory}/cgroup.subtree_control", " ".join(words))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise internal_processes(directory) from error
        # One of them cannot be enabled (cpu, while there are real-time processes): try the others.
        for word in words:
            files.attempt(f"{directory}/cgroup.subtree_control", word)


def has_processes(directory: str) -> bool:
    """Whether the group *directory*, which is not the root of the tree, has processes of its own.

    Call this before controllers are enabled, and not only after the kernel has refused: for cpu and pids alone it does
    not refuse, but makes the group the root of a threaded subtree, which cannot hold a container. Source:
    cgroup-v2.rst, "Threads".
    """
    if not os.path.exists(f"{directory}/cgroup.type"):
        return False
    return files.read_if_there(f"{directory}/cgroup.procs", errno.EOPNOTSUPP) != ""


def grants(mount: str, name: str) -> bool:
    """Whether groups below the root *mount* can have the controller *name*, if need be by :func:`make_room`.

    Source: cgroup-v2.rst, "No Internal Process Constraint".
    """
    if name in files.read(f"{mount}/cgroup.subtree_control").split() or not is_containers_root(mount):
        return True
    return all(map(_is_ours, files.read(f"{mount}/cgroup.procs").split()))


def is_containers_root(mount: str) -> bool:
    """Whether the cgroup *mount* begins at the root of a container's cgroup namespace, and not at the tree's.

    Only the tree's own root has no file ``cgroup.type``. Source: cgroup-v2.rst, "Core Interface Files".
    """
    return os.path.exists(f"{mount}/cgroup.type") and "cgroup" in place.own_namespaces()


def make_room(mount: str) -> str:
    """Move the processes of the container's root group *mount* into the group :data:`LEAF`; return a sentence about it.

    Raises :class:`ContainerError` for a process of another namespace, which we may not move.
    Source: cgroup-v2.rst, "Organizing Processes and Threads"; moby, hack/dind.
    """
    leaf, moved = f"{mount}/{LEAF}", 0
    os.makedirs(leaf, exist_ok=True)
    for _ in range(_ROUNDS):
        pids = files.read(f"{mount}/cgroup.procs").split()
        if not pids:
            break
        for pid in pids:
            if not _is_ours(pid):
                raise ContainerError(
                    f"the cgroup {mount} has processes of another namespace, so it cannot hand controllers on to the "
                    "groups below it: leave the limits out, or start minict in a container that has cgroups of its own",
                    errno=errno.EBUSY,
                )
            moved += files.attempt(f"{leaf}/cgroup.procs", pid)  # it may have ended meanwhile
    return f"moved the {moved} processes of this container's root cgroup into the cgroup /{LEAF}: limits need that"


def _is_ours(pid: str) -> bool:
    """Whether the process is in our cgroup namespace, or gone; 0 stands for one in a pid namespace above ours."""
    try:
        return pid != "0" and os.stat(f"/proc/{pid}/ns/cgroup").st_ino == os.stat("/proc/self/ns/cgroup").st_ino
    except FileNotFoundError:
        return True


def internal_processes(directory: str) -> ContainerError:
    """The error for the group *directory*, whose processes forbid it to hand down controllers.

    Source: cgroup-v2.rst, "No Internal Process Constraint".
    """
    return ContainerError(
        f"the cgroup {directory} has processes of its own, so it cannot hand controllers on to the "
        "groups below it (the no-internal-processes rule of cgroup v2): move them into a group "
        f"below, such as {directory}/others",
        errno=errno.EBUSY,
    )
