"""Chapter 02: a container that has the wrong name, and may not change it itself."""

from __future__ import annotations

import os

import minict
from minict.kernel.namespaces import CLONE_NEWUTS, setns, unshare
from minict.kernel.process import sethostname

from ..child import run_in_child
from ..feedback import Feedback
from ..scenario import Scenario

_WRONG, _RIGHT = "bakery", "bookshop"


class Shop:
    """The container, and the uts namespace that it began with."""

    def __init__(self):
        self.box = minict.run("tiny", "sleep 100000", hostname=_WRONG, network="none", detach=True)
        self.namespace = os.readlink(f"/proc/{self.box.pid}/ns/uts")


_shops: dict[int, Shop] = {}


def start():
    """The container with the wrong name."""
    shop = Shop()
    _shops[id(shop.box)] = shop
    return shop.box


def end(box) -> None:
    """Stop it."""
    _shops.pop(id(box), None)
    box.stop(timeout=0)


def check(box) -> None:
    """It runs, in the uts namespace that it began with, and that has the right name."""
    if box.status != "running":
        raise Feedback("The container has ended. It must go on: rename it while it runs.")
    if os.readlink(f"/proc/{box.pid}/ns/uts") != _shops[id(box)].namespace:
        raise Feedback("The container is in another uts namespace than before.")
    name = run_in_child(_name_inside, box.pid)
    if name != _RIGHT:
        raise Feedback(
            f"In the container's uts namespace the name is still {name}. Its own root lacks the capability to change "
            "it, and a name that is set in another namespace stays there."
        )


def _name_inside(pid: int) -> str:
    setns(os.open(f"/proc/{pid}/ns/uts", os.O_RDONLY), CLONE_NEWUTS)
    return os.uname().nodename


def repair(box):
    """Enter the container's uts namespace from outside, with all of root's capabilities, and set the name there."""

    def rename():
        setns(os.open(f"/proc/{box.pid}/ns/uts", os.O_RDONLY), CLONE_NEWUTS)
        sethostname("bookshop")

    run_in_child(rename)


def _ask_the_containers_root(box):
    box.exec(f"hostname {_RIGHT}")


def _rename_elsewhere(box):
    def rename():
        unshare(CLONE_NEWUTS)
        sethostname(_RIGHT)

    run_in_child(rename)


def _start_another(box):
    box.stop(timeout=0)


Scenario(
    "misnamed",
    "The container is called bakery, but it sells books: its host name must be bookshop. Customers are waiting, so it "
    "can't be restarted.",
    minutes=5,
    start=start,
    check=check,
    clues=[
        'misnamed.exec("hostname bookshop") shows what the container\'s own root may do. Who may do more?',
        "The name belongs to a uts namespace. A process outside can enter that, and has all capabilities.",
        "In a %%child: setns() on /proc/PID/ns/uts with misnamed.pid, and then sethostname(…).",
    ],
    solution=repair,
    wrong={
        "asks the container's root": (_ask_the_containers_root, "lacks the capability"),
        "renames a namespace of its own": (_rename_elsewhere, "still bakery"),
        "stops it": (_start_another, "It must go on"),
    },
    end=end,
)
