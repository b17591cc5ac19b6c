"""Locks between processes: flock(2) on a file or a directory.

A lock is held while its descriptor is open. So the kernel releases it however the holder ends, even by SIGKILL.

The holder of a lock may remove the file. A process that waited meanwhile gets the lock of a file without a name, which
excludes no other process, because the next one opens a new file. So each function checks that the path still leads to
the file that it has locked.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY
FILE = os.O_RDWR | os.O_CREAT


def lock(fd: int, path: str, *, wait: bool = True, shared: bool = False) -> bool:
    """Lock the open file *fd*. Returns False if *path* no longer leads to it, or, without *wait*, if it is locked.

    Several processes may hold a *shared* lock. Raises :class:`OSError`. Source: flock(2).
    """
    import fcntl

    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except (BlockingIOError, FileNotFoundError):
        return False


def acquire(path: str, flags: int = DIRECTORY, *, wait: bool = True, shared: bool = False) -> int:
    """Open *path* and lock it: see :func:`lock`. Returns the descriptor that holds the lock, or -1 if that fails.

    *flags*: :data:`DIRECTORY`, :data:`FILE`, which creates the file, or others of open(2). The result is -1 also
    for a missing file. Raises :class:`OSError`. Source: flock(2).
    """
    try:
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return -1
    if lock(fd, path, wait=wait, shared=shared):
        return fd
    os.close(fd)
    return -1


class Held:
    """For ``with``: waits for the lock of *path*, and holds it inside the block.

    *flags*: as for :func:`acquire`. *make*: called when the directory of *path* does not exist, to make it.
    Source: flock(2).
    """

    def __init__(self, path: str, flags: int = DIRECTORY, make: Callable[[], object] | None = None) -> None:
        self.path = path
        self.flags = flags
        self.make = make
        self.fd = -1

    def __enter__(self) -> Held:
        """Raises :class:`OSError`, ENOENT when *path* does not exist and cannot be made. Source: flock(2)."""
        while True:
            try:
                self.fd = os.open(self.path, self.flags | os.O_CLOEXEC, 0o600)
            except FileNotFoundError:
                if not self.make:
                    raise
                self.make()
                continue
            if lock(self.fd, self.path):
                return self
            os.close(self.fd)

    def __exit__(self, *exception: object) -> None:
        os.close(self.fd)
