"""The files that COPY and ADD copy, as one archive of parts, with a digest of its content.

Each part begins with a mark that gives its kind:

=============  ==========================================================================
``file``       one file, which is the next member; the mark has its name
``directory``  the content of a directory: members with paths below it
``archive``    an archive that ADD extracts: the content of the next member
=============  ==========================================================================

:mod:`.sources` writes it, and :mod:`.destination` reads it.  The digest ignores the times of the files: for the cache,
a file that was rewritten with the same content is unchanged.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile

from minict.engine.archive import tarmember
from minict.engine.archive.extract import XATTR

PART = "MINICT.part"  # in the pax header of a mark


class Archive:
    """Writes the archive into *file*, a binary file.

    *owner*: user and group of all files in it; None keeps the files' own. *mode*: a function that returns the new mode
    for an old one, see :func:`.modes.parse`.
    """

    def __init__(self, file, owner: tuple[int, int] | None, mode=None):
        self.owner, self.mode = owner, mode
        self._tar = tarfile.open(
            fileobj=file,
            mode="w|",
            format=tarfile.PAX_FORMAT,
            encoding="utf-8",
            errors="surrogateescape",
            bufsize=1 << 16,
        )
        self._addfile = self._tar.addfile
        setattr(self._tar, "addfile", self._add_as_ours)  # noqa: B010  # tarmember.add calls it
        self._digest = hashlib.sha256()
        self._first_names: dict = {}
        self.parts = 0

    def begin(self, part: str, name: str) -> None:
        """Begin a part of the kind *part* with the name *name*."""
        self._first_names = {}
        self.parts += 1
        mark = tarfile.TarInfo(name)
        mark.type, mark.pax_headers = tarfile.DIRTYPE, {PART: part}
        self._digest.update(repr((part, name)).encode("utf-8", "surrogateescape"))
        self._addfile(mark)

    def add(self, path: str, name: str) -> None:
        """Add the file *path* as *name*."""
        tarmember.add(self._tar, path, name, os.lstat(path), self._first_names)

    def add_bytes(self, data: bytes, name: str, mode: int, time: float = 0) -> None:
        """Add a file with this content."""
        self.add_file(io.BytesIO(data), name, len(data), mode, time)

    def add_file(self, file, name: str, size: int, mode: int, time: float = 0) -> None:
        """Add a file whose content is the next *size* bytes of *file*."""
        member = tarfile.TarInfo(name)
        member.size, member.mode, member.mtime = size, mode, int(time)
        self._tar.addfile(member, file)

    def _add_as_ours(self, member: tarfile.TarInfo, content=None) -> None:
        if self.owner is not None:
            member.uid, member.gid = self.owner
        member.uname = member.gname = ""
        if self.mode is not None and not member.issym():
            member.mode = self.mode(member.mode, member.isdir())
        attributes = sorted((key, value) for key, value in member.pax_headers.items() if key.startswith(XATTR))
        head = (identity(member), attributes)
        self._digest.update(repr(head).encode("utf-8", "surrogateescape"))
        self._addfile(member, _Read(content, self._digest) if content else None)

    def finish(self) -> str:
        """Close the archive; return the digest of its content."""
        self._tar.close()
        return self._digest.hexdigest()


def identity(member: tarfile.TarInfo) -> tuple:
    """All that the build cache knows of the file *member*, beside its content and its extended attributes.

    Its time is not in it: a file that was only touched, or written again, is unchanged.
    Source: docs.docker.com, "Build cache invalidation".
    """
    return (
        member.name,
        member.type,
        member.mode & 0o7777,
        member.uid,
        member.gid,
        member.size,
        member.linkname,
        member.devmajor,
        member.devminor,
    )


class _Read:
    """A file that hashes the data read from it."""

    def __init__(self, file, digest):
        self._file, self._digest = file, digest

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data
