"""A tar archive becomes a directory, and a directory an archive, whoever made the archive and whatever is in it.

An archive is a list of orders: make this file, link that name to this one, here is a device.  A hostile one orders
``../../etc/cron.d/x``, or a symbolic link ``out -> /`` and then the file ``out/etc/passwd``.  Checking each
name is a game that has been lost many times; here the kernel is the check.  A child process makes the
target its root directory with chroot(2) and then obeys: for it there is no outside that a name could mean.

::

    parent   file or pipe -> decompress -> sha256, count -> pipe        (never looks into the archive)
    child    pipe -> read the orders -> make the files, inside chroot   (sees nothing of the host)

After chroot no module can be imported any more, the library is outside: all that the child uses is imported above.

The standard library's ``tarfile`` reads the orders and this module carries them out: what tarfile's own
``extract`` does is wrong for an image.  Its filter "data", the default since Python 3.14, refuses absolute
links and devices, which ordinary images have; no filter keeps extended attributes; and it opens a name that
is there already instead of replacing it, and so writes through links.

Source: tar(5), pax in POSIX.1-2017; the image-spec's layer.md for whiteouts; overlayfs.rst for the kernel's own.
"""
from __future__ import annotations

import collections
import errno
import hashlib
import io
import os
import shutil
import signal
import stat
import tarfile

from ..kernel import process
from ..runtime.errors import ContainerError

# Against archives that are small and unpack to more than there is.  The largest images have a tenth of this.
MAX_BYTES = 128 << 30
MAX_ENTRIES = 4_000_000
_MAX_HEADER = 16 << 20  # the names and attributes of one file

_CHUNK = 1 << 20
_XATTR = "SCHILY.xattr."  # in a pax header, before the name of an extended attribute: a custom that became the standard
_OVERLAYS_OWN = (_XATTR + "trusted.overlay.", _XATTR + "user.overlay.")  # orders to the kernel's mount, not data
_OPAQUE = "trusted.overlay.opaque"

#: digest: the sha256 of the archive, decompressed (the image-spec's DiffID); size: of all files, in bytes.
Contents = collections.namedtuple("Contents", "digest size entries")


def unpack(archive, directory: str, *, whiteouts: bool = False, max_bytes: int = MAX_BYTES,
           max_entries: int = MAX_ENTRIES, name: str = "the archive") -> Contents:
    """Unpack *archive*, a binary file or pipe, into the empty *directory*; return what was in it.

    Plain tar, gzip, bzip2, xz and zstd are told apart by their first bytes.  Owners, modes, times, extended
    attributes, hard links, devices and holes are kept.  With *whiteouts*, a layer's marks for what it deletes
    (``.wh.NAME``) become overlayfs's own.  *name* is what messages call the archive.

    Raises :class:`ContainerError`; what was unpacked until then is left to the caller to remove.
    """
    plain = decompressed(archive, name)
    orders_in, orders_out = os.pipe()
    report_in, report_out = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(orders_out)
        _child(parent, orders_in, report_out, directory, whiteouts, max_bytes, max_entries)
    os.close(orders_in)
    os.close(report_out)
    try:
        with open(report_in, encoding="utf-8") as report:
            try:
                digest = _feed(plain, orders_out, max_bytes, name)
            finally:
                os.close(orders_out)
            kind, _, text = report.read().partition("\n")
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        raise
    finally:
        os.waitpid(pid, 0)
    if kind != "done":
        raise _failure(name, directory, kind, text)
    return Contents(digest, *map(int, text.split()))


def decompressed(archive, name: str = "the archive"):
    """A file that reads what *archive* is when it is not compressed.  Raises :class:`ContainerError`."""
    if not hasattr(archive, "peek"):
        archive = io.BufferedReader(archive, _CHUNK)
    start = archive.peek(6)
    if start.startswith(b"\x1f\x8b"):
        import gzip
        return gzip.GzipFile(fileobj=archive)
    if start.startswith(b"BZh"):
        import bz2
        return bz2.BZ2File(archive)
    if start.startswith(b"\xfd7zXZ\0"):
        import lzma
        return lzma.LZMAFile(archive)
    if start.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstd(name).ZstdFile(archive)
    return archive


def _zstd(name: str):
    """The module for zstd: part of Python from 3.14 on, and before that the same code as a package."""
    try:
        from compression import zstd
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise ContainerError(f"{name} is compressed with zstd, which this Python can't read: "
                                 "pip install backports.zstd") from None
    return zstd


def _feed(plain, orders: int, max_bytes: int, name: str) -> str:
    """Pass all that *plain* gives on to the child, through the descriptor *orders*; return its sha256."""
    digest, total = hashlib.sha256(), 0
    while chunk := _read(plain, name):
        digest.update(chunk)
        total += len(chunk)
        if total > max_bytes:
            raise ContainerError(f"{name} holds more than {max_bytes} bytes, the limit: raise it only if you trust it")
        try:
            write_all(orders, chunk)
        except BrokenPipeError:  # the child has stopped, and its report says why
            break
    return digest.hexdigest()


def _read(plain, name: str) -> bytes:
    """The next piece.  Each decompressor has exceptions of its own for "damaged" and "cut short"; a user needs one."""
    try:
        return plain.read(_CHUNK)
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the disk, and not what is on it
            raise ContainerError(f"{name} can't be read: {error.strerror}", errno=error.errno) from error
        raise _damaged(name, error) from error


def _damaged(name: str, reason: object) -> ContainerError:
    return ContainerError(f"{name} is damaged or was cut short ({reason}): get it again")


def _failure(name: str, directory: str, kind: str, text: str) -> ContainerError:
    """The child's report as an exception.  *kind* is an errno, a word, or empty when it could not even report."""
    if kind in (str(errno.ENOSPC), str(errno.EDQUOT)):
        return ContainerError(f"{name} does not fit on the disk that holds {directory}: free some space there "
                              "(minict prune) and do it again", errno=int(kind))
    if kind == "no tar":
        return ContainerError(f"{name} is no tar archive, plain or compressed by gzip, bzip2, xz or zstd ({text})")
    if kind == "damaged":
        return _damaged(name, text)
    if not kind:
        return ContainerError(f"{name} was not unpacked: the process that does it was killed (too little memory?)")
    return ContainerError(f"{name} can't be unpacked: {text}", errno=int(kind) if kind.isdigit() else None)


# ---- the child: from here on the root directory is the target ------------------------------------------------------

def _child(parent: int, orders: int, report: int, directory: str, *options) -> None:
    """Unpack what comes through the descriptor *orders*, say through *report* how it went, and end."""
    try:
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before that
            os._exit(1)
        os.umask(0)
        os.chroot(directory)
        os.chdir("/")
        unpacker = _Unpacker(_Forward(orders), *options)
        unpacker.run()
        text = f"done\n{unpacker.size} {unpacker.entries}"
    except _NoTar as error:
        text = f"no tar\n{error}"
    except tarfile.TarError as error:
        text = f"damaged\n{error}"
    except _Refused as error:
        text = f"refused\n{error}"
    except OSError as error:
        where = f"{os.fsdecode(error.filename)!r}: " if error.filename else ""
        text = f"{error.errno}\n{where}{error.strerror}"
    except BaseException as error:
        text = f"refused\n{type(error).__name__}: {error}"
    try:
        os.write(report, text[:1000].encode("utf-8", "backslashreplace"))  # the pipe holds more: no waiting
    finally:
        os._exit(0)


class _Refused(Exception):
    """The archive orders what no honest one does."""


class _NoTar(Exception):
    """The very beginning is not that of a tar archive."""


class _Forward:
    """A pipe as the file that tarfile expects: seeking is reading on.  It remembers what was last read as a header."""

    def __init__(self, fd: int):
        self._file = open(fd, "rb", buffering=_CHUNK)
        self._position = 0
        self.allowance = _MAX_HEADER
        self.last = b""

    def tell(self) -> int:
        return self._position

    def read(self, size: int) -> bytes:
        """What tarfile calls for headers.  It believes any size and keeps it in memory: hence the allowance."""
        self.allowance -= size
        if self.allowance < 0:
            raise _Refused(f"one file has a header of more than {_MAX_HEADER} bytes")
        self.last = self.data(size)
        return self.last

    def data(self, size: int) -> bytes:
        chunk = self._file.read(size)
        self._position += len(chunk)
        return chunk

    def seek(self, position: int) -> None:
        while self._position < position and self.data(min(_CHUNK, position - self._position)):
            pass


class _Unpacker:
    """Carries out the orders of one archive in the root directory."""

    def __init__(self, stream: _Forward, whiteouts: bool, max_bytes: int, max_entries: int):
        self.stream, self.whiteouts = stream, whiteouts
        self.max_bytes, self.max_entries = max_bytes, max_entries
        self.size = self.entries = 0
        self.directory_times = {}  # set at the end: making a file in a directory changes the directory's time

    def run(self) -> None:
        try:
            archive = tarfile.TarFile(fileobj=self.stream, encoding="utf-8", errors="surrogateescape")
        except tarfile.ReadError as error:
            raise _NoTar(error) from None
        while True:
            self.stream.allowance = _MAX_HEADER
            member = archive.next()
            archive.members = []  # tarfile remembers each; there may be millions
            if member is None:
                break
            self.count(member)
            self.place(member)
        # tarfile takes anything that is no header for the end; the real end is a block of zeros.  Some writers of
        # layers leave it out: there the digest tells whether all is here.
        if self.stream.last != bytes(tarfile.BLOCKSIZE) and not (self.whiteouts and self.stream.last == b""):
            raise tarfile.ReadError(f"its end is missing, after {self.entries} files")
        while self.stream.data(_CHUNK):  # the parent's digest is over all of it
            pass
        for path, times in self.directory_times.items():
            if stat.S_ISDIR(os.lstat(path).st_mode):
                os.utime(path, ns=times)

    def count(self, member: tarfile.TarInfo) -> None:
        """Refuse to unpack without end."""
        self.entries += 1
        self.size += member.size if member.isreg() else 0
        if member.size < 0:
            raise _Refused(f"{member.name!r} has the size {member.size}")
        if self.entries > self.max_entries:
            raise _Refused(f"it has more than {self.max_entries} files, which is the limit")
        if self.size > self.max_bytes:
            raise _Refused(f"it unpacks to more than {self.max_bytes} bytes, which is the limit")

    def place(self, member: tarfile.TarInfo) -> None:
        """Make the one file, directory, link or device that *member* orders."""
        path = inside(member.name)
        parent, name = os.path.split(path)
        make_parents(parent)
        if self.whiteouts and name.startswith(b".wh."):
            return self.white_out(parent, name)
        if member.islnk():
            return self.link(inside(member.linkname), path)
        opaque = self.make_room(path, member.isdir())
        if member.isdir():
            if path != b"/" and not os.path.isdir(path):
                os.mkdir(path, 0o700)
        elif member.issym():
            os.symlink(encoded(member.linkname), path)
        elif member.isfifo() or member.isdev():
            kind = stat.S_IFIFO if member.isfifo() else stat.S_IFCHR if member.ischr() else stat.S_IFBLK
            os.mknod(path, 0o600 | kind, os.makedev(member.devmajor, member.devminor))
        else:  # as POSIX says of kinds that are not known
            self.write_file(member, path)
        self.set_attributes(member, path)
        if opaque:
            os.setxattr(path, _OPAQUE, b"y")

    def make_room(self, path: bytes, for_directory: bool) -> bool:
        """Remove what is at *path*, so that nothing is written through a link or into a device; directories are merged.

        True when that was a whiteout and a directory follows: it must then hide the one in the layers below.
        """
        try:
            mode, device = (status := os.lstat(path)).st_mode, status.st_rdev
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(mode):
            os.unlink(path)
        elif not for_directory:
            if path == b"/":
                raise _Refused("it has a file in the place of its root directory")
            shutil.rmtree(path)
        return self.whiteouts and for_directory and stat.S_ISCHR(mode) and device == 0

    def link(self, target: bytes, path: bytes) -> None:
        """A second name for the file *target*, which must be there already: the attributes are those of the first."""
        if target == path:
            raise _Refused(f"{os.fsdecode(path)!r} is a hard link to itself")
        self.make_room(path, False)
        try:
            os.link(target, path, follow_symlinks=False)
        except FileNotFoundError:
            names = f"{os.fsdecode(path)!r} is a hard link to {os.fsdecode(target)!r}"
            raise _Refused(f"{names}, which is not in it") from None

    def write_file(self, member: tarfile.TarInfo, path: bytes) -> None:
        """The content; a file with holes is stored as pieces, each with the place where it belongs."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            for offset, size in member.sparse or [(0, member.size)]:
                os.lseek(fd, offset, os.SEEK_SET)
                self.copy(fd, size, member.name)
            if member.sparse:
                os.truncate(fd, member.size)
        finally:
            os.close(fd)

    def copy(self, fd: int, size: int, name: str) -> None:
        while size > 0:
            chunk = self.stream.data(min(size, _CHUNK))
            if not chunk:
                raise tarfile.ReadError(f"it ends within {name!r}")
            write_all(fd, chunk)
            size -= len(chunk)

    def set_attributes(self, member: tarfile.TarInfo, path: bytes) -> None:
        """Owner, then mode, then attributes: a change of owner takes set-user-ID bits and file capabilities away."""
        os.chown(path, member.uid, member.gid, follow_symlinks=False)
        if not member.issym():
            os.chmod(path, member.mode & 0o7777)
        for header, value in member.pax_headers.items():
            if header.startswith(_XATTR) and not header.startswith(_OVERLAYS_OWN):
                set_xattr(path, header.removeprefix(_XATTR), encoded(value))
        time = nanoseconds(member)
        os.utime(path, ns=(time, time), follow_symlinks=False)
        if member.isdir():
            self.directory_times.pop(path, None)
            self.directory_times[path] = (time, time)

    def white_out(self, parent: bytes, mark: bytes) -> None:
        """``.wh.NAME`` deletes NAME of the layers below, ``.wh..wh..opq`` all that they have in this directory."""
        name = mark.removeprefix(b".wh.")
        if mark == b".wh..wh..opq":
            return os.setxattr(parent, _OPAQUE, b"y")
        if mark.startswith(b".wh..wh."):  # notes that the old union file system AUFS kept for itself
            return None
        if name in (b"", b".", b".."):
            raise _Refused(f"it deletes {os.fsdecode(parent)!r} itself, or what is above it, by {os.fsdecode(mark)!r}")
        path = os.path.join(parent, name)
        if not os.path.lexists(path):
            os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
        elif os.path.isdir(path) and not os.path.islink(path):  # deleted below and made anew in this same layer
            os.setxattr(path, _OPAQUE, b"y")
        return None


def encoded(text: str) -> bytes:
    """The bytes that stood in the archive, whatever the locale of this process."""
    return text.encode("utf-8", "surrogateescape")


def inside(name: str) -> bytes:
    """*name* as a path from the root directory.  ``..`` at the root stays there, as for the kernel."""
    return os.path.normpath(b"/" + encoded(name).lstrip(b"/"))


def make_parents(directory: bytes) -> None:
    """Archives may leave directories out that their files need."""
    if not os.path.isdir(directory):
        make_parents(os.path.dirname(directory))
        if os.path.lexists(directory):  # a file, or a link to nowhere
            os.unlink(directory)
        os.mkdir(directory, 0o755)


def write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data):]


def set_xattr(path: bytes, name: str, value: bytes) -> None:
    """Set an extended attribute; where the file system has none of this kind the file is of use without it."""
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP and not (error.errno == errno.EPERM and name.startswith("user.")):
            raise


def nanoseconds(member: tarfile.TarInfo) -> int:
    """The time of last change, exactly: as a float, which tarfile makes of it, today's time has steps of 238 ns."""
    whole, _, fraction = member.pax_headers.get("mtime", str(int(member.mtime))).partition(".")
    part = int((fraction + "000000000")[:9])
    return int(whole) * 10**9 + (-part if whole.startswith("-") else part)


# ---- the other way -------------------------------------------------------------------------------------------------

def pack(directory: str, file) -> Contents:
    """Write all that is in *directory* as a tar archive into *file*, a binary file.

    Order and form depend on the content alone: the same files give the same archive, and so the same digest.
    Raises :class:`OSError`.
    """
    output = _Hashed(file)
    size = entries = 0
    first_names = {}

    def describe(member: tarfile.TarInfo) -> tarfile.TarInfo:
        nonlocal size, entries
        path = os.path.join(directory, member.name)
        size, entries = size + member.size, entries + 1
        member.uname = member.gname = ""  # names would mean another user on another machine
        status = os.lstat(path)
        first = first_names.setdefault((status.st_dev, status.st_ino), member.name)
        if first != member.name and not member.isdir():  # tarfile sees this for ordinary files only
            member.type, member.linkname = tarfile.LNKTYPE, first
            return member
        for name in sorted(os.listxattr(path, follow_symlinks=False)):
            value = os.getxattr(path, name, follow_symlinks=False)
            member.pax_headers[_XATTR + name] = value.decode("utf-8", "surrogateescape")
        if status.st_mtime_ns > 0 and status.st_mtime_ns % 10**9:
            member.pax_headers["mtime"] = f"{status.st_mtime_ns // 10**9}.{status.st_mtime_ns % 10**9:09}"
            member.mtime = status.st_mtime_ns // 10**9
        return member

    with tarfile.open(mode="w|", fileobj=output, format=tarfile.PAX_FORMAT, encoding="utf-8") as archive:
        archive.add(directory, arcname=".", filter=describe)
    return Contents(output.digest.hexdigest(), size, entries)


class _Hashed:
    """A file that hashes what is written."""

    def __init__(self, file):
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)
