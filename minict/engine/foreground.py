"""A container in the foreground: its output is seen, signals reach it, and its exit status becomes the command's."""
from __future__ import annotations

import os

from minict.runtime import launch

from . import run
from .settings import Settings

# Not handed on: those that nobody can catch, SIGCHLD, and those with which the kernel tells a process of its own fault.
_OUR_OWN = {9, 19, 17, 11, 7, 8, 4, 5, 6, 28}
_HELD = (1, 2, 15)  # SIGHUP, SIGINT and SIGTERM wait until there is a process to hand them on to


def run_attached(image: str, args: list[str], settings: Settings, *, trace: bool = False) -> int:
    """Run a container joined to this process's own standard streams; return its exit status.

    Raises :class:`minict.runtime.errors.ContainerError`.
    """
    if settings.tty:
        return _on_terminal(image, args, settings, trace)
    stdin = 0 if settings.interactive else -1
    _hold_signals()
    container = run.start(image, args, settings, streams=(stdin, 1, 2), launcher=launch.here, trace=trace)
    try:
        _forward_signals(container.pidfd)
        status = container.wait()
    finally:
        container.delete(force=True)
    if trace:
        print_trace(container)
    return status


def _on_terminal(image: str, args: list[str], settings: Settings, trace: bool) -> int:
    """The same with a terminal of the container's own, to which the person's is joined."""
    import socket

    from minict.runtime import terminal
    from minict.runtime.errors import ContainerError
    if settings.interactive and not os.isatty(0):
        raise ContainerError("-t: the input is not a terminal: leave -t out to feed a container from a pipe")
    ours, theirs = socket.socketpair()
    _hold_signals()
    with ours, theirs:
        container = run.start(image, args, settings, console=theirs.fileno(), launcher=launch.here, trace=trace)
        try:
            theirs.close()
            master = terminal.receive(ours.fileno())
            _forward_signals(container.pidfd)
            terminal.relay(master, container.pidfd, 0 if settings.interactive else -1)
            os.close(master)
            status = container.wait()
        finally:
            container.delete(force=True)
    if trace:
        print_trace(container)
    return status


def _hold_signals() -> None:
    """Until the birth is over: a signal that ended us in its middle would leave to 'prune' what was taken so far."""
    import _signal  # and not signal: 5 ms
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _HELD)


def _forward_signals(pidfd: int) -> None:
    """Hand on to the container what is sent to us, so that ``kill`` and Ctrl-C do what is meant."""
    import _signal

    from minict.kernel import process as kernel

    def forward(number, frame):
        try:
            kernel.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            pass
    for number in range(1, 32):
        if number not in _OUR_OWN:
            _signal.signal(number, forward)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _HELD)


def print_trace(container) -> None:
    """The steps of the container's birth, on the error output: the output belongs to the command."""
    from minict.runtime.trace import table
    os.write(2, (table(container.traces) + "\n").encode())
