"""inotify: the kernel reports changes of files, so that no program has to poll."""

from __future__ import annotations

import os

from .syscall import failure, libc

# sys/inotify.h
IN_MODIFY = 0x2
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE_SELF = 0x400


def inotify_init1(flags: int = os.O_CLOEXEC) -> int:
    """A descriptor that becomes readable when a watched file changes.

    Raises :class:`OSError`, EMFILE when the user has too many. Source: inotify_init1(2).
    """
    fd: int = libc.inotify_init1(flags)
    if fd == -1:
        raise failure("inotify_init1", flags)
    return fd


def inotify_add_watch(fd: int, path: str, mask: int) -> int:
    """Watch *path*, a file or a directory with the files in it, for the events in *mask*; return the watch's number.

    Raises :class:`OSError`. Source: inotify_add_watch(2).
    """
    word = os.fsencode(path)
    watch: int = libc.inotify_add_watch(fd, word, mask)
    if watch == -1:
        raise failure("inotify_add_watch", fd, word, mask, path=path)
    return watch
