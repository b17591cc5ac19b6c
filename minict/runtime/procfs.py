"""The container's /proc, opened so that it is certainly the kernel's.

A runtime writes into /proc for the container: sysctls, AppArmor profiles. If an image or another container could put a
file of its own there, such a write would go elsewhere, or have no effect (CVE-2019-16884, CVE-2025-52881). So the
directory is opened once and checked, and paths in it are opened below that descriptor without entering another mount.
"""

from __future__ import annotations

import errno
import os

from ..kernel import mount as k
from .errors import ContainerError

_PROC_SUPER_MAGIC = 0x9FA0  # linux/magic.h
_PROC_ROOT_INO = 1  # linux/proc_fs.h
_INSIDE = k.RESOLVE_BENEATH | k.RESOLVE_NO_XDEV | k.RESOLVE_NO_MAGICLINKS


def open_root(root: int) -> int:
    """Open the directory /proc of the file system tree *root*; an O_PATH descriptor.

    Raises :class:`ContainerError` if it is not the root of a procfs. Source: proc(5), openat2(2), statfs(2).
    """
    resolve = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS
    try:
        proc = k.openat2(root, "proc", os.O_PATH | os.O_DIRECTORY, 0, resolve)
    except OSError as error:
        raise ContainerError(
            f"the container's /proc cannot be opened: {os.strerror(error.errno or 0)}; mount proc there",
            errno=error.errno,
        ) from None
    if k.filesystem_type(proc) != _PROC_SUPER_MAGIC or os.fstat(proc).st_ino != _PROC_ROOT_INO:
        os.close(proc)
        raise ContainerError("the container's /proc is not the kernel's: mount proc there")
    return proc


def open_file(proc: int, path: str, flags: int) -> int:
    """Open the file *path* below the descriptor *proc* of :func:`open_root`.

    Raises :class:`OSError`, or :class:`ContainerError` if something is mounted over a part of the path.
    Source: openat2(2), RESOLVE_NO_XDEV.
    """
    try:
        return k.openat2(proc, path, flags | os.O_NOCTTY, 0, _INSIDE)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        raise ContainerError(f"something is mounted over the container's /proc/{path}: unmount it") from None


def write(proc: int, path: str, text: str) -> None:
    """Write *text* to the file *path* of procfs. Raises as :func:`open_file`. Source: proc(5)."""
    fd = open_file(proc, path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def of_pid_namespace(pid: int) -> list[int]:
    """The processes in the pid namespace of *pid*; only *pid* itself when that is our own.

    Source: pid_namespaces(7).
    """
    wanted = _pid_namespace(pid)
    if wanted in (None, _pid_namespace("self")):
        return [pid]
    return [int(name) for name in os.listdir("/proc") if name.isdecimal() and _pid_namespace(name) == wanted]


def _pid_namespace(pid: int | str) -> int | None:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return None
