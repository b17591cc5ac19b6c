"""The state of a running container: one directory, one small file for each fact.

===============  =====================================================================================
``ledger``       what the container takes from the host, written BEFORE it is taken: ``kind<tab>value``
``config.json``  the container's spec
``pid``          its first process and that process's start time, because pids are reused
``start``        a FIFO that exists from create to start: a byte in it means "go"
``error``        a FIFO beside it: what went wrong after "go"
===============  =====================================================================================

The directory itself is the lock: the process that creates or supervises the container holds it (flock(2)) as long as
it runs.  The order matters.  A creator may be killed at any instant.  It leaves a directory that nobody locks,
and in it a ledger of everything that may have to be undone; undoing something that was never taken is harmless.
``minict prune`` needs nothing else.
"""

from __future__ import annotations

import errno
import os

from . import jsonfile, paths
from .errors import ContainerError
from .files import lock_directory

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from .spec import Spec


class State:
    """The directory of the container *id*.  Making the object touches nothing."""

    def __init__(self, id: str):
        self.id = id
        self.directory = paths.container_state(id)
        self.lock_fd = -1

    def path(self, name: str) -> str:
        return f"{self.directory}/{name}"

    def make(self) -> None:
        """Take the id and the lock.  Raises :class:`ContainerError` when there is such a container already."""
        made = False
        while not made:
            paths.make_directory(os.path.dirname(self.directory))
            try:
                os.mkdir(self.directory, 0o700)
            except FileNotFoundError:  # the last container has just ended, and removed the directory of all
                continue
            except FileExistsError:
                raise ContainerError(f"there is a container {self.id} already") from None
            made = self.lock(wait=True)  # False when a 'prune' was faster, which found a directory that nobody held

    def lock(self, wait: bool = False) -> bool:
        """Hold the lock until :meth:`unlock` or the end of this process.

        False when a living process has it (unless we are to *wait*), or when there is no such container any more.
        """
        self.lock_fd = lock_directory(self.directory, wait)
        return self.lock_fd >= 0

    def unlock(self) -> None:
        if self.lock_fd >= 0:
            os.close(self.lock_fd)
            self.lock_fd = -1

    def record(self, entries: list[tuple[str, str]]) -> None:
        """Add to the ledger what will be taken next: pairs of a kind and a value.  To be called before it is taken."""
        fd = os.open(self.path("ledger"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, "".join(f"{kind}\t{value}\n" for kind, value in entries).encode())
        finally:
            os.close(fd)

    def ledger(self) -> list[tuple[str, str]]:
        """What was recorded; a last line that its writer did not finish was not followed by a taking, and is left
        out."""
        try:
            with open(self.path("ledger")) as file:
                lines = file.read().split("\n")[:-1]
        except FileNotFoundError:
            return []
        return [(kind, value) for kind, _, value in (line.partition("\t") for line in lines)]

    def write_spec(self, spec: Spec) -> None:
        jsonfile.write(self.path("config.json"), spec.to_dict())

    def read_spec(self) -> Spec:
        from .spec import Spec

        return Spec.load(self.path("config.json"))

    def write_pid(self, pid: int) -> None:
        with open(self.path("pid.new"), "w") as file:
            file.write(f"{pid} {begin_time(pid)}")
        os.rename(self.path("pid.new"), self.path("pid"))

    def pid(self) -> int | None:
        """The container's first process, or None when it has ended or was never made."""
        try:
            with open(self.path("pid")) as file:
                pid, begin = file.read().split()
        except FileNotFoundError:
            return None
        return int(pid) if begin_time(int(pid)) == begin else None

    def status(self) -> str:
        """The word of the OCI specification (runtime.md, state): creating, created, running or stopped.

        Raises :class:`ContainerError` when there is no such container.
        """
        if not os.path.isdir(self.directory):
            raise ContainerError(f"there is no container {self.id}")
        if self.pid() is None:
            return "stopped" if os.path.exists(self.path("pid")) else "creating"
        return "created" if os.path.exists(self.path("start")) else "running"

    def remove(self) -> None:
        """Remove the directory.  The lock goes with it: until then nobody can take the rest for a container half
        made."""
        try:
            while not self._empty():
                pass
        except FileNotFoundError:
            pass
        self.unlock()
        for parent in (os.path.dirname(self.directory), paths.run_root()):
            try:
                os.rmdir(parent)  # an empty one is left by nobody; a busy one stays
            except OSError:
                break

    def _empty(self) -> bool:
        """Remove all files and the directory; False when somebody, who changes the container's networks, has just
        written one."""
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
    """When the process *pid* began, in clock ticks since boot; None when there is none, or only its zombie.

    Source: proc_pid_stat(5), fields 3 and 22.  The name before them may contain anything, ``)`` included.
    """
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def all_ids() -> list[str]:
    """The ids of all containers that have a state."""
    try:
        return sorted(os.listdir(f"{paths.run_root()}/containers"))
    except FileNotFoundError:
        return []
