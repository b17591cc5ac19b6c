"""Work that fills a processor, several pieces at once, each in a process of its own that tells how far it is.

Threads would share Python's one lock, and to fork in one of many threads is not safe: layers are unpacked by forked
processes (:mod:`minict.engine.archive.extract`).
"""

from __future__ import annotations

import json
import os
import select
import signal
import time

from minict.kernel import process
from minict.runtime.errors import ContainerError

_OFTEN = 0.1  # seconds between two reports of one worker


def run(jobs: dict[str, object], at_once: int, heard, finished) -> None:
    """Call the function of each of *jobs*, *at_once* at the same time, and *finished(name, result)* with what it
    returns.

    A function is called with ``report``.  What it tells that way, how far it is as a number, or a sentence, reaches
    *heard(name, value)*: every sentence, and now and then a number.  Results are what JSON can hold.
    The first that fails ends the others; its :class:`ContainerError` is raised when all have ended.
    """
    waiting, working = list(jobs.items()), {}
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
    """One process that calls *function*."""

    def __init__(self, name: str, function):
        self.name, self.ended = name, False
        self.pipe, writing = os.pipe()
        self._text, self._last, self._parent = b"", None, os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            self._work(function, writing)
        os.close(writing)

    def _work(self, function, writing: int) -> None:
        """The child: a signal to end undoes what is half done, and the parent's death ends it at once."""
        status = 1
        try:
            process.prctl(process.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != self._parent:
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which tells us then
            signal.signal(signal.SIGTERM, _end)
            os.close(self.pipe)
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

    def hear(self) -> list:
        """What the process has said since the last time."""
        chunk = os.read(self.pipe, 65536)
        lines = (self._text + chunk).split(b"\n")
        self._text = lines.pop()
        messages = [json.loads(line) for line in lines]
        if messages and "report" not in messages[-1]:
            self._last = messages.pop()
        if not chunk:
            self.wait()
        return [message["report"] for message in messages]

    def result(self):
        """What the function returned.  Raises :class:`ContainerError` when it failed."""
        if self._last is None:
            raise ContainerError(
                f"{self.name}: the process that worked at it was killed (too little memory?): do it again"
            )
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
    """What a worker calls to tell how far it is, as often as it likes."""

    def __init__(self, fd: int):
        self._fd, self._next = fd, 0.0

    def __call__(self, value) -> None:
        if isinstance(value, str) or time.monotonic() >= self._next:
            self._next = time.monotonic() + _OFTEN
            _write(self._fd, {"report": value})


def _write(fd: int, message: dict) -> None:
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(fd, data) :]


def _end(*_) -> None:
    raise SystemExit(1)
