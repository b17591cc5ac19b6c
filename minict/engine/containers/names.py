"""Container ids, which the engine generates, and names, which users choose.

A name is a symbolic link, ``names/web -> ID``.  Making a link either succeeds or fails because it exists, so two
containers can't get the same name.
"""

from __future__ import annotations

import os

from minict.runtime import paths
from minict.runtime.errors import ContainerError
from minict.runtime.files import names_in

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable

_LETTERS = set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789")

# A container without a name gets one of these, as in Docker: an adjective, and a pioneer of computing.
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
    """64 random hexadecimal digits, as in Docker. The first twelve are the short id and the default host name.

    Ids whose first twelve digits are all decimal are skipped (one in 280): as a host name they would be taken for an
    address, inet_aton(3), and not be looked up in /etc/hosts.
    """
    while (id := os.urandom(32).hex())[:12].isdecimal():
        pass
    return id


def check(name: str) -> None:
    """Check that *name* can be a file name and a host name. Raises :class:`ContainerError`."""
    if not name or name[0] not in _LETTERS or not set(name) <= _LETTERS | set("_.-") or len(name) > 128:
        raise ContainerError(
            f"invalid container name {name!r}: use up to 128 letters, digits and _.-, beginning with a letter or "
            "a digit"
        )


def make_up(id: str) -> str:
    """Give the container *id* a random free name, and return it."""
    while True:
        one, two, three = os.urandom(3)
        name = f"{_MOODS[one % len(_MOODS)]}_{_PEOPLE[two % len(_PEOPLE)]}" + (f"{three}" if find_taken() > 200 else "")
        if try_to_take(name, id):
            return name


def find_taken() -> int:
    """The number of names in use."""
    return len(names_in(directory()))


def take(name: str, id: str, reclaim: Callable[[str], object]) -> None:
    """Give *name* to the container *id*.

    *reclaim* is called with the id of the container that has the name: it removes that container if a killed process
    should have removed it.  Raises :class:`ContainerError` if the name stays in use.
    """
    while not try_to_take(name, id):
        holder = find(name)
        if holder is None:
            continue
        reclaim(holder)
        if os.path.isdir(paths.container_data(holder)):
            raise ContainerError(
                f"the name {name!r} is in use by the container {holder[:12]}: remove that container with "
                f"'minict rm -f {name}', or use another name"
            )
        release(f"{name}/{holder}")


def try_to_take(name: str, id: str) -> bool:
    """Give *name* to the container *id*; False if another container has it. Raises :class:`OSError`."""
    while True:
        paths.make_directory(directory())
        try:
            return claim(f"{directory()}/{name}", id)
        except FileNotFoundError:  # another process has just removed the directory with the last name
            continue


def claim(path: str, id: str) -> bool:
    """Make *path* a symbolic link that contains *id*; False if *path* exists.

    Of several processes that call this at the same moment, exactly one gets True: to look and to make is one step of
    the kernel. Raises :class:`OSError`. Source: symlink(2).
    """
    try:
        os.symlink(id, path)
    except FileExistsError:
        return False
    return True


def find(name: str) -> str | None:
    """The id of the container with this *name*, or None."""
    try:
        return os.readlink(f"{directory()}/{name}")
    except OSError:
        return None


def release(value: str) -> None:
    """Undo :func:`take`: *value* is ``NAME/ID``, so that the name stays if another container has taken it since."""
    name, id = value.split("/")
    if find(name) == id:
        try:
            os.unlink(f"{directory()}/{name}")
        except FileNotFoundError:
            pass


def release_all(id: str, name: str | None = None) -> None:
    """Release the *name* of the container *id*; if it is unknown, all names of this container."""
    if name:
        release(f"{name}/{id}")
        return
    for each in names_in(directory()):
        release(f"{each}/{id}")


def directory() -> str:
    return f"{paths.data_root()}/names"
