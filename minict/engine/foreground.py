"""A container in the foreground: its output is seen, signals reach it, and its exit status becomes the command's."""
from __future__ import annotations

import os

from minict.runtime import launch

from . import run
from .settings import Settings

_SIGCHLD = 17
# Not handed on: those that nobody can catch, SIGCHLD, SIGWINCH, and those with which the kernel tells a process of its own
# fault.
_HANDED_ON = frozenset(range(1, 32)) - {9, 19, _SIGCHLD, 28, 11, 7, 8, 4, 5, 6}


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
        status = _wait(container)
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
            _hold_signals()
            status = _wait(container)
        finally:
            container.delete(force=True)
    if trace:
        print_trace(container)
    return status


def _hold_signals() -> None:
    """From now on signals wait: one that ended us in the middle of a birth would leave to 'prune' what was taken so far."""
    import _signal  # and not signal: 5 ms
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _HANDED_ON | {_SIGCHLD})


def _wait(container) -> int:
    """Hand on to the container what is sent to us, so that ``kill`` and Ctrl-C do what is meant; its exit status.

    The signals are held all the time and taken one by one (sigwaitinfo(2)).  A handler would not do: Python calls it
    before the next system call or after it, and one that comes in between would wait for the end of waitpid.
    """
    import _signal
    while True:
        number = _signal.sigwaitinfo(_HANDED_ON | {_SIGCHLD}).si_signo
        if number != _SIGCHLD:
            _forward(container.pidfd, number)
        elif os.waitid(os.P_PIDFD, container.pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return container.wait()


def _forward(pidfd: int, number: int) -> None:
    from minict.kernel import process as kernel
    try:
        kernel.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass


def _forward_signals(pidfd: int) -> None:
    """The same by handlers, for :func:`minict.runtime.terminal.relay`, which is woken by each signal."""
    import _signal
    for number in _HANDED_ON:
        _signal.signal(number, lambda number, frame: _forward(pidfd, number))
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _HANDED_ON)


def print_trace(container) -> None:
    """The steps of the container's birth, on the error output: the output belongs to the command."""
    from minict.runtime.trace import table
    os.write(2, (table(container.traces) + "\n").encode())
