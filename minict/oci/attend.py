"""Stay with a process in the foreground: pass on signals and the terminal, wait, return its exit status."""

from __future__ import annotations

import _signal
import os

from minict.kernel import process as kernel
from minict.runtime import init, process, terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def prepare(options: dict[str, Any]) -> None:
    """Before the process exists: hold signals back until they can be passed on to it, and adopt its orphans.

    A container without a pid namespace has no process 1 for these; ``--no-subreaper`` leaves them to others.
    Source: sigprocmask(2); prctl(2), PR_SET_CHILD_SUBREAPER.
    """
    _signal.pthread_sigmask(_signal.SIG_BLOCK, set(range(1, 32)) - set(init.NOT_FORWARDED))
    if not options["no_subreaper"]:
        kernel.prctl(kernel.PR_SET_CHILD_SUBREAPER, 1)


def open_console() -> tuple[int, int]:
    """A pair of connected sockets: ours, and the one to which the container sends its terminal. Source: unix(7)."""
    import _socket

    ours, theirs = _socket.socketpair()
    return ours.detach(), theirs.detach()


def receive(ours: int, console: int) -> int:
    """The container's terminal, from our end of the pair. Source: unix(7), SCM_RIGHTS."""
    os.close(console)
    try:
        return terminal.receive(ours)
    finally:
        os.close(ours)


def attend(pid: int, pidfd: int, master: int) -> int:
    """Wait for the child *pid*; *master* is its terminal or -1. Returns its exit status, 128 + n for signal n.

    Source: signal(7), waitpid(2), pty(7).
    """
    init.forward_signals(pid)
    _signal.pthread_sigmask(_signal.SIG_SETMASK, ())
    if master >= 0:
        terminal.relay(master, pidfd)
        os.close(master)
    return process.exit_status(init.reap(pid))
