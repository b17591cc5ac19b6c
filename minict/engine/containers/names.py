"""Ids, which the engine makes up, and names, which people choose.

A name is a symbolic link, ``names/web -> ID``, because making one either succeeds or finds one there: two
containers can't take the same name.
"""

from __future__ import annotations

import os

from minict.runtime import paths
from minict.runtime.errors import ContainerError

_LETTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")

# A container without a name gets one of these, as in Docker: a mood, and somebody to whom the field owes something.
_MOODS = (
    "able brave bright calm clever curious eager fair fond gentle glad happy humble jolly keen kind lucid merry "
    "modest nimble patient proud quick quiet ready sunny swift tidy warm wise"
).split()
_PEOPLE = (
    "allen babbage bartik bell berners boole cerf clark corbato dijkstra engelbart goldberg hamilton hamming hopper "
    "johnson kahn kernighan knuth lamport liskov lovelace mcilroy morris perlman pike ritchie shannon stonebraker "
    "tanenbaum thompson torvalds turing wirth"
).split()


def new_id() -> str:
    """64 random hexadecimal digits, as Docker has them.  The first twelve are what a person sees, and the host name.

    One of 280 has only decimal digits in those twelve: as a host name that would be taken for an address,
    inet_aton(3), and not be found in /etc/hosts.  So it is not given.
    """
    while (id := os.urandom(32).hex())[:12].isdecimal():
        pass
    return id


def check(name: str) -> None:
    """Refuse what could not be a file name or a host name.  Raises :class:`ContainerError`."""
    if not name or name[0] not in _LETTERS or not set(name) <= _LETTERS | set("_.-") or len(name) > 128:
        raise ContainerError(
            f"{name!r} is no name for a container: it begins with a letter or a digit, and goes on with "
            "letters, digits and _.- up to 128"
        )


def make_up(id: str) -> str:
    """Give the container *id* a name that is free, and return it."""
    while True:
        one, two, three = os.urandom(3)
        name = f"{_MOODS[one % len(_MOODS)]}_{_PEOPLE[two % len(_PEOPLE)]}" + (f"{three}" if find_taken() > 200 else "")
        if _link(name, id):
            return name


def find_taken() -> int:
    """How many names are taken."""
    try:
        return len(os.listdir(directory()))
    except FileNotFoundError:
        return 0


def take(name: str, id: str, reclaim) -> None:
    """Give *name* to the container *id*.

    *reclaim* is called with the id of the container that has the name: it removes that container if a killed process
    should have removed it.  Raises :class:`ContainerError` when the name stays in use.
    """
    while not _link(name, id):
        holder = find(name)
        if holder is None:
            continue
        reclaim(holder)
        if os.path.isdir(paths.container_data(holder)):
            raise ContainerError(
                f"the name {name!r} is in use by the container {holder[:12]}: remove or rename that container, or choose "
                "another name"
            )
        release(f"{name}/{holder}")


def _link(name: str, id: str) -> bool:
    """Make the link; False when there is one."""
    while True:
        paths.make_directory(directory())
        try:
            os.symlink(id, f"{directory()}/{name}")
            return True
        except FileNotFoundError:  # the last name has just been given back, and its directory with it
            continue
        except FileExistsError:
            return False


def find(name: str) -> str | None:
    """The id of the container with this *name*."""
    try:
        return os.readlink(f"{directory()}/{name}")
    except OSError:
        return None


def release(value: str) -> None:
    """Undo :func:`take`: *value* is ``NAME/ID``, so that a name which another container has taken since stays."""
    name, id = value.split("/")
    if find(name) == id:
        try:
            os.unlink(f"{directory()}/{name}")
        except FileNotFoundError:
            pass


def release_all(id: str, name: str | None = None) -> None:
    """Release the *name* of the container *id*; when that is not known, whatever names lead to it."""
    if name:
        return release(f"{name}/{id}")
    for each in os.listdir(directory()) if os.path.isdir(directory()) else ():
        release(f"{each}/{id}")


def directory() -> str:
    return f"{paths.data_root()}/names"
