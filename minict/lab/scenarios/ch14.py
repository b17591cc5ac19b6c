"""Chapter 14: a kiosk that is always up, and never open."""

from __future__ import annotations

import os
import shutil
import tempfile

import minict
from minict.runtime.wait import wait_until

from ..feedback import Feedback
from ..scenario import Scenario

_PROGRAM = """
if ! test -s /shop/menu; then
    echo "kiosk: /shop/menu is missing or empty, so there is nothing to sell" >&2
    sleep 1
    exit 1
fi
exec sleep 100000
"""


class Kiosk:
    """A *container* that is started again whenever it ends; its /shop is the *directory* of the host."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="minict-kiosk-")
        self.container = minict.create(
            "tiny",
            ["sh", "-c", _PROGRAM],
            volume=[f"{self.directory}:/shop"],
            network="none",
            restart="always",
        ).start()

    def __repr__(self):
        return f"a kiosk: .container is its container, and .directory, {self.directory} of the host, is its /shop"

    def sells(self) -> bool:
        """Whether the program has got as far as selling: then process 1 is sleep, and not the shell any more."""
        try:
            with open(f"/proc/{self.container.pid}/cmdline") as file:
                return file.read().startswith("sleep\0")
        except (OSError, minict.ContainerError):
            return False  # between two runs


def start():
    """The kiosk, with an empty directory."""
    return Kiosk()


def end(kiosk) -> None:
    """Close it for good."""
    try:
        kiosk.container.remove(force=True)
    except minict.ContainerError:
        pass  # the learner has done it
    shutil.rmtree(kiosk.directory, ignore_errors=True)


def check(kiosk) -> None:
    """The container runs, and its program sells."""
    try:
        found = minict.container(kiosk.container.id)
    except minict.ContainerError:
        raise Feedback("The container is gone. Repair it; a new kiosk opens with sad(…).") from None
    if found.status in ("exited", "created"):
        raise Feedback("Now the container has ended, and stays so. A closed kiosk sells nothing either.")
    if _has_a_menu(kiosk) and wait_until(kiosk.sells, 5):
        return
    if _has_a_menu(kiosk):
        raise Feedback(
            "The reason is gone, but no run has begun since. After each failure the monitor waits twice as long: wait "
            "too, or start it again yourself."
        )
    raise Feedback(
        "It is started, fails, and is started again: no run has ever got as far as selling. What does it say before it "
        "ends?"
    )


def _has_a_menu(kiosk) -> bool:
    path = f"{kiosk.directory}/menu"
    return os.path.isfile(path) and os.path.getsize(path) > 0


def repair(kiosk):
    """Give it what its log asks for, and start it again."""
    with open(f"{kiosk.directory}/menu", "w") as menu:
        menu.write("soup\n")
    kiosk.container.restart(timeout=0)


def _start_again(kiosk):
    kiosk.container.restart(timeout=0)


def _no_more_restarts(kiosk):
    kiosk.container.update(restart="no")
    kiosk.container.stop(timeout=0)


def _an_empty_menu(kiosk):
    open(f"{kiosk.directory}/menu", "w").close()
    kiosk.container.restart(timeout=0)


def _remove(kiosk):
    kiosk.container.remove(force=True)


Scenario(
    "restless",
    "Whenever somebody looks, ps says that the kiosk is up, for a second or so; and it has never sold anything.",
    minutes=6,
    start=start,
    check=check,
    clues=[
        'Up for a second, each time: it is started again and again. restless.container.inspect()["RestartCount"] '
        "counts that. Who started it again, and why did it end?",
        "The output of all its runs is in one log: print(restless.container.logs(tail=3)).",
        "It wants a file that is not empty: write restless.directory + '/menu' on the host, and don't wait for the "
        "next start: restless.container.restart(timeout=0).",
    ],
    solution=repair,
    wrong={
        "starts it again": (_start_again, "What does it say"),
        "no more restarts": (_no_more_restarts, "stays so"),
        "an empty menu": (_an_empty_menu, "What does it say"),
        "removes it": (_remove, "is gone"),
    },
    end=end,
)
