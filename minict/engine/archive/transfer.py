"""Files go from one place to another as an archive between two processes: ``minict cp``, ``export``, and the filling
of a volume.

::

    sender     finds the source, writes "d" or "f", and then the archive ──► pipe
    receiver   reads that letter, finds or makes the destination, makes it its root directory, unpacks  ◄── pipe

Each works in the root directory of its end (:mod:`.fsview`), so that neither can be led out of it, and this process
never looks at a file or a name of the container.  One of the ends may be standard input or output: then there is no
letter. Source: docker-cp(1), whose rules on slashes, ``/.`` and links these are; docker's documentation, container cp.
"""

from __future__ import annotations

import collections
import errno
import hashlib
import os
import stat
import tarfile

from minict.runtime import mounts
from minict.runtime.errors import ContainerError

from . import compression, extract, fsview, tarmember

_CHUNK = 1 << 20
_START = 512  # of an archive: enough to see how it is compressed
_MAX_LINKS = 40  # as the kernel, path_resolution(7)
_TOP = "top"  # what the sender calls that which it sends; the receiver has a name for it
_NO_LIMIT = 1 << 62

#: One end of a copy.  *files*: whose, one of the classes of :mod:`.fsview`; *path*: an absolute path there, which may
#: end with ``/`` or ``/.``; *label*: what messages call it.
End = collections.namedtuple("End", "files path label")


def copy(
    source: End, destination: End, *, follow: bool = False, owner: tuple[int, int] | None = None, adopt: bool = False
) -> int:
    """Copy *source* to *destination*, which is a new name or, if it is there, a directory to copy into.

    Returns the bytes of its files.

    *follow*: when the source is a link, copy what it leads to.  *owner*: user and group of what is made; None keeps those
    of the source.  *adopt*: a directory that was there gets owner, mode and attributes of the source too.
    Raises :class:`ContainerError`.
    """
    reader, writer = os.pipe2(os.O_CLOEXEC)
    name, only_content = _name(source.path)
    sender = receiver = None
    try:
        sender = fsview.Child(source.files, lambda: _send(source, writer, _TOP, follow, letter=True), [writer])
        os.close(writer)
        writer = -1
        receiver = fsview.Child(
            destination.files,
            lambda: _receive(destination, open(reader, "rb", 0, closefd=False), name, only_content, owner, adopt),
            [reader],
        )
        os.close(reader)
        reader = -1
        try:
            size = int(receiver.wait())
        except ContainerError as error:
            fsview.blame(sender, error)
        sender.wait()
        return size
    finally:
        for fd in (reader, writer):
            if fd >= 0:
                os.close(fd)
        for child in (sender, receiver):
            if child:
                child.stop()


def send(source: End, output: int, *, follow: bool = False, content_of: bool = False) -> None:
    """Write *source* as an archive into the descriptor *output*: its name stands before each path in it, unless
    *content_of* says that only its content is meant.  Raises :class:`ContainerError`."""
    top = "" if content_of else _name(source.path)[0] or "."
    child = fsview.Child(source.files, lambda: _send(source, output, top, follow, letter=False), [output])
    try:
        child.wait()
    except ContainerError as error:
        if error.errno == errno.EPIPE:
            raise BrokenPipeError from None  # whoever reads it has heard enough
        raise
    finally:
        child.stop()


def receive(archive, destination: End, owner: tuple[int, int] | None = None) -> int:
    """Unpack *archive*, a binary file, plain or compressed, into the directory *destination*, which must be there;
    return the bytes of its files.  Raises :class:`ContainerError`."""
    start = archive.read(_START)
    make = compression.decompressor(start, "the archive")  # before the fork: who has entered can't import anything
    digest = hashlib.sha256()
    reader, writer = os.pipe2(os.O_CLOEXEC)

    child = fsview.Child(
        destination.files,
        lambda: _receive(destination, extract.Plain(reader, make, digest, extract.MAX_BYTES), None, True, owner),
        [reader],
    )
    os.close(reader)
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
    """What the source *path* is to be called at the other end, and whether only its content is meant
    (``DIRECTORY/.``)."""
    name = os.path.basename(os.path.normpath(path))
    return name, os.path.basename(path) == "." or not name


# ---- in the children: find ---------------------------------------------------------------------------------------------


def _opener(files):
    """The function that opens a path, as O_PATH, at an end that is a container or the host."""
    if isinstance(files, fsview.Host):
        return lambda path: os.open(path, os.O_PATH | os.O_CLOEXEC)
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return lambda path: mounts.look_up(root, path)


def _find(look, path: str, follow: bool) -> tuple[int, str]:
    """The directory in which *path* ends, as a descriptor, and the last name; with *follow* that of what a link leads
    to."""
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
            if error.errno in (errno.EINVAL, errno.ENOENT):  # no link, or nothing
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


# ---- in the children: send ---------------------------------------------------------------------------------------------


def _send(source: End, output: int, top: str, follow: bool, letter: bool) -> str:
    """Write *source*, under the name *top*, as an archive into *output*."""
    wants_directory = source.path.endswith(("/", "/."))
    directory, name = _find(_opener(source.files), source.path.removesuffix("."), follow or wants_directory)
    status = _status(directory, name)
    if status is None:
        raise ContainerError(f"there is no {source.label}", errno=errno.ENOENT)
    is_directory = stat.S_ISDIR(status.st_mode)
    if wants_directory and not is_directory:
        raise ContainerError(f"{source.label} is no directory, which the slash at its end says", errno=errno.ENOTDIR)
    os.fchdir(directory)
    if letter:
        os.write(output, b"d" if is_directory else b"f")
    return str(_pack(name, top, output))


class _Output:
    """A descriptor as the file that tarfile writes to, in large pieces."""

    def __init__(self, fd: int):
        self._fd, self._pieces, self._waiting, self._position = fd, [], 0, 0

    def tell(self) -> int:
        return self._position

    def write(self, data: bytes) -> None:
        self._pieces.append(data)
        self._position += len(data)
        self._waiting += len(data)
        if self._waiting >= _CHUNK:
            self.flush()

    def flush(self) -> None:
        extract.write_all(self._fd, b"".join(self._pieces))
        self._pieces, self._waiting = [], 0


def _pack(path: str, name: str, output: int) -> int:
    """Write *path* as *name*, and all that is below it, as an archive into *output*; without a name only what is below
    it.

    What vanishes meanwhile is left out.  The bytes of all files.
    """
    file, size, first_names = _Output(output), 0, {}
    archive = tarfile.TarFile(
        fileobj=file, mode="w", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
    )
    waiting = [(path, name)]
    while waiting:
        path, name = waiting.pop()
        try:
            status = os.lstat(path)
            if name:
                size += tarmember.add(archive, path, name, status, first_names) or 0
                archive.members = []  # tarfile remembers each; there may be millions
            if stat.S_ISDIR(status.st_mode):
                waiting += [
                    (f"{path}/{each}", f"{name}/{each}".lstrip("/")) for each in sorted(os.listdir(path), reverse=True)
                ]
        except (FileNotFoundError, NotADirectoryError):
            pass
    archive.close()
    file.flush()
    return size


# ---- in the children: receive ------------------------------------------------------------------------------------------


def _receive(
    destination: End, orders, name: str | None, only_content: bool, owner: tuple[int, int] | None, adopt: bool = False
) -> str:
    """Unpack what comes out of the raw file *orders*; the bytes of its files.

    *name*: what the top of the archive is to be called; None: it has no top, nor a letter before it.
    """
    letter = b"" if name is None else orders.read(1)
    if name is not None and not letter:
        return "0"  # the sender has failed
    directory, top = _place(destination, letter, name, only_content)
    os.fchdir(directory)
    os.chroot(".")
    os.close(directory)
    placer = _Placer(extract.Stream(orders), top, owner, adopt)
    try:
        placer.run()
    except (tarfile.TarError, extract.NoTar, extract.Damaged) as error:
        raise ContainerError(f"what was to be copied is no archive, or was cut short ({error})") from None
    except extract.Refused as error:
        raise ContainerError(f"what was to be copied can't be unpacked: {error}") from None
    return str(placer.size)


def _place(destination: End, letter: bytes, name: str | None, only_content: bool) -> tuple[int, str | None]:
    """Docker's rules: the directory to unpack into, as a descriptor, and what the top is called there (``.``:
    itself)."""
    label, is_directory = destination.label, letter != b"f"
    look = _opener(destination.files)
    try:
        directory, last = _find(look, destination.path.removesuffix("."), follow=True)
    except (FileNotFoundError, NotADirectoryError):
        raise ContainerError(f"there is no directory in which {label} could be made") from None
    status = _status(directory, last)
    if status and stat.S_ISDIR(status.st_mode):
        inner = os.open(last, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        os.close(directory)
        return inner, None if name is None else "." if is_directory and only_content else name
    if name is None:
        raise ContainerError(f"{label} is no directory: an archive is unpacked into one that is there")
    if status and is_directory:
        raise ContainerError(f"{label} is a file: a directory can't be copied over it")
    if not is_directory and destination.path.endswith(("/", "/.")):
        raise ContainerError(f"there is no directory {label}: make it, or leave the slash at its end out")
    return directory, last


class _Placer(extract.Unpacker):
    """Unpacks for ``cp``: the top gets the name *top*, and no directory takes a file's place, nor the other way
    round."""

    def __init__(self, stream, top: str | None, owner: tuple[int, int] | None, adopt: bool):
        super().__init__(stream, whiteouts=False, max_bytes=_NO_LIMIT, max_entries=_NO_LIMIT)
        self.top, self.owner, self.adopt = top, owner, adopt

    def place(self, member: tarfile.TarInfo) -> None:
        if self.top is not None:
            member.name = self.renamed(member.name)
            if member.islnk():
                member.linkname = self.renamed(member.linkname)
        if self.owner:
            member.uid, member.gid = self.owner
        super().place(member)

    def renamed(self, name: str) -> str:
        _, slash, rest = name.partition("/")
        return self.top + slash + rest

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
        if path != b"/" or self.adopt:  # the directory itself was there before
            super().set_attributes(member, path)
