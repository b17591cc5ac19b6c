"""Stay with a process in the foreground: pass on signals and the terminal, wait, return its exit status."""

from __future__ import annotations

import os

from minict.kernel import process as kernel
from minict.runtime import init, process, terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def adopt_orphans(options: dict[str, Any]) -> None:
    """Become the parent of processes whose parent has ended, unless ``--no-subreaper`` is given.

    A container without a pid namespace has no process 1 for that. Source: prctl(2), PR_SET_CHILD_SUBREAPER.
    """
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
    if master >= 0:
        terminal.relay(master, pidfd)
        os.close(master)
    return process.exit_status(init.reap(pid))
