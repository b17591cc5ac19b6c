"""The destination of COPY and ADD: links are followed, and missing directories are made.

It runs in a process whose root directory is the destination's (:mod:`minict.engine.archive.fsview`).

* The destination is a directory if it ends with a slash or already is one: then files are copied into it. A copied
  directory is merged into the destination, which keeps its own mode and owner if it exists.
* New parent directories have the mode 755, whatever the umask, and the owner given by --chown, or root.
* A file replaces a file or a link, but never a directory; a directory is merged into a directory, and replaces nothing
  else.

Source: BuildKit's github.com/tonistiigi/fsutil, copy; what was seen on Docker 20.10.
"""

from __future__ import annotations

import io
import os
import posixpath
import stat
import tarfile

from minict.engine.archive import compression, extract, reader
from minict.runtime.errors import ContainerError

from .copy_archive import PART

_NO_LIMIT = 1 << 62


class _Placer(extract.Unpacker):
    """Extracts files with the owner *owner*, or with those in the archive if it is None. A file never replaces a
    directory or vice versa."""

    def __init__(self, stream: reader.Stream, owner: tuple[int, int] | None, **limits):
        super().__init__(stream, **{"whiteouts": False, "max_bytes": _NO_LIMIT, "max_entries": _NO_LIMIT, **limits})
        self.owner = owner

    def place(self, member: tarfile.TarInfo) -> None:
        if self.owner:
            member.uid, member.gid = self.owner
        super().place(member)

    def set_attributes(self, member: tarfile.TarInfo, path: bytes) -> None:
        if path != b"/":  # the directory itself keeps its attributes, whatever the archive has for "."
            super().set_attributes(member, path)


class Destination(_Placer):
    """Extracts the parts of the archive *file* to *path*. *several*: whether there are several sources."""

    def __init__(self, file, path: str, owner: tuple[int, int] | None, several: bool):
        super().__init__(reader.Stream(file), None)
        self.path, self.made_by, self.several = path, owner or (0, 0), several
        self.unpacked_by = owner
        self.part, self.target = "", ""

    def run(self) -> None:
        """Extract all parts.  Raises :class:`ContainerError`."""
        try:
            super().run()
        except (tarfile.TarError, reader.NoTar, reader.Damaged, reader.Refused) as error:
            raise ContainerError(f"cannot copy to {self.path}: {error}") from None

    def place(self, member: tarfile.TarInfo) -> None:
        if PART in member.pax_headers:
            self.begin(member.pax_headers[PART], member.name)
        elif self.part == "archive":
            self.unpack(member)
        else:
            member.name = self.inside(member.name)
            if member.islnk():
                member.linkname = self.inside(member.linkname)
            super().place(member)

    def inside(self, name: str) -> str:
        """The full path of the member *name*."""
        return self.target if self.part == "file" else f"{self.target}/{name}"

    def begin(self, part: str, name: str) -> None:
        """Begin a part: find its target, and make the missing directories above it."""
        self.part = part
        is_directory = self.path.endswith(("/", "/."))
        target = os.path.realpath(self.path)
        make_directories(
            target if is_directory or part != "file" else os.path.realpath(os.path.dirname(self.path)), self.made_by
        )
        if part == "file" and os.path.isdir(target):
            target = posixpath.join(target, name)
        elif part == "file" and self.several:
            raise ContainerError(f"several sources need a directory as destination: use {self.path}/")
        make_directories(os.path.dirname(target), self.made_by)
        self.target = target

    def make_room(self, path: bytes, for_directory: bool) -> bool:
        try:
            there = stat.S_ISDIR(os.lstat(path).st_mode)
        except FileNotFoundError:
            return False
        if there != for_directory:
            name = os.fsdecode(path)
            raise ContainerError(
                f"{name!r} is a directory, which a file cannot replace"
                if there
                else f"{name!r} is not a directory, and a directory cannot replace it"
            )
        return super().make_room(path, for_directory)

    def unpack(self, member: tarfile.TarInfo) -> None:
        """Extract the archive that is the content of *member*, with the target as the root directory, which it cannot
        leave."""
        content = _Content(self.stream, member.size)
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        os.chroot(self.target)
        os.chdir("/")
        try:
            inner = _Placer(
                reader.Stream(content.plain(member.name)),
                self.unpacked_by,
                max_bytes=reader.MAX_BYTES,
                max_entries=reader.MAX_ENTRIES,
            )
            inner.run()
        except (tarfile.TarError, reader.NoTar, reader.Damaged, reader.Refused) as error:
            raise ContainerError(f"cannot unpack {member.name}: {error}") from None
        finally:
            os.fchdir(root)
            os.chroot(".")
            os.chdir("/")
            os.close(root)
        content.skip()


def make_directories(path: str, owner: tuple[int, int]) -> None:
    """Make the directory *path* and its missing parents with the mode 755, for *owner*.  Raises
    :class:`ContainerError`."""
    missing = []
    while not os.path.isdir(path):
        if os.path.lexists(path) and not os.path.islink(path):
            raise ContainerError(f"{path!r} is not a directory")
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        os.mkdir(each, 0o755)
        os.chown(each, *owner)


class _Content:
    """The next *size* bytes of *stream*, which are a complete archive."""

    def __init__(self, stream: reader.Stream, size: int):
        self._stream, self._left = stream, size

    def read(self, size: int) -> bytes:
        chunk = self._stream.data(min(size, self._left))
        self._left -= len(chunk)
        return chunk

    def plain(self, name: str) -> io.RawIOBase:
        """The decompressed content, as a raw file."""
        start = self.read(512)
        return _Plain(start, self.read, compression.decompressor(start, name))

    def skip(self) -> None:
        while self.read(1 << 20):
            pass


class _Plain(reader.Plain):
    """As :class:`minict.engine.archive.reader.Plain`, for *start* and the data that *read* returns after it."""

    def __init__(self, start: bytes, read, make):
        import hashlib

        super().__init__(-1, make, hashlib.sha256(), reader.MAX_BYTES)
        pieces = [start]
        self._chunks = compression.decompressed(lambda size: pieces.pop() if pieces else read(size), make)
