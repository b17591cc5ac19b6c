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
import time
from collections.abc import Iterator
from typing import BinaryIO

from .extract import XATTR

_CHUNK = 1 << 20
_LEAST_HOLE = 1 << 20  # bytes that a file must lack to be written with its holes
_MOST_SEGMENTS = 10_000
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
        segments = _segments(file.fileno(), now)
        if segments is None:
            member.size = now.st_size
            archive.addfile(member, _Exactly(file, now.st_size))
        else:
            archive.addfile(member, _with_holes(member, file, now.st_size, segments))
    return now.st_size


def _segments(fd: int, status: os.stat_result) -> list[tuple[int, int]] | None:
    """Where the file *fd* has content, as (offset, length), if it has large holes; else None.

    Reading a hole takes as long as reading content, and a file with a few bytes of content may have a size of
    petabytes. Source: lseek(2).
    """
    if status.st_size - status.st_blocks * 512 < _LEAST_HOLE:
        return None
    found: list[tuple[int, int]] = []
    place = 0
    try:
        while place < status.st_size and len(found) < _MOST_SEGMENTS:
            try:
                begin = os.lseek(fd, place, os.SEEK_DATA)
            except OSError as error:
                if error.errno != errno.ENXIO:  # nothing follows
                    raise
                begin = place = status.st_size
            else:
                place = min(os.lseek(fd, begin, os.SEEK_HOLE), status.st_size)
            if place > begin:
                found.append((begin, place - begin))
    except OSError:  # a file system without support for holes
        return None
    finally:
        os.lseek(fd, 0, os.SEEK_SET)
    return found if place >= status.st_size else None


def _with_holes(member: tarfile.TarInfo, file: BinaryIO, size: int, segments: list[tuple[int, int]]) -> _Segments:
    """Make *member* one of GNU's format for sparse files, 1.0; its content, a map and the *segments*.

    Source: the manual of GNU tar, "Storing Sparse Files".
    """
    places = [*segments, *([] if segments and sum(segments[-1]) == size else [(size, 0)])]
    map = "".join(f"{number}\n" for number in (len(places), *(number for place in places for number in place))).encode()
    map += bytes(-len(map) % tarfile.BLOCKSIZE)
    member.pax_headers = {
        **member.pax_headers,
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": member.name,
        "GNU.sparse.realsize": str(size),
    }
    directory, _, name = member.name.rpartition("/")
    member.name = f"{directory or '.'}/GNUSparseFile.0/{name}"
    member.size = len(map) + sum(length for _, length in segments)
    return _Segments(file, map, segments)


def _more(path: str, status: os.stat_result) -> Iterator[tuple[str, str]]:
    """Headers that only the pax format has: attributes, and the time in nanoseconds."""
    for key in sorted(os.listxattr(path, follow_symlinks=False)):
        if not key.startswith(OVERLAYS_OWN):
            value = os.getxattr(path, key, follow_symlinks=False)
            yield XATTR + key, value.decode("utf-8", "surrogateescape")
    if status.st_mtime_ns > 0 and status.st_mtime_ns % 10**9:
        yield "mtime", f"{status.st_mtime_ns // 10**9}.{status.st_mtime_ns % 10**9:09}"


def _open_plain(path: str, flags: int) -> int:
    """Open a file that may have become something else: follow no link, wait for no FIFO.

    A container may hold a lease on the file (fcntl(2), F_SETLEASE). The kernel breaks it after lease-break-time, 45 s,
    which we wait for only once: the files after it may have leases too.
    """
    while True:
        try:
            return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        except BlockingIOError:
            _leases.wait(path)
        except OSError as error:
            if error.errno == errno.ELOOP:  # a link
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path) from None
            raise


class _Leases:
    """How long this process has waited for leases."""

    def __init__(self, patience: float = 60.0):
        self._left = patience

    def wait(self, path: str) -> None:
        """Wait a moment. Raises :class:`OSError` when that was long enough."""
        if self._left <= 0:
            raise OSError(errno.EWOULDBLOCK, "another process holds leases on it and other files", path)
        # often: a container that takes the lease again and again leaves a millisecond in between
        time.sleep(0.0005)
        self._left -= 0.0005


_leases = _Leases()


class _Segments:
    """The content of a sparse file in an archive: the *map*, then the *segments* of *file*."""

    def __init__(self, file: BinaryIO, map: bytes, segments: list[tuple[int, int]]):
        self._map, self._pieces = map, ((file, offset, length) for offset, length in segments)
        self._now: _Exactly | None = None

    def read(self, size: int = -1, /) -> bytes:
        data, self._map = self._map[:size], self._map[size:]
        while len(data) < size:
            chunk = self._now.read(size - len(data)) if self._now else b""
            if not chunk:
                piece = next(self._pieces, None)
                if piece is None:
                    break
                file, offset, length = piece
                file.seek(offset)
                self._now = _Exactly(file, length)
            data += chunk
        return data


class _Exactly:
    """Exactly as many bytes of *file* as its header has announced, with zeros for missing ones."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._left = file, size

    def read(self, size: int = -1, /) -> bytes:
        size = min(size, self._left)
        data = self._file.read(size)
        self._left -= size
        return data + bytes(size - len(data))
