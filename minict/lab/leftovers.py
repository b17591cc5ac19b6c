"""The temporary directories of notebooks that were killed: the next notebook removes them.

A directory of the course is removed by the notebook that has made it, at the latest when its kernel ends.  A kernel
that is killed removes nothing.  So each kernel notes its directories in a file of its own, which it keeps locked, below
``MINICT_ROOT``: that survives a reboot, as ``/var/tmp`` does.  The kernel lets go of the lock when it dies, however it
dies; a notebook that finds a file without its lock removes what the file names.  Source: flock(2).

Only directories that would have been removed are noted: those of the course, whose names begin with ``minict-``, and
those of a ``tempfile.TemporaryDirectory``.  What a learner makes by ``tempfile.mkdtemp`` is the learner's.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import importlib
import os
import shutil
import sys
import tempfile

from minict.runtime import paths

from . import host

# What has to end before a directory of this name can go: a function that is called with its path.
_ENDINGS = {"minict-ada-": "ordinary.end_account"}

_NAME = "left-"
_lock, _notes, _owner = -1, "", 0  # the notes of this kernel: open and locked; their path; who has made them


def begin(made=lambda path: None) -> None:
    """Note each temporary directory that this process and its children make from now on, and call *made* with its path;
    remove those of dead kernels."""
    tempfile.mkdtemp = _noting(tempfile.mkdtemp, made)
    remove()


def _noting(mkdtemp, made):
    """A ``tempfile.mkdtemp`` that notes what it makes, also for TemporaryDirectory, which calls it."""

    @functools.wraps(mkdtemp)
    def noted(*arguments, **options):
        path = os.path.abspath(mkdtemp(*arguments, **options))
        made(path)
        if sys._getframe(1).f_globals.get("__name__") == "tempfile" or os.path.basename(path).startswith("minict-"):
            note(path)
        return path

    return noted


def note(path: str) -> None:
    """Have *path*, a directory or a file, removed by another kernel should this one be killed."""
    line = f"{os.lstat(path).st_ino} {path}\n".encode(errors="surrogateescape")
    # a child with another root, or as another user, can't open it; and must not create another
    with contextlib.suppress(OSError), open(_own_notes(), "ab", buffering=0, opener=_without_creating) as file:
        file.write(line)


def _without_creating(path: str, flags: int) -> int:
    return os.open(path, flags & ~os.O_CREAT)


def _directory() -> str:
    return f"{paths.data_root()}/lab"


def _own_notes() -> str:
    """The file of this kernel.  It is locked from here on, and a child's is its parent's."""
    global _lock, _notes, _owner
    while _lock == -1:
        paths.make_directory(_directory())
        new, path = tempfile.mkstemp(prefix=_NAME, dir=_directory())
        fcntl.flock(new, fcntl.LOCK_EX)
        if os.fstat(new).st_nlink:
            _lock, _notes, _owner = new, path, os.getpid()
        else:
            os.close(new)  # another kernel has found it before it was locked
    return _notes


def remove() -> None:
    """Remove what dead kernels have noted, and their notes."""
    if os.path.isdir(_directory()):
        for name in os.listdir(_directory()):
            if name.startswith(_NAME):
                _remove_if_dead(f"{_directory()}/{name}")


def end() -> None:
    """At the end of this kernel: remove what is still there of what it has noted, and its notes."""
    global _lock
    if _lock != -1 and _owner == os.getpid():
        os.close(_lock)
        _lock = -1
        _remove_if_dead(_notes)


def _remove_if_dead(notes: str) -> None:
    with contextlib.suppress(OSError), open(notes, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its kernel lives
        lines = file.read().decode(errors="surrogateescape").splitlines()
        gone = [_removed(path, int(inode)) for inode, _, path in (line.partition(" ") for line in lines)]
        if all(gone):
            os.remove(notes)


def _removed(path: str, inode: int) -> bool:
    """Remove *path*, if it still is the one with this number; whether it is gone then."""
    if not os.path.lexists(path) or os.lstat(path).st_ino != inode:
        return True
    if any(entry["point"].startswith(f"{path}/") for entry in host.mount_table()):
        return False  # the files of what is mounted there may be the learner's
    for name, function in _ENDINGS.items():
        if os.path.basename(path).startswith(name):
            module, _, function = function.rpartition(".")
            getattr(importlib.import_module(f"{__package__}.{module}"), function)(path)
    if os.path.isdir(path):
        shutil.rmtree(path, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError, IsADirectoryError):
        os.remove(path)
    return not os.path.lexists(path)
