"""CPU-bound jobs in parallel: each runs in a process of its own, which reports its progress.

Threads would share Python's global interpreter lock, and forking in a process with many threads is unsafe: layers are
extracted by forked processes (:mod:`minict.engine.archive.extract`).
"""

from __future__ import annotations

import json
import os
import select
import signal
import time
from collections.abc import Callable
from typing import Any

from minict.kernel import process
from minict.runtime.errors import ContainerError
from minict.runtime.files import write_all

Job = Callable[["Reporter"], object]

_INTERVAL = 0.1  # seconds between two reports of one worker


def run(
    jobs: dict[str, Job], at_once: int, heard: Callable[[str, Any], object], finished: Callable[[str, Any], object]
) -> None:
    """Call the function of each of the *jobs*, *at_once* in parallel; pass each result to *finished(name, result)*.

    Each function is called with a :class:`Reporter`.  The values it reports, a number of bytes or a message, are passed
    to *heard(name, value)*: all messages, but only some of the numbers.  Results must be serializable as JSON.  When a
    job fails, the others are stopped, and its :class:`ContainerError` is raised when all have ended.
    """
    waiting = list(jobs.items())
    working: dict[int, Worker] = {}
    poll = select.poll()
    try:
        while waiting or working:
            while waiting and len(working) < at_once:
                worker = Worker(*waiting.pop(0))
                working[worker.pipe] = worker
                poll.register(worker.pipe, select.POLLIN)
            for fd, _ in poll.poll():
                worker = working[fd]
                for value in worker.hear():
                    heard(worker.name, value)
                if worker.ended:
                    poll.unregister(fd)
                    del working[fd]
                    finished(worker.name, worker.result())
    finally:
        for worker in working.values():
            worker.stop()
        for worker in working.values():
            worker.wait()


class Worker:
    """A process that calls *function*."""

    def __init__(self, name: str, function: Job):
        self.name, self.ended = name, False
        self.pipe, writing = os.pipe()
        self._text, self._parent = b"", os.getpid()
        self._last: dict[str, Any] | None = None
        self._pid = os.fork()
        if self._pid == 0:
            self._work(function, writing)
        os.close(writing)

    def _work(self, function: Job, writing: int) -> None:
        """The child: SIGTERM undoes unfinished work, and the parent's death kills the child."""
        status = 1
        try:
            process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self._parent:
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which stops us
            signal.signal(signal.SIGTERM, _end)
            os.close(self.pipe)
            message: dict[str, Any]
            try:
                message = {"result": function(Reporter(writing))}
            except ContainerError as error:
                message = {"error": str(error), "errno": error.errno}
            except Exception as error:
                message = {"error": f"{type(error).__name__}: {error}", "errno": None}
            _write(writing, message)
            status = 0
        finally:
            os._exit(status)

    def hear(self) -> list[Any]:
        """The reports since the last call."""
        chunk = os.read(self.pipe, 65536)
        lines = (self._text + chunk).split(b"\n")
        self._text = lines.pop()
        messages = [json.loads(line) for line in lines]
        if messages and "report" not in messages[-1]:
            self._last = messages.pop()
        if not chunk:
            self.wait()
        return [message["report"] for message in messages]

    def result(self) -> Any:
        """The result of the function. Raises :class:`ContainerError` if it failed."""
        if self._last is None:
            raise ContainerError(f"{self.name}: the process that worked on it was killed (out of memory?): try again")
        if "error" in self._last:
            raise ContainerError(self._last["error"], errno=self._last["errno"])
        return self._last["result"]

    def stop(self) -> None:
        if not self.ended:
            os.kill(self._pid, signal.SIGTERM)

    def wait(self) -> None:
        if not self.ended:
            self.ended = True
            os.close(self.pipe)
            os.waitpid(self._pid, 0)


class Reporter:
    """A function that reports progress to the parent. A worker may call it as often as it likes."""

    def __init__(self, fd: int):
        self._fd, self._next = fd, 0.0

    def __call__(self, value: int | str) -> None:
        if isinstance(value, str) or time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL
            _write(self._fd, {"report": value})


def _write(fd: int, message: dict[str, Any]) -> None:
    write_all(fd, json.dumps(message).encode() + b"\n")


def _end(*_: object) -> None:
    raise SystemExit(1)
