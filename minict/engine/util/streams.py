"""The pipes between the caller's own streams and a command in a container.

A command in a container never gets a descriptor of its caller.  A descriptor allows more than what it was opened for:
through ``/proc/self/fd/1`` a process can open the same terminal or file again, also for reading.  It could then read
what a person types long after ``minict exec`` has ended, or read and truncate the log to which its output was
redirected.  So the command gets pipes, and its caller copies.
"""

from __future__ import annotations

import fcntl
import os
import select
import time

from minict.runtime.files import write_all

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    Target = int | Callable[[bytes], object]

_CHUNK = 65536
_FIONREAD = 0x541B  # ioctl_tty(2); the module termios costs a millisecond
_EPIPE = 32


class Relay:
    """The pipes of one command, used in a ``with`` statement.

    *stdin*: the descriptor to read for the command, -1 for none.  *stdout*, *stderr*: the descriptors to copy its
    output to, -1 for none, or a function that gets the output; if they are the same, the command has one pipe for both,
    which keeps the order.  :attr:`theirs` are the command's ends.  :attr:`lost`: the error that kept output from its
    target.
    """

    def __init__(self, stdin: int = -1, stdout: Target = 1, stderr: Target = 2):
        self.lost: OSError | None = None
        self._source, self._waiting = stdin, b""
        self._targets: dict[int, Target] = {}  # our end of a pipe -> where its data go
        self._input = their_input = -1
        self._theirs: list[int] = []
        if stdin >= 0:
            their_input, self._input = self._pipe(0)
            os.set_blocking(self._input, False)
        ours, out = self._pipe(1)
        self._targets[ours] = stdout
        error = out
        if stderr != stdout:
            ours, error = self._pipe(1)
            self._targets[ours] = stderr
        self.theirs = (their_input, out, error)

    def _pipe(self, theirs: int) -> tuple[int, int]:
        ends = os.pipe2(os.O_CLOEXEC)
        self._theirs.append(ends[theirs])
        return ends

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *exception: object) -> None:
        self.begun()
        for fd in {*self._targets, self._input} - {-1}:
            os.close(fd)
        self._targets, self._input = {}, -1

    def begun(self) -> None:
        """The command has its ends: close our copies of them, or the end of file would never come."""
        for fd in self._theirs:
            os.close(fd)
        self._theirs = []

    def run(self, pidfd: int, wake: Any = None, end: float | None = None) -> bool:
        """Copy until the process *pidfd* ends, then copy what is left in the pipes. Returns False if it has not ended
        by *end*, on the monotonic clock.

        *wake*: an object with ``fd`` and ``clear()`` such as the monitor's, for a caller that handles signals
        meanwhile.
        """
        while True:
            ready = self._poll(pidfd, wake, end)
            if not ready:
                return False
            if wake and wake.fd in ready:
                wake.clear()
            if self._source in ready:
                self._read()
            if self._input in ready:
                self._feed()
            for fd in [fd for fd in self._targets if fd in ready]:
                self._copy(fd, _CHUNK)
            if pidfd in ready:
                break
        for fd in list(self._targets):  # a process left behind may write forever: do not wait for it
            left = int.from_bytes(fcntl.ioctl(fd, _FIONREAD, bytes(4)), "little")
            while left > 0 and fd in self._targets:
                left -= self._copy(fd, min(left, _CHUNK))
        return True

    @property
    def open(self) -> bool:
        """Whether a process still has a write end of the pipes. Call it after :meth:`run`."""
        poll = select.poll()
        for fd in self._targets:
            poll.register(fd, 0)
        hung_up = [fd for fd, _ in poll.poll(0)]
        return len(hung_up) < len(self._targets)

    @property
    def fds(self) -> list[int]:
        """Our ends of the pipes to which the command writes."""
        return list(self._targets)

    def _poll(self, pidfd: int, wake: Any, end: float | None) -> dict[int, int]:
        poll = select.poll()
        for fd in (pidfd, *self._targets, *([wake.fd] if wake else [])):
            poll.register(fd, select.POLLIN)
        if self._input >= 0:
            # events == 0 still reports that the reader is gone
            poll.register(self._input, select.POLLOUT if self._waiting else 0)
        if self._source >= 0 and not self._waiting:
            poll.register(self._source, select.POLLIN)
        return dict(poll.poll(None if end is None else max(0, end - time.monotonic()) * 1000))

    def _read(self) -> None:
        """Read input for the command; pass on the end of file, too."""
        try:
            self._waiting = os.read(self._source, _CHUNK)
        except OSError:  # a terminal that has hung up
            pass
        if self._waiting:
            self._feed()
        else:
            self._close_input()

    def _feed(self) -> None:
        """Write pending input to the command, as far as there is room."""
        try:
            self._waiting = self._waiting[os.write(self._input, self._waiting) :]
        except BlockingIOError:
            pass
        except OSError:  # the command no longer reads, so there is no point in reading for it
            self._close_input()

    def _close_input(self) -> None:
        if self._input >= 0:
            os.close(self._input)
        self._input = self._source = -1
        self._waiting = b""

    def _copy(self, fd: int, size: int) -> int:
        """Copy at most *size* bytes from a pipe to its target, and close it at the end of file. Returns the number
        of bytes."""
        data = os.read(fd, size)
        try:
            _write(self._targets[fd], data)
        except OSError as error:  # the command gets SIGPIPE, as it would without us
            if error.errno != _EPIPE:
                self.lost = error
            data = b""
        if not data:
            os.close(fd)
            del self._targets[fd]
        return len(data)


def _write(target: Target, data: bytes) -> None:
    if callable(target):
        target(data)
    elif target >= 0:
        write_all(target, data)


def discard(fds: list[int]) -> None:
    """Read the pipes *fds* to their end, so that processes that still write to them do not get SIGPIPE."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    left = len(fds)
    while left:
        for fd, _ in poll.poll():
            if not os.read(fd, _CHUNK):
                poll.unregister(fd)
                left -= 1
