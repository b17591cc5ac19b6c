"""Add a file to an archive: its metadata and its content.

The standard library's ``TarFile.add`` is not safe for files of containers.  It looks up names of users, for which the C
library loads what /etc/nsswitch.conf names; if that file is a container's, it loads what the container wants
(CVE-2019-14271).  And it waits forever at a FIFO that was a file a moment before.
"""

from __future__ import annotations

import errno
import os
import stat
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from .extract import XATTR

_CHUNK = 1 << 20
OVERLAYS_OWN = ("trusted.overlay.", "user.overlay.")  # they control overlayfs and are not data
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


def add(
    archive: tarfile.TarFile, path: str, name: str, status: os.stat_result, first_names: dict[tuple[int, int], str]
) -> int | None:
    """Write the file *path* to *archive* as *name*, with owner, mode, time, attributes and content. Returns the size of
    its content.

    *first_names* maps files with several names to the first one: the second becomes a hard link.  Returns None for a
    socket, which an archive can't represent. Raises :class:`OSError`; FileNotFoundError if the file has vanished or
    become something else.
    """
    kind = stat.S_IFMT(status.st_mode)
    if kind not in _TYPES:
        return None
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.uid, member.gid = (
        _TYPES[kind],
        stat.S_IMODE(status.st_mode),
        status.st_uid,
        status.st_gid,
    )
    member.mtime = status.st_mtime_ns // 10**9
    if status.st_nlink > 1 and not member.isdir():
        first = first_names.setdefault((status.st_dev, status.st_ino), name)
        if first != name:
            member.type, member.linkname = tarfile.LNKTYPE, first
            archive.addfile(member)
            return 0
    if member.issym():
        member.linkname = os.readlink(path)
    if member.isdev():
        member.devmajor, member.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    member.pax_headers = dict(_more(path, status))
    if not member.isreg():
        archive.addfile(member)
        return 0
    with open(path, "rb", opener=_open_plain, buffering=_CHUNK) as file:
        now = os.fstat(file.fileno())
        if not stat.S_ISREG(now.st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        member.size = now.st_size
        archive.addfile(member, _Exactly(file, now.st_size))
    return now.st_size


def _more(path: str, status: os.stat_result) -> Iterator[tuple[str, str]]:
    """Headers that only the pax format has: attributes, and the time in nanoseconds."""
    for key in sorted(os.listxattr(path, follow_symlinks=False)):
        if not key.startswith(OVERLAYS_OWN):
            value = os.getxattr(path, key, follow_symlinks=False)
            yield XATTR + key, value.decode("utf-8", "surrogateescape")
    if status.st_mtime_ns > 0 and status.st_mtime_ns % 10**9:
        yield "mtime", f"{status.st_mtime_ns // 10**9}.{status.st_mtime_ns % 10**9:09}"


def _open_plain(path: str, flags: int) -> int:
    """Open a file that may have become something else: follow no link, wait for no FIFO."""
    try:
        return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
        raise


class _Exactly:
    """Exactly as many bytes of *file* as its header has announced, with zeros for missing ones."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._left = file, size

    def read(self, size: int = -1, /) -> bytes:
        size = min(size, self._left)
        data = self._file.read(size)
        self._left -= size
        return data + bytes(size - len(data))
