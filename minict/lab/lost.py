"""For chapter 18: what is lost when a process is killed, and what would be lost with the machine.

:func:`shoot` kills a database while it says "committed" to somebody, and counts afterwards.  :func:`unsaved` asks the
kernel how many pages of a file are in memory alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import signal
import struct
import tempfile
import threading
import time

from minict.runtime.errors import ContainerError

_ROWS = 50_000  # more than a database takes until it is shot
_AS = {
    "app": ["mariadb", "--user=app", "--password=app", "--host=127.0.0.1", "shop"],
    "root": ["mariadb"],
}


def sql(box, statements: str, user: str = "app") -> str | None:
    """What MariaDB in *box* answers to the *user* app, over the network, or to root; None when it does not answer."""
    try:
        done = box.exec([*_AS[user], "--skip-column-names", f"--execute={statements}"])
    except ContainerError:
        return None  # the container has ended
    return done.output.strip() if done.status == 0 else None


class Shot:
    """What became of a database that was shot.

    ``promised``: the rows that were committed, as a client knew; ``found``: those that the next start found.
    """

    def __init__(self, promised: int, found: int):
        self.promised, self.found = promised, found

    @property
    def lost(self) -> int:
        """Promised, and not found."""
        return max(0, self.promised - self.found)

    def __repr__(self):
        return (
            f"number of promises: {self.promised:5}   number of rows: {self.found:5}   "
            f"promises broken: {'yes' if self.lost else 'none'}"
        )


def shoot(start, flush: int, promises: int = 200) -> Shot:
    """Kill the database that ``start(directory)`` starts when it has made so many *promises*, and start it again.

    *start*: returns a running container, in which the host's *directory* is at /exchange.  *flush*: the value of
    ``innodb_flush_log_at_trx_commit``.  A client in the container inserts rows, one in a transaction, and notes the
    number of each that is committed. With 0 it is done again, at most four times, if nothing was lost: the database may
    just have written its log, as it does once a second.  Raises :class:`TimeoutError` when it does not answer.
    """
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None  # the client must not wait for the database's disk
    with tempfile.TemporaryDirectory(prefix="minict-shot-", dir=memory) as directory:
        os.chmod(directory, 0o755)
        with open(f"{directory}/statements", "w") as file:
            file.writelines(f"INSERT INTO promises VALUES ({number}); SELECT {number};\n" for number in range(_ROWS))
        for _ in range(5):
            with start(directory) as box:
                answer(box, "CREATE OR REPLACE TABLE promises (number INT PRIMARY KEY) ENGINE = InnoDB")
                answer(box, f"SET GLOBAL innodb_flush_log_at_trx_commit = {flush}", user="root")
                _insert_and_kill(box, directory, promises)
            with start(directory) as box:
                shot = Shot(_promised(directory), int(answer(box, "SELECT COUNT(*) FROM promises")))
            if shot.lost or flush:
                break
    return shot


def answer(box, statements: str, user: str = "app", seconds: float = 60) -> str:
    """The same as :func:`sql`, once the database answers. Raises :class:`TimeoutError` if it does not within so many
    *seconds*."""
    from .readiness import until

    def question():
        said = sql(box, statements, user)
        return None if said is None else [said]

    return until(question, seconds)[0]


def _insert_and_kill(box, directory: str, promises: int) -> None:
    client = " ".join([*_AS["app"], "--skip-column-names", "--unbuffered"])
    command = f"{client} < /exchange/statements > /exchange/promises 2> /dev/null"
    open(f"{directory}/promises", "w").close()
    thread = threading.Thread(target=_exec_until_killed, args=(box, command))
    thread.start()
    try:
        while _promised(directory) < promises and thread.is_alive():
            time.sleep(0.005)
    finally:
        # Not by box.kill(), which writes a note first: on a busy disk that takes as long as the database's log.
        with contextlib.suppress(ProcessLookupError, ContainerError):  # it has ended
            os.kill(box.pid, signal.SIGKILL)
        thread.join()
        box.wait()


def _exec_until_killed(box, command: str) -> None:
    with contextlib.suppress(ContainerError):
        box.exec(["sh", "-c", command])


def _promised(directory: str) -> int:
    """The number of complete lines that the client has written."""
    with open(f"{directory}/promises", "rb") as file:
        return file.read().count(b"\n")


# ---- pages -------------------------------------------------------------------------------------------------------

_CACHESTAT = 451  # the same number on each architecture


def unsaved(path: str) -> int:
    """The number of pages of the file *path* that are in memory and not yet on the disk.

    Before Linux 6.5 the pages are looked up one by one in /proc/kpageflags, which needs root.  Raises
    :class:`OSError`.  Sources: https://docs.kernel.org/admin-guide/mm/pagemap.html;
    ``Documentation/userspace-api`` has no page on cachestat yet: see mm/filemap.c.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc, counts = ctypes.CDLL(None, use_errno=True), (ctypes.c_uint64 * 5)()
        everything = (ctypes.c_uint64 * 2)(0, 0)
        if libc.syscall(_CACHESTAT, fd, everything, counts, 0) == 0:
            return counts[1] + counts[2]  # dirty, and on their way
        if ctypes.get_errno() != errno.ENOSYS:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)
        return _look_up(fd)
    finally:
        os.close(fd)


def _look_up(fd: int) -> int:
    size = os.fstat(fd).st_size
    if not size:
        return 0
    found = 0
    with mmap.mmap(fd, size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as pages:
        address = ctypes.addressof(ctypes.c_char.from_buffer(pages))  # writable only for this line: nothing is written
        for offset in range(0, size, mmap.PAGESIZE):
            pages[offset]  # so that it is mapped
            with open("/proc/self/pagemap", "rb", buffering=0) as file:
                entry = struct.unpack("Q", os.pread(file.fileno(), 8, (address + offset) // mmap.PAGESIZE * 8))[0]
            with open("/proc/kpageflags", "rb", buffering=0) as file:
                flags = struct.unpack("Q", os.pread(file.fileno(), 8, (entry & ((1 << 55) - 1)) * 8))[0]
            found += bool(flags & (1 << 4 | 1 << 8))  # KPF_DIRTY, KPF_WRITEBACK
    return found
