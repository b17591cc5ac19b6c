"""The one place where archives of strangers are read: ADD, load, import, layers and ``cp`` all come through here.

The standard library's ``tarfile`` believes what an archive says of itself: it keeps a header of any size in memory, goes
back when a size is negative and so never ends (CVE-2025-8194), and searches pax headers in a time that grows with the
square of their length.  Here every header is measured before tarfile interprets it.  The limits are far above what
honest archives need.

Source: tar(5), pax in POSIX.1-2017, "pax Header Block"; https://nvd.nist.gov/vuln/detail/CVE-2025-8194 and
CVE-2024-6232 for tarfile, of which distributions keep old versions.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Iterator

from . import compression

MAX_BYTES = 128 << 30  # of an archive when it is decompressed; the largest images have a tenth of this
MAX_ENTRIES = 4_000_000
MAX_HEADER = 4 << 20  # the names, attributes and holes of one file
MAX_PATH = 4096  # path_resolution(7), PATH_MAX: no call of the kernel takes a longer one
MAX_DEPTH = 1000  # directories on the way to a file
_EARNED = 64 << 10  # bytes of headers that each file adds to what may be read of them
_MAX_RECORDS = 100_000  # of one pax header
_MAX_GLOBAL = 1 << 20  # bytes of pax headers that are for all files; tarfile keeps them
_LONG_NUMBER = re.compile(rb"\d{300}")  # tarfile searches for numbers, in a time that is the square of their length

_CHUNK = 1 << 20


class Refused(Exception):
    """The archive contains what no honest one does."""


class Damaged(Exception):
    """What is compressed can't be decompressed."""


class NoTar(Exception):
    """The very beginning is not that of a tar archive."""


def members(stream: Stream, max_entries: int = MAX_ENTRIES) -> Iterator[tarfile.TarInfo]:
    """Each file of the archive that *stream* reads; its content is to be read from *stream* before the next one.

    Raises :class:`NoTar`, :class:`Damaged`, :class:`tarfile.TarError` and :class:`Refused`.
    """
    try:
        archive = _guarded(lambda: tarfile.TarFile(fileobj=stream, tarinfo=_Member, **_NAMES))
    except tarfile.ReadError as error:
        raise NoTar(error) from None
    position, entries = -1, 0
    while (member := _guarded(archive.next)) is not None:
        archive.members = []  # tarfile remembers each; there may be millions
        entries += 1
        if entries > max_entries:
            raise Refused(f"it has more than {max_entries} files, which is the limit")
        if member.size < 0 or member.offset <= position:
            raise Refused(f"{member.name[:100]!r} has the size {member.size}")
        position = member.offset
        _check_paths(member)
        _check_holes(member)
        _check_global(archive.pax_headers)
        yield member
        stream.earn()


_NAMES = {"encoding": "utf-8", "errors": "surrogateescape"}


def _guarded(read):
    """What *read*, a function of tarfile, returns.  Its exceptions for impossible headers are of many kinds."""
    try:
        return read()
    except (ValueError, OverflowError, RecursionError, IndexError, KeyError, TypeError) as error:
        raise Refused(f"it has an impossible header ({type(error).__name__})") from None


def _check_paths(member: tarfile.TarInfo) -> None:
    for path in (member.name, member.linkname):
        if len(path) > MAX_PATH:
            raise Refused(f"{path[:100]!r}… has {len(path)} characters, and {MAX_PATH} is the limit for a path")
        if path.count("/") > MAX_DEPTH:
            raise Refused(f"{path[:100]!r}… lies in more than {MAX_DEPTH} directories, which is the limit")


def _check_holes(member: tarfile.TarInfo) -> None:
    for offset, size in member.sparse or ():
        if offset < 0 or size < 0 or offset + size > member.size:
            raise Refused(f"{member.name[:100]!r} has content outside of itself")


def _check_global(headers: dict[str, str]) -> None:
    if len(headers) > 100 or sum(len(name) + len(value) for name, value in headers.items()) > _MAX_GLOBAL:
        raise Refused(f"it has more than {_MAX_GLOBAL} bytes of headers for all files")


class _Member(tarfile.TarInfo):
    """A header of which the pax records are checked before tarfile looks at them."""

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        archive.fileobj.next_is_pax = True
        return super()._proc_pax(archive)


def _check_records(data: bytes) -> None:
    """Check that a pax header is a sequence of records ``LENGTH KEY=VALUE\\n``, each as long as it says.

    Old versions of tarfile look for keys beyond the record, and so keep megabytes for each of a million records.
    """
    place = records = 0
    while place < len(data) and data[place]:  # the rest of the block is filled with zeros
        space = data.find(b" ", place, place + 20)
        digits = data[place:space]
        length = int(digits) if space > 0 and digits.isdigit() else 0
        record = data[place : place + length]
        if length < 5 or len(record) < length or record[-1:] != b"\n" or b"=" not in record[space - place + 2 :]:
            raise Refused("it has a damaged pax header")
        place, records = place + length, records + 1
    if records > _MAX_RECORDS or _LONG_NUMBER.search(data):
        raise Refused("it has a pax header that no honest archive needs")


class Stream:
    """A raw file as the file that tarfile expects: seeking is reading on.  It remembers what was last read as a
    header."""

    def __init__(self, file):
        self._file = io.BufferedReader(file, _CHUNK)
        self._position = 0
        self.allowance = MAX_HEADER
        self.next_is_pax = False
        self.last = b""

    def earn(self) -> None:
        """One file more was read: it adds to what may be read of headers."""
        self.allowance = min(MAX_HEADER, self.allowance + _EARNED)

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        """What tarfile calls for headers.  It believes any size and keeps it in memory: hence the allowance."""
        self.allowance -= size
        if self.allowance < 0 or size < 0:
            raise Refused(f"one file has a header of more than {MAX_HEADER} bytes")
        self.last = self.data(size)
        if self.next_is_pax:
            self.next_is_pax = False
            _check_records(self.last)
        return self.last

    def data(self, size: int) -> bytes:
        """The next *size* bytes of content; fewer at the end."""
        chunk = self._file.read(size)
        self._position += len(chunk)
        return chunk

    def seek(self, position: int) -> None:
        while self._position < position and self.data(min(_CHUNK, position - self._position)):
            pass


class Seekable(Stream):
    """The same of a file that can be read at any place: what is skipped is not read."""

    def __init__(self, file):
        super().__init__(io.BytesIO())
        self._file = file
        file.seek(0)

    def seek(self, position: int) -> None:
        self._position = self._file.seek(position)


class Plain(io.RawIOBase):
    """The decompressed content of a descriptor as a raw file, hashed as it passes."""

    def __init__(self, fd: int, make, digest, max_bytes: int):
        self._chunks = compression.decompressed(lambda size: os.read(fd, size), make)
        self._digest, self._max_bytes, self._rest = digest, max_bytes, memoryview(b"")
        self._total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self._rest:
            try:
                chunk = next(self._chunks, b"")
            except Exception as error:  # each decompressor has exceptions of its own for "damaged"
                raise Damaged(str(error)) from None
            self._digest.update(chunk)
            self._total += len(chunk)
            if self._total > self._max_bytes:
                raise Refused(f"it holds more than {self._max_bytes} bytes, which is the limit")
            self._rest = memoryview(chunk)
        length = min(len(buffer), len(self._rest))
        buffer[:length], self._rest = self._rest[:length], self._rest[length:]
        return length
