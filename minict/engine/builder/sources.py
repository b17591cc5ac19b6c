"""Find the sources of COPY, ADD and ``RUN --mount`` in a context, a stage or an image, and write them into an archive.

It runs in a process whose root directory is the source (:mod:`minict.engine.archive.fsview`), so that links lead
nowhere else. Source: BuildKit's solver/llbsolver/file and github.com/tonistiigi/fsutil, copy; what was seen on Docker
20.10.
"""

from __future__ import annotations

import collections
import errno
import os
import posixpath
import stat
import tarfile

from minict.engine.archive import compression, reader
from minict.runtime.errors import ContainerError

from . import patterns
from .copy_archive import Archive

#: How to copy sources. *excludes*: a Matcher for --exclude; *unpack*: extract archives; *parents*: keep the directories
#: of paths.
Options = collections.namedtuple("Options", "excludes unpack parents", defaults=(patterns.Matcher([]), False, False))


class Finder:
    """Writes the files that sources match into *archive*. *ignore*: the Matcher of .dockerignore; *label*: the name of
    the source in messages."""

    def __init__(self, archive: Archive | None, label: str, ignore: patterns.Matcher, options: Options):
        self.archive: Archive = archive  # type: ignore[assignment]  # none is needed to check
        self.label, self.ignore, self.options = label, ignore, options

    def add(self, source: str) -> None:
        """Add the files that *source*, a path or a pattern, matches. Raises :class:`ContainerError` for a missing
        path."""
        if self.options.parents:
            return self._add_with_parents(source)
        for path in self._found(source):
            self._add_path(os.path.realpath(path), posixpath.basename(path), source)

    def check(self, source: str) -> None:
        """Raise :class:`ContainerError` if *source* is a missing path; a pattern may match nothing."""
        if not self.options.parents:
            for path in self._found(source):
                self._existing(os.path.realpath(path), source)

    def _missing(self, source: str) -> ContainerError:
        ignored = ", or .dockerignore leaves it out" if self.ignore else ""
        return ContainerError(f"no such file: {source} in {self.label}{ignored}")

    # ---- which paths

    def _found(self, source: str) -> list[str]:
        """The paths that *source* matches, in their order."""
        path = posixpath.normpath("/" + source)
        parts = path.lstrip("/").split("/")
        plain = next((number for number, part in enumerate(parts) if patterns.has_wildcards(part)), len(parts))
        if plain == len(parts):
            return ["/" + patterns.unescaped(path.lstrip("/"))]
        found = [os.path.realpath("/" + patterns.unescaped("/".join(parts[:plain])))]
        for part in parts[plain:]:
            match = patterns.compile_match(part)
            found = [
                f"{directory.rstrip('/')}/{name}"
                for directory in found
                for name in _names(directory)
                if match.fullmatch(name)
            ]
        return [path for path in found if self._is_visible(path)]

    def _is_visible(self, path: str) -> bool:
        """Whether .dockerignore lets *path*, or something below it, through."""
        if path == "/" or not self.ignore.matches(path[1:]):
            return True
        return self.ignore.has_exceptions and _is_directory(path) and any(self._below(path, self._skips(path, False)))

    def _existing(self, path: str, source: str) -> os.stat_result:
        try:
            status = os.lstat(path)
        except (FileNotFoundError, NotADirectoryError):
            raise self._missing(source) from None
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise self._missing(source) from None
        if stat.S_ISLNK(status.st_mode) or not self._is_visible(path):
            # what is still a link is part of a circle of links
            raise self._missing(source)
        return status

    # ---- what is in them

    def _add_path(self, path: str, name: str, source: str) -> None:
        status = self._existing(path, source)
        if stat.S_ISDIR(status.st_mode):
            self.archive.begin("directory", name or ".")
            for below in self._below(path, self._skips(path)):
                self.archive.add(f"{path.rstrip('/')}/{below}", below)
        elif self.options.excludes.matches(name):
            return
        elif self.options.unpack and stat.S_ISREG(status.st_mode) and _is_archive(path):
            self.archive.begin("archive", name)
            self.archive.add(path, name)
        else:
            self.archive.begin("file", name)
            self.archive.add(path, name)

    def _add_with_parents(self, source: str) -> None:
        """``--parents``: add each match below its parent directories, from ``/./`` on."""
        pivot, has_pivot, pattern = source.partition("/./")
        pivot, pattern = (pivot, pattern) if has_pivot else ("", source)
        pattern = posixpath.normpath("/" + pattern).lstrip("/")
        top = os.path.realpath("/" + pivot)
        self._existing(top, source)
        wanted = patterns.Matcher([pattern] if pattern else ["**"])
        skips = self._skips(top)
        found = list(self._below(top, lambda path: skips(path) or not wanted.matches(path), True))
        if not found and not patterns.has_wildcards(source):
            raise self._missing(source)
        if found:
            self.archive.begin("directory", ".")
        for below in found:
            self.archive.add(f"{top.rstrip('/')}/{below}", below)

    def _skips(self, top: str, excludes: bool = True):
        """A function that tells whether a path below *top* is excluded."""
        prefix = f"{top[1:]}/" if top != "/" else ""
        ignore, exclude = self.ignore, self.options.excludes if excludes else None
        return lambda path: bool(ignore and ignore.matches(prefix + path)) or bool(exclude and exclude.matches(path))

    def _below(self, top: str, skips, into_skipped: bool = False):
        """The paths below the directory *top* that *skips* does not exclude, each after its parent directories."""
        into_skipped = into_skipped or self.ignore.has_exceptions or self.options.excludes.has_exceptions
        done: set[str] = {""}
        waiting = [(name, False) for name in reversed(_names(top))]
        while waiting:
            path, _ = waiting.pop()
            is_directory, skipped = _is_directory(f"{top}/{path}"), skips(path)
            if not skipped:
                for parent in _parents(path):
                    if parent not in done:
                        done.add(parent)
                        yield parent
                done.add(path)
                yield path
            if is_directory and (not skipped or into_skipped):
                waiting += [(f"{path}/{name}", False) for name in reversed(_names(f"{top}/{path}"))]


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]


def _names(directory: str) -> list[str]:
    try:
        return sorted(os.listdir(directory))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_directory(path: str) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False


# ---- archives that ADD unpacks ---------------------------------------------------------------------------------------


def load_decompressors() -> None:
    """Load the modules for compressed archives, before a process enters a root directory without them."""
    for start in (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0"):
        compression.decompressor(start)
    try:
        compression.zstd()
    except ContainerError:  # an archive that needs it is refused later
        pass


def _is_archive(path: str) -> bool:
    """Whether the file *path* is a tar archive, plain or compressed, with at least one member."""
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return first_member(fd, path) is not None
    finally:
        os.close(fd)


def first_member(fd: int, path: str) -> tarfile.TarInfo | None:
    """The first member of the archive that *fd* reads; None if it is not an archive.  Raises :class:`ContainerError`
    for a hostile one."""
    import hashlib

    start = os.pread(fd, 512, 0)
    try:
        plain = reader.Plain(fd, compression.decompressor(start, path), hashlib.sha256(), reader.MAX_BYTES)
        return next(reader.members(reader.Stream(plain)), None)
    except (tarfile.TarError, reader.NoTar, reader.Damaged):
        return None
    except reader.Refused as error:
        raise ContainerError(f"{path} cannot be unpacked: {error}") from None
