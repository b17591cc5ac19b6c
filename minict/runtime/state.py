"""The state of a container: one directory, with one small file for each fact.

===============  =====================================================================================
``ledger``       what the container takes from the host, written BEFORE it is taken: a line ``kind<tab>value``
``config.json``  the container's spec
``pid``          its first process, and when that began, so that a later process cannot be mistaken for it
``start``        a FIFO that exists from create to start: a byte in it starts the command
``error``        a FIFO beside it: the error of that start
===============  =====================================================================================

The directory is also the lock: the process that creates or monitors the container holds it (flock) as long as it
lives. The order matters: a creator may be killed at any instant. What it leaves is a directory that
no process holds, and in it a ledger with everything that may have to be released. Releasing something that was never
taken succeeds. So ``minict prune`` needs nothing else.
"""

from __future__ import annotations

import errno
import os

from . import jsonfile, locks, paths
from .errors import ContainerError
from .files import names_in, write_all

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .spec import Spec


_EXITING = 4


class State:
    """The state directory of the container *id*. Making the object changes nothing.

    Source: OCI runtime-spec, runtime.md, "State"; flock(2).
    """

    def __init__(self, id: str) -> None:
        self.id = id
        self.directory = paths.container_state(id)
        self.lock_fd = -1

    def path(self, name: str) -> str:
        """The path of the file *name* in it."""
        return f"{self.directory}/{name}"

    def make(self) -> None:
        """Take the id and the lock. Raises :class:`ContainerError` when the container exists already."""
        made = False
        while not made:
            paths.make_directory(os.path.dirname(self.directory))
            try:
                os.mkdir(self.directory, 0o700)
            except FileNotFoundError:  # the last container has just removed the common directory
                continue
            except FileExistsError:
                raise ContainerError(f"the container {self.id} exists already: choose another id") from None
            made = self.lock(wait=True)  # False when a 'prune' has just removed a directory without a holder

    def lock(self, wait: bool = False) -> bool:
        """Hold the lock until :meth:`unlock` or the end of this process.

        False when another process holds it (unless we are to *wait*), or when the container is gone.
        """
        self.lock_fd = locks.acquire(self.directory, wait=wait)
        return self.lock_fd >= 0

    def unlock(self) -> None:
        """Release the lock."""
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1

    def add_to_ledger(self, entries: Iterable[tuple[str, object]]) -> None:
        """Write what will be taken next, pairs of a kind and a value. To be called before it is taken."""
        fd = os.open(self.path("ledger"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, "".join(f"{kind}\t{value}\n" for kind, value in entries).encode())
        finally:
            os.close(fd)

    def ledger(self) -> list[tuple[str, str]]:
        """The entries. An unfinished last line is ignored: its writer was killed before it took anything."""
        try:
            with open(self.path("ledger")) as file:
                lines = file.read().split("\n")[:-1]
        except FileNotFoundError:
            return []
        return [(kind, value) for kind, _, value in (line.partition("\t") for line in lines)]

    def write_spec(self, spec: Spec) -> None:
        """Keep the container's spec for later commands."""
        jsonfile.write(self.path("config.json"), spec.to_dict())

    def read_spec(self) -> Spec:
        """The container's spec. Raises :class:`OSError`."""
        from .spec import Spec

        return Spec.load(self.path("config.json"))

    def has_pid_namespace(self) -> bool:
        """Whether the container has a pid namespace of its own, without reading its whole spec into objects."""
        found = jsonfile.read(self.path("config.json")).get("linux", {}).get("namespaces", [])
        return any(each.get("type") == "pid" and not each.get("path") for each in found)

    def write_pid(self, pid: int) -> None:
        """Record the container's first process."""
        with open(self.path("pid.new"), "w") as file:
            file.write(f"{pid} {begin_time(pid)}")
        os.rename(self.path("pid.new"), self.path("pid"))

    def pid(self) -> int | None:
        """The container's first process, or None when it has ended or was never created."""
        try:
            with open(self.path("pid")) as file:
                pid, begin = file.read().split()
        except FileNotFoundError:
            return None
        return int(pid) if begin_time(int(pid)) == begin else None

    def is_ending(self) -> bool:
        """Whether the first process has ended, or is about to: process 1 of a pid namespace waits for all others first.

        Source: pid_namespaces(7); proc_pid_stat(5), "flags"; linux/sched.h, PF_EXITING.
        """
        pid = self.pid()
        try:
            with open(f"/proc/{pid}/stat") as file:
                return bool(int(file.read().rpartition(")")[2].split()[6]) & _EXITING)
        except (FileNotFoundError, ProcessLookupError):
            return True

    def status(self) -> str:
        """The status in the sense of the OCI specification: creating, created, running or stopped.

        Raises :class:`ContainerError` when there is no such container.
        """
        if not os.path.isdir(self.directory):
            raise ContainerError(f"there is no container {self.id}: see the list of containers")
        if self.pid() is None:
            return "stopped" if os.path.exists(self.path("pid")) else "creating"
        return "created" if os.path.exists(self.path("start")) else "running"

    def remove(self) -> None:
        """Remove the directory. The lock goes last: no other process may take the rest for an unfinished container."""
        try:
            while not self._empty():
                pass
        except FileNotFoundError:
            pass
        self.unlock()
        for parent in (os.path.dirname(self.directory), paths.run_root()):
            try:
                os.rmdir(parent)  # unless other containers use it
            except OSError:
                break

    def _empty(self) -> bool:
        """Remove all files and the directory; False when another command has just written a file there."""
        for name in os.listdir(self.directory):
            try:
                os.unlink(self.path(name))
            except FileNotFoundError:
                pass
        try:
            os.rmdir(self.directory)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            return False
        return True


def begin_time(pid: int) -> str | None:
    """When the process *pid* began, in clock ticks since boot; None when it has ended, even as a zombie.

    Source: proc_pid_stat(5), fields 3 and 22. The name before them may contain anything, ``)`` included.
    """
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def all_ids() -> list[str]:
    """The ids of all containers that have a state directory. Source: OCI runtime-spec, runtime.md, "State"."""
    return sorted(names_in(f"{paths.run_root()}/containers"))
