"""The build context: a build can use only the files in this directory, except those that ``.dockerignore`` excludes.

It is a directory of the host, or a tar archive on standard input. Source: docker-build(1); the Dockerfile reference,
".dockerignore file".
"""

from __future__ import annotations

import os
import stat

from minict.engine.archive import extract
from minict.engine.images import ingest
from minict.kernel import mount as k
from minict.kernel.namespaces import CLONE_NEWNS, unshare
from minict.runtime import mounts, rootfs
from minict.runtime.errors import ContainerError

from . import patterns

_NAMES = ("Dockerfile", "Containerfile", "dockerfile")
_HARMLESS = k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NOEXEC | k.MOUNT_ATTR_RDONLY


_LONGEST = 16 << 20  # bytes of a Dockerfile or a .dockerignore


class Context:
    """The build context *directory*. Beside *dockerfile* there may be a ``NAME.dockerignore``.

    Files of a directory belong to root in the image, as in Docker.  Those of an archive keep their owners, and a
    .dockerignore in it is ignored.
    """

    def __init__(self, directory: str, dockerfile: str | None = None, archive: bool = False):
        if not os.path.isdir(directory):
            raise ContainerError(f"{directory} is not a directory: name the build context, such as .")
        self.directory = os.path.realpath(directory)
        self.owner = None if archive else (0, 0)
        self.matcher = patterns.Matcher([]) if archive else self._matcher(dockerfile)

    def _matcher(self, dockerfile: str | None) -> patterns.Matcher:
        paths = [f"{dockerfile}.dockerignore"] if dockerfile else []
        for path in [*paths, f"{self.directory}/.dockerignore"]:
            try:
                text = _content(path, named=False).decode("utf-8", "surrogateescape")
            except (FileNotFoundError, NotADirectoryError):
                continue
            lines = patterns.ignore_lines(text)
            try:
                return patterns.Matcher(lines)
            except ContainerError as error:
                raise ContainerError(f"{path}: {error}") from None
        return patterns.Matcher([])

    def ignores(self, path: str) -> bool:
        """Whether ``.dockerignore`` excludes *path*, which is relative to the directory."""
        return self.matcher.matches(path)

    def files(self) -> Tree:
        """The root directory for the child process that reads the files, see :mod:`minict.engine.archive.fsview`."""
        return Tree(self.directory)


class Tree:
    """The files of a host *directory* and of the mounts in it, read-only. No link leads out of it."""

    def __init__(self, directory: str):
        self.directory = directory

    def enter(self) -> None:
        unshare(CLONE_NEWNS)
        mounts.make_private(k.MS_PRIVATE | k.MS_REC)
        tree = k.open_tree(k.AT_FDCWD, self.directory, k.OPEN_TREE_CLONE | k.AT_RECURSIVE)
        k.mount_setattr(tree, "", k.AT_EMPTY_PATH | k.AT_RECURSIVE, _HARMLESS)
        place = self.directory if self.directory != "/" else "/proc"  # nothing can be mounted on a root
        target = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        k.move_mount(tree, target)
        os.close(target)
        os.close(tree)
        rootfs.pivot_root(place)


class Given:
    """The context and the Dockerfile that the arguments of a build name. Use it in a ``with`` statement.

    *directory*: a directory; or ``-``, which is standard input: an archive with the files, or a Dockerfile alone.
    *file*: the Dockerfile, relative to the caller's directory; ``-`` is standard input.  Then :attr:`text` is the
    Dockerfile, as bytes, and :attr:`context` the files.  Raises :class:`ContainerError`.
    """

    def __init__(self, directory: str, file: str | None):
        self.directory, self.file = directory, file
        self._making: ingest.Making | None = None

    def __enter__(self) -> Given:
        try:
            self._read()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception) -> None:
        if self._making:
            self._making.__exit__(None, None, None)

    def _read(self) -> None:
        if self.directory == "-":
            if self.file == "-":
                raise ContainerError("-f - and - both read standard input: name a directory, or leave -f out")
            self._read_standard_input()
        elif "://" in self.directory or self.directory.startswith("git@"):
            raise ContainerError(f"the context {self.directory} is remote: fetch it first, and name its directory")
        elif self.file == "-":
            self.text, self.context = _standard_input().read(), Context(self.directory)
        else:
            path = self._dockerfile(self.directory)
            self.text, self.context = _content(path, bool(self.file)), Context(self.directory, path)

    def _read_standard_input(self) -> None:
        """Extract an archive into a directory for the duration of the build; anything else is the Dockerfile."""
        stream = _standard_input()
        start = stream.peek(512)[:512]
        self._making = ingest.Making(None).__enter__()
        place = f"{self._making.path}/context"
        os.mkdir(place)
        os.chmod(place, 0o755)  # whatever the umask
        if not is_archive(start):
            self.text, self.context = stream.read(), Context(place)
            return
        extract.unpack(stream, place, name="the context on standard input")
        path = self._dockerfile(place, inside=True)
        self.text, self.context = _content(path, named=False), Context(place, archive=True)

    def _dockerfile(self, directory: str, inside: bool = False) -> str:
        """The path of the Dockerfile.  In an archive (*inside*) no link leads out of the *directory*."""
        if inside:
            paths = [
                os.path.join(directory, os.path.normpath("/" + name).lstrip("/"))
                for name in ([self.file] if self.file else _NAMES)
            ]
            paths = [path for path in paths if os.path.realpath(path).startswith(os.path.realpath(directory) + "/")]
        else:
            paths = [self.file] if self.file else [os.path.join(directory, name) for name in _NAMES]
        for path in paths:
            if os.path.exists(path):
                return path
        missing = self.file or (_NAMES[0] if inside else os.path.join(self.directory, _NAMES[0]))
        where = " in the archive on standard input" if inside else ""
        raise ContainerError(f"no {missing}{where}: create one, or name it with -f")


def is_archive(start: bytes) -> bool:
    """Whether data beginning with *start* are a tar archive, plain or compressed.  Source: moby, pkg/archive."""
    import tarfile

    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")):
        return True
    try:
        tarfile.TarInfo.frombuf(start[:512], "utf-8", "surrogateescape")
        return True
    except tarfile.TarError:
        return False


def _standard_input():
    import sys

    return sys.stdin.buffer


def _content(path: str, named: bool = True) -> bytes:
    """The content of the file *path*.

    Unless the user has *named* it, it must be a regular file and not a FIFO or device, because the context may be
    another user's. Raises :class:`ContainerError`; FileNotFoundError and NotADirectoryError if it does not exist and
    was not named.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | (0 if named else os.O_NONBLOCK | os.O_NOCTTY))
        with open(fd, "rb") as file:
            if not named and not stat.S_ISREG(os.fstat(fd).st_mode):
                raise ContainerError(f"cannot read {path}: it is not a file")
            text = file.read(_LONGEST + 1)
    except OSError as error:
        if not named and isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise
        raise ContainerError(f"cannot read {path}: {error.strerror}") from None
    if len(text) > _LONGEST:
        raise ContainerError(f"cannot read {path}: it is larger than {_LONGEST >> 20} MiB")
    return text
