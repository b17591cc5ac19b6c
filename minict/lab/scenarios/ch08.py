"""Chapter 08: a container whose batches all die, with nothing in the log."""

from __future__ import annotations

import time

import minict

from ..feedback import Feedback
from ..scenario import Scenario

_MB = 1 << 20
_MOST = 256  # megabytes that one container may have: there are others
_PATIENCE = 20  # seconds in which a batch ends, on a busy machine too
_WORK = """
number=0
while :; do
    dd if=/dev/zero of=/dev/null bs=24M count=1 2>/dev/null
    status=$?
    number=$((number + 1))
    echo "$number $status" > /batch.new
    mv /batch.new /batch
    sleep 0.05
done
"""


def start():
    """The container that has too little memory for its work."""
    box = minict.run(
        "tiny", ["sh", "-c", f"exec 2>/dev/null{_WORK}"], memory="16m", memory_swap="16m", network="none", detach=True
    )
    _next_batch(box, 1)
    return box


def _batch(box) -> tuple[int, int]:
    """The number of the last batch, and its exit status."""
    try:
        with open(f"{box.root}/batch") as file:
            number, status = file.read().split()
    except FileNotFoundError:
        return 0, 0
    return int(number), int(status)


def _next_batch(box, more: int) -> int | None:
    """The exit status of a batch that begins from now on; None when none ends."""
    wanted, end = _batch(box)[0] + more, time.monotonic() + _PATIENCE
    while _batch(box)[0] < wanted:
        if time.monotonic() > end or box.status != "running":
            return None
        time.sleep(0.01)
    return _batch(box)[1]


def check(box) -> None:
    """It runs, its batches end well, and it still has a limit."""
    if box.status != "running":
        raise Feedback("The container has ended. It must go on working: change its limit while it runs.")
    limit = box.stats()["memory"]["limit"]
    if limit is None or limit > _MOST * _MB:
        raise Feedback(
            f"The container may take more than {_MOST} MB of memory now. It has to share this machine with others: "
            "give it what it needs, and keep a limit."
        )
    status = None if box._life.cgroup.frozen else _next_batch(box, 2)
    if status is None:
        raise Feedback("No batch ends any more. The container must go on working: is it paused?")
    if status:
        raise Feedback(
            f"The batch that has just ended has the status {status}, which is 128 + {status - 128}. The "
            "container's stats() say what it still has too little of: one counter grows with each batch."
        )


def repair(box):
    """A batch takes 24 MB, and the shell some more: 64 are enough."""
    box.update(memory="64m", memory_swap="64m")


def _more_processors(box):
    box.update(cpus=2)


def _a_little_more(box):
    box.update(memory="20m", memory_swap="20m")


def _all_of_it(box):
    box.update(memory="4g", memory_swap="4g")


def _pause(box):
    box.pause()


Scenario(
    "hungry",
    "This container works through one batch after the other, every batch ends with status 137, and its log is empty.",
    minutes=5,
    start=start,
    check=check,
    clues=[
        "137 is 128 + 9: SIGKILL. Which part of the kernel sends that, and writes nothing into the log?",
        'hungry.stats()["memory"] has the usage, the limit, and a counter of kills. Look twice: which number grows?',
        "hungry.update(memory=…, memory_swap=…) changes the limits of a running container. memory_swap is both "
        "together: with the same value for both, nothing goes to the disk.",
    ],
    solution=repair,
    wrong={
        "more processor time": (_more_processors, "too little of"),
        "a little more memory": (_a_little_more, "too little of"),
        "as much as there is": (_all_of_it, "keep a limit"),
        "pauses it": (_pause, "No batch ends any more"),
    },
)
