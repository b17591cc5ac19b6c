"""Ids, which the engine makes up, and names, which people choose.

A name is a symbolic link, ``names/web -> ID``, because making one either succeeds or finds one there: two
containers can't take the same name.
"""
from __future__ import annotations

import os

from minict.runtime import paths
from minict.runtime.errors import ContainerError

_LETTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")


def new_id() -> str:
    """Twelve random hexadecimal digits, of which the host name is made and by which a person finds the container."""
    return os.urandom(6).hex()


def check(name: str) -> None:
    """Refuse what could not be a file name or a host name.  Raises :class:`ContainerError`."""
    if not name or name[0] not in _LETTERS or not set(name) <= _LETTERS | set("_.-") or len(name) > 128:
        raise ContainerError(f"{name!r} is no name for a container: it begins with a letter or a digit, and goes on with "
                             "letters, digits and _.- up to 128")


def take(name: str, id: str) -> None:
    """Give *name* to the container *id*.  Raises :class:`ContainerError` when another one has it."""
    while True:
        paths.make_directory(_directory())
        try:
            return os.symlink(id, f"{_directory()}/{name}")
        except FileNotFoundError:  # the last name has just been given back, and its directory with it
            continue
        except FileExistsError:
            if not _take_back(name):
                raise ContainerError(f"the name {name!r} is in use by the container {find(name)}: stop that one, or choose "
                                     "another name") from None


def _take_back(name: str) -> bool:
    """Whether *name* is free now, because its container is gone: the one who made it was killed, and the rest is pruned here."""
    from .prune import prune_container
    holder = find(name)
    if holder is None:
        return True
    if os.path.isdir(paths.container_state(holder)):
        return prune_container(holder)
    release(f"{name}/{holder}")
    return True


def find(name: str) -> str | None:
    """The id of the container with this *name*."""
    try:
        return os.readlink(f"{_directory()}/{name}")
    except OSError:
        return None


def release(value: str) -> None:
    """Undo :func:`take`: *value* is ``NAME/ID``, so that a name which another container has taken since stays."""
    name, id = value.split("/")
    if find(name) == id:
        os.unlink(f"{_directory()}/{name}")
    for directory in (_directory(), paths.run_root()):
        try:
            os.rmdir(directory)
        except OSError:
            break


def _directory() -> str:
    return f"{paths.run_root()}/names"
