"""A small init: what process 1 of a container has to do when the user's command does not do it.

The kernel gives process 1 two duties (pid_namespaces(7)). Orphans become its children, and stay
zombies until it waits for them. And a signal without a handler is not delivered to it, so a
plain program as process 1 does not even end on SIGTERM.
"""

from __future__ import annotations

import _signal  # importing signal would add 5 ms to each start
import ctypes
import os

from ..kernel.process import PR_SET_NAME, prctl
from .process import exit_status, restore_signals, spawn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

# Two that cannot be caught, one that is about init's own children, and those that report init's own errors.
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
    """Forward every signal that this process receives to the process *pid*. Source: signal(7), kill(2)."""

    def forward(number: int, frame: object) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass

    for number in range(1, 32):
        if number not in NOT_FORWARDED:
            _signal.signal(number, forward)


def reap(pid: int) -> int:
    """Wait for children, adopted ones included, until *pid* is among them; return *pid*'s wait status.

    Source: wait(2), pid_namespaces(7).
    """
    while True:
        child, status = os.wait()
        if child == pid:
            return status


def run(command: Callable[[], object]) -> NoReturn:
    """Be process 1: let a child call *command*, which must end in execve, and supervise it until its end.

    Source: pid_namespaces(7).
    """
    pid = spawn(lambda: begin(command))
    forward_signals(pid)
    os.closerange(0, 1024)  # the last writer of a pipe must be the command, not its init
    os._exit(exit_status(reap(pid)))


def set_title(name: bytes) -> None:
    """Let ps show *name*, and not the host's command line and environment.

    Both are overwritten where the kernel reads them: arg_start to env_end in proc_pid_stat(5). Call this while /proc is
    still the host's. Source: prctl(2), PR_SET_NAME; proc_pid_cmdline(5), proc_pid_environ(5).
    """
    text = ctypes.create_string_buffer(name)
    prctl(PR_SET_NAME, ctypes.addressof(text))
    try:
        with open("/proc/self/stat") as file:
            fields = file.read().rpartition(")")[2].split()  # from the third field on
    except OSError:  # without /proc on the host neither can be seen
        return
    arguments, arguments_end, environment, environment_end = map(int, fields[45:49])
    if environment_end > environment > 0:
        ctypes.memset(environment, 0, environment_end - environment)
    if arguments_end > arguments > 0:
        ctypes.memset(arguments, 0, arguments_end - arguments)
        ctypes.memmove(arguments, name, min(len(name), arguments_end - arguments - 1))


def begin(command: Callable[[], object]) -> None:
    """In init's child: form a process group, in the foreground of the terminal if there is one, and call *command*.

    Source: setpgid(2), tcsetpgrp(3).
    """
    os.setpgid(0, 0)
    if os.isatty(0):
        _signal.signal(_signal.SIGTTOU, _signal.SIG_IGN)  # tcsetpgrp would stop a process in the background
        os.tcsetpgrp(0, os.getpid())
    restore_signals()
    command()
