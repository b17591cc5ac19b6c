"""Read archives of unknown origin: ADD, load, import, layers and ``cp`` all use this module.

The standard library's ``tarfile`` trusts what an archive says about itself.  It keeps a header of any size in memory,
loops forever on a negative size (CVE-2025-8194), and searches pax headers in quadratic time.  Here every header is
checked before tarfile interprets it.  The limits are far above what honest archives need.

Sources: tar(5); pax in POSIX.1-2017, "pax Header Block"; https://nvd.nist.gov/vuln/detail/CVE-2025-8194 and
CVE-2024-6232 for tarfile, of which distributions keep old versions.
"""

from __future__ import annotations

import io
import os
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from . import compression

T = TypeVar("T")

MAX_BYTES = 128 << 30  # of a decompressed archive; the largest images have a tenth of this
MAX_ENTRIES = 4_000_000
MAX_HEADER = 4 << 20  # the names, attributes and holes of one file
MAX_PATH = 4096  # path_resolution(7), PATH_MAX: no system call takes a longer path
MAX_DEPTH = 1000  # directories on the way to a file
_EARNED = 64 << 10  # bytes that each file adds to the allowance for headers
_MAX_RECORDS = 100_000  # of one pax header
_MAX_GLOBAL = 1 << 20  # bytes of global pax headers, which tarfile keeps
_LONG_NUMBER = re.compile(rb"\d{300}")  # tarfile searches for numbers in quadratic time

_CHUNK = 1 << 20


class Refused(Exception):
    """The archive has content that no honest archive has."""


class Damaged(Exception):
    """The compressed data are damaged."""


class NoTar(Exception):
    """The data do not begin like a tar archive."""


def members(stream: Stream, max_entries: int = MAX_ENTRIES) -> Iterator[tarfile.TarInfo]:
    """Each member of the archive that *stream* reads. Read a member's content from *stream* before the next member.

    Raises :class:`NoTar`, :class:`Damaged`, :class:`tarfile.TarError` and :class:`Refused`.
    """
    try:
        archive = _guarded(
            lambda: tarfile.TarFile(
                fileobj=_as_file(stream), tarinfo=_Member, encoding="utf-8", errors="surrogateescape"
            )
        )
    except tarfile.ReadError as error:
        raise NoTar(error) from None
    position, entries = -1, 0
    while (member := _guarded(archive.next)) is not None:
        archive.members = []  # type: ignore[attr-defined]  # tarfile keeps each member, and there may be millions
        entries += 1
        if entries > max_entries:
            raise Refused(f"it has more than {max_entries} files: the limit")
        if member.size < 0 or member.offset <= position:
            raise Refused(f"{member.name[:100]!r} has the size {member.size}")
        position = member.offset
        _check_paths(member)
        _check_holes(member)
        _check_global(archive.pax_headers)
        yield member
        stream.earn()


def _guarded(read: Callable[[], T]) -> T:
    """Call *read*, a function of tarfile. It raises many kinds of exceptions for invalid headers."""
    try:
        return read()
    except (ValueError, OverflowError, RecursionError, IndexError, KeyError, TypeError) as error:
        raise Refused(f"it has an invalid header ({type(error).__name__})") from None


def _as_file(stream: Stream) -> Any:
    return stream  # it has what tarfile needs of a file


def _check_paths(member: tarfile.TarInfo) -> None:
    for path in (member.name, member.linkname):
        if len(path) > MAX_PATH:
            raise Refused(f"{path[:100]!r}… has {len(path)} characters: the limit for a path is {MAX_PATH}")
        if path.count("/") > MAX_DEPTH:
            raise Refused(f"{path[:100]!r}… is nested in more than {MAX_DEPTH} directories: the limit")


def _check_holes(member: tarfile.TarInfo) -> None:
    holes: Any = member.sparse or []
    for offset, size in holes:
        if offset < 0 or size < 0 or offset + size > member.size:
            raise Refused(f"{member.name[:100]!r} has content beyond its size")


def _check_global(headers: Mapping[str, str]) -> None:
    if len(headers) > 100 or sum(len(name) + len(value) for name, value in headers.items()) > _MAX_GLOBAL:
        raise Refused(f"it has more than {_MAX_GLOBAL} bytes of global headers")


class _Member(tarfile.TarInfo):
    """A header whose pax records are checked before tarfile parses them."""

    def _proc_pax(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        stream: Any = archive.fileobj
        stream.expect_pax(-(-self.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE)
        return super()._proc_pax(archive)  # type: ignore[misc]  # tarfile's own, and not in typeshed


def _check_records(data: bytes) -> None:
    r"""Check that a pax header is a sequence of records ``LENGTH KEY=VALUE\n`` with the right lengths.

    Old versions of tarfile search for keys beyond the record, and keep megabytes for each of a million records.
    """
    place = records = 0
    while place < len(data) and data[place]:  # zeros fill the rest of the block
        space = data.find(b" ", place, place + 20)
        digits = data[place:space]
        length = int(digits) if space > 0 and digits.isdigit() else 0
        record = data[place : place + length]
        if length < 5 or len(record) < length or record[-1:] != b"\n" or b"=" not in record[space - place + 2 :]:
            raise Refused("it has a damaged pax header")
        place, records = place + length, records + 1
    if records > _MAX_RECORDS or _LONG_NUMBER.search(data):
        raise Refused("it has a pax header with too many records or too long numbers")


class Stream:
    """A raw file with the interface that tarfile expects, where seeking means reading on. It keeps the last header."""

    def __init__(self, file: Any):
        self._file: Any = io.BufferedReader(file, _CHUNK)
        self._position = 0
        self.allowance = MAX_HEADER
        self._pax: list[bytes] = []  # a pax header as far as it has been read
        self._pax_left = 0  # and how much of it is still to come
        self.last = b""

    def earn(self) -> None:
        """Raise the allowance for headers, because one more member has been read."""
        self.allowance = min(MAX_HEADER, self.allowance + _EARNED)

    def tell(self) -> int:
        return self._position

    def expect_pax(self, size: int) -> None:
        """Check the next *size* bytes as a pax header: some versions of tarfile read it whole, others in pieces."""
        self._pax, self._pax_left = [], size

    def read(self, size: int) -> bytes:
        """Read a header for tarfile, which trusts any size and keeps it in memory: hence the allowance."""
        self.allowance -= size
        if self.allowance < 0 or size < 0:
            raise Refused(f"one file has a header of more than {MAX_HEADER} bytes")
        self.last = self.data(size)
        if self._pax_left > 0:
            self._pax.append(self.last)
            self._pax_left -= size
            if self._pax_left <= 0 or not self.last:
                _check_records(b"".join(self._pax))
                self._pax, self._pax_left = [], 0
        return self.last

    def data(self, size: int) -> bytes:
        """The next *size* bytes of content; fewer at the end."""
        chunk: bytes = self._file.read(size)
        self._position += len(chunk)
        return chunk

    def seek(self, position: int) -> None:
        while self._position < position and self.data(min(_CHUNK, position - self._position)):
            pass


class Seekable(Stream):
    """A :class:`Stream` over a file with random access: skipped data are not read."""

    def __init__(self, file: Any):
        super().__init__(io.BytesIO())
        self._file = file
        file.seek(0)

    def seek(self, position: int) -> None:
        self._position = self._file.seek(position)


class Plain(io.RawIOBase):
    """The decompressed content of a descriptor as a raw file; *digest* is updated with it."""

    def __init__(self, fd: int, make: compression.Maker | None, digest: Any, max_bytes: int):
        self._chunks = compression.decompressed(lambda size: os.read(fd, size), make)
        self._digest, self._max_bytes, self._rest = digest, max_bytes, memoryview(b"")
        self._total = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest:
            try:
                chunk = next(self._chunks, b"")
            except Exception as error:  # each decompressor has its own exceptions
                raise Damaged(str(error)) from None
            self._digest.update(chunk)
            self._total += len(chunk)
            if self._total > self._max_bytes:
                raise Refused(f"it has more than {self._max_bytes} bytes: the limit")
            self._rest = memoryview(chunk)
        length = min(len(buffer), len(self._rest))
        buffer[:length], self._rest = self._rest[:length], self._rest[length:]
        return length
