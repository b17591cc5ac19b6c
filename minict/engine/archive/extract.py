"""Extract a tar archive into a directory, whatever its origin and content.

An archive is a list of orders: make this file, link that name to this one, make a device.  A hostile archive orders
``../../etc/cron.d/x``, or a symbolic link ``out -> /`` and then the file ``out/etc/passwd``.  Checking each name has
failed many times; here the kernel is the check.  A child process makes the target its root directory with chroot(2) and
then obeys: no name can mean anything outside.

::

    parent   file or pipe -> pipe                                                             (never parses it)
    child    pipe -> decompress -> sha256 -> parse the orders -> make the files, in a chroot  (sees nothing else)

After chroot no module can be imported, because the library is outside: everything that the child uses is imported
above.

The standard library's ``tarfile`` parses the orders, after the checks of :mod:`.reader`, and this module carries them
out.  tarfile's own ``extract`` is wrong for an image: its filter "data", the default since Python 3.14, refuses
absolute links and devices, which ordinary images have; no filter keeps extended attributes; and it opens an existing
name instead of replacing it, and so writes through links.

Sources: tar(5); pax in POSIX.1-2017; layer.md of the OCI image specification for whiteouts; overlayfs.rst for the
kernel's.
"""

from __future__ import annotations

import collections
import errno
import fcntl
import gc
import hashlib
import os
import signal
import stat
import sys
import tarfile
from typing import Any, NoReturn

from minict.engine.rootless import idmaps
from minict.kernel import process
from minict.runtime import files
from minict.runtime.errors import ContainerError
from minict.runtime.files import write_all
from minict.runtime.place import in_user_namespace
from minict.runtime.process import close_all_except

from . import compression, reader
from .reader import MAX_BYTES, MAX_ENTRIES, Damaged, NoTar, Plain, Refused, Stream

_MAX_IMPLIED = 100_000  # directories that an archive needs but does not list
_MAX_DIRECTORY_NAMES = 256 << 20  # bytes of the paths of all directories, which are kept until the end

_CHUNK = 1 << 20
XATTR = "SCHILY.xattr."  # in a pax header, the prefix of an extended attribute's name: a de facto standard
_OVERLAYS_OWN = (XATTR + "trusted.overlay.", XATTR + "user.overlay.")  # they control overlayfs and are not data
#: The attribute of a directory that hides those below it; a user namespace has no "trusted" ones.
OPAQUE = "user.overlay.opaque" if in_user_namespace() else "trusted.overlay.opaque"
_MORE_IDS = idmaps.remedy() if in_user_namespace() else ""  # read here: in the chroot there is no /proc

#: digest: the sha256 of the decompressed archive (DiffID of the OCI image specification); size: of all files, in bytes;
#: implied: the directories that it needs but does not list.
Contents = collections.namedtuple("Contents", "digest size entries implied", defaults=((),))


class Failure(ContainerError):
    """The archive can't be extracted because of its content or of the disk."""


def unpack(
    archive: Any,
    directory: str,
    *,
    whiteouts: bool | str = False,
    max_bytes: int = MAX_BYTES,
    max_entries: int = MAX_ENTRIES,
    name: str = "the archive",
) -> Contents:
    """Extract *archive*, a binary file or pipe, into the empty *directory*; return what it contained.

    Plain tar, gzip, bzip2, xz and zstd are recognized by their first bytes.  Owners, modes, times, extended attributes,
    hard links, devices and holes are kept.  With *whiteouts*, a layer's marks for deleted files (``.wh.NAME``) become
    overlayfs's; with ``"apply"``, the files that they mark in *directory* are deleted.  *name* is how messages call the
    archive, which is read to its end.

    Raises :class:`Failure`, and exceptions of reading.  The caller removes what was extracted until then.
    """
    start = b""
    while len(start) < 6 and (chunk := _read(archive, name)):
        start += chunk
    make = compression.decompressor(start, name)
    orders_in, orders_out = os.pipe()
    report_in, report_out = os.pipe()
    parent, digest = os.getpid(), hashlib.sha256()
    # In a worker, SIGTERM raises SystemExit.  Python's own hooks around a fork would swallow it.
    unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pid = os.fork()
    if pid == 0:
        _child(parent, orders_in, report_out, directory, make, digest, whiteouts, max_bytes, max_entries)
    os.close(orders_in)
    os.close(report_out)
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        with open(report_in, encoding="utf-8", errors="surrogateescape", newline="\n") as report:
            try:
                feed(start, archive, orders_out, name)
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
    numbers, *implied = text.split("\0")
    hexdigest, size, entries = numbers.split()
    return Contents(hexdigest, int(size), int(entries), tuple(implied))


def feed(chunk: bytes, archive: Any, orders: int, name: str) -> None:
    """Write *chunk*, and the rest of *archive* after it, to the child through the descriptor *orders*."""
    fcntl.fcntl(orders, fcntl.F_SETPIPE_SZ, _CHUNK)  # 1 MiB is the limit without privileges
    while chunk:
        try:
            write_all(orders, chunk)
        except BrokenPipeError:  # the child has stopped, and its report says why
            break
        chunk = _read(archive, name)


def _read(archive: Any, name: str) -> bytes:
    try:
        chunk: bytes = archive.read(_CHUNK)
        return chunk
    except OSError as error:
        raise ContainerError(f"{name} can't be read: {error.strerror or error}", errno=error.errno) from error


def _failure(name: str, directory: str, kind: str, text: str) -> Failure:
    """The child's report as an exception. *kind* is an errno, a word, or empty if the child could not report at all."""
    if kind in (str(errno.ENOSPC), str(errno.EDQUOT)):
        return Failure(
            f"{name} does not fit on the disk of {directory}: free some space there "
            "(minict system prune) and try again",
            errno=int(kind),
        )
    if kind == "no tar":
        return Failure(f"{name} is not a tar archive, plain or compressed with gzip, bzip2, xz or zstd ({text})")
    if kind == "damaged":
        return Failure(f"{name} is damaged or truncated ({text}): download or create it again")
    if not kind:
        return Failure(f"{name} was not extracted: the process was killed (out of memory?)")
    return Failure(f"{name} can't be extracted: {text}", errno=int(kind) if kind.isdigit() else None)


# ---- the child: from here on the root directory is the target ------------------------------------------------------


def _child(
    parent: int, orders: int, report: int, directory: str, make: compression.Maker | None, digest: Any, *options: Any
) -> NoReturn:
    """Extract what comes through the descriptor *orders*, report the result through *report*, and exit.

    *make* makes decompressors, *digest* hashes.  Both were made before the fork, because other threads of the parent
    may hold locks of their libraries at that moment.
    """
    try:
        process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it has died before
            os._exit(1)
        orders, report = keep_only(orders, report)
        os.umask(0)
        sys.path.clear()
        # from here on an import finds nothing: any library inside is the archive's
        sys.meta_path.clear()
        os.chroot(directory)
        os.chdir("/")
        unpacker = Unpacker(Stream(Plain(orders, make, digest, options[1])), *options)
        unpacker.directory_times[b"/"] = (0, 0)  # unless the archive sets another
        unpacker.run()
        text = f"done\n{digest.hexdigest()} {unpacker.size} {unpacker.entries}"
        text = "\0".join([text, *(path.decode("utf-8", "surrogateescape") for path in unpacker.implied_directories())])
        write_all(report, text.encode("utf-8", "surrogateescape"))  # of any length: by now the parent reads
    except NoTar as error:
        text = f"no tar\n{error}"
    except (tarfile.TarError, Damaged) as error:
        text = f"damaged\n{error}"
    except (Refused, ContainerError) as error:
        text = f"refused\n{error}"
    except OSError as error:
        where = f"{os.fsdecode(error.filename)[:200]!r}: " if error.filename else ""
        text = f"{error.errno}\n{where}{error.strerror}"
    except BaseException as error:
        text = f"refused\n{type(error).__name__}: {error}"
    try:
        if not text.startswith("done\n"):
            os.write(report, text[:1000].encode("utf-8", "backslashreplace"))  # the pipe has room for this
    finally:
        os._exit(0)


def keep_only(*descriptors: int) -> list[int]:
    """Close all descriptors but these, and renumber them 3, 4, ….

    A pipe reaches its end when the last process that could write to it has closed it: a child must not hold what
    another thread of its parent has opened for another child.
    """
    gc.freeze()  # the parent's garbage may close files by numbers that are other files here
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 16) for fd in descriptors]
    for number, fd in enumerate(high):
        os.dup2(fd, 3 + number)
    kept = [*range(3, 3 + len(high))]
    close_all_except(kept)
    return kept


class Unpacker:
    """Carries out the orders of one archive in the root directory."""

    def __init__(self, stream: Stream, whiteouts: bool | str, max_bytes: int, max_entries: int):
        self.stream, self.whiteouts = stream, whiteouts
        self.max_bytes, self.max_entries = max_bytes, max_entries
        self.size = self.entries = self.names = 0
        self.implied: set[bytes] = set()  # directories that the archive needs and has not listed yet
        self.directory_times: dict[
            bytes, tuple[int, int]
        ] = {}  # set at the end, because making files in a directory changes its time

    def run(self) -> None:
        for member in reader.members(self.stream, self.max_entries):
            self.count(member)
            try:
                self.place(member)
            except (ValueError, OverflowError) as error:  # a zero byte in a name, or a number out of range
                raise Refused(f"{member.name[:100]!r} has an invalid header ({error})") from None
        # tarfile takes anything that is not a header for the end; the real end is a block of zeros.  Some writers of
        # layers leave it out; for layers the digest shows whether everything is there.
        if self.stream.last != bytes(tarfile.BLOCKSIZE) and not (self.whiteouts and self.stream.last == b""):
            raise tarfile.ReadError(f"its end is missing after {self.entries} files")
        while self.stream.data(_CHUNK):  # the digest covers all of it
            pass
        for path, times in self.directory_times.items():
            if os.path.isdir(path) and not os.path.islink(path):  # it may have been replaced
                os.utime(path, ns=times)

    def count(self, member: tarfile.TarInfo) -> None:
        """Refuse to extract too much."""
        self.entries += 1
        self.size += member.size if member.isreg() else 0
        if self.size > self.max_bytes:
            raise Refused(f"it has more than {self.max_bytes} bytes of files: the limit")

    def place(self, member: tarfile.TarInfo) -> None:
        """Make the file, directory, link or device that *member* orders."""
        path = inside(member.name)
        parent, name = os.path.split(path)
        if self.whiteouts and name.startswith(b".wh."):
            return self.white_out(parent, name)
        self.make_parents(parent)
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
            if kind != stat.S_IFIFO and _MORE_IDS:
                return None  # the kernel refuses it there, and a container gets nodes of the host instead
            os.mknod(path, 0o600 | kind, os.makedev(member.devmajor, member.devminor))
        else:  # POSIX: extract unknown types as files
            self.write_file(member, path)
        self.set_attributes(member, path)
        if opaque:
            os.setxattr(path, OPAQUE, b"y")

    def make_parents(self, directory: bytes) -> None:
        """Make missing parent directories, which archives may leave out. Their time is 1970, so that it is always
        the same."""
        missing = []
        while not os.path.isdir(directory):
            missing.append(directory)
            directory = os.path.dirname(directory)
        for each in reversed(missing):
            if os.path.lexists(each):  # a file, or a dangling link
                os.unlink(each)
            os.mkdir(each, 0o755)
            self.remember(each, (0, 0))
            self.implied.add(each)
        if len(self.implied) > _MAX_IMPLIED:
            raise Refused(f"it needs more than {_MAX_IMPLIED} directories that it does not list: the limit")

    def remember(self, directory: bytes, times: tuple[int, int]) -> None:
        """Note the times that *directory* gets at the end."""
        if self.directory_times.pop(directory, None) is None:
            self.names += len(directory)
        self.directory_times[directory] = times
        if self.names > _MAX_DIRECTORY_NAMES:
            raise Refused(f"the paths of its directories have more than {_MAX_DIRECTORY_NAMES} bytes: the limit")

    def implied_directories(self) -> list[bytes]:
        """The directories that the archive needed and never listed, if they still exist as directories."""
        return sorted(path for path in self.implied if _is_really_there(path))

    def make_room(self, path: bytes, for_directory: bool) -> bool:
        """Remove what is at *path*, so that nothing is written through a link or into a device; directories are merged.

        Returns True if a directory replaces a whiteout: it must then hide the one in the layers below.
        """
        try:
            mode, device = (status := os.lstat(path)).st_mode, status.st_rdev
        except FileNotFoundError:
            return False
        if not stat.S_ISDIR(mode):
            os.unlink(path)
        elif not for_directory:
            if path == b"/":
                raise Refused("it replaces its root directory with a file")
            files.remove_tree(os.fsdecode(path))
        return self.whiteouts is True and for_directory and stat.S_ISCHR(mode) and device == 0

    def link(self, target: bytes, path: bytes) -> None:
        """Make a second name for the existing file *target*; its attributes are those of the first name."""
        if target == path:
            raise Refused(f"{os.fsdecode(path)!r} is a hard link to itself")
        self.make_room(path, False)
        try:
            os.link(target, path, follow_symlinks=False)
        except FileNotFoundError:
            names = f"{os.fsdecode(path)!r} is a hard link to {os.fsdecode(target)!r}"
            raise Refused(f"{names}, which is not in it") from None

    def write_file(self, member: tarfile.TarInfo, path: bytes) -> None:
        """Write the content; a file with holes is stored as pieces with offsets."""
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        try:
            pieces: Any = member.sparse or [(0, member.size)]
            for offset, size in pieces:
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

    def is_free(self, directory: bytes) -> bool:
        """Whether *directory* is a directory, or could be made without replacing anything.

        Otherwise a file has already hidden everything that was in it below, and its deletion need not be noted.
        """
        while directory != b"/":
            if os.path.lexists(directory) and (os.path.islink(directory) or not os.path.isdir(directory)):
                return False
            directory = os.path.dirname(directory)
        return True

    def set_attributes(self, member: tarfile.TarInfo, path: bytes) -> None:
        """Set owner, then mode, then attributes: changing the owner removes set-user-ID bits and file capabilities."""
        try:
            os.chown(path, member.uid, member.gid, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.EINVAL or not _MORE_IDS:
                raise
            raise Refused(
                f"its file {os.fsdecode(path)!r} belongs to {member.uid}:{member.gid}, an id that is not mapped for "
                f"you: {_MORE_IDS}"
            ) from None
        if not member.issym():
            os.chmod(path, member.mode & 0o7777)
        for header, value in member.pax_headers.items():
            if header.startswith(XATTR) and not header.startswith(_OVERLAYS_OWN):
                set_xattr(path, header.removeprefix(XATTR), encoded(value))
        time = nanoseconds(member)
        os.utime(path, ns=(time, time), follow_symlinks=False)
        if member.isdir():
            self.implied.discard(path)
            self.remember(path, (time, time))

    def white_out(self, parent: bytes, mark: bytes) -> None:
        """``.wh.NAME`` deletes NAME of the layers below, ``.wh..wh..opq`` everything that they have in this
        directory."""
        name = mark.removeprefix(b".wh.")
        if mark == b".wh..wh..opq":
            if not self.is_free(parent):
                return
            self.make_parents(parent)
            if self.whiteouts == "apply":
                for name in os.listdir(parent):
                    self.make_room(os.path.join(parent, name), False)
                return
            for each in os.scandir(parent):  # overlayfs would show whiteouts that hide nothing
                if stat.S_ISCHR((status := each.stat(follow_symlinks=False)).st_mode) and status.st_rdev == 0:
                    os.unlink(each.path)
            os.setxattr(parent, OPAQUE, b"y")
            return
        if mark.startswith(b".wh..wh."):  # internal files of the old union file system AUFS
            return
        if name in (b"", b".", b".."):
            raise Refused(f"it deletes {os.fsdecode(parent)!r} itself, or what is above it, by {os.fsdecode(mark)!r}")
        if not self.is_free(parent):
            return
        self.make_parents(parent)
        path = os.path.join(parent, name)
        if self.whiteouts == "apply":
            self.make_room(path, False)
        elif not os.path.lexists(path):
            if OPAQUE in os.listxattr(parent):
                return
            make_whiteout(path)
        elif os.path.isdir(path) and not os.path.islink(path):  # deleted below and made again in this layer
            os.setxattr(path, OPAQUE, b"y")


def make_whiteout(path: str | bytes) -> None:
    """Make overlayfs's mark for a deleted file. Raises :class:`OSError`; on another overlay :class:`ContainerError`.

    Source: overlayfs.rst, "whiteouts and opaque directories".
    """
    try:
        os.mknod(path, stat.S_IFCHR, os.makedev(0, 0))
    except PermissionError:
        name = os.path.basename(os.fsdecode(path))
        raise ContainerError(
            f"{name!r} cannot be marked as deleted: one overlay refuses the marks of another, as inside a container; "
            "set MINICT_ROOT to a volume or a tmpfs",
            errno=errno.EPERM,
        ) from None


def _is_really_there(directory: bytes) -> bool:
    """Whether *directory* is a directory, and its path has no links."""
    while directory != b"/":
        try:
            if not stat.S_ISDIR(os.lstat(directory).st_mode):
                return False
        except OSError:
            return False
        directory = os.path.dirname(directory)
    return True


def encoded(text: str) -> bytes:
    """The bytes that were in the archive, whatever the locale of this process."""
    return text.encode("utf-8", "surrogateescape")


def inside(name: str) -> bytes:
    """*name* as a path from the root directory. ``..`` at the root stays there, as in the kernel."""
    return os.path.normpath(b"/" + encoded(name).lstrip(b"/"))


def set_xattr(path: bytes, name: str, value: bytes) -> None:
    """Set an extended attribute; ignore it where the file system does not support this kind."""
    try:
        os.setxattr(path, name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno != errno.ENOTSUP and not (error.errno == errno.EPERM and name.startswith("user.")):
            raise


def nanoseconds(member: tarfile.TarInfo) -> int:
    """The exact modification time: tarfile's float has steps of 238 ns."""
    whole, _, fraction = member.pax_headers.get("mtime", str(int(member.mtime))).partition(".")
    part = int((fraction + "000000000")[:9])
    return int(whole) * 10**9 + (-part if whole.startswith("-") else part)
