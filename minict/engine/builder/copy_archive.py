"""What COPY and ADD bring: one archive, with the names that the files are to have, and a digest of what is in it.

The digest leaves out the times of the files: a file that was written again with the same content is the same to the
cache.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile

from minict.engine.archive import tarmember
from minict.engine.archive.extract import XATTR


class Archive:
    """An archive that is filled piece by piece; in an unnamed file of the disk, as it may be large.

    *owner*: user and group of all files in it (root, unless --chown says otherwise); *mode*: theirs, when --chmod gives one.
    """

    def __init__(self, owner: tuple[int, int] = (0, 0), mode: int | None = None):
        self.file = tempfile.TemporaryFile(prefix="minict-build-")
        self.owner, self.mode = owner, mode
        self._tar = tarfile.open(
            fileobj=self.file,
            mode="w|",
            format=tarfile.PAX_FORMAT,
            encoding="utf-8",
            errors="surrogateescape",
            bufsize=1 << 16,
        )
        self._addfile = self._tar.addfile
        self._tar.addfile = self._add_as_ours  # members.add calls it
        self._digest = hashlib.sha256()

    def add(self, path: str, name: str) -> None:
        """Add the file *path* of the host as *name*."""
        tarmember.add(self._tar, path, name, os.lstat(path), {})

    def add_archive(self, archive: tarfile.TarFile, rename) -> None:
        """Add all members of *archive* that *rename* gives a name to."""
        for member in archive:
            name = rename(member.name)
            if name is None:
                continue
            member.name = name
            if member.islnk():
                member.linkname = rename(member.linkname) or member.linkname
            self._tar.addfile(member, archive.extractfile(member) if member.isreg() else None)

    def add_bytes(self, data: bytes, name: str, mode: int = 0o600) -> None:
        """Add a file with this content."""
        import io

        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), mode
        self._tar.addfile(member, io.BytesIO(data))

    def _add_as_ours(self, member: tarfile.TarInfo, content=None) -> None:
        member.uid, member.gid = self.owner
        member.uname = member.gname = ""
        if self.mode is not None and not member.issym():
            member.mode = self.mode | (0o111 if member.isdir() else 0)
        attributes = sorted((key, value) for key, value in member.pax_headers.items() if key.startswith(XATTR))
        head = (
            member.name,
            member.type,
            member.mode & 0o7777,
            member.uid,
            member.gid,
            member.size,
            member.linkname,
            member.devmajor,
            member.devminor,
            attributes,
        )
        self._digest.update(repr(head).encode("utf-8", "surrogateescape"))
        self._addfile(member, _Read(content, self._digest) if content else None)

    def finish(self) -> str:
        """Close the archive; the digest of what is in it.  :attr:`file` is then to be read from its beginning."""
        self._tar.close()
        self.file.seek(0)
        return self._digest.hexdigest()


class _Read:
    """A file that hashes what is read."""

    def __init__(self, file, digest):
        self._file, self._digest = file, digest

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data


def opened(path: str) -> tarfile.TarFile | None:
    """The archive in the file *path*, plain or compressed; None when it is none: ADD unpacks the one and copies the
    other."""
    import io

    from minict.engine.archive import compression, extract

    if not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        make = compression.decompressor(file.read(512), path)
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    plain = io.BufferedReader(extract.Plain(fd, make, hashlib.sha256(), extract.MAX_BYTES))
    try:
        return tarfile.open(fileobj=plain, mode="r|", encoding="utf-8", errors="surrogateescape")
    except (tarfile.TarError, extract.Damaged):
        os.close(fd)
        return None
