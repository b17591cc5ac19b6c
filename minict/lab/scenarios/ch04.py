"""Chapter 04: a word outside of a room whose only lock is chroot, and a command that is there and not found."""

from __future__ import annotations

import os
import shutil
import tempfile

import minict
from minict.kernel import mount, namespaces
from minict.runtime import rootfs

from ..child import run_in_child
from ..feedback import Feedback
from ..flag import Flag, prepared_file
from ..guard import stay_here
from ..scenario import Scenario


class Room:
    """An empty directory to be locked into, and the path that the word's file has on the host."""

    def __init__(self, directory: str, file: str):
        self.directory, self.file = directory, file

    def __repr__(self):
        return "<a room; the word is outside>"

    def enter(self) -> None:
        """Lock this process in: call it in a ``%%child``."""
        stay_here("flag_room.enter()")
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
    "A file of the host holds a word; its path is flag_room.file. In a %%child, call flag_room.enter() first: that "
    "locks "
    "you in. Then read the file from in there, and print what you find.",
    place=place,
    solution=solution,
    closed=closed,
    remove=remove,
)


# ---- a broken container ------------------------------------------------------------------------------------------

_GREETER = "usr/local/bin/greet"


def start():
    """A container with a script whose interpreter is not there."""
    box = minict.run("tiny", "sleep 100000", network="none", detach=True)
    os.makedirs(os.path.dirname(f"{box.root}/{_GREETER}"), exist_ok=True)
    with open(f"{box.root}/{_GREETER}", "w") as file:
        file.write("#!/opt/shells/bash\necho Good morning\n")
    os.chmod(f"{box.root}/{_GREETER}", 0o755)
    return box


def check(box) -> None:
    """The command greets, in the container that runs."""
    if box.status != "running":
        raise Feedback("The container has ended. It must go on: repair what is in it.")
    if not os.path.isfile(f"{box.root}/{_GREETER}"):
        raise Feedback(f"There is no file /{_GREETER} any more: customers call it by that name.")
    try:
        told = box.exec(f"/{_GREETER}")
        words = told.output.strip() if told.status else ""
    except minict.ContainerError as error:
        words = str(error)
    else:
        if told.output.strip() == "Good morning":
            return
        if not told.status:
            raise Feedback(
                f"/{_GREETER} runs now, but it says {told.output.strip()!r}. Customers expect 'Good morning'."
            )
    with open(f"{box.root}/{_GREETER}", "rb") as file:
        first = file.readline().decode(errors="replace").strip()
    raise Feedback(
        f"/{_GREETER} is there and does not greet: {words}. Its first line is {first!r}: what the kernel does not "
        f"find is "
        "that file, or what that file needs."
    )


def repair(box):
    """Name an interpreter that is there."""
    with open(f"{box.root}/usr/local/bin/greet", "w") as file:
        file.write("#!/bin/sh\necho Good morning\n")


def _make_it_executable(box):
    os.chmod(f"{box.root}/{_GREETER}", 0o777)


def _bring_an_empty_shell(box):
    os.makedirs(f"{box.root}/opt/shells")
    with open(f"{box.root}/opt/shells/bash", "w") as file:
        file.write("#!/opt/shells/another\n")
    os.chmod(f"{box.root}/opt/shells/bash", 0o755)


def _greet_otherwise(box):
    with open(f"{box.root}/{_GREETER}", "w") as file:
        file.write("#!/bin/sh\necho Hello\n")


def _remove_it(box):
    os.remove(f"{box.root}/{_GREETER}")


Scenario(
    "speechless",
    "In this container the command greet is there, and still everybody who calls it is told that it is not found.",
    minutes=6,
    start=start,
    check=check,
    clues=[
        'speechless.root + "/usr/local/bin/greet" is the file, as a path of the host. What is in its first line?',
        "The kernel starts the interpreter that the first line names. Is that in the container?",
        "Two ways: name an interpreter that is there, such as /bin/sh, or bring the missing one with all that it "
        "needs.",
    ],
    solution=repair,
    wrong={
        "makes it executable": (_make_it_executable, "what the kernel does not find is"),
        "brings an interpreter that lacks its own": (_bring_an_empty_shell, "or what that file needs"),
        "says something else": (_greet_otherwise, "Customers expect"),
        "removes it": (_remove_it, "call it by that name"),
    },
)
