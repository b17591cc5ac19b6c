"""Work on a container's files from outside, in a child process that sees nothing else.

A process that copies a file into a container follows paths that the container can change at the same time: where there
was a directory, there is a moment later a link to the host's ``/etc`` (CVE-2018-15664).  And a process that enters a
container's root directory and then loads a library, or a Python module, loads it from there (CVE-2019-14271).

So a child process gets its own mount namespace, assembles the container's file systems in it, and makes them its root
with pivot_root.  All that is left of the host are the descriptors that it has open.

* There is no outside that a link or ``..`` could lead to, and no ``/proc``, whose links lead anywhere.
* All mounts are *nodev*, *nosuid* and *noexec*: the container's devices do not work here, and nothing of the
  container can be executed, or mapped as a library.
* The child can't import anything: everything that it uses is imported before.

The mounts of a running container are cloned, because its overlay can't be mounted twice; those of a stopped one are
mounted. Sources: open_tree(2), move_mount(2), pivot_root(2).
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from minict.kernel import capability, process
from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWNS, CLONE_NEWUSER, setns, unshare
from minict.runtime import mounts, rootfs, spec
from minict.runtime.errors import ContainerError
from minict.runtime.process import close_all_except

_HARMLESS = k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NOEXEC
_CAP_SYS_PTRACE = 1 << capability.NAMES.index("CAP_SYS_PTRACE")
_SIGKILL = 9


# ---- which files -----------------------------------------------------------------------------------------------------


class Host:
    """The files of the host as the caller sees them, without a container."""

    def enter(self) -> None:
        pass


class Mounted:
    """A file system that is mounted only for this, on the directory *place*.

    *root* is a mount of the spec, and *more* are further ones inside it.  *tmpfs*: first mount a tmpfs there, with
    these directories.
    """

    def __init__(
        self,
        root: spec.Mount,
        place: str,
        more: Sequence[spec.Mount] = (),
        tmpfs: Sequence[str] = (),
        readonly: bool = False,
    ) -> None:
        options = [option for option in root.options if option != "volatile"]  # it would forbid another mount
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
    """Some *directories* of the host, each under the name that is its key; only *writable* can be changed."""

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
    """The root file system of the process *pid*, with the mounts inside it at *destinations*, but not /proc, /sys and
    others.

    *place*: any directory of the host, to mount it on.  If the process has its own user namespace, its mounts show
    other owners than the files have (:mod:`minict.runtime.idmap`). Then the child enters that namespace too, so that
    ids mean what they mean in the container.
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
        """Copies of the mounts, not attached yet: of the root alone, and of the others with the mounts inside them."""
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        trees = [("/", k.open_tree(root, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE))]
        for destination in self.destinations:
            try:
                target = mounts.look_up(root, destination)
            except OSError:  # the container has replaced it
                continue
            trees.append((destination, k.open_tree(target, "", k.AT_EMPTY_PATH | k.OPEN_TREE_CLONE | k.AT_RECURSIVE)))
            os.close(target)
        for _, tree in trees:
            k.mount_setattr(tree, "", k.AT_EMPTY_PATH | k.AT_RECURSIVE, _HARMLESS, propagation=k.MS_PRIVATE)
        os.close(root)
        return trees


# ---- the child -------------------------------------------------------------------------------------------------------


class Child:
    """A process that enters *files*, an object of one of the classes above, calls *work* there, and ends; *work*
    returns a text.

    *keep*: the descriptors that it needs besides the standard streams; all others are closed.
    """

    def __init__(self, files: Any, work: Callable[[], str], keep: Sequence[int] = ()):
        self._report, report = os.pipe2(os.O_CLOEXEC)
        parent = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            _become(parent, report, files, work, {*keep, report, *getattr(files, "keep", ())})
        os.close(report)

    def wait(self) -> str:
        """The result of *work*. Raises :class:`ContainerError` with its error message."""
        with open(self._report, encoding="utf-8") as report:
            kind, _, text = report.read().partition("\n")
        os.waitpid(self._pid, 0)
        self._pid = 0
        if kind == "done":
            return text
        raise ContainerError(
            text or "the child process was killed (out of memory?)",
            errno=int(kind) if kind.isdigit() else None,
        )

    def stop(self) -> None:
        """Kill it if it has not ended."""
        if self._pid:
            os.kill(self._pid, _SIGKILL)
            os.waitpid(self._pid, 0)
            os.close(self._report)
            self._pid = 0


def blame(writer: Child, error: ContainerError) -> NoReturn:
    """The reader of two processes that work together has failed with *error*: raise that, unless the *writer*
    failed first."""
    try:
        writer.wait()
    except ContainerError as first:
        if first.errno != errno.EPIPE:
            raise first from None
    raise error


def _become(parent: int, report: int, files: Any, work: Callable[[], str], keep: set[int]) -> NoReturn:
    """The whole child process."""
    kind: object
    try:
        process.prctl(process.PR_SET_PDEATHSIG, _SIGKILL)
        if os.getppid() != parent:  # it has died before
            os._exit(1)
        close_all_except(keep)
        os.umask(0)
        sys.path.clear()
        sys.meta_path.clear()  # from here on an import finds nothing: modules inside must not be loaded
        files.enter()
        _give_up_ptrace()
        kind, text = "done", work()
    except ContainerError as error:
        kind, text = error.errno or "refused", str(error)
    except OSError as error:
        where = f"{os.fsdecode(error.filename)[:200]!r}: " if error.filename else ""
        kind, text = error.errno, where + (os.strerror(error.errno) if error.errno else str(error))
    except BaseException as error:
        kind, text = "refused", f"{type(error).__name__}: {error}"
    try:
        os.write(report, f"{kind}\n{text[:3000]}".encode("utf-8", "backslashreplace"))
    finally:
        os._exit(0)


def _give_up_ptrace() -> None:
    """Drop CAP_SYS_PTRACE: a volume may contain another /proc, whose links to other processes' roots would then
    work."""
    effective, permitted, inheritable = (each & ~_CAP_SYS_PTRACE for each in capability.capget())
    capability.capset(effective, permitted, inheritable)
