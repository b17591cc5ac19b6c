"""Copy files as an archive between two processes: ``minict cp``, ``export``, and filling volumes.

::

    sender     finds the source, writes "d" or "f", and then the archive ──► pipe
    receiver   reads that letter, finds or makes the destination, makes it its root directory, extracts ◄── pipe

Each works in the root directory of its end (:mod:`.fsview`), so that no link leads either of them out of it, and this
process never looks at a file or a name of the container.  One end may be standard input or output; then there is no
letter.

Source: docker-cp(1), whose rules for slashes, ``/.`` and links apply.
"""

from __future__ import annotations

import collections
import errno
import hashlib
import os
import stat
import tarfile
from collections.abc import Callable
from typing import Any

from minict.runtime import mounts
from minict.runtime.errors import ContainerError
from minict.runtime.files import write_all

from . import compression, extract, fsview, reader, tarmember

_CHUNK = 1 << 20
_START = 512  # bytes of an archive, enough to recognize its compression
_MAX_LINKS = 40  # as in the kernel, path_resolution(7)
_TOP = "top"  # the sender's name for the source; the receiver has its own
_NO_LIMIT = 1 << 62

#: One end of a copy.  *files*: an object of a class of :mod:`.fsview`; *path*: an absolute path there, which may
#: end with ``/`` or ``/.``; *label*: how messages call it.
End = collections.namedtuple("End", "files path label")


def copy(
    source: End, destination: End, *, follow: bool = False, owner: tuple[int, int] | None = None, adopt: bool = False
) -> int:
    """Copy *source* to *destination*, which is a new name, or an existing directory to copy into.

    Returns the bytes of the files.  *follow*: if the source is a link, copy its target.  *owner*: user and group of the
    copies; None keeps those of the source.  *adopt*: an existing directory also gets owner, mode and attributes of the
    source. Raises :class:`ContainerError`.
    """
    receiving, writer = os.pipe2(os.O_CLOEXEC)
    name, only_content = _name(source.path)
    sender = receiver = None
    try:
        sender = fsview.Child(source.files, lambda: _send(source, writer, _TOP, follow, letter=True), [writer])
        os.close(writer)
        writer = -1
        receiver = fsview.Child(
            destination.files,
            lambda: _receive(destination, open(receiving, "rb", 0, closefd=False), name, only_content, owner, adopt),
            [receiving],
        )
        os.close(receiving)
        receiving = -1
        try:
            size = int(receiver.wait())
        except ContainerError as error:
            fsview.blame(sender, error)
        sender.wait()
        return size
    finally:
        for fd in (receiving, writer):
            if fd >= 0:
                os.close(fd)
        for child in (sender, receiver):
            if child:
                child.stop()


def send(source: End, output: int, *, follow: bool = False, content_of: bool = False) -> None:
    """Write *source* as an archive to the descriptor *output*.

    Its name precedes each path, unless *content_of* is true.  Raises :class:`ContainerError`.
    """
    top = "" if content_of else _name(source.path)[0] or "."
    child = fsview.Child(source.files, lambda: _send(source, output, top, follow, letter=False), [output])
    try:
        child.wait()
    except ContainerError as error:
        if error.errno == errno.EPIPE:
            raise BrokenPipeError from None  # the reader has closed it
        raise
    finally:
        child.stop()


def receive(archive: Any, destination: End, owner: tuple[int, int] | None = None) -> int:
    """Extract *archive*, a binary file, plain or compressed, into the existing directory *destination*; return the
    bytes of the files.

    Raises :class:`ContainerError`.
    """
    start = archive.read(_START)
    make = compression.decompressor(start, "the archive")  # before the fork: the child can't import anything
    digest = hashlib.sha256()
    receiving, writer = os.pipe2(os.O_CLOEXEC)

    child = fsview.Child(
        destination.files,
        lambda: _receive(destination, reader.Plain(receiving, make, digest, reader.MAX_BYTES), None, True, owner),
        [receiving],
    )
    os.close(receiving)
    try:
        extract.feed(start, archive, writer, "the archive")
        os.close(writer)
        writer = -1
        return int(child.wait())
    finally:
        if writer >= 0:
            os.close(writer)
        child.stop()


def _name(path: str) -> tuple[str, bool]:
    """The name of the source *path* at the other end, and whether only its content is meant (``DIRECTORY/.``)."""
    name = os.path.basename(os.path.normpath(path))
    return name, os.path.basename(path) == "." or not name


# ---- in the children: find -----------------------------------------------------------------------------------------


def _opener(files: Any) -> Callable[[str], int]:
    """The function that opens a path with O_PATH at one end, a container or the host."""
    if isinstance(files, fsview.Host):
        return lambda path: os.open(path, os.O_PATH | os.O_CLOEXEC)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return lambda path: mounts.look_up(root, path)


def _find(look: Callable[[str], int], path: str, follow: bool) -> tuple[int, str]:
    """The directory that contains the last name of *path*, as a descriptor, and that name; with *follow*, of a
    link's target."""
    for _ in range(_MAX_LINKS):
        parent, name = os.path.split(path.rstrip("/") or "/")
        if name in ("", ".", ".."):
            return look(path), "."
        directory = look(parent or ".")
        if not follow:
            return directory, name
        try:
            target = os.readlink(name, dir_fd=directory)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):  # not a link, or nothing
                return directory, name
            raise
        os.close(directory)
        path = os.path.join(parent, target)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def _status(directory: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return None


# ---- in the children: send -----------------------------------------------------------------------------------------


def _send(source: End, output: int, top: str, follow: bool, letter: bool) -> str:
    """Write *source*, under the name *top*, as an archive to *output*."""
    wants_directory = source.path.endswith(("/", "/."))
    directory, name = _find(_opener(source.files), source.path.removesuffix("."), follow or wants_directory)
    status = _status(directory, name)
    if status is None:
        raise ContainerError(f"no such file or directory: {source.label}", errno=errno.ENOENT)
    is_directory = stat.S_ISDIR(status.st_mode)
    if wants_directory and not is_directory:
        raise ContainerError(
            f"{source.label} is not a directory, although the path ends with a slash", errno=errno.ENOTDIR
        )
    os.fchdir(directory)
    if letter:
        os.write(output, b"d" if is_directory else b"f")
    return str(_pack(name, top, output))


class _Output:
    """A descriptor with the interface that tarfile needs; writes large pieces."""

    def __init__(self, fd: int):
        self._fd, self._waiting, self._position = fd, 0, 0
        self._pieces: list[bytes] = []

    def tell(self) -> int:
        return self._position

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._position += len(data)
        self._waiting += len(data)
        if self._waiting >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        write_all(self._fd, b"".join(self._pieces))
        self._pieces, self._waiting = [], 0


def _as_file(output: _Output) -> Any:
    return output  # it has what tarfile needs of a file


def _pack(path: str, name: str, output: int) -> int:
    """Write *path* as *name*, and everything below it, as an archive to *output*; without a name only what is below it.

    Files that vanish meanwhile are left out.  Returns the bytes of all files.
    """
    file, size = _Output(output), 0
    first_names: dict[tuple[int, int], str] = {}
    archive = tarfile.TarFile(
        fileobj=_as_file(file), mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
    )
    waiting = [(path, name)]
    while waiting:
        path, name = waiting.pop()
        try:
            status = os.lstat(path)
            if name:
                size += tarmember.add(archive, path, name, status, first_names) or 0
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps each member, and there may be millions
            if stat.S_ISDIR(status.st_mode):
                waiting += [
                    (f"{path}/{each}", f"{name}/{each}".lstrip("/")) for each in sorted(os.listdir(path), reverse=True)
                ]
        except (FileNotFoundError, NotADirectoryError):
            pass
    archive.close()
    file.flush()
    return size


# ---- in the children: receive --------------------------------------------------------------------------------------


def _receive(
    destination: End,
    orders: Any,
    name: str | None,
    only_content: bool,
    owner: tuple[int, int] | None,
    adopt: bool = False,
) -> str:
    """Extract what comes from the raw file *orders*; return the bytes of the files.

    *name*: the name of the archive's top; None: the archive has no top, and no letter before it.
    """
    letter = b"" if name is None else orders.read(1)
    if name is not None and not letter:
        return "0"  # the sender has failed
    directory, top = _place(destination, letter, name, only_content)
    os.fchdir(directory)
    os.chroot(".")
    os.close(directory)
    to_host = isinstance(destination.files, fsview.Host) and not adopt  # and not into a volume
    placer = _Placer(reader.Stream(orders), top, owner, adopt, to_host)
    try:
        placer.run()
    except (tarfile.TarError, reader.NoTar, reader.Damaged) as error:
        raise ContainerError(f"the copied data are not an archive, or truncated ({error})") from None
    except reader.Refused as error:
        raise ContainerError(f"the copied data can't be extracted: {error}") from None
    return str(placer.size)


def _place(destination: End, letter: bytes, name: str | None, only_content: bool) -> tuple[int, str | None]:
    """Docker's rules: the directory to extract into, as a descriptor, and the name of the top there (``.``: the
    directory itself)."""
    label, is_directory = destination.label, letter != b"f"
    look = _opener(destination.files)
    try:
        directory, last = _find(look, destination.path.removesuffix("."), follow=True)
    except (FileNotFoundError, NotADirectoryError):
        raise ContainerError(f"the parent directory of {label} does not exist: create it first") from None
    status = _status(directory, last)
    if status and stat.S_ISDIR(status.st_mode):
        inner = os.open(last, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        os.close(directory)
        return inner, None if name is None else "." if is_directory and only_content else name
    if name is None:
        raise ContainerError(f"{label} is not a directory: an archive needs an existing directory")
    if status and is_directory:
        raise ContainerError(f"{label} is a file, and can't be replaced by a directory")
    if not is_directory and destination.path.endswith(("/", "/.")):
        raise ContainerError(f"no such directory: {label}: create it, or leave out the slash at the end")
    return directory, last


class _Placer(extract.Unpacker):
    """Extracts for ``cp``: the top gets the name *top*, and a directory never replaces a file or vice versa."""

    def __init__(
        self, stream: reader.Stream, top: str | None, owner: tuple[int, int] | None, adopt: bool, to_host: bool = False
    ):
        super().__init__(stream, whiteouts=False, max_bytes=_NO_LIMIT, max_entries=_NO_LIMIT)
        self.top, self.owner, self.adopt, self.to_host = top, owner, adopt, to_host

    def place(self, member: tarfile.TarInfo) -> None:
        if self.top is not None:
            member.name = self.renamed(member.name)
            if member.islnk():
                member.linkname = self.renamed(member.linkname)
        if self.to_host and (member.ischr() or member.isblk()):
            os.write(2, f"minict: left out {member.name[:200]!r}, a device, which is not made on the host\n".encode())
            return
        if self.owner:
            if self.to_host or (member.uid, member.gid) != self.owner:
                # a program that runs as its owner, or with capabilities, would be one of the new owner's
                member.mode &= ~(stat.S_ISUID | stat.S_ISGID)
                dropped = f"{extract.XATTR}security.capability"
                member.pax_headers = {key: value for key, value in member.pax_headers.items() if key != dropped}
            member.uid, member.gid = self.owner
        super().place(member)

    def renamed(self, name: str) -> str:
        _, slash, rest = name.partition("/")
        return f"{self.top}{slash}{rest}"

    def make_room(self, path: bytes, for_directory: bool) -> bool:
        try:
            there = stat.S_ISDIR(os.lstat(path).st_mode)
        except FileNotFoundError:
            return False
        if there != for_directory:
            kinds = ("a directory", "a file")
            raise ContainerError(
                f"{os.fsdecode(path)!r} is {kinds[for_directory]} at the destination and {kinds[there]} at the "
                "source: remove it first"
            )
        return super().make_room(path, for_directory)

    def set_attributes(self, member: tarfile.TarInfo, path: bytes) -> None:
        if path != b"/" or self.adopt:  # the directory itself existed before
            super().set_attributes(member, path)
