"""Work on a container's files from outside: in a child process to which nothing else is visible.

Whoever copies a file into a container walks along paths that the container can change under its feet: where there
was a directory there is, a moment later, a link to the host's ``/etc`` (CVE-2018-15664).  And whoever enters a
container's root directory and then loads a library, or a module of Python, loads it from there (CVE-2019-14271).

So a child process gets a mount namespace of its own, puts the container's file systems together in it, and makes them
its root with pivot_root.  What is left of the host are the descriptors that it has open.

* There is no outside that a link or ``..`` could lead to, and no ``/proc``, whose links lead anywhere.
* All mounts are *nodev*, *nosuid* and *noexec*: a device that the container has made is no device here, and nothing of
  the container can be executed, or mapped as a library.
* The child can't import anything any more: all that it uses has been imported before.

The mounts of a running container are cloned, because its overlay can't be mounted twice; those of a stopped one are
made. Source: open_tree(2), move_mount(2), pivot_root(2).
"""

from __future__ import annotations

import errno
import os
import sys

from minict.kernel import capability, process
from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWNS, CLONE_NEWUSER, setns, unshare
from minict.runtime import mounts, rootfs, spec
from minict.runtime.errors import ContainerError

_HARMLESS = k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NOEXEC
_CAP_SYS_PTRACE = 1 << capability.NAMES.index("CAP_SYS_PTRACE")
_SIGKILL = 9


# ---- whose files -----------------------------------------------------------------------------------------------------


class Host:
    """No container at all, but the host as the caller sees it."""

    def enter(self) -> None:
        pass


class Mounted:
    """A file system that is mounted for the purpose, on the directory *place*: *root* is a mount of the spec, and
    *more* are further ones inside it.  *tmpfs*: first mount a tmpfs there, with these directories in it."""

    def __init__(self, root: spec.Mount, place: str, more: list = (), tmpfs: list = (), readonly: bool = False):
        options = [option for option in root.options if option != "volatile"]  # that would forbid to mount it again
        self.root = spec.Spec(mounts=[spec.Mount(destination="/", type=root.type, source=root.source, options=options)])
        self.place, self.tmpfs, self.readonly = place, tmpfs, readonly
        self.table = [mounts.operation(mount) for mount in more]

    def enter(self) -> None:
        unshare(CLONE_NEWNS)
        mounts.make_private(k.MS_PRIVATE | k.MS_REC)
        if self.tmpfs:
            k.mount("tmpfs", os.path.dirname(self.place), "tmpfs")
            for directory in self.tmpfs:
                os.mkdir(directory, 0o755)
        rootfs.enter_root(self.root, self.place)
        root = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        for operation in self.table:
            operation.execute(root)
        k.mount_setattr(root, "", k.AT_EMPTY_PATH | k.AT_RECURSIVE, _HARMLESS)
        if self.readonly:
            k.mount_setattr(root, "", k.AT_EMPTY_PATH, k.MOUNT_ATTR_RDONLY)
        os.close(root)
        rootfs.pivot_root(self.place)


class Directories:
    """Some *directories* of the host, and nothing else: each below the name that is its key, and only *writable* can
    change."""

    def __init__(self, directories: dict[str, str], writable: str = ""):
        self.directories, self.writable = directories, writable

    def enter(self) -> None:
        unshare(CLONE_NEWNS)
        mounts.make_private(k.MS_PRIVATE | k.MS_REC)
        place = os.path.dirname(next(iter(self.directories.values())))
        trees = {name: k.open_tree(k.AT_FDCWD, path, k.OPEN_TREE_CLONE) for name, path in self.directories.items()}
        k.mount("tmpfs", place, "tmpfs")
        for name, tree in trees.items():
            k.mount_setattr(tree, "", k.AT_EMPTY_PATH, _HARMLESS | (name != self.writable and k.MOUNT_ATTR_RDONLY))
            os.mkdir(f"{place}/{name}")
            target = os.open(f"{place}/{name}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            k.move_mount(tree, target)
            os.close(target)
            os.close(tree)
        rootfs.pivot_root(place)


class Running:
    """What the process *pid* has as its root file system, with the mounts inside it at *destinations*; not those
    elsewhere, such as /proc and /sys.  *place*: any directory of the host, to mount it on.

    When the process has a user namespace of its own, its mounts show other owners than the files have
    (:mod:`minict.runtime.idmap`): then it is entered too, in order that an id means what it means to the container.
    """

    def __init__(self, pid: int, place: str, destinations: list[str]):
        self.place, self.destinations = place, destinations
        self.theirs = os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self.users = os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        self.keep = [self.theirs, self.users]

    def close(self) -> None:
        for fd in self.keep:
            os.close(fd)

    def enter(self) -> None:
        unshare(CLONE_NEWNS)
        mounts.make_private(k.MS_PRIVATE | k.MS_REC)
        ours = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        self.own_users = os.path.samestat(os.fstat(self.users), os.stat("/proc/self/ns/user"))
        setns(self.theirs, CLONE_NEWNS)
        trees = self.clone()
        setns(ours, CLONE_NEWNS)
        for destination, tree in trees:
            root = os.open(self.place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            target = root if destination == "/" else mounts.look_up(root, destination)
            k.move_mount(tree, target)
            for fd in {root, target, tree}:
                os.close(fd)
        os.close(ours)
        rootfs.pivot_root(self.place)
        if not self.own_users:
            setns(self.users, CLONE_NEWUSER)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
        self.close()

    def clone(self) -> list[tuple[str, int]]:
        """Copies of the mounts, attached nowhere yet: of the root alone, and of each other with what is mounted in
        it."""
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        trees = [("/", k.open_tree(root, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE))]
        for destination in self.destinations:
            try:
                target = mounts.look_up(root, destination)
            except OSError:  # the container has put something else in its place
                continue
            trees.append((destination, k.open_tree(target, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE | k.AT_RECURSIVE)))
            os.close(target)
        for _, tree in trees:
            k.mount_setattr(tree, "", k.AT_EMPTY_PATH | k.AT_RECURSIVE, _HARMLESS, propagation=k.MS_PRIVATE)
        os.close(root)
        return trees


# ---- the child -------------------------------------------------------------------------------------------------------


class Child:
    """A process that enters *files*, one of the classes above, calls *work* there, and ends; *work* returns a text.

    *keep*: the descriptors that it needs, beside the standard streams; all others are closed.
    """

    def __init__(self, files, work, keep: list[int] = ()):
        self._report, report = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _become(parent, report, files, work, {*keep, report, *getattr(files, "keep", ())})
        os.close(report)

    def wait(self) -> str:
        """What *work* has returned.  Raises :class:`ContainerError` with the sentence in which it failed."""
        with open(self._report, encoding="utf-8") as report:
            kind, _, text = report.read().partition("\n")
        os.waitpid(self._pid, 0)
        self._pid = 0
        if kind == "done":
            return text
        raise ContainerError(
            text or "the process that did the work was killed (too little memory?)",
            errno=int(kind) if kind.isdigit() else None,
        )

    def stop(self) -> None:
        """End it, if it has not ended."""
        if self._pid:
            os.kill(self._pid, _SIGKILL)
            os.waitpid(self._pid, 0)
            os.close(self._report)
            self._pid = 0


def blame(writer: Child, error: ContainerError) -> None:
    """Of two that work together, the one that reads has failed with *error*: raise that, unless the *writer* failed
    before."""
    try:
        writer.wait()
    except ContainerError as first:
        if first.errno != errno.EPIPE:
            raise first from None
    raise error


def _become(parent: int, report: int, files, work, keep: set[int]) -> None:
    """The whole life of the child."""
    try:
        process.prctl(process.PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != parent:  # it died before that
            os._exit(1)
        _close_all_but(keep)
        os.umask(0)
        sys.path.clear()
        sys.meta_path.clear()  # from here on an import finds nothing: what is inside must not be loaded
        files.enter()
        _give_up_ptrace()
        kind, text = "done", work()
    except ContainerError as error:
        kind, text = error.errno or "refused", str(error)
    except OSError as error:
        where = f"{os.fsdecode(error.filename)!r}: " if error.filename else ""
        kind, text = error.errno, where + (os.strerror(error.errno) if error.errno else str(error))
    except BaseException as error:
        kind, text = "refused", f"{type(error).__name__}: {error}"
    try:
        os.write(report, f"{kind}\n{text[:3000]}".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(0)


def _close_all_but(keep: set[int]) -> None:
    lowest = 3
    for fd in sorted(fd for fd in keep if fd > 2):
        if fd > lowest:
            process.close_range(lowest, fd - 1)
        lowest = fd + 1
    process.close_range(lowest)


def _give_up_ptrace() -> None:
    """A volume may contain another /proc: without this power its links to other processes' roots lead nowhere."""
    effective, permitted, inheritable = (each & ~_CAP_SYS_PTRACE for each in capability.capget())
    capability.capset(effective, permitted, inheritable)
