"""The pipes between the caller's own streams and a command in a container.

A command in a container never gets a descriptor of its caller.  A descriptor is more than what it was opened for:
through ``/proc/self/fd/1`` a process opens the same terminal or file again, for reading too, and then reads what a
person types there long after ``minict exec`` has ended, or reads and truncates the log to which its output was
redirected.  So the command has pipes, and its caller copies.
"""

from __future__ import annotations

import fcntl
import os
import select
import time

_CHUNK = 65536
_FIONREAD = 0x541B  # ioctl_tty(2); the module termios costs a millisecond
_EPIPE = 32


class Relay:
    """The pipes of one command, to be used in ``with``.

    *stdin*: the descriptor that is read for the command, -1 for nothing.  *stdout*, *stderr*: the descriptors to which
    its output is copied, -1 for nowhere, or a function that gets it; when they are the same, the command has one pipe for
    both, and the order is kept.  :attr:`theirs` are the command's ends.  :attr:`lost`: the error that kept its output from
    the target.
    """

    def __init__(self, stdin: int = -1, stdout=1, stderr=2):
        self.lost: OSError | None = None
        self._source, self._waiting = stdin, b""
        self._targets: dict = {}  # our end of a pipe -> where what comes out of it goes
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

    def __exit__(self, *exception) -> None:
        self.begun()
        for fd in {*self._targets, self._input} - {-1}:
            os.close(fd)
        self._targets, self._input = {}, -1

    def begun(self) -> None:
        """The command has its ends: close ours of them, or the end of file would never come."""
        for fd in self._theirs:
            os.close(fd)
        self._theirs = []

    def run(self, pidfd: int, wake=None, end: float | None = None) -> bool:
        """Copy until the process *pidfd* has ended, and then what is in the pipes by then; False when it has not until
        *end*, on the monotonic clock.

        *wake*: see :class:`.lifecycle.monitor.Wake`; for a caller that handles signals meanwhile.
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
        for fd in list(self._targets):  # a process that was left behind may write on and on: that is not waited for
            left = int.from_bytes(fcntl.ioctl(fd, _FIONREAD, bytes(4)), "little")
            while left > 0 and fd in self._targets:
                left -= self._copy(fd, min(left, _CHUNK))
        return True

    @property
    def open(self) -> bool:
        """Whether a process still has an end of the pipes to which it can write.  To be asked after :meth:`run`."""
        poll = select.poll()
        for fd in self._targets:
            poll.register(fd, 0)
        hung_up = [fd for fd, _ in poll.poll(0)]
        return len(hung_up) < len(self._targets)

    @property
    def fds(self) -> list[int]:
        """Our ends of the pipes to which the command writes."""
        return list(self._targets)

    def _poll(self, pidfd: int, wake, end: float | None) -> dict[int, int]:
        poll = select.poll()
        for fd in (pidfd, *self._targets, *([wake.fd] if wake else [])):
            poll.register(fd, select.POLLIN)
        if self._input >= 0:
            # that nobody reads any more is always told
            poll.register(self._input, select.POLLOUT if self._waiting else 0)
        if self._source >= 0 and not self._waiting:
            poll.register(self._source, select.POLLIN)
        return dict(poll.poll(None if end is None else max(0, end - time.monotonic()) * 1000))

    def _read(self) -> None:
        """Take what there is to read for the command; at the end it finds the end, too."""
        try:
            self._waiting = os.read(self._source, _CHUNK)
        except OSError:  # a terminal that has hung up
            pass
        if self._waiting:
            self._feed()
        else:
            self._close_input()

    def _feed(self) -> None:
        """Give the command what was read for it, as far as there is room."""
        try:
            self._waiting = self._waiting[os.write(self._input, self._waiting) :]
        except BlockingIOError:
            pass
        except OSError:  # it does not read any more, so neither do we
            self._close_input()

    def _close_input(self) -> None:
        if self._input >= 0:
            os.close(self._input)
        self._input = self._source = -1
        self._waiting = b""

    def _copy(self, fd: int, size: int) -> int:
        """Copy at most *size* bytes from a pipe to its target; close it when that was all.  Returns how many there
        were."""
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


def _write(target, data: bytes) -> None:
    if callable(target):
        target(data)
        return
    while data and target >= 0:
        data = data[os.write(target, data) :]


def discard(fds: list[int]) -> None:
    """Read the pipes *fds* to their end for whoever still writes there: it would get SIGPIPE when nobody did."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    left = len(fds)
    while left:
        for fd, _ in poll.poll():
            if not os.read(fd, _CHUNK):
                poll.unregister(fd)
                left -= 1
