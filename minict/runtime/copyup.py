"""The mount option ``tmpcopyup``: a new tmpfs begins with a copy of the files that it hides.

Podman asks for it with each ``--tmpfs`` and for the writable parts of a read-only container. The files belong to an
image and may be hostile: so each is opened by its name in a directory that is open, and no link is followed.
"""

from __future__ import annotations

import os

_KIND = 0o170000  # the bits of st_mode that say what a file is, see inode(7)
_DIRECTORY, _FILE, _LINK = 0o040000, 0o100000, 0o120000


def copy(source: int, target: int) -> None:
    """Copy what is in the directory *source* to the directory *target*, with owner, mode and times; both descriptors.

    Raises :class:`OSError`, ENOSPC when the tmpfs is too small. Source: OCI runtime-spec, config.md, "tmpcopyup".
    """
    here, there = (os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=each) for each in (source, target))
    pairs = [(here, there)]
    while pairs:  # and not by recursion: an image may nest directories deeper than Python can call
        here, there = pairs.pop()
        try:
            for name in os.listdir(here):
                _copy_entry(here, there, name, pairs)
            _copy_attributes(os.fstat(here), there)
        finally:
            os.close(here)
            os.close(there)


def _copy_entry(here: int, there: int, name: str, pairs: list[tuple[int, int]]) -> None:
    status = os.stat(name, dir_fd=here, follow_symlinks=False)
    kind = status.st_mode & _KIND
    if kind == _DIRECTORY:
        os.mkdir(name, dir_fd=there)
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        pairs.append((os.open(name, flags, dir_fd=here), os.open(name, flags, dir_fd=there)))
    elif kind == _FILE:
        _copy_file(here, there, name, status)
    elif kind == _LINK:
        os.symlink(os.readlink(name, dir_fd=here), name, dir_fd=there)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=there, follow_symlinks=False)
    else:  # a FIFO, a socket, a device
        os.mknod(name, status.st_mode, status.st_rdev, dir_fd=there)
        os.chown(name, status.st_uid, status.st_gid, dir_fd=there, follow_symlinks=False)


def _copy_file(here: int, there: int, name: str, status: os.stat_result) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=here)
    try:
        target = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=there)
        try:
            while os.sendfile(target, source, None, 1 << 24):
                pass
            _copy_attributes(status, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _copy_attributes(status: os.stat_result, target: int) -> None:
    """Give the open *target* the owner, mode and times of *status*: the owner first, because changing it clears
    set-user-id bits."""
    os.fchown(target, status.st_uid, status.st_gid)
    os.fchmod(target, status.st_mode & 0o7777)
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
