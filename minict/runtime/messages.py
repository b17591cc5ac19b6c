"""What parent and child tell each other while a container starts: see the drawing in :mod:`.birth`.

Two pipes: through the *gate* the parent lets the child go on, one byte for each event; through the *report* the child
tells which step failed. Its end of file means success, because execve closes it.
"""

from __future__ import annotations

import _signal  # importing signal would add 5 ms to each start
import os
import select
from time import monotonic

from .errors import OUR_ERROR, ContainerError
from .files import write_all
from .trace import Trace

# What the parent writes into the gate.
ID_MAPS_WRITTEN = b"u"
NETWORK_CONNECTED = b"n"
HOOKS_RUN = b"h"
LISTENER_SENT = b"s"

MOUNTED = b"mounted\n"  # the child's one message that is not about its end: its mounts are ready for the hooks

PATIENCE = 60.0  # seconds without a report after which a start has failed: a busy machine needs a few
_OBEDIENCE = 2.0  # seconds after which the parent obeys signals that it has blocked in order to forward them later
_FATAL_SIGNALS = {_signal.SIGHUP, _signal.SIGINT, _signal.SIGQUIT, _signal.SIGTERM}


# ---- the child ---------------------------------------------------------------------------------------------------


def wait(gate: int, event: bytes) -> None:
    """Wait until the parent reports this *event*. If the parent has died, end too. Source: pipe(7)."""
    if os.read(gate, 1) != event:
        os._exit(1)


def report_error(report: int, step: str | None, error: BaseException) -> None:
    """Write into the *report* that *step* has failed with *error*. Raises :class:`OSError`. Source: pipe(7)."""
    if isinstance(error, OSError):
        number, status = error.errno or 0, OUR_ERROR
        text = error.strerror or str(error)
        message = f"{text} ({error.filename})" if error.filename and str(error.filename) not in text else text
    else:
        number, status = getattr(error, "errno", None) or 0, getattr(error, "status", OUR_ERROR)
        message = str(error) if isinstance(error, ContainerError) else f"{type(error).__name__}: {error}"
    line = "\t".join(["error", step or "", str(number), str(status), message.replace("\n", " ")])
    write_all(report, line.encode(errors="replace") + b"\n")


def report_mounted(report: int) -> None:
    """Write into the *report* that the mounts are ready. Raises :class:`OSError`. Source: pipe(7)."""
    write_all(report, MOUNTED)


def report_listener(report: int, fd: int) -> None:
    """Write into the *report* the number of seccomp's listener. Raises :class:`OSError`. Source: pipe(7)."""
    write_all(report, f"listener\t{fd}\n".encode())


def report_trace(report: int, trace: Trace) -> None:
    """Write into the *report* how long each step took. Raises :class:`OSError`. Source: pipe(7)."""
    trace(None)
    lines = [f"step\t{name}\t{begin}\t{end}\n" for name, begin, end in trace.steps]
    write_all(report, "".join(lines).encode())


# ---- the parent --------------------------------------------------------------------------------------------------


def send(gate: int, event: bytes) -> None:
    """Tell the child that this *event* has happened. If the child was killed, its report says so. Source: pipe(7)."""
    try:
        os.write(gate, event)
    except BrokenPipeError:
        pass


def read_report(
    report: int, patience: float | None = None, until: bytes = b"\0", listeners: list[int] | None = None
) -> Trace:
    """Read the child's report to its end, or to the line *until*, and return the child's trace.

    *listeners* gets the number that :func:`report_listener` has written.
    Raises :class:`ContainerError`: the child's error; or nothing was reported for *patience* seconds
    (:data:`PATIENCE` if not given), as when another process stops the child by SIGSTOP; or, after two seconds, a signal
    is pending that the caller has blocked and that usually ends a process. Source: poll(2), sigpending(2).
    """
    data = b""
    while wait_readable(report, "start", patience):
        chunk = os.read(report, 65536)
        if not chunk:
            break
        data += chunk
        if data.endswith(until):
            break
    if until == b"\n" and data.startswith(b"listener\t") and listeners is not None:
        listeners.append(int(data.split()[1]))
    trace = Trace("child")
    for line in data.decode(errors="replace").split("\n"):
        kind, *fields = line.split("\t")
        if kind == "step":
            trace.steps.append((fields[0], int(fields[1]), int(fields[2])))
        elif kind == "error":
            step, number, status, message = fields
            shown = message if int(status) != OUR_ERROR or not step else f"{step}: {message}"
            raise ContainerError(shown, step=step, errno=int(number) or None, status=int(status))
    return trace


def wait_readable(fd: int, what: str, patience: float | None = None) -> bool:
    """Wait until *fd* can be read, and return True. Raises as :func:`read_report`; *what*: the event to name in the
    error.

    Source: poll(2), sigpending(2).
    """
    patience = PATIENCE if patience is None else patience
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    begin = monotonic()
    while not poll.poll(min(_OBEDIENCE, patience) * 1000):
        if monotonic() - begin >= patience:
            raise ContainerError(
                f"the container did not {what} within {patience:.0f} s: its cgroup is frozen, a process has stopped it "
                "(SIGSTOP), or a file that it needs does not answer"
            )
        pending = _signal.sigpending() & _FATAL_SIGNALS
        if pending:
            number = int(min(pending))
            raise ContainerError(f"signal {number} arrived before the container's {what}", status=128 + number)
    return True
