"""Layers: what a container has changed, and the archive that says so.

overlayfs and archives say "deleted" each in its own way.  In a directory that is a layer of overlayfs a device with the
number 0, 0 (a *whiteout*) hides what has its name in the layers below, and the attribute ``trusted.overlay.opaque`` of a
directory hides all that they have in it.  In an archive an empty file ``.wh.NAME`` deletes NAME, and ``.wh..wh..opq``
empties its directory.  :mod:`.unpack` translates one way, :func:`pack` the other.

Source: overlayfs.rst of the kernel; the OCI image-spec, layer.md.
"""
from __future__ import annotations

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator

from minict.runtime.errors import ContainerError

from .unpack import OPAQUE, XATTR, Contents

_OVERLAYS_OWN = ("trusted.overlay.", "user.overlay.")


def changes(upper: str, lowers: list[str], ignore: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """What the directory *upper* changes in the layers *lowers*, the top one first: ``("A", "/new")``, by name.

    A: added, C: changed, or something in it was, D: deleted.  *ignore* are paths at which minict itself mounts something:
    an empty file or directory in such a place was only made to be mounted on.
    Raises :class:`OSError`.  Source: docker diff.
    """
    for path, status in _walk(upper, ignore):
        below = find(lowers, path)
        if is_whiteout(status):
            if below:
                yield "D", path
            continue
        yield "C" if below else "A", path
        if below and is_opaque(f"{upper}{path}"):
            there = set(os.listdir(f"{upper}{path}"))
            yield from (("D", os.path.join(path, name)) for name in sorted(merged_names(lowers, path) - there))


def _walk(upper: str, ignore: frozenset[str] = frozenset()) -> Iterator[tuple[str, os.stat_result]]:
    """Everything below *upper*, each directory before what is in it, in alphabetical order."""
    waiting = [f"/{name}" for name in sorted(os.listdir(upper), reverse=True)]
    while waiting:
        path = waiting.pop()
        status = os.lstat(upper + path)
        names = os.listdir(upper + path) if stat.S_ISDIR(status.st_mode) else []
        if path in ignore and not names and (status.st_size == 0 or stat.S_ISDIR(status.st_mode)):
            continue
        if names and ignore and all(os.path.join(path, name) in ignore for name in names):
            continue  # it is there for the sake of them
        yield path, status
        waiting += [os.path.join(path, name) for name in sorted(names, reverse=True)]


def find(lowers: list[str], path: str) -> str | None:
    """The file of the layers *lowers*, the top one first, that is seen at *path*; None when there is none."""
    for lower in lowers:
        here = lower + path
        try:
            return None if is_whiteout(os.lstat(here)) else here
        except (FileNotFoundError, NotADirectoryError):
            pass
        if _hides(lower, os.path.dirname(path)):
            return None
    return None


def _hides(lower: str, directory: str) -> bool:
    """Whether the layer *lower* hides what the layers below it have in *directory*."""
    here = lower
    for name in ["", *directory.split("/")[1:]]:
        here = os.path.join(here, name) if name else here
        try:
            status = os.lstat(here)
        except (FileNotFoundError, NotADirectoryError):
            return False
        if not stat.S_ISDIR(status.st_mode) or is_opaque(here):
            return True
    return False


def merged_names(lowers: list[str], directory: str) -> set[str]:
    """The names that are seen in *directory* of the layers *lowers*, the top one first."""
    names, hidden = set(), set()
    for lower in lowers:
        try:
            for name in os.listdir(lower + directory):
                if name not in names | hidden:
                    (hidden if is_whiteout(os.lstat(f"{lower}{directory}/{name}")) else names).add(name)
        except (FileNotFoundError, NotADirectoryError):
            pass
        if _hides(lower, directory):
            break
    return names


def is_whiteout(status: os.stat_result) -> bool:
    """Whether this is the device by which overlayfs says "deleted"."""
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == 0


def is_opaque(directory: str) -> bool:
    """Whether the *directory* of a layer hides what the layers below have in it."""
    try:
        return os.getxattr(directory, OPAQUE, follow_symlinks=False) == b"y"
    except OSError:  # there is no such attribute, or none at all
        return False


# ---- from a directory to an archive --------------------------------------------------------------------------------

def pack(directory: str, file, ignore: frozenset[str] = frozenset()) -> Contents:
    """Write all that is in *directory* as a tar archive into *file*, a binary file: overlayfs's whiteouts as ``.wh.NAME``.

    Order and form depend on the content alone: the same files give the same archive, and so the same digest.
    *ignore*: see :func:`changes`.  Raises :class:`OSError`, and :class:`ContainerError` for what no layer can hold.
    """
    output = _Hashed(file)
    size = entries = 0
    first_names: dict[tuple[int, int], str] = {}
    with tarfile.open(mode="w|", fileobj=output, format=tarfile.PAX_FORMAT, encoding="utf-8", bufsize=1 << 20) as archive:
        for path, status in [("", os.lstat(directory)), *_walk(directory, ignore)]:
            name = f".{path}"
            if is_whiteout(status):
                parent, _, last = name.rpartition("/")
                archive.addfile(_mark(f"{parent}/.wh.{last}"))
                entries += 1
                continue
            if os.path.basename(name).startswith(".wh."):
                raise ContainerError(f"{path} can't be part of a layer, where such a name means a file that is deleted: rename it")
            member = _describe(archive, directory + path, name, status, first_names)
            if member is None:  # a socket: it is of use to nobody but its maker
                continue
            size, entries = size + member.size, entries + 1
            if member.isreg():
                with open(directory + path, "rb") as content:
                    archive.addfile(member, content)
            else:
                archive.addfile(member)
            if member.isdir() and is_opaque(directory + path):
                archive.addfile(_mark(f"{name}/.wh..wh..opq"))
                entries += 1
    return Contents(output.digest.hexdigest(), size, entries)


def _mark(name: str) -> tarfile.TarInfo:
    """A file that says that something is deleted."""
    member = tarfile.TarInfo(name)
    member.mode = 0o600
    return member


def _describe(archive, path: str, name: str, status, first_names: dict) -> tarfile.TarInfo | None:
    """The header of one file, with all that is known of it."""
    member = archive.gettarinfo(path, name)
    if member is None:
        return None
    member.uname = member.gname = ""  # names would mean another user on another machine
    first = first_names.setdefault((status.st_dev, status.st_ino), member.name)
    if first != member.name and not member.isdir():  # tarfile sees this for ordinary files only
        member.type, member.linkname, member.size = tarfile.LNKTYPE, first, 0
        return member
    if member.islnk():  # its first name was left out
        member.type, member.linkname, member.size = tarfile.REGTYPE, "", status.st_size
    for key in sorted(os.listxattr(path, follow_symlinks=False)):
        if not key.startswith(_OVERLAYS_OWN):
            value = os.getxattr(path, key, follow_symlinks=False)
            member.pax_headers[XATTR + key] = value.decode("utf-8", "surrogateescape")
    if status.st_mtime_ns > 0 and status.st_mtime_ns % 10**9:
        member.pax_headers["mtime"] = f"{status.st_mtime_ns // 10**9}.{status.st_mtime_ns % 10**9:09}"
        member.mtime = status.st_mtime_ns // 10**9
    return member


class _Hashed(io.RawIOBase):
    """A file that hashes what is written."""

    def __init__(self, file):
        self._file, self.digest = file, hashlib.sha256()

    def write(self, data: bytes) -> int:
        self.digest.update(data)
        return self._file.write(data)


def copy_layer(upper: str, directory: str, ignore: frozenset[str] = frozenset()) -> Contents:
    """Make the empty *directory* a layer with the content of *upper*, by way of the archive that it is in the standard.

    What it is can so never differ from what another machine unpacks.  Raises :class:`ContainerError`.
    """
    import threading

    from . import unpack
    reader, writer = os.pipe()
    failed: list[BaseException] = []

    def write():
        try:
            with open(writer, "wb") as file:
                pack(upper, file, ignore)
        except BaseException as error:
            failed.append(error)

    packer = threading.Thread(target=write)
    packer.start()
    try:
        with open(reader, "rb", buffering=0) as archive:  # closed first: a packer that nobody reads from ends
            contents = unpack.unpack(archive, directory, whiteouts=True, name="the new layer")
    except ContainerError as error:
        packer.join()
        raise next((each for each in failed if not isinstance(each, BrokenPipeError)), error)
    packer.join()
    if failed:
        raise failed[0]
    return contents
