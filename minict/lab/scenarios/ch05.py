"""Chapter 05: the host is gone, but a directory was left open; and a container that sees a directory of the host's."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile

import minict
from minict.kernel import mount, namespaces
from minict.runtime import rootfs

from .. import host
from ..child import run_in_child
from ..feedback import Feedback
from ..flag import Flag
from ..guard import stay_here
from ..scenario import Scenario


class Vault:
    """An empty directory to move into, and the word, which a directory that is left open leads to."""

    def __init__(self, directory: str, word: str):
        self.directory, self._word = directory, word

    def __repr__(self):
        return "<a room without a host; the word is in a directory that is still open>"

    def enter(self, leave_open: bool = True) -> None:
        """Move in with pivot_root: call it in a ``%%child``."""
        stay_here("vault.enter()")
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
    "In a %%child, call vault.enter() first: it moves you into an empty room with pivot_root, and the host is gone. "
    "But a directory "
    "was left open, by a number above 2, and in there is a file with a word. Find the number in a loop: "
    "os.listdir(number) lists a directory by its descriptor, and raises OSError where there is none. "
    "os.open(name, os.O_RDONLY, dir_fd=number) opens a file in it. "
    "(where() knows another room: it is of no use here.)",
    place=place,
    solution=solution,
    closed=closed,
    remove=remove,
)


# ---- a broken container ------------------------------------------------------------------------------------------

_PLACE = "/srv/attic"


class _Leak:
    """A container with a directory of the host's mounted in it."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="minict-attic-")
        with open(f"{self.directory}/diary", "w") as file:
            file.write("Nobody was to read this.")
        self.box = minict.run(
            "tiny", "sleep 100000", volume=[f"{self.directory}:{_PLACE}"], network="none", detach=True
        )


_leaks: dict[int, _Leak] = {}


def start():
    """The container that sees what it should not."""
    leak = _Leak()
    _leaks[id(leak.box)] = leak
    return leak.box


def end(box) -> None:
    """Stop it, and remove the directory."""
    box.stop(timeout=0)
    shutil.rmtree(_leaks.pop(id(box)).directory, ignore_errors=True)


def check(box) -> None:
    """It runs, nothing of the host's is mounted there, and the host still has its diary."""
    if box.status != "running":
        raise Feedback("The container has ended. It must go on: take away what it sees while it runs.")
    if not os.path.exists(f"{_leaks[id(box)].directory}/diary"):
        raise Feedback("The host's own diary is gone. It must stay, out of the container's sight.")
    points = [entry["point"] for entry in host.mount_table(box.pid)]
    if points.count(_PLACE) == 1:
        raise Feedback(
            f"In the container's mount table there is still a mount at {_PLACE}. It belongs to the container's mount "
            "namespace: what is unmounted in another one, or asked for without a capability, changes nothing there."
        )
    if points.count(_PLACE) > 1:
        raise Feedback(
            f"There are {points.count(_PLACE)} mounts at {_PLACE} now: the lower one is covered, and still there."
        )


def repair(box):
    """Enter the container's mount namespace from outside, with all of root's capabilities, and unmount it there."""

    def take_away():
        namespaces.setns(os.open(f"/proc/{box.pid}/ns/mnt", os.O_RDONLY), namespaces.CLONE_NEWNS)
        mount.umount2("/srv/attic", mount.MNT_DETACH)

    run_in_child(take_away)


def _ask_the_containers_root(box):
    box.exec(f"umount {_PLACE}")


def _cover_it(box):
    def cover():
        namespaces.setns(os.open(f"/proc/{box.pid}/ns/mnt", os.O_RDONLY), namespaces.CLONE_NEWNS)
        mount.mount("tmpfs", _PLACE, "tmpfs", mount.MS_RDONLY)

    run_in_child(cover)


def _burn_the_diary(box):
    os.remove(f"{_leaks[id(box)].directory}/diary")


Scenario(
    "overlooked",
    "Somebody has left a directory of the host in this container, and its processes read the host's diary.",
    minutes=6,
    start=start,
    check=check,
    clues=[
        "mount_tree(overlooked.pid) draws what is mounted there. Which row does not belong?",
        "A mount is one of a mount namespace. A process outside can enter the container's, and has all capabilities.",
        "In a %%child: setns() on /proc/PID/ns/mnt with overlooked.pid, and then k.umount2(…, k.MNT_DETACH).",
    ],
    solution=repair,
    wrong={
        "asks the container's root": (_ask_the_containers_root, "without a capability"),
        "covers it": (_cover_it, "the lower one is covered"),
        "removes the file": (_burn_the_diary, "It must stay"),
    },
    end=end,
)
