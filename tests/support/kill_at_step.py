"""A ``minict`` that stops at one of its steps and is killed there: see step_recorder.py.

At a place that it reaches more than once, it is killed the first time, in the middle, and the last time. With
``MINICT_TEST_EVERY_STEP=1`` in the environment it is killed every time (use ``pytest --timeout=0``: that takes long).
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time

from minict.engine.cli import main
from minict.runtime.state import begin_time
from tests.support.command_line import PATIENCE, import_everything
from tests.support.step_recorder import live

import_everything()  # once, and not in each fork
EVERY = bool(os.environ.get("MINICT_TEST_EVERY_STEP"))


def fork(work) -> int:
    """Fork this process, which is faster than to start another Python. The child calls *work*, with /dev/null as its
    standard streams."""
    pid = os.fork()
    if pid == 0:
        try:
            null = os.open("/dev/null", os.O_RDWR)
            for fd in (0, 1, 2):
                os.dup2(null, fd)
            os.close(null)
            sys.stdin, sys.stdout, sys.stderr = (
                open(0, closefd=False),
                open(1, "w", closefd=False),
                open(2, "w", closefd=False),
            )
            work()
        finally:
            os._exit(99)
    return pid


def typed(*words: str) -> int:
    """Run ``minict WORDS…`` in a fork; return its exit status.

    Meanwhile all orphans are waited for: a pid namespace ends only with its last zombie, and some zombies may be
    children of this process.
    """
    pid = fork(lambda: main.main(list(words)))
    while True:
        buried, status = os.wait()
        if buried == pid:
            return os.waitstatus_to_exitcode(status)


class Doomed:
    """``minict WORDS…`` that stops at the *step* of its process *who*; without a step it does not stop, and ``points``
    has all steps.

    A point is a list: the step's id, what is about to happen and where, and the pid of the process.
    """

    def __init__(self, who: str, step: str | None, *words: str):
        said, say = os.pipe()
        go, self._go = os.pipe()

        def work() -> None:
            os.close(said)
            os.close(self._go)
            live(say, go, who, step, list(words))

        self._there = set(left_behind())  # another test's processes, such as a registry
        self.pid, self.status, self._who = fork(work), None, who
        for fd in (say, go):
            os.close(fd)
        self._said = open(said)
        lines = [self._said.readline()] if step else self._said.readlines()
        self.points = [line.rstrip("\n").split("\t") for line in lines if line]

    def kill(self) -> None:
        """Kill the process at the step, and no other, with SIGKILL. Then let the processes continue that were stopped
        with it."""
        if self.points:
            # a container's child only knows that it is process 1
            (pid,) = alive(self.pid) if self._who == "child" else [int(self.points[0][2])]
            os.kill(pid, signal.SIGKILL)
            while begin_time(pid):  # its locks are released only when it has ended
                time.sleep(0.001)
        self.end()

    def end(self) -> None:
        """Wait until all of them have ended."""
        os.close(self._go)
        while True:  # the pipe in which they say where they are ends with the last of them
            assert select.select([self._said], [], [], PATIENCE)[0], "a process has survived"
            if not self._said.read(100):
                break
        self._said.close()
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        end = time.monotonic() + PATIENCE
        while set(left_behind()) - self._there and time.monotonic() < end:
            time.sleep(0.002)


def place_of(point: list[str]) -> str:
    return point[0].split(":")[1]


def chosen(points: list[list[str]], but=()) -> list[list[str]]:
    """Those of *points*, in their order, at which to kill: of each place, *but* those named, the first, the middle and
    the last; or all."""
    points = list({point[0]: point for point in points}.values())  # two workers may make the same steps
    if EVERY:
        return points
    places: dict[str, list] = {}
    for point in points:
        places.setdefault(place_of(point), []).append(point)
    ends = [
        point
        for place, those in places.items()
        if place not in but
        for point in (those[0], those[len(those) // 2], those[-1])
    ]
    return [point for point in points if point in ends]


def left_behind() -> list[int]:
    """The orphans in our process group that are still running, such as helpers of a command that was killed."""
    return [pid for pid in alive(os.getpid()) if os.getpgid(pid) == os.getpgrp()]


def alive(parent: int) -> list[int]:
    """The children of a process that are not zombies. Source: proc_pid_task_children(5), which is a hundred times as
    fast to read as the list of all processes."""
    with open(f"/proc/{parent}/task/{parent}/children") as file:
        return [pid for pid in map(int, file.read().split()) if begin_time(pid)]


def bury() -> None:
    """Wait for the orphans whose parent this process has become."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
