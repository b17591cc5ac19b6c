"""Chapter 05: the host is gone, but a directory was left open."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile

from minict.kernel import mount, namespaces
from minict.runtime import rootfs

from ..child import run_in_child
from ..flag import Flag


class Vault:
    """An empty directory to move into, and the word, which a directory that is left open leads to."""

    def __init__(self, directory: str, word: str):
        self.directory, self._word = directory, word

    def __repr__(self):
        return "<a room without a host; the word is in a directory that is still open>"

    def enter(self, leave_open: bool = True) -> None:
        """Move in with pivot_root: call it in a ``%%child``."""
        namespaces.unshare(namespaces.CLONE_NEWNS)
        mount.mount(None, "/", None, mount.MS_REC | mount.MS_PRIVATE)
        # The word is on a file system of its own, which is then taken off: what is open leads there, and no further.
        mount.mount("vault", self.directory, "tmpfs", 0, "size=1m")
        with open(f"{self.directory}/word", "w") as file:
            file.write(self._word)
        vault = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
        mount.umount2(self.directory, mount.MNT_DETACH)
        mount.mount(self.directory, self.directory, None, mount.MS_BIND)
        rootfs.pivot_root(self.directory)
        _close_directories({vault} if leave_open else set())


def _close_directories(keep: set[int]) -> None:
    """Close the other directories that this process has open, such as those of the notebook: they lead to the host."""
    for descriptor in range(3, 1024):
        try:
            if descriptor not in keep and stat.S_ISDIR(os.fstat(descriptor).st_mode):
                os.close(descriptor)
        except OSError:
            pass  # nothing is open by that number


def place(word: str) -> Vault:
    """The room to move into."""
    return Vault(tempfile.mkdtemp(prefix="minict-flag-"), word)


def _look_for_directories() -> str:
    for descriptor in range(3, 1024):
        try:
            names = os.listdir(descriptor)
        except OSError:
            continue
        with open(os.open(names[0], os.O_RDONLY, dir_fd=descriptor)) as file:
            return file.read()
    return "no directory is open"


def solution(vault: Vault) -> str:
    """Move in, and look through the open descriptors."""

    def go():
        vault.enter()
        return _look_for_directories()

    return run_in_child(go)


def closed(vault: Vault) -> str:
    """The same look, when nothing was left open."""

    def go():
        vault.enter(leave_open=False)
        return _look_for_directories()

    return run_in_child(go)


def remove(vault: Vault) -> None:
    """The room goes."""
    shutil.rmtree(vault.directory, ignore_errors=True)


Flag(
    "05",
    "In a %%child, call vault.enter() first: it moves you into an empty room with pivot_root, and the host is gone. But a directory "
    "was left open, by a number above 2, and in there is a file with a word. os.listdir(number) lists a directory by its "
    "descriptor; os.open(name, os.O_RDONLY, dir_fd=number) opens a file in it.",
    place=place,
    solution=solution,
    closed=closed,
    remove=remove,
)
