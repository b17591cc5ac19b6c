"""A tiny init: what process 1 of a container has to do when the user's command does not do it.

The kernel gives process 1 two duties (pid_namespaces(7)).  Orphans become its children, and stay
zombies until it waits for them.  And a signal without a handler is not delivered to it, so that a
plain program as process 1 does not even end on SIGTERM.
"""

from __future__ import annotations

import _signal  # and not signal, whose import costs 5 ms at each start
import ctypes
import os

from ..kernel.process import PR_SET_NAME, prctl
from .process import exit_status, restore_signals, spawn

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable

# Two that nobody can catch, one that is about init's own children, and those that tell of init's own mistakes.
NOT_FORWARDED = (
    _signal.SIGKILL,
    _signal.SIGSTOP,
    _signal.SIGCHLD,
    _signal.SIGPROF,
    _signal.SIGSEGV,
    _signal.SIGBUS,
    _signal.SIGFPE,
    _signal.SIGILL,
    _signal.SIGTRAP,
    _signal.SIGABRT,
)


def forward_signals(pid: int) -> None:
    """Hand every signal that arrives here on to the process *pid*."""

    def forward(number: int, frame: object) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    for number in range(1, 32):
        if number not in NOT_FORWARDED:
            _signal.signal(number, forward)


def reap(pid: int) -> int:
    """Wait for children, adopted ones included, until *pid* is among them; return *pid*'s wait status."""
    while True:
        child, status = os.wait()
        if child == pid:
            return status


def run(command: Callable[[], object]) -> None:
    """Be process 1: let a child call *command*, which must end in execve, and care for it to its end.

    Does not return.
    """
    call_ourselves(b"minict-init")
    pid = spawn(lambda: begin(command))
    forward_signals(pid)
    os.closerange(0, 1024)  # the last writer of a pipe must be the command, not its init
    os._exit(exit_status(reap(pid)))


def call_ourselves(name: bytes) -> None:
    """Let ps, and whoever looks inside, see *name*, and not the command line of the host's with all that was typed
    there.

    That is overwritten where the kernel reads it from: proc_pid_cmdline(5), and arg_start and arg_end in
    proc_pid_stat(5).
    """
    text = ctypes.create_string_buffer(name)
    prctl(PR_SET_NAME, ctypes.addressof(text))
    try:
        with open("/proc/self/stat") as file:
            # fields 48 and 49, counted from the third
            start, end = map(int, file.read().rpartition(")")[2].split()[45:47])
    except (OSError, ValueError):  # a container without /proc shows it to nobody
        return
    if end > start > 0:
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, name, min(len(name), end - start - 1))


def begin(command: Callable[[], object]) -> None:
    """In init's child: a process group of its own, in the foreground of the terminal if there is one, and *command*."""
    os.setpgid(0, 0)
    if os.isatty(0):
        # or who is in the background would be stopped for what comes now
        _signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)
        os.tcsetpgrp(0, os.getpid())
    restore_signals()
    command()
