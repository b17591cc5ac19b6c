"""One control group, and the steps by which it is made and removed."""

from __future__ import annotations

import errno
import os
import time

from .. import paths
from ..errors import ContainerError
from . import files, limits, stats
from .hierarchy import find_hierarchies, missing, mode

TYPE_CHECKING = False  # true for type checkers only: at run time the import below would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..spec import Resources

_PATIENCE = 10.0  # seconds for the kernel to freeze or to end processes: it takes milliseconds, unless a disk is stuck


class Cgroup:
    """The cgroup of one container, wherever this machine keeps its controllers.

    *path* is its place below each hierarchy's mount, such as ``/minict/0123456789ab``.  An object is
    only a name: nothing is made before :meth:`create`, and another process can use the same group
    through another object.  ``directories`` maps each controller to the group's directory there.
    """

    def __init__(self, path: str):
        names = path.split("/")
        if names[0] or len(names) < 2 or not all(names[1:]) or "." in names or ".." in names:
            raise ContainerError(
                f"{path!r} can't be the path of a cgroup: write it as /{paths.cgroup_parent()}/NAME, "
                "without '.', '..' or an empty name"
            )
        found, unified = find_hierarchies()
        self.path = path
        self.directories = {name: point + path for name, point in found.items()}
        self._unified = unified

    def v2_directory(self) -> str | None:
        """The directory in the tree of cgroup v2, for clone3 to give birth into (CLONE_INTO_CGROUP); None on pure v1.

        A hybrid machine has one too: even without a controller in it, it gives us ``cgroup.kill``.
        """
        return self._unified + self.path if self._unified else None

    def _all(self) -> list[str]:
        """Each directory once: v1 may mount two controllers together (cpu,cpuacct), v2 mounts all so."""
        unified = self.v2_directory()
        return list(dict.fromkeys([*self.directories.values(), *([unified] if unified else [])]))

    def is_v2(self, directory: str) -> bool:
        """Whether *directory*, one of ours, is in the tree of cgroup v2."""
        return directory == self.v2_directory()

    # ---- making it

    def create(self) -> None:
        """Make the group in every hierarchy, ready for limits and for processes.  No error if it is there.

        Raises :class:`ContainerError`.
        """
        mode()  # says so when there is nothing at all
        mounts = dict.fromkeys(directory[: -len(self.path)] for directory in self._all())
        try:
            for mount in mounts:
                make_directory(mount, self.path)
            # From here on our own directory keeps the parent from being removed by others.
            if "cpuset" in self.directories and not self.is_v2(self.directories["cpuset"]):
                inherit_cpuset(self.directories["cpuset"])
            if self._unified:
                enable_controllers(self._unified, self.path)
        except OSError as error:
            raise _failure(f"the cgroup {self.path} can't be made", error) from error

    def join_files(self) -> list[str]:
        """v1: the ``tasks`` files into which a new child writes ``0`` (itself) as its first act.  v2: none, see clone3.

        Why ``tasks``: it moves one thread, and a thread that moves itself needs no lock.  Every write to
        ``cgroup.procs`` waits until all processors have passed a quiet point (RCU), some 10 ms.
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
                    raise _internal_processes(directory) from error
                raise _failure(f"process {pid} can't be moved into the cgroup {self.path}", error) from error

    # ---- limits and counters

    def limit(self, resources: Resources) -> None:
        """Write the limits that *resources* (:class:`minict.runtime.spec.Resources`) gives: see :func:`.limits.limit`."""
        limits.limit(self, resources)

    def stats(self, *controllers: str) -> dict[str, stats.Counters]:
        """What the group has used: see :func:`.stats.stats`."""
        return stats.stats(self, *controllers)

    # ---- what is in it

    def processes(self) -> list[int]:
        """The processes of this group and of those below it, in no order.  Zombies do not count."""
        found: set[int] = set()
        for top in self._all():
            for directory in tree(top):
                # A group that the container made "threaded" can't be read; its processes are listed above it.
                listed = files.read_if_there(f"{directory}/cgroup.procs", errno.EOPNOTSUPP) or ""
                found.update(map(int, listed.split()))
        return list(found - {0})  # 0: it lives in a pid namespace that we can't see into

    def freeze(self) -> None:
        """Stop all processes where they are, so that they can't even notice it; wait until the last one stands.

        Raises :class:`ContainerError` when one does not, and then lets the others go on.
        """
        if not self._set_frozen(True):
            self._set_frozen(False)
            raise ContainerError(
                f"the cgroup {self.path} can't be frozen: one of its processes waits for a device and "
                f"has not stopped within {_PATIENCE:.0f} s; look for state D in ps, and try again"
            )

    def thaw(self) -> None:
        """Let the processes go on.  Raises :class:`ContainerError` when a group above this one is frozen."""
        if not self._set_frozen(False):
            raise ContainerError(
                f"the cgroup {self.path} stays frozen: a cgroup above it is frozen too; thaw that one first"
            )

    @property
    def frozen(self) -> bool:
        """Whether its processes are frozen, or about to be."""
        if "freezer" in self.directories:
            return (files.read_if_there(f"{self.directories['freezer']}/freezer.state") or "").strip() in (
                "FROZEN",
                "FREEZING",
            )
        return (
            bool(self._unified) and (files.read_if_there(f"{self.v2_directory()}/cgroup.freeze") or "").strip() == "1"
        )

    def _set_frozen(self, frozen: bool) -> bool:
        """Write what we want, and wait until the kernel says that it is so.

        v1 has a controller for it: write FROZEN to ``freezer.state``, which reads FREEZING for a while.
        In v2 every group can: write 1 to ``cgroup.freeze``, and ``cgroup.events`` says ``frozen 1`` when it is done.
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
            raise _failure(f"the cgroup {self.path} can't be {'frozen' if frozen else 'thawed'}", error) from error
        return wait_until(lambda: wanted in (files.read_if_there(state_file) or wanted).splitlines())

    def kill(self) -> None:
        """End every process of the group and of those below it, and wait until they are gone.

        v2 has a file for it: ``cgroup.kill`` reaches all at once, the child that is born this moment
        too.  v1 has none, and a list of processes is out of date before it is read to its end.  So
        they are frozen first: then none can fork, and no number can pass to an innocent process.
        Raises :class:`ContainerError` when one survives.
        """
        unified = self.v2_directory()
        if unified and files.attempt(f"{unified}/cgroup.kill", "1"):
            self._thaw_quietly()  # who was frozen by v1's freezer can't even die
            events = f"{unified}/cgroup.events"
            wait_until(lambda: "populated 1" not in (files.read_if_there(events) or ""), seconds=1.0)
        # The kernel is older than 5.14, or there is no v2, or somebody joined the trees of v1 alone.
        if not wait_until(self._kill_each):
            left = ", ".join(map(str, sorted(self.processes())))
            raise ContainerError(
                f"processes {left} of the cgroup {self.path} do not end: they wait for a device "
                "(state D in ps), or a cgroup above is frozen; end that and try again"
            )

    def _kill_each(self) -> bool:
        """One round of killing them one by one.  Are there none left?"""
        if not self.processes():
            return True
        try:
            self.freeze()
        except ContainerError:
            pass  # without a freezer the next round meets those who were born in this one
        for pid in self.processes():
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        self._thaw_quietly()
        return False

    def _thaw_quietly(self) -> None:
        try:
            self._set_frozen(False)
        except ContainerError:
            pass

    # ---- its end

    def remove(self) -> None:
        """End what still runs in the group and remove it, the groups below it, and the common parent if it is empty.

        No error if it is gone already.  Raises :class:`ContainerError` when a process survives its end.
        """
        parent = self.path.rpartition("/")[0]
        try:
            for directory in self._all():
                if not remove_directory(directory):
                    self.kill()
                    # What has just ended may keep its group busy for a moment longer.
                    if not wait_until(lambda: _remove_all(tree(directory))):
                        raise ContainerError(
                            f"the cgroup {directory} can't be removed: something still uses it; see "
                            f"{directory}/cgroup.procs, end that and try again"
                        )
                if parent == f"/{paths.cgroup_parent()}":  # ours; another parent belongs to who chose it
                    remove_directory(directory.rpartition("/")[0])
        except OSError as error:
            raise _failure(f"the cgroup {self.path} can't be removed", error) from error


# ---- steps of the above that are worth a name --------------------------------------------------------------------


def make_directory(mount: str, path: str) -> None:
    """Make the group *path* below *mount* with all the groups above it, while others remove those when they are empty.

    Raises :class:`OSError`.
    """
    for _ in range(1000):
        try:
            return os.mkdir(mount + path)
        except FileExistsError:
            return None
        except OSError as error:
            # ENOENT: there is no parent yet.  ENODEV: there is one that is just being removed.
            if error.errno not in (errno.ENOENT, errno.ENODEV) or path.rfind("/") < 1:
                raise
            make_directory(mount, path.rpartition("/")[0])
    raise OSError(errno.EBUSY, "the cgroup above it is removed again and again", mount + path)


def remove_directory(directory: str) -> bool:
    """rmdir: is the group gone?  It is not while it has processes or groups below it.  Raises :class:`OSError`."""
    try:
        os.rmdir(directory)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.ENOTEMPTY):
            return False
        if error.errno not in (errno.ENOENT, errno.ENODEV):
            raise
    return True


def _remove_all(directories: Iterable[str]) -> bool:
    """Remove each of the *directories*, the deepest first; whether all are gone."""
    return False not in [remove_directory(directory) for directory in directories]


def tree(directory: str) -> Iterator[str]:
    """The group *directory* and all groups below it, the lowest first, as one has to remove them."""
    try:
        with os.scandir(directory) as entries:
            below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return
    for child in below:
        yield from tree(child)
    yield directory


def inherit_cpuset(directory: str) -> None:
    """v1 only: give a new group the processors and memory nodes of its parent.

    A new group of v1 has none, and nobody can join it.  In v2 an empty file means "as the parent".
    Raises :class:`OSError`.
    """
    parent = directory.rpartition("/")[0]
    for file in "cpuset.cpus", "cpuset.mems":
        if files.read(f"{directory}/{file}").strip():
            continue
        if not files.read(f"{parent}/{file}").strip():
            inherit_cpuset(parent)  # whoever made the parent has not come so far yet
        files.write(f"{directory}/{file}", files.read(f"{parent}/{file}").strip())


def enable_controllers(mount: str, path: str) -> None:
    """v2 only: let each group on the way from *mount* down to *path* hand its controllers to the groups below it.

    In v1 every group has its tree's controller.  In v2 a group has only those that its parent lists in
    ``cgroup.subtree_control``, and a parent that does so may hold no process of its own (the
    no-internal-processes rule; only the real root of the tree is free of it), because the processes
    would compete with the groups beside them and have no weight to do it by.
    Raises :class:`ContainerError`, :class:`OSError`.
    """
    directory = mount
    parent = mount + path.rpartition("/")[0]
    for name in path.split("/")[1:]:
        there = files.read(f"{directory}/cgroup.controllers").split()
        enabled = files.read(f"{directory}/cgroup.subtree_control").split()
        # The file lists a controller from the moment when somebody begins to enable it; the group below may not
        # have its files yet.  A write waits for the other's to end, so to our own parent we always write.
        if there and (directory == parent or not set(there) <= set(enabled)):
            hand_down(directory, there)
        directory += f"/{name}"


def hand_down(directory: str, names: list[str]) -> None:
    """v2 only: enable the controllers *names* for the groups below *directory*.  Raises :class:`ContainerError`."""
    words = [f"+{name}" for name in names]
    try:
        files.write(f"{directory}/cgroup.subtree_control", " ".join(words))
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise _internal_processes(directory) from error
        # One of them can't be had (cpu, with real-time processes about): the others can.
        for word in words:
            files.attempt(f"{directory}/cgroup.subtree_control", word)


# ---- errors, and waiting ------------------------------------------------------------------------------------------


def _internal_processes(directory: str) -> ContainerError:
    return ContainerError(
        f"the cgroup {directory} has processes of its own, so it can't hand controllers on to the "
        "groups below it (the no-internal-processes rule of cgroup v2): move them into a group "
        f"below, such as {directory}/others",
        errno=errno.EBUSY,
    )


def _failure(what: str, error: OSError) -> ContainerError:
    """The sentence for a directory or a process that the kernel did not take."""
    remedies = {
        errno.EROFS: "the cgroup file system is mounted read-only; remount it with mount -o remount,rw, or start "
        "minict outside of the container that it runs in",
        errno.EACCES: "you are not its owner; become root",
        errno.EPERM: "you are not its owner; become root",
        errno.ENOENT: "there is no such group; start the container again",
        errno.ENODEV: "there is no such group; start the container again",
        errno.ESRCH: "there is no such process any more; start it again",
        errno.EAGAIN: "a limit on the number of cgroups is reached; see cgroup.max.descendants in the groups above",
        errno.ENOSPC: "no more cgroups fit in, or its cpuset is empty; remove some with minict prune",
    }
    remedy = remedies.get(error.errno or 0, "see the kernel's documentation of cgroups")
    return ContainerError(f"{what}: {os.strerror(error.errno or 0)}, {error.filename}; {remedy}", errno=error.errno)


def wait_until(condition: Callable[[], object], seconds: float = _PATIENCE) -> bool:
    """Ask again and again, ever less often, until *condition* holds.  Did it?"""
    deadline, pause = time.monotonic() + seconds, 0.0005
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)
    return True
