"""Health checks: a command in the container, run from time to time, reports health by its exit status.

The monitor keeps the time. Each check is a process of its own (:func:`_check`), forked from the monitor: it executes
the command in the container, waits for it or kills it when its time is over, and writes the result into a pipe. So a
check that hangs, or takes much memory, does not harm the monitor.

Source: the Dockerfile reference, HEALTHCHECK; docker-run(1).
"""

from __future__ import annotations

import os
import time

from minict.engine.containers import freezer
from minict.engine.containers.store import Record
from minict.engine.util import timestamps
from minict.engine.util.daemonize import hold_signals
from minict.runtime.errors import ContainerError
from minict.runtime.process import exit_status, restore_signals

from . import exec

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from typing import Any

_KEPT = 5  # results in the record
_LONGEST = 4096  # bytes of the command's output that are kept, as in Docker
_KILL, _TERM = 9, 15
_GRACE = 2.0  # seconds after its time in which a check may end by itself, and again when it is asked to
_LONGEST_POLL = 86400.0  # seconds; poll(2) takes at most 24 days, and a time-out may be years
_TOO_LONG = "the check took longer than its time-out, and was killed"


class Health:
    """The checks during one run of the container *record*.

    *policy* is the result of :func:`minict.engine.containers.policies.healthcheck`; *shell* is the image's SHELL, which
    gets a command given as one string.
    """

    def __init__(self, record: Record, policy: dict, shell: list[str] | None = None):
        self.record, self.policy = record, policy
        kind, *words = policy["Test"]
        self.command = words if kind == "CMD" else [*(shell or ["/bin/sh", "-c"]), words[0]]
        self.began = time.monotonic()
        self.status, self.failures = "starting", 0
        self.results: list[Any] = []
        self.fd = self._pid = -1  # of the check that is under way
        self._started = self._began = 0  # the start of that check in nanoseconds: since 1970, and monotonic
        self._deadline, self._asked = 0.0, False
        self.next = self.began + self._pause()
        self._write()

    def timeout(self) -> float:
        """Milliseconds until the next check is due, or the check in progress has taken too long."""
        due = self._deadline if self.fd >= 0 else self.next
        return min(max(0.0, due - time.monotonic()), _LONGEST_POLL) * 1000

    def look(self, ended: bool) -> None:
        """Start a check when one is due; with *ended*, :attr:`fd` is readable: collect the result of the check."""
        if ended:
            self._take_result()
        elif self.fd >= 0:
            if time.monotonic() >= self._deadline:
                self._insist()
        elif time.monotonic() >= self.next:
            self.next = time.monotonic() + self._pause()
            if not freezer.is_marked(self.record.state):  # a frozen container cannot answer
                try:
                    self._begin()
                except OSError:  # no process or descriptor is available now: try at the next time
                    pass

    def stop(self) -> None:
        """End the check in progress: the container has ended."""
        if self.fd >= 0:
            os.kill(self._pid, _KILL)
            os.waitpid(self._pid, 0)
            os.close(self.fd)
            self.fd = -1

    def _insist(self) -> None:
        """The check has not ended in its time: the container may have stopped it before its own clock began.  Ask it to
        end its command inside, then kill it; either way :attr:`fd` comes to its end."""
        os.kill(self._pid, _KILL if self._asked else _TERM)
        self._asked = True
        self._deadline = time.monotonic() + _GRACE

    def _pause(self) -> float:
        """Seconds until the next check: shorter during the start period."""
        starting = self.status == "starting" and self._in_start_period()
        return self.policy["StartInterval" if starting else "Interval"] / 1e9

    def _in_start_period(self) -> bool:
        return time.monotonic() - self.began < self.policy["StartPeriod"] / 1e9

    def _begin(self) -> None:
        fd, told = os.pipe2(os.O_CLOEXEC)
        self._started, self._began = time.time_ns(), time.monotonic_ns()
        self._deadline, self._asked = time.monotonic() + self.policy["Timeout"] / 1e9 + _GRACE, False
        try:
            self._pid = os.fork()
        except OSError:
            os.close(fd)
            os.close(told)
            raise
        if self._pid == 0:
            try:
                os.close(fd)
                restore_signals()
                hold_signals()  # the runtime obeys them if its command does not end
                status, output = _check(self.record, self.command, self.policy["Timeout"] / 1e9)
                os.write(told, f"{status}\n".encode() + output[:_LONGEST])
            finally:
                os._exit(0)
        os.close(told)
        self.fd = fd

    def _take_result(self) -> None:
        with open(self.fd, "rb") as pipe:
            word, _, output = pipe.read().partition(b"\n")
        self.fd = -1
        os.waitpid(self._pid, 0)
        status, before = int(word or -1), self.status
        self.next = time.monotonic() + self._pause()
        if status != 0 and freezer.overtook(self.record.state, self._began):
            return  # it was frozen for a part of its time: its failure says nothing about the container
        if status == 0 or self.status != "starting" or not self._in_start_period():
            self.status, self.failures = next_health(self.status, self.failures, status == 0, self.policy["Retries"])
        if self.status != before:
            self.record.event(f"health_status: {self.status}")
        self.results = [
            *self.results[1 - _KEPT :],
            {
                "Start": timestamps.stamp(self._started),
                "End": timestamps.stamp(time.time_ns()),
                "ExitCode": status,
                "Output": output.decode(errors="replace") if word else _TOO_LONG,
            },
        ]
        self.next = time.monotonic() + self._pause()  # again: the status decides how long
        self._write()

    def _write(self) -> None:
        """Publish the result. On a full disk it waits for the next time: the monitor, and with it the container, must
        go on.
        """
        try:
            self.record.write_last_run(
                health={"Status": self.status, "FailingStreak": self.failures, "Log": self.results}
            )
        except OSError:
            pass


def next_health(status: str, failures: int, passed: bool, retries: int) -> tuple[str, int]:
    """The status after one more check, and the number of failures in a row: at retries of them it is unhealthy."""
    if passed:
        return "healthy", 0
    if failures + 1 >= retries:
        return "unhealthy", failures + 1
    return status, failures + 1


def _check(record: Record, command: list[str], seconds: float) -> tuple[int, bytes]:
    """Execute *command* and wait for it; return its exit status and output, -1 if it failed to start or took too
    long."""
    import select

    output, written = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    os.set_blocking(written, True)
    try:
        pid, pidfd = exec.execute(record, exec.process(record, command), streams=(-1, written, written))
    except (ContainerError, OSError) as error:
        return -1, str(error).encode()
    os.close(written)
    text, end = b"", time.monotonic() + seconds
    poll = select.poll()
    for fd in (output, pidfd):
        poll.register(fd, select.POLLIN)
    while (left := end - time.monotonic()) > 0:
        ready = dict(poll.poll(min(left, _LONGEST_POLL) * 1000))
        if output in ready:
            if chunk := os.read(output, 65536):
                text = (text + chunk)[:_LONGEST]  # keep reading, so that the command does not wait for a reader
                continue
            poll.unregister(output)
        if pidfd in ready:
            return exit_status(os.waitpid(pid, 0)[1]), text
    os.kill(pid, _KILL)
    os.waitpid(pid, 0)
    return -1, _TOO_LONG.encode()
