"""A ``minict`` that stops at one of its points and is killed there: see dying.py."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time

from command import PATIENCE

from minict.lab import host
from minict.runtime.state import begin_time

DYING = os.path.join(os.path.dirname(__file__), "dying.py")


class Doomed:
    """``minict WORDS…`` that stops at *point*, or with the point ``list`` at none: then ``points`` has all of them.

    A point is a list: its id, such as ``monitor:3``, what is about to happen, and the pid of who is there.
    """

    def __init__(self, point: str, *words: str):
        said, say = os.pipe()
        go, self._go = os.pipe()
        self.process = subprocess.Popen([sys.executable, DYING, str(say), str(go), point, *words], pass_fds=[say, go],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for fd in (say, go):
            os.close(fd)
        self._said = open(said)
        lines = self._said.readlines() if point == "list" else [self._said.readline()]
        self.points = [line.rstrip("\n").split("\t") for line in lines if line]

    def kill(self) -> None:
        """kill -9 of who is at the point, and of nobody else; then let those go on who were stopped with it."""
        if self.points:
            pid = int(self.points[0][2])
            os.kill(pid, signal.SIGKILL)
            while begin_time(pid):  # only when it is gone, so are its locks
                time.sleep(0.002)
        self.end()

    def end(self) -> None:
        """Wait until none of them is left."""
        os.close(self._go)
        while True:  # the pipe in which they say where they are ends with the last of them
            assert select.select([self._said], [], [], PATIENCE)[0], "a process has survived"
            if not self._said.read(100):
                break
        self._said.close()
        self.process.wait(timeout=PATIENCE)
        end = time.monotonic() + PATIENCE
        while left_behind() and time.monotonic() < end:
            time.sleep(0.002)


def left_behind() -> list[int]:
    """The orphans in our process group that still do something: whoever worked for a command that was killed."""
    return [pid for pid, each in host.process_table().items() if each.parent == os.getpid() and each.group == os.getpgrp()
            and each.state != "Z"]


def bury() -> None:
    """Wait for the orphans, whose parent this process has become."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
