"""The mount table: mount, umount2, pivot_root, and openat2, which opens a path without leaving a directory."""

from __future__ import annotations

import os

from . import native
from .syscall import failure, libc, syscall

# sys/mount.h; mount(2)
MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_SYNCHRONOUS = 16
MS_REMOUNT = 32
MS_MANDLOCK = 64
MS_DIRSYNC = 128
MS_NOSYMFOLLOW = 256
MS_NOATIME = 1024
MS_NODIRATIME = 2048
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_SILENT = 32768
MS_POSIXACL = 1 << 16
MS_UNBINDABLE = 1 << 17
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_SHARED = 1 << 20
MS_RELATIME = 1 << 21
MS_I_VERSION = 1 << 23
MS_STRICTATIME = 1 << 24
MS_LAZYTIME = 1 << 25

# umount2(2)
MNT_FORCE = 1
MNT_DETACH = 2
UMOUNT_NOFOLLOW = 8

# linux/openat2.h
RESOLVE_NO_XDEV = 0x01
RESOLVE_NO_MAGICLINKS = 0x02
RESOLVE_NO_SYMLINKS = 0x04
RESOLVE_BENEATH = 0x08
RESOLVE_IN_ROOT = 0x10

# linux/fcntl.h, linux/mount.h; open_tree(2), move_mount(2), mount_setattr(2)
AT_FDCWD = -100
AT_RECURSIVE = 0x8000
AT_EMPTY_PATH = 0x1000
OPEN_TREE_CLONE = 1
OPEN_TREE_CLOEXEC = os.O_CLOEXEC
MOVE_MOUNT_F_EMPTY_PATH = 0x04
MOVE_MOUNT_T_EMPTY_PATH = 0x40
MOUNT_ATTR_RDONLY = 0x01
MOUNT_ATTR_NOSUID = 0x02
MOUNT_ATTR_NODEV = 0x04
MOUNT_ATTR_NOEXEC = 0x08
MOUNT_ATTR__ATIME = 0x70
MOUNT_ATTR_NOATIME = 0x10
MOUNT_ATTR_STRICTATIME = 0x20
MOUNT_ATTR_NODIRATIME = 0x80
MOUNT_ATTR_IDMAP = 0x100000
MOUNT_ATTR_NOSYMFOLLOW = 0x200000

_mount = libc.mount
_mount.argtypes = (native.c_char_p, native.c_char_p, native.c_char_p, native.c_ulong, native.c_char_p)
_umount2 = libc.umount2
_umount2.argtypes = (native.c_char_p, native.c_int)


def mount(
    source: str | None, target: str, filesystemtype: str | None = None, mountflags: int = 0, data: str | None = None
) -> None:
    """Mount a file system at *target*, or change the mount that is there.

    Raises :class:`OSError` with *target* as its filename. Source: mount(2).
    """
    words = [None if word is None else os.fsencode(word) for word in (source, target, filesystemtype)]
    options = None if data is None else os.fsencode(data)
    if _mount(*words, mountflags, options):
        raise failure("mount", *words, mountflags, options, path=target)


def umount2(target: str, flags: int = 0) -> None:
    """Unmount *target*. With MNT_DETACH it disappears from all paths now, and is released when its last user is gone.

    Raises :class:`OSError` with *target* as its filename. Source: umount(2).
    """
    word = os.fsencode(target)
    if _umount2(word, flags):
        raise failure("umount2", word, flags, path=target)


def pivot_root(new_root: str, put_old: str) -> None:
    """Make *new_root* the root of this mount namespace and move the old root to *put_old*.

    Unlike chroot it exchanges the mount itself, so no path leads back once the old root is
    unmounted. *new_root* must be a mount point. Raises :class:`OSError`. Source: pivot_root(2).
    """
    words = os.fsencode(new_root), os.fsencode(put_old)
    syscall("pivot_root", *words, path=new_root)


def filesystem_type(fd: int) -> int:
    """The magic number of the file system of the open file *fd*, such as 0x9FA0 for procfs (linux/magic.h).

    Raises :class:`OSError`. Source: fstatfs(2).
    """
    status = (native.c_long * 32)()  # struct statfs begins with f_type and is smaller than this
    if libc.fstatfs(fd, native.byref(status)):
        raise failure("fstatfs", fd)
    return int(status[0])


class _OpenHow(native.Structure):
    """struct open_how of linux/openat2.h."""

    _fields_ = [("flags", native.c_uint64), ("mode", native.c_uint64), ("resolve", native.c_uint64)]


def openat2(dirfd: int, path: str, flags: int, mode: int = 0, resolve: int = 0) -> int:
    """Open *path* below the directory *dirfd*, with rules (``RESOLVE_…``) on how the path may lead there.

    RESOLVE_IN_ROOT treats *dirfd* as ``/`` for every ``..`` and every symbolic link of the path, so
    nothing that a container put there can lead to the host.
    Returns a file descriptor that is closed on exec. Raises :class:`OSError`. Source: openat2(2).
    """
    how = _OpenHow(flags | os.O_CLOEXEC, mode, resolve)
    return syscall("openat2", dirfd, os.fsencode(path), native.byref(how), native.sizeof(how), path=path)


def open_tree(dirfd: int, path: str, flags: int) -> int:
    """Open the mount at *path*; with OPEN_TREE_CLONE a copy of it that is attached nowhere yet: half a bind mount.

    Returns a file descriptor. Raises :class:`OSError`. Source: open_tree(2), Linux 5.2.
    """
    return syscall("open_tree", dirfd, os.fsencode(path), flags | OPEN_TREE_CLOEXEC, path=path)


def move_mount(from_fd: int, to_fd: int) -> None:
    """Attach the mount *from_fd* (of open_tree) on the file or directory *to_fd*: the other half of a bind mount.

    Raises :class:`OSError`. Source: move_mount(2), Linux 5.2.
    """
    syscall("move_mount", from_fd, b"", to_fd, b"", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH)


class _MountAttr(native.Structure):
    """struct mount_attr of linux/mount.h."""

    _fields_ = [(name, native.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def mount_setattr(
    dirfd: int, path: str, flags: int, attr_set: int = 0, attr_clr: int = 0, propagation: int = 0, userns_fd: int = 0
) -> None:
    """Change the attributes of the mount at *path*; with AT_RECURSIVE also of every mount below it.

    It is the only way to make a bind mount read-only together with the mounts inside it. With MOUNT_ATTR_IDMAP
    the mount shows the owners of its files as the user namespace *userns_fd* maps them.
    Raises :class:`OSError`. Source: mount_setattr(2), Linux 5.12.
    """
    attributes = _MountAttr(attr_set, attr_clr, propagation, userns_fd)
    syscall(
        "mount_setattr", dirfd, os.fsencode(path), flags, native.byref(attributes), native.sizeof(attributes), path=path
    )
