"""Fork a process that continues in the background, detached from its parent's session, directory and descriptors."""

from __future__ import annotations

import _signal  # and not signal: 5 ms
import os
import select
import time

from minict.kernel import native
from minict.kernel import process as kernel
from minict.runtime.errors import OUR_ERROR, ContainerError
from minict.runtime.files import write_all
from minict.runtime.process import close_all_except, close_streams, restore_signals

TYPE_CHECKING = False  # true for type checkers only: at run time these imports would cost start-up time
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Told = Callable[..., None]

_OBEDIENCE = 2.0  # seconds after which a process that begins is asked to give up, if a person wants that
_PATIENCE = 10.0  # and those after which it is killed
_ENDING = {1, 2, 3, 15}  # the signals by which a person asks for that


def fork_away(name: bytes, work: Callable[[Told], object], keep: Sequence[int] = ()) -> str:
    """Fork a background process that calls *work*; return the text that it reports when it is ready.

    *work* is called with a function ``told(error, text)``, which it calls once: with None and a text, or with an error,
    which this function then raises.  The process keeps only the descriptors *keep*: it must not hold a terminal, pipe
    or lock of its parent.
    A signal that this process has blocked, and that asks it to end, is handed on to a background process that is not
    ready after a while: that gives up, or is killed.  Raises :class:`ContainerError`.
    """
    report, end = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            _go_away(name, sorted({end, *keep}))

            def told(error: Exception | None, text: str = "") -> None:
                nonlocal end
                if end >= 0:
                    text = f"{getattr(error, 'status', OUR_ERROR)}\n{error}" if error else f"begun\n{text}"
                    write_all(end, text.encode(errors="replace"))
                    os.close(end)
                    end = -1

            work(told)
        finally:
            os._exit(0)
    os.close(end)
    try:
        kind, _, text = _read_report(report, pid).partition("\n")
    finally:
        os.close(report)
    if kind == "begun":
        return text
    if kind.isdigit():
        raise ContainerError(text, status=int(kind))
    raise ContainerError(f"the background process {name.decode()} was killed before it was ready: try again")


def _read_report(report: int, pid: int) -> str:
    """What the process *pid* tells through the pipe *report*, to its end."""
    poll, data, handed_on = select.poll(), b"", 0.0
    poll.register(report, select.POLLIN)
    while True:
        while not poll.poll(_OBEDIENCE * 1000):
            pending = _signal.sigpending() & _ENDING
            if pending and not handed_on:
                os.kill(pid, min(pending))
                handed_on = time.monotonic()
            elif handed_on and time.monotonic() - handed_on > _PATIENCE:
                os.kill(pid, 9)
        chunk = os.read(report, 65536)
        if not chunk:
            return data.decode(errors="replace")
        data += chunk


def _go_away(name: bytes, keep: list[int]) -> None:
    """In the forked process: leave everything that it has inherited, and take *name*."""
    import gc

    gc.freeze()  # the parent's garbage may close files by numbers that are other files here
    leave(keep)
    text = native.create_string_buffer(name)
    kernel.prctl(kernel.PR_SET_NAME, native.addressof(text))
    restore_signals()


def leave(keep: Sequence[int]) -> None:
    """In a process that has just been forked: leave the parent's session, directory, and descriptors except *keep*.

    The standard streams are /dev/null afterwards. Raises :class:`OSError`. Source: daemon(7), setsid(2).
    """
    os.setsid()
    os.chdir("/")
    close_streams()
    close_all_except(keep)


SIGCHLD = 17
# Not handed on: signals that cannot be caught, SIGCHLD, SIGWINCH, those by which the kernel reports a process's own
# fault, and SIGTTIN and SIGTTOU, which stop a background process that uses a terminal (it would otherwise retry
# forever).
HANDED_ON = frozenset(range(1, 32)) - {9, 19, SIGCHLD, 28, 11, 7, 8, 4, 5, 6, 21, 22}


def hold_signals() -> None:
    """Block signals: one that ended this process during a start would leave everything taken so far to 'prune'."""
    _signal.pthread_sigmask(_signal.SIG_BLOCK, HANDED_ON | {SIGCHLD})


def release_signals() -> None:
    """Let signals have their usual effect again."""
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, HANDED_ON | {SIGCHLD})


def take_signals(handle) -> None:
    """Call *handle* with the number of each signal from now on, except signals that concern only this process."""
    for number in HANDED_ON:
        _signal.signal(number, lambda number, frame: handle(number))
    release_signals()


def send(pidfd: int, number: int) -> None:
    """Send a signal to a process; harmless if it has ended."""
    try:
        kernel.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        pass
