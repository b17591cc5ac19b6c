"""Chapter 03: a container that fills up with zombies."""

from __future__ import annotations

import os
import signal
import time

import minict

from .. import host
from ..feedback import Feedback
from ..scenario import Scenario

# The service is the last line.  Before it a helper starts three children, and then becomes a program that waits for
# nobody.
_SCRIPT = """
sh -c 'for each in 1 2 3; do sleep 0.01 & done; exec sleep 111111' &
wait
sleep 222222
"""
_SERVICE = b"sh\0-c\0"


def start():
    """A container with an init, in which the three zombies are there already."""
    box = minict.run("tiny", ["sh", "-c", _SCRIPT], init=True, detach=True, network="none")
    end = time.monotonic() + 60
    while len(_zombies(box)) < 3 and time.monotonic() < end:
        time.sleep(0.01)
    return box


def _inside(box) -> list[host.Process]:
    table = host.process_table()
    return [table[pid] for pid in sorted(host.descendants(table, box.pid)) if pid in table]


def _zombies(box) -> list[host.Process]:
    return [process for process in _inside(box) if process.state == "Z"]


def check(box) -> None:
    """The service runs, and there is no zombie."""
    if box.status != "running" or not any(process.read("cmdline").startswith(_SERVICE) for process in _inside(box)):
        raise Feedback(
            "The container has ended, and the service with it. It must go on: repair it without stopping it."
        )
    end = time.monotonic() + 30
    while (zombies := _zombies(box)) and not _sleeps(zombies[0].parent) and time.monotonic() < end:
        time.sleep(0.01)  # what was killed just now takes a moment to end, and its children to be waited for
    if zombies:
        parent = host.process_table().get(zombies[0].parent)
        raise Feedback(
            f"There are {len(zombies)} zombies, all children of one living "
            f"process{f', {parent.name}' if parent else ''}. "
            "A zombie has ended already: no signal reaches it. It goes when its parent waits, or when it gets another "
            "parent."
        )


def _sleeps(pid: int) -> bool:
    """Whether the process *pid* sleeps, and no signal is on its way to it.  Source: proc_pid_status(5)."""
    process = host.process_table().get(pid)
    fields = (
        dict(line.split(":\t", 1) for line in process.read("status").decode().splitlines() if ":\t" in line)
        if process
        else {}
    )
    return fields.get("State", "").startswith("S") and not any(int(fields[name], 16) for name in ("SigPnd", "ShdPnd"))


def repair(box):
    """End the parent that waits for nobody: its children go to number 1, an init, which waits for them."""
    from minict.lab.host import descendants, process_table

    table = process_table()
    zombie = next(table[pid] for pid in descendants(table, box.pid) if table[pid].state == "Z")
    os.kill(zombie.parent, signal.SIGTERM)


def _kill_the_zombies(box):
    for zombie in _zombies(box):
        os.kill(zombie.pid, 9)


def _stop_the_container(box):
    box.stop(timeout=0)


def _tell_the_init(box):
    os.kill(box.pid, 17)  # SIGCHLD: number 1 has no zombie among its own children


Scenario(
    "crowded",
    "Nothing that ends in this container ever goes away: the list of its processes only grows.",
    minutes=6,
    start=start,
    check=check,
    clues=[
        "process_tree(crowded.pid) draws who is whose child. Which processes are left over, and what do they have in "
        "common?",
        "A zombie waits for its parent to ask. Its parent is a sleep, and that never asks. (zombies(crowded.pid) is 0: "
        "it counts the children of number 1, and these are the children of that sleep.)",
        "When a parent ends, its children go to number 1. Number 1 is an init here, and asks for everybody.",
    ],
    solution=repair,
    wrong={
        "kills the zombies": (_kill_the_zombies, "no signal reaches it"),
        "stops the container": (_stop_the_container, "It must go on"),
        "reminds the init": (_tell_the_init, "all children of one living process"),
    },
)
