"""Helpers for files and descriptors, without :mod:`shutil`, which takes longer to import than a container to start."""

from __future__ import annotations

import errno
import os

from .errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_IS_MOUNT = "cannot remove {}: something is mounted in it; unmount that first"


def write_all(fd: int, data: bytes) -> None:
    """Write all of *data* to the descriptor *fd*; write(2) may take less than it is given.

    Raises :class:`OSError`. Source: write(2), "RETURN VALUE".
    """
    while data:
        data = data[os.write(fd, data) :]


def names_in(directory: str) -> list[str]:
    """The names in *directory*; none if it does not exist, or another process removes it meanwhile.

    Raises :class:`OSError`. Source: readdir(3).
    """
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []


def remove_unfinished(directory: str, but: str = "") -> None:
    """Remove the temporary files ``NAME.PID`` in *directory* whose creator PID was killed before it renamed them.

    *but*: a NAME whose numbers have another meaning. Does nothing when there is no such directory.
    Raises :class:`OSError`. Source: proc(5), /proc/PID.
    """
    for name in names_in(directory):
        stem, _, pid = name.rpartition(".")
        if stem and stem != but and pid.isdigit() and not os.path.exists(f"/proc/{pid}"):
            path = f"{directory}/{name}"
            remove_tree(path) if os.path.isdir(path) else _quietly(os.unlink, path)


def remove_tree(path: str) -> None:
    """Remove the directory *path* with everything in it, without following links or entering mounts.

    A container may nest directories deeper than Python can recurse, or than descriptors are available. So a directory
    that is not empty is moved up to *path*, and is emptied later. Two processes may remove the same tree at once.
    Raises :class:`OSError`, and :class:`ContainerError` for a mount in it, whose files must not be removed.
    Source: unlinkat(2), renameat(2), openat2(2).
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
        for number, name in enumerate(waiting):  # the list grows meanwhile
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
    """Empty the directory *name* of *top*; return the names in *top* of what still has to be emptied."""
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
    """Open the directory *name* of *directory*, unless it is a link (ELOOP) or a mount point (EXDEV)."""
    from ..kernel import mount as k

    above = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) if isinstance(directory, str) else directory
    try:
        return k.openat2(above, name, os.O_RDONLY | os.O_DIRECTORY, 0, k.RESOLVE_NO_XDEV | k.RESOLVE_NO_SYMLINKS)
    finally:
        if above != directory:
            os.close(above)


def _quietly(remove: Callable[..., None], name: str, directory: int | None = None) -> None:
    """Call *remove*; ignore that *name* does not exist."""
    try:
        remove(name, dir_fd=directory)
    except FileNotFoundError:
        pass
