"""Chapter 15: a menu that the guests never see, and a collector that follows a link."""

from __future__ import annotations

import os
import shutil
import tempfile

import minict
from minict.kernel import mount as k

from ..feedback import Feedback
from ..flag import Flag
from ..scenario import Scenario

# ---- the flag ----------------------------------------------------------------------------------------------------


class Depot:
    """A directory of the host with two parts: ``out``, which containers have as /out, and ``office``, with the word."""

    def __init__(self, directory: str, word: str):
        self.directory = directory
        for name in ("out", "office"):
            os.mkdir(f"{directory}/{name}")
        with open(f"{directory}/office/word", "w") as file:
            file.write(word)

    def __repr__(self):
        return "<a depot with /out and /office; a container has /out, and a collector of the host reads /out/report>"

    def run(self, command: str) -> minict.engine.api.Finished:
        """Run the shell *command* in a new container that has the depot's /out as its /out."""
        volume = [f"{self.directory}/out:/out"]
        return minict.run("tiny", ["sh", "-c", command], volume=volume, network="none")

    def collect(self, rules: int = 0) -> str:
        """What the collector reads.  To it, the depot is /, so that no link leads it to another file of the host.

        *rules*: ``RESOLVE_`` flags of openat2(2) that a careful collector would give.
        """
        root = os.open(self.directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with open(k.openat2(root, "/out/report", os.O_RDONLY, 0, k.RESOLVE_IN_ROOT | rules)) as file:
                return file.read()
        except FileNotFoundError:
            raise FileNotFoundError("there is no /out/report in the depot today, or it leads nowhere") from None
        finally:
            os.close(root)


def place(word: str) -> Depot:
    """The depot, without a report."""
    return Depot(tempfile.mkdtemp(prefix="minict-flag-"), word)


def solution(depot: Depot) -> str:
    """Leave a link where the report is expected, and let the collector follow it."""
    depot.run("ln -sf /office/word /out/report")
    return depot.collect()


def closed(depot: Depot) -> str:
    """The same link, and a collector that follows none."""
    depot.run("ln -sf /office/word /out/report")
    return depot.collect(k.RESOLVE_NO_SYMLINKS)


def remove(depot: Depot) -> None:
    """The depot goes."""
    shutil.rmtree(depot.directory, ignore_errors=True)


Flag(
    "15",
    "You have a container, and depot.run(command) runs shell commands in one: of the whole depot it sees /out alone. "
    "Every evening the collector, root on the host, opens the depot's /out/report and prints it: depot.collect(). The "
    "word is in the depot's /office/word, which no container has mounted. Let the collector read it to you, without "
    "leaving the container.",
    place=place,
    solution=solution,
    closed=closed,
    remove=remove,
)


# ---- a broken container ------------------------------------------------------------------------------------------

_PLACE = "/etc/shop"


class Shop:
    """A restaurant: the cook edits ``menu`` in *directory* on the host; the guests read it in the container *box*."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="minict-shop-")
        self.days = 1
        self.edit("Monday: soup")
        self.open([f"{self.directory}/menu:{_PLACE}/menu"])
        self.edit("Tuesday: stew")

    def __repr__(self):
        return f"a shop with the menu in {self.directory}/menu; its container has the volumes {self.volumes}"

    def open(self, volumes: list[str]) -> None:
        """Replace the container by a new one with these *volumes*."""
        if "box" in vars(self):
            self.box.stop(timeout=0)
        self.volumes = volumes
        self.box = minict.run("tiny", "sleep 100000", volume=volumes, network="none", detach=True)

    def edit(self, text: str) -> None:
        """What the cook's editor does when it saves *text*."""
        with open(f"{self.directory}/menu.new", "w") as file:
            file.write(text)
        os.rename(f"{self.directory}/menu.new", f"{self.directory}/menu")

    def reads(self) -> str:
        """What the guests read."""
        return self.inside(f"cat {_PLACE}/menu").strip()

    def inside(self, command: str) -> str:
        """What the shell *command* says in the container."""
        return self.box.exec(["sh", "-c", command]).output


def start():
    """The shop on the second day."""
    return Shop()


def end(shop) -> None:
    """Close it."""
    shop.box.stop(timeout=0)
    shutil.rmtree(shop.directory, ignore_errors=True)


def check(shop) -> None:
    """The guests read the menu of today, and that of the next day when the cook has saved it."""
    if shop.box.status != "running":
        raise Feedback("The container has ended: the shop is closed. stale.open([…]) starts a new one.")
    try:
        with open(f"{shop.directory}/menu") as file:
            written = file.read().strip()
    except FileNotFoundError:
        raise Feedback("The cook's file is gone. stale.edit(text) writes one.") from None
    read = shop.reads()
    if read != written:
        raise Feedback(f"On the host the menu says {written!r}, and the guests read {read!r}.")
    shop.days += 1
    tomorrow = f"Day {shop.days + 1}: curry"
    shop.edit(tomorrow)
    if shop.reads() != tomorrow:
        raise Feedback(
            f"The guests did read today's menu. Then another day came: the cook saved {tomorrow!r}, and they still "
            f"read {read!r}. Repair it for good."
        )


def repair(shop):
    """Mount the directory, in which the name is looked up each time, and not the file."""
    shop.open([f"{shop.directory}:/etc/shop"])


def _open_again(shop):
    shop.open(shop.volumes)


def _write_it_inside(shop):
    with open(f"{shop.directory}/menu") as file:
        menu = file.read()
    shop.box.exec(["sh", "-c", f"echo '{menu}' > {_PLACE}/menu"])


def _close(shop):
    shop.box.stop(timeout=0)


def _copy_it_in(shop):
    shop.open([])
    shop.box.exec(["sh", "-c", f"mkdir -p {_PLACE} && echo '{open(f'{shop.directory}/menu').read()}' > {_PLACE}/menu"])


Scenario(
    "stale",
    "Every morning the cook saves a new menu on the host, and the guests, who read it in the container, still see the "
    "one of the day on which the shop was opened.",
    minutes=7,
    start=start,
    check=check,
    clues=[
        'Compare the inode numbers: os.stat(f"{stale.directory}/menu").st_ino, and '
        'stale.inside("ls -i /etc/shop/menu"). What has the cook\'s editor done?',
        "A mount holds an inode, and not a name. Which inode stays the same whatever an editor does to the files?",
        'stale shows the volumes, and stale.open(["SOURCE:DESTINATION"]) starts the container with others. Mount the '
        "directory.",
    ],
    solution=repair,
    wrong={
        "opens it again": (_open_again, "Repair it for good"),
        "writes into the old file": (_write_it_inside, "Repair it for good"),
        "copies it": (_copy_it_in, "Repair it for good"),
        "closes": (_close, "has ended"),
    },
    end=end,
)
