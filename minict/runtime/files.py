"""Small helpers on files, without :mod:`shutil` and :mod:`tempfile`, whose import takes longer than a container's
birth."""

from __future__ import annotations

import errno
import os

from ..kernel import mount as k
from .errors import ContainerError

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable

_IS_MOUNT = "there is a mount in {}, which is not minict's: unmount it first"


def lock_directory(path: str, wait: bool) -> int:
    """Lock the directory *path* (flock(2)); a descriptor that holds the lock as long as it is open, -1 when there is
    none to hold.

    That is: somebody else has it (and we are not to *wait*), or the directory is gone, perhaps for another of the same
    name.
    """
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return -1
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        if os.path.samestat(os.fstat(fd), os.stat(path)):
            return fd
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(fd)
    return -1


def remove_unfinished(directory: str, but: str = "") -> None:
    """Remove what is in *directory* under a provisional name, ``NAME.PID``, whose maker was killed before it got its
    own.

    *but*: a NAME of which numbers mean something else.  No directory is no error.
    """
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        stem, _, pid = name.rpartition(".")
        if stem and stem != but and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            path = f"{directory}/{name}"
            remove_tree(path) if os.path.isdir(path) else _quietly(os.unlink, path)


def remove_tree(path: str) -> None:
    """Remove the directory *path* with all that is in it, never following a link and never crossing into a mount.

    A container may have nested its directories deeper than a recursion goes, or descriptors last: so a directory that
    is not empty is moved up to *path*, and waits there for its turn.  What is not there any more is no error: two may
    remove at once.  Raises :class:`OSError`, and :class:`ContainerError` for a mount, with which other files would go.
    """
    try:
        top = _open_below(os.path.dirname(path), os.path.basename(path))
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise ContainerError(_IS_MOUNT.format(path)) from None
        raise
    try:
        waiting, prefix = ["."], f".removing-{os.urandom(6).hex()}"
        for number, name in enumerate(waiting):  # which grows meanwhile
            waiting += _empty(top, name, f"{prefix}-{number}-")
        for name in waiting[1:]:
            _quietly(os.rmdir, name, top)
    except OSError as error:
        if error.errno in (errno.EBUSY, errno.EXDEV):
            raise ContainerError(_IS_MOUNT.format(path)) from None
        raise
    finally:
        os.close(top)
    _quietly(os.rmdir, path)


def _empty(top: int, name: str, prefix: str) -> list[str]:
    """Empty the directory *name* of *top*; the names in *top* of what was in it, and still has to be emptied."""
    left: list[str] = []
    try:
        here = (
            os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=top)
            if name == "."
            else _open_below(top, name)
        )
    except FileNotFoundError:
        return left
    try:
        for number, entry in enumerate(os.listdir(here)):
            try:
                _quietly(os.unlink, entry, here)
            except IsADirectoryError:
                try:
                    _quietly(os.rmdir, entry, here)
                except OSError as error:
                    if error.errno != errno.ENOTEMPTY:
                        raise
                    if name != ".":
                        os.rename(entry, f"{prefix}{number}", src_dir_fd=here, dst_dir_fd=top)
                    left.append(entry if name == "." else f"{prefix}{number}")
    finally:
        os.close(here)
    return left


def _open_below(directory: str | int, name: str) -> int:
    """Open the directory *name* of *directory*, provided that it is neither a link nor a mount point (EXDEV)."""
    above = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if isinstance(directory, str) else directory
    try:
        return k.openat2(above, name, os.O_RDONLY | os.O_DIRECTORY, 0, k.RESOLVE_NO_XDEV | k.RESOLVE_NO_SYMLINKS)
    finally:
        if above != directory:
            os.close(above)


def _quietly(remove: Callable[..., object], name: str, directory: int | None = None) -> None:
    try:
        remove(name, dir_fd=directory)
    except FileNotFoundError:
        pass
