"""Layers as changes: what a container has changed, and the archive of these changes.

overlayfs and archives represent deletions differently.  In a directory that is a layer of overlayfs, a device with the
number 0, 0 (a *whiteout*) hides the same name in the layers below, and the attribute ``trusted.overlay.opaque`` of a
directory hides everything that they have in it.  In an archive, an empty file ``.wh.NAME`` deletes NAME, and
``.wh..wh..opq`` empties its directory. :mod:`minict.engine.archive.extract` translates one way, :func:`pack` the other.

Sources: overlayfs.rst of the kernel; OCI image specification, layer.md.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from typing import Any

from minict.engine.archive import tarmember
from minict.engine.archive.extract import OPAQUE, Contents, make_whiteout
from minict.runtime.errors import ContainerError


def changes(upper: str, lowers: list[str], ignore: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """What the directory *upper* changes in the layers *lowers*, the top one first: ``("A", "/new")``.

    A: added, C: changed, or something in it was changed, D: deleted; sorted by name.  *ignore*: paths at
    which minict mounts something; an empty file or directory there was only made as a mount point.
    Raises :class:`OSError`. Source: docker diff.
    """
    for path, status in _walk(upper, ignore):
        below = find(lowers, path)
        if is_whiteout(status):
            if below:
                yield "D", path
            continue
        yield "C" if below else "A", path
        if below and is_opaque(f"{upper}{path}"):
            there = set(_names(f"{upper}{path}"))
            yield from (("D", os.path.join(path, name)) for name in sorted(merged_names(lowers, path) - there))


def _walk(upper: str, ignore: frozenset[str] = frozenset()) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below *upper*, each directory before its content, in alphabetical order."""
    above = {place[:end] for place in ignore for end in range(1, len(place) + 1) if place[end : end + 1] in ("", "/")}
    waiting = [f"/{name}" for name in sorted(os.listdir(upper), reverse=True)]
    while waiting:
        path = waiting.pop()
        try:
            status = os.lstat(upper + path)
            names = os.listdir(upper + path) if stat.S_ISDIR(status.st_mode) else []
        except (FileNotFoundError, NotADirectoryError):  # a container has just removed it
            continue
        if path in above and _is_only_mounted(upper, path, ignore):
            continue
        yield path, status
        waiting += [os.path.join(path, name) for name in sorted(names, reverse=True)]


def _is_only_mounted(upper: str, path: str, ignore: frozenset[str]) -> bool:
    """Whether *path* is only a mount point: an empty file or directory of *ignore*, or a directory with nothing
    else."""
    try:
        status = os.lstat(upper + path)
        if stat.S_ISLNK(status.st_mode):
            return path in ignore and os.readlink(upper + path) == "/proc/mounts"
        if not stat.S_ISDIR(status.st_mode):
            return path in ignore and status.st_size == 0 and stat.S_ISREG(status.st_mode)
        names = os.listdir(upper + path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return all(_is_only_mounted(upper, f"{path}/{name}", ignore) for name in names) if names else path in ignore


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


def stack(lowers: list[str], directory: str) -> list[str]:
    """The directories of the layers *lowers*, the top one first, that overlayfs merges at *directory*.

    Links are not followed: anything but a directory in one layer hides what the layers below have there.
    """
    found = lowers
    for name in directory.split("/"):
        above, found = found, []
        for each in above:
            here = f"{each}/{name}" if name else each
            try:
                if not stat.S_ISDIR(os.lstat(here).st_mode):
                    break
            except FileNotFoundError:
                continue
            found.append(here)
            if is_opaque(here):
                break
    return found


def find(lowers: list[str], path: str) -> str | None:
    """The file of the layers *lowers*, the top one first, that is visible at *path*; None if there is none."""
    directory, _, name = path.rpartition("/")
    for each in stack(lowers, directory):
        try:
            return None if is_whiteout(os.lstat(f"{each}/{name}")) else f"{each}/{name}"
        except FileNotFoundError:
            pass
    return None


def merged_names(lowers: list[str], directory: str) -> set[str]:
    """The names that are visible in *directory* of the layers *lowers*, the top one first."""
    names: dict[str, bool] = {}  # and whether it exists or is hidden
    for each in stack(lowers, directory):
        for name in os.listdir(each):
            if name not in names:
                names[name] = not is_whiteout(os.lstat(f"{each}/{name}"))
    return {name for name, there in names.items() if there}


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is the device that marks a deletion in overlayfs."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: str) -> bool:
    """Whether the *directory* of a layer hides the content that the layers below have in it."""
    try:
        return os.getxattr(directory, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:  # no such attribute, or no support for attributes
        return False


# ---- from a directory to an archive --------------------------------------------------------------------------------


def pack(directory: str, file, ignore: frozenset[str] = frozenset()) -> Contents:
    """Write the content of *directory* as a tar archive to *file*, a binary file: overlayfs's whiteouts as
    ``.wh.NAME``.

    Order and format depend only on the content: the same files give the same archive, and the same digest. *ignore*:
    see :func:`changes`.  Raises :class:`OSError`, and :class:`ContainerError` for what a layer can't represent.
    """
    output = _Hashed(file)
    size = entries = 0
    first_names: dict[tuple[int, int], str] = {}
    with tarfile.open(
        mode="w|", fileobj=output, format=tarfile.PAX_FORMAT, encoding="utf-8", bufsize=1 << 20
    ) as archive:
        for path, status in [("", os.lstat(directory)), *_walk(directory, ignore)]:
            name = f".{path}"
            if is_whiteout(status):
                parent, _, last = name.rpartition("/")
                archive.addfile(_mark(f"{parent}/.wh.{last}"))
                entries += 1
                continue
            if os.path.basename(name).startswith(".wh."):
                raise ContainerError(
                    f"{path} can't be part of a layer, where this name marks a deleted file: rename it"
                )
            try:
                added = tarmember.add(archive, directory + path, name, status, first_names)
            except FileNotFoundError:  # a container is changing it
                continue
            if added is None:
                continue
            size, entries = size + added, entries + 1
            if stat.S_ISDIR(status.st_mode) and is_opaque(directory + path):
                archive.addfile(_mark(f"{name}/.wh..wh..opq"))
                entries += 1
    return Contents(output.digest.hexdigest(), size, entries)


def _mark(name: str) -> tarfile.TarInfo:
    """A member that marks a deletion."""
    member = tarfile.TarInfo(name)
    member.mode = 0o600
    return member


class _Hashed(io.RawIOBase):
    """A file that hashes what is written to it."""

    def __init__(self, file: Any):
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: Any) -> int:
        self.digest.update(data)
        written: int = self._file.write(data)
        return written


# ---- from directory to directory ------------------------------------------------------------------------------------


def copy_layer(
    upper: str, directory: str, ignore: frozenset[str] = frozenset(), *, whiteouts: bool | str = True
) -> Contents:
    """Make the empty *directory* a layer with the content of *upper*, through its archive.

    So it never differs from what another machine extracts.  *whiteouts*: see
    :func:`minict.engine.archive.extract.unpack`. Raises :class:`ContainerError`.
    """
    from minict.engine.archive import extract, fsview

    reader, writer = os.pipe2(os.O_CLOEXEC)

    def write() -> str:
        with open(writer, "wb", closefd=False) as file:
            pack("/upper", file, ignore)
        return ""

    packer = fsview.Child(fsview.Directories({"upper": upper}), write, [writer])
    os.close(writer)
    try:
        with open(reader, "rb", buffering=0) as archive:  # closed first: this ends the packer, which then has no reader
            contents = extract.unpack(archive, directory, whiteouts=whiteouts, name="the new layer")
    except ContainerError as error:
        fsview.blame(packer, error)
    else:
        packer.wait()
        return contents
    finally:
        packer.stop()


def changes_now(upper: str, lowers: list[str], ignore: frozenset[str] = frozenset()) -> list[tuple[str, str]]:
    """The result of :func:`changes` while a container may be changing *upper*: its links lead nowhere else."""
    from minict.engine.archive import fsview

    reader, writer = os.pipe2(os.O_CLOEXEC)
    names = {"upper": upper, **{str(number): lower for number, lower in enumerate(lowers)}}

    def write() -> str:
        with open(writer, "wb", closefd=False) as file:
            for kind, path in changes("/upper", [f"/{number}" for number in range(len(lowers))], ignore):
                file.write(f"{kind}{path}\0".encode("utf-8", "surrogateescape"))
        return ""

    child = fsview.Child(fsview.Directories(names), write, [writer])
    os.close(writer)
    try:
        with open(reader, "rb") as file:
            found = file.read().decode("utf-8", "surrogateescape").split("\0")[:-1]
        child.wait()
        return [(text[0], text[1:]) for text in found]
    finally:
        child.stop()


def copy_merged(lowers: list[str], directory: str) -> None:
    """Make the empty *directory* a copy of what overlayfs would show of the layers *lowers*, the top one first.

    Raises :class:`ContainerError`.
    """
    for lower in reversed(lowers):
        copy_layer(lower, directory, whiteouts="apply")


def compare(changed: str, lowers: list[str], upper: str) -> None:
    """Make the empty directory *upper* the layer that turns the merged layers *lowers* into the directory *changed*.

    Files with the same attributes, size and time count as equal.  Raises :class:`OSError`.
    """
    links: dict[int, str] = {}  # the first copy of a file with several names
    for path, status in [("", os.lstat(changed)), *_walk(changed)]:
        below = find(lowers, path) if path else lowers[-1]
        is_directory = stat.S_ISDIR(status.st_mode)
        if below is None or not _is_same(changed + path, below, status, os.lstat(below)):
            _make_parents(changed, upper, path)
            _copy_one(changed + path, upper + path, status, links)
        if is_directory and below and os.path.isdir(below):
            for name in sorted(merged_names(lowers, path) - set(os.listdir(changed + path))):
                _make_parents(changed, upper, f"{path}/{name}")
                make_whiteout(f"{upper}{path}/{name}")


def adopt(layer: str, lowers: list[str], paths: list[str]) -> None:
    """Give the directories *paths* of *layer* the owner, mode, time and attributes of those below them in the layers
    *lowers*.

    An archive may leave out a directory in which it changes something; overlayfs shows the attributes of the upper one.
    Raises :class:`OSError`.
    """
    for path in paths:
        below = find(lowers, path)
        if below and stat.S_ISDIR((status := os.lstat(below)).st_mode):
            os.chown(layer + path, status.st_uid, status.st_gid)
            os.chmod(layer + path, stat.S_IMODE(status.st_mode))
            # without overlayfs's own, which concern the layers below
            for name, value in _attributes(below).items():
                os.setxattr(layer + path, name, value)
            os.utime(layer + path, ns=(status.st_atime_ns, status.st_mtime_ns))


def _is_same(one: str, other: str, status: os.stat_result, below: os.stat_result) -> bool:
    fields = ("st_mode", "st_uid", "st_gid", "st_rdev", "st_mtime_ns")
    if any(getattr(status, field) != getattr(below, field) for field in fields) or _attributes(one) != _attributes(
        other
    ):
        return False
    if stat.S_ISLNK(status.st_mode):
        return os.readlink(one) == os.readlink(other)
    return stat.S_ISDIR(status.st_mode) or status.st_size == below.st_size


def _attributes(path: str) -> dict[str, bytes]:
    return {
        name: os.getxattr(path, name, follow_symlinks=False)
        for name in os.listxattr(path, follow_symlinks=False)
        if not name.startswith(tarmember.OVERLAYS_OWN)
    }


def _make_parents(changed: str, upper: str, path: str) -> None:
    parent = os.path.dirname(path)
    if not os.path.isdir(upper + parent):
        _make_parents(changed, upper, parent)
        _copy_one(changed + parent, upper + parent, os.lstat(changed + parent), {})


def _copy_one(source: str, target: str, status: os.stat_result, links: dict[int, str]) -> None:
    """Copy a file, or a directory without its content, with all its metadata."""
    if stat.S_ISDIR(status.st_mode):
        os.makedirs(target, exist_ok=True)
    elif status.st_ino in links:
        return os.link(links[status.st_ino], target, follow_symlinks=False)
    elif stat.S_ISREG(status.st_mode):
        shutil.copyfile(source, target)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(source), target)
    elif not stat.S_ISSOCK(status.st_mode):
        os.mknod(target, status.st_mode, status.st_rdev)
    else:
        return None
    if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
        links[status.st_ino] = target
    os.chown(target, status.st_uid, status.st_gid, follow_symlinks=False)
    return shutil.copystat(source, target, follow_symlinks=False)
