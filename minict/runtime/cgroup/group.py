"""One control group, and the steps to create and remove it."""

from __future__ import annotations

import errno
import os

from .. import paths, place
from ..errors import ContainerError
from ..wait import wait_until
from . import files
from .hierarchy import check_reach, find_hierarchies, missing, mode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..spec import Resources
    from .stats import Counters

_DYING = 2.0  # seconds in which a process that has just ended leaves its group
_PATIENCE = 10.0  # seconds for the kernel to freeze processes: it takes milliseconds, unless a device hangs


class Cgroup:
    """The cgroup of one container, wherever this machine keeps its controllers.

    *path* is relative to the mount of each hierarchy, such as ``/minict/0123456789ab``. An object is
    only a name: nothing is created before :meth:`create`, and another process can use the same group
    through another object. ``directories`` maps each controller to the group's directory there.
    Raises :class:`ContainerError` for an invalid path. Source: cgroups(7); config-linux.md, "Control groups".
    """

    def __init__(self, path: str) -> None:
        names = path.split("/")
        if names[0] or len(names) < 2 or not all(names[1:]) or "." in names or ".." in names:
            raise ContainerError(
                f"invalid path of a cgroup {path!r}: write it as /{paths.cgroup_parent()}/NAME, "
                "without '.', '..' or an empty name"
            )
        found, unified = find_hierarchies()
        self.path = path
        self.directories = {name: point + path for name, point in found.items()}
        self._unified = unified

    def v2_directory(self) -> str | None:
        """The directory in the tree of cgroup v2, for clone3 (CLONE_INTO_CGROUP); None on pure v1.

        A hybrid machine has one too: even without a controller it offers ``cgroup.kill``.
        """
        return self._unified + self.path if self._unified else None

    def _all(self) -> list[str]:
        """Each directory once: v1 may mount two controllers together (cpu,cpuacct), v2 mounts all together."""
        unified = self.v2_directory()
        return list(dict.fromkeys([*self.directories.values(), *([unified] if unified else [])]))

    def is_v2(self, directory: str) -> bool:
        """Whether *directory*, one of this group's, is in the tree of cgroup v2."""
        return directory == self.v2_directory()

    # ---- creating it

    def refuse_foreign_processes(self) -> bool:
        """Whether the group exists already. Raises :class:`ContainerError` if it has processes, or is frozen.

        Such processes would be limited, and killed, together with the container. Source: config-linux.md, "Cgroups
        Path"; runc.
        """
        if not any(os.path.isdir(directory) for directory in self._all()):
            return False
        found = self.processes()
        if found:
            raise ContainerError(
                f"the cgroup {self.path} is not empty: {len(found)} processes are in it or below; choose another "
                "linux.cgroupsPath"
            )
        if self.frozen:
            raise ContainerError(f"the cgroup {self.path} is frozen, so no process can start in it: thaw it first")
        return True

    def create(self) -> None:
        """Create the group in every hierarchy, ready for limits and processes. It may exist already.

        Raises :class:`ContainerError`.
        """
        if not self._all() and place.in_user_namespace():
            return  # nothing is delegated to us: then no process gets a limit, and a limit gets an error
        mode()  # raises an error when this machine has no cgroups
        if "cgroup" in place.own_namespaces():
            check_reach()
        mounts = dict.fromkeys(directory[: -len(self.path)] for directory in self._all())
        try:
            for mount in mounts:
                make_directory(mount, self.path)
            # From here on our directory keeps other processes from removing the parent.
            if "cpuset" in self.directories and not self.is_v2(self.directories["cpuset"]):
                for file in "cpuset.cpus", "cpuset.mems":
                    inherit_cpuset(self.directories["cpuset"], file)
            if self._unified and self.v2_directory() in self.directories.values():
                from . import delegation  # v1, or a v2 tree without controllers, does not need it

                delegation.offer_controllers(self._unified, self.path)
        except OSError as error:
            raise _failure(f"the cgroup {self.path} cannot be created", error) from error

    def join_files(self) -> list[str]:
        """v1: the ``tasks`` files into which a new child writes ``0`` (itself) first. v2: none, see clone3.

        Why ``tasks``: it moves one thread, and a thread that moves itself needs no lock. Every write to
        ``cgroup.procs`` waits for an RCU grace period, some 10 ms.
        """
        return [f"{directory}/tasks" for directory in self._all() if not self.is_v2(directory)]

    def add(self, pid: int) -> None:
        """Move the running process *pid*, with all its threads, into the group.

        Slow (some 10 ms), for the reason that :meth:`join_files` gives.
        Raises :class:`ContainerError`.
        """
        for directory in self._all():
            try:
                files.write(f"{directory}/cgroup.procs", str(pid))
            except OSError as error:
                if error.errno == errno.EBUSY and self.is_v2(directory):
                    from . import delegation

                    raise delegation.internal_processes(directory) from error
                raise _failure(f"process {pid} cannot be moved into the cgroup {self.path}", error) from error

    # ---- limits and counters

    def limit(self, resources: Resources) -> str:
        """Write the limits in *resources*: see :func:`.limits.limit`. Returns a sentence about processes moved for
        this, or ""."""
        from . import limits  # removing a group does not need it

        told = ""
        if self._unified and (lacking := self._lacking(limits.controllers(resources))):
            from . import delegation

            told = delegation.demand_controllers(self._unified, self.path, lacking)
        limits.limit(self, resources)
        return told

    def _lacking(self, names: set[str]) -> set[str]:
        """The controllers among *names* that belong to v2 here, and that the group, if it exists, lacks."""
        names = {name for name in names if self.directories.get(name) == self.v2_directory()}
        has = files.read_if_there(f"{self.v2_directory()}/cgroup.controllers")
        return set() if has is None else names - set(has.split())

    def stats(self, *controllers: str) -> dict[str, Counters]:
        """What the group has used: see :func:`.stats.stats`."""
        from . import stats

        return stats.stats(self, *controllers)

    def oom_kills(self) -> int | None:
        """How many of its processes the kernel has killed because memory ran out; None without that controller.

        Source: cgroup-v2.rst, memory.events; cgroup-v1/memory.rst, "OOM Control".
        """
        directory = self.directories.get("memory")
        if directory is None:
            return None
        file = "memory.events" if self.is_v2(directory) else "memory.oom_control"
        return files.read_flat_keyed(f"{directory}/{file}").get("oom_kill")

    # ---- its processes

    def processes(self) -> list[int]:
        """The processes of this group and of those below it, in any order, without zombies."""
        found: set[int] = set()
        for top in self._all():
            for directory in tree(top):
                # A group that the container made "threaded" cannot be read; its processes are listed above it.
                listed = files.read_if_there(f"{directory}/cgroup.procs", errno.EOPNOTSUPP) or ""
                found.update(map(int, listed.split()))
        return list(found - {0})  # 0: a process in a pid namespace that is not below ours

    def freeze(self) -> None:
        """Stop all processes, unnoticed by them, and wait until the last one has stopped.

        Raises :class:`ContainerError` when one does not stop in time, after letting the others continue.
        """
        if not self._set_frozen(True):
            self._set_frozen(False)
            raise ContainerError(
                f"the cgroup {self.path} cannot be frozen: one of its processes waits for a device and "
                f"has not stopped within {_PATIENCE:.0f} s; look for state D in ps, and try again"
            )

    def thaw(self) -> None:
        """Let the processes continue. Raises :class:`ContainerError` when a group above this one is frozen."""
        if not self._set_frozen(False):
            raise ContainerError(
                f"the cgroup {self.path} stays frozen: a cgroup above it is frozen too; thaw that one first"
            )

    @property
    def frozen(self) -> bool:
        """Whether its processes are frozen, or are being frozen."""
        from . import freezer

        return freezer.is_frozen(self.path)

    @property
    def can_freeze(self) -> bool:
        """Whether this machine can freeze it: not without root, where no group is delegated to the user."""
        return "freezer" in self.directories or bool(self._unified)

    def _set_frozen(self, frozen: bool) -> bool:
        """Request the state, and wait until the kernel reports it; return whether it did in time.

        v1 has a controller for it: write FROZEN to ``freezer.state``, which reads FREEZING for a while.
        In v2 every group can be frozen: write 1 to ``cgroup.freeze``, then ``cgroup.events`` shows ``frozen 1``.
        """
        if "freezer" in self.directories:
            file = f"{self.directories['freezer']}/freezer.state"
            word = wanted = "FROZEN" if frozen else "THAWED"
            state_file = file
        elif self._unified:
            file = f"{self.v2_directory()}/cgroup.freeze"
            word, wanted = str(int(frozen)), f"frozen {int(frozen)}"
            state_file = f"{self.v2_directory()}/cgroup.events"
        else:
            raise missing("freezing", "freezer")
        try:
            files.write(file, word)
        except OSError as error:
            raise _failure(f"the cgroup {self.path} cannot be {'frozen' if frozen else 'thawed'}", error) from error
        return wait_until(lambda: wanted in (files.read_if_there(state_file) or wanted).splitlines())

    def kill(self) -> None:
        """Kill every process of the group and of those below it, and wait until they are gone: see :func:`kill_all`.

        Raises :class:`ContainerError` when one survives.
        """

        def is_empty() -> bool:
            kill_all(self)
            return not self.processes()

        if not wait_until(is_empty):
            left = ", ".join(map(str, sorted(self.processes())))
            raise ContainerError(
                f"processes {left} of the cgroup {self.path} do not end: they wait for a device "
                "(state D in ps), or a cgroup above is frozen; end that and try again"
            )

    def thaw_quietly(self) -> None:
        """Let the processes go on, as far as the groups above let them."""
        try:
            self._set_frozen(False)
        except ContainerError:
            pass

    # ---- removing it

    def remove(self, kill: bool = True) -> None:
        """Kill its processes and remove it, the groups below it, and the common parent if that is empty.

        Without *kill*, a group that still has processes after a moment stays. It may be gone already.
        Raises :class:`ContainerError` when a process survives.
        """
        parent = self.path.rpartition("/")[0]
        try:
            for directory in self._all():
                if kill:
                    self._remove_directory(directory)
                else:
                    wait_until(lambda: remove_tree(directory), seconds=_DYING)
                if parent == f"/{paths.cgroup_parent()}":  # ours; another parent is the caller's
                    remove_directory(directory.rpartition("/")[0])
        except OSError as error:
            raise _failure(f"the cgroup {self.path} cannot be removed", error) from error

    def _remove_directory(self, directory: str) -> None:
        if remove_directory(directory):
            return
        self.kill()
        # A process that has just ended keeps its group busy for a moment.
        if not wait_until(lambda: remove_tree(directory)):
            raise ContainerError(
                f"the cgroup {directory} cannot be removed: a process still uses it; see "
                f"{directory}/cgroup.procs, end it and try again"
            )


# ---- steps of the above --------------------------------------------------------------------


def kill_all(group: Cgroup) -> None:
    """Send SIGKILL to every process of *group* and of those below it, even to one that is just being forked.

    v2 has a file for it, ``cgroup.kill``. v1 and kernels before 5.14 have none, and a list of processes is
    out of date before it is read to its end. So there they are frozen first: then none can fork, and no
    number can be reused by another process. Source: cgroup-v2.rst, "cgroup.kill"; cgroups(7).
    """
    if _kill_by_file(group):
        return
    try:
        group.freeze()
    except ContainerError:
        pass  # without a freezer the next call finds those that were forked during this one
    for pid in group.processes():
        try:
            os.kill(pid, 9)
        except ProcessLookupError:
            pass  # it has just ended
    group.thaw_quietly()  # a process frozen by v1's freezer cannot even die


def _kill_by_file(group: Cgroup) -> bool:
    """Kill by ``cgroup.kill``; return whether that has reached all: a process may have joined the trees of v1 only."""
    directory = group.v2_directory()
    if not directory or not files.attempt(f"{directory}/cgroup.kill", "1"):
        return False
    group.thaw_quietly()
    wait_until(lambda: "populated 1" not in (files.read_if_there(f"{directory}/cgroup.events") or ""), seconds=1.0)
    return not group.processes()


def make_directory(mount: str, path: str) -> None:
    """Create the group *path* below *mount* and its parents, also while other processes remove those when empty.

    Raises :class:`OSError`. Source: cgroups(7), mkdir(2).
    """
    for _ in range(1000):
        try:
            return os.mkdir(mount + path)
        except FileExistsError:
            return None
        except OSError as error:
            # ENOENT: there is no parent yet. ENODEV: there is one that is just being removed.
            if error.errno not in (errno.ENOENT, errno.ENODEV) or path.rfind("/") < 1:
                raise
            make_directory(mount, path.rpartition("/")[0])
    raise OSError(errno.EBUSY, "another process keeps removing the cgroup above it", mount + path)


def remove_directory(directory: str) -> bool:
    """Remove a group; False while it has processes or groups below it. Raises :class:`OSError`. Source: cgroups(7)."""
    try:
        os.rmdir(directory)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
    return True


def remove_tree(directory: str) -> bool:
    """Remove a group and those below it; False while one of them has processes. Raises as :func:`remove_directory`.

    Source: cgroups(7).
    """
    return all(remove_directory(each) for each in tree(directory))


def tree(directory: str) -> list[str]:
    """The group *directory* and all groups below it, in an order in which they can be removed: the lowest first.

    A container with a writable cgroup may nest groups deeper than Python can recurse, or than a path can be long; what
    cannot be read is left out. Source: cgroups(7).
    """
    found = [directory]
    for each in found:  # the list grows meanwhile
        try:
            with os.scandir(each) as entries:
                found += [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ENODEV, errno.ENAMETOOLONG):
                raise
    return found[::-1] if os.path.isdir(directory) else []


def inherit_cpuset(directory: str, file: str) -> str:
    """v1 only: give a new group the processors or memory nodes of its parent, in *file*; returns them.

    A new group of v1 has none, and no process can join it. In v2 an empty file means "as the parent".
    Raises :class:`OSError`. Source: cpuset(7).
    """
    value = files.read(f"{directory}/{file}").strip()
    if not value:  # the parent may be as new as this group
        value = inherit_cpuset(directory.rpartition("/")[0], file)
        files.write(f"{directory}/{file}", value)
    return value


# ---- errors ------------------------------------------------------------------------------------------


def _failure(what: str, error: OSError) -> ContainerError:
    """The error for a directory or a process that the kernel refuses."""
    remedies = {
        errno.EROFS: "the cgroup file system is mounted read-only; remount it with mount -o remount,rw, or start "
        "minict outside of the container that it runs in",
        errno.EACCES: "you are not its owner; become root",
        errno.EPERM: "you are not its owner; become root",
        errno.ENOENT: "the group does not exist; start the container again",
        errno.ENODEV: "the group does not exist; start the container again",
        errno.ESRCH: "the process has ended; start it again",
        errno.EAGAIN: "a limit on the number of cgroups is reached; see cgroup.max.descendants in the groups above",
        errno.ENOSPC: "there are too many cgroups, or its cpuset is empty; remove some with minict prune",
    }
    remedy = remedies.get(error.errno or 0, "see the kernel's documentation of cgroups")
    return ContainerError(f"{what}: {os.strerror(error.errno or 0)}, {error.filename}; {remedy}", errno=error.errno)
