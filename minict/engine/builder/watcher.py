"""A small process that removes the container of a RUN step if the build is killed."""

from __future__ import annotations

import os
import signal

from minict.engine.lifecycle import task
from minict.runtime.errors import ContainerError
from minict.runtime.process import close_all_except, close_streams


class Watcher:
    """``with Watcher(record):`` the container *record* does not outlive this process, however it ends."""

    def __init__(self, record):
        self.record = record

    def __enter__(self) -> Watcher:
        reader, self._writer = os.pipe2(os.O_CLOEXEC)
        self._pid = os.fork()
        if self._pid == 0:
            _watch(reader, self.record)
        os.close(reader)
        return self

    def __exit__(self, *exception) -> None:
        os.write(self._writer, b"x")
        os.close(self._writer)
        os.waitpid(self._pid, 0)


def _watch(reader: int, record) -> None:
    """Wait for the end of the process at the other end of the pipe *reader*. A byte means that there is nothing to
    remove."""
    try:
        os.setsid()  # a signal to the caller's process group does not end this process
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        os.dup2(reader, 3)
        close_streams()
        close_all_except([3])
        record.forget_lock()
        if not os.read(3, 1):
            task.settle(record)
            task.forget(record)
    except (OSError, ContainerError):
        pass  # `minict prune` removes what is left
    finally:
        os._exit(0)
