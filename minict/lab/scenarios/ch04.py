"""Chapter 04: a word outside of a room whose only lock is chroot."""

from __future__ import annotations

import os
import shutil
import tempfile

from minict.kernel import mount, namespaces
from minict.runtime import rootfs

from ..child import run_in_child
from ..flag import Flag, prepared_file


class Room:
    """An empty directory to be locked into, and the path that the word's file has on the host."""

    def __init__(self, directory: str, file: str):
        self.directory, self.file = directory, file

    def __repr__(self):
        return "<a room; the word is outside>"

    def enter(self) -> None:
        """Lock this process in: call it in a ``%%child``."""
        os.chroot(self.directory)
        os.chdir("/")


def place(word: str) -> Room:
    """The room, and the word in a file of the host."""
    return Room(tempfile.mkdtemp(prefix="minict-flag-"), prepared_file("04", word))


def _get_out(file: str) -> str:
    os.mkdir("deeper")
    os.chroot("deeper")
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    with open(file) as stream:
        return stream.read()


def solution(room: Room) -> str:
    """Enter, and leave by a second chroot."""

    def go():
        room.enter()
        return _get_out(room.file)

    return run_in_child(go)


def closed(room: Room) -> str:
    """The same way out of a room that was entered with pivot_root, as in chapter 05."""

    def go():
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mount.mount(None, "/", None, mount.MS_REC | mount.MS_PRIVATE)
        mount.mount(room.directory, room.directory, None, mount.MS_BIND)
        rootfs.pivot_root(room.directory)
        try:
            return _get_out(room.file)
        except FileNotFoundError:
            return "there is no such file"

    return run_in_child(go)


def remove(room: Room) -> None:
    """The room goes; its file goes by itself."""
    shutil.rmtree(room.directory, ignore_errors=True)


Flag(
    "04",
    "A file of the host holds a word; its path is flag_room.file. In a %%child, call flag_room.enter() first: that locks "
    "you in. Then read the file from in there, and print what you find.",
    place=place,
    solution=solution,
    closed=closed,
    remove=remove,
)
