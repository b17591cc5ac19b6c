"""``minict run``: a new container, joined to this process's own streams, or left to a monitor in the background."""
from __future__ import annotations

import os

from minict.runtime.errors import ContainerError

from . import life
from .record import Record
from .settings import Settings


def run(image: str, args: list[str], settings: Settings, *, detach: bool = False, detach_keys: str | None = None,
        trace: bool = False) -> int:
    """Run a container; return its exit status, or, in the background, print its id and return 0.

    Raises :class:`ContainerError`.
    """
    if settings.tty and not detach and settings.interactive and not os.isatty(0):
        raise ContainerError("-t: the input is not a terminal: leave -t out to feed a container from a pipe")
    from .monitor import hold_signals
    found = life.find_image(image, settings)  # to fetch one may take minutes, and can be interrupted
    hold_signals()
    record = life.create(image, args, settings, found=found, starting=True)
    if settings.tty and not detach:
        return join(record, detach_keys=detach_keys, trace=trace)
    if not detach:
        return here(record, trace)
    print_trace(in_background(record, trace=trace))
    print(record.id)
    return 0


def here(record: Record, trace: bool = False) -> int:
    """Be the monitor of a container whose streams are our own; its exit status.  Raises :class:`ContainerError`."""
    from .monitor import Monitor, take_signals
    monitor = Monitor(record, screen=(1, 2), stdin=0 if record.settings.get("interactive") else -1, trace=trace)
    failed = None

    def born(error: Exception | None) -> None:
        nonlocal failed
        failed = error
        record.unlock()
        take_signals(monitor.signal)
    status = monitor.keep(born)
    if failed:
        raise failed
    if monitor.lost and not status:
        raise ContainerError(f"what the container {record.name} has written could not be passed on: {monitor.lost.strerror}; "
                             "'minict logs' has it, unless --rm was given")
    if trace:
        from minict.runtime.trace import table
        print_trace(table(monitor.container.traces))
    return status


def in_background(record: Record, *, starter=None, trace: bool = False) -> str:
    """Leave the container, which is locked, to a monitor of its own; the trace of its birth.  Raises :class:`ContainerError`."""
    from .monitor import detach
    try:
        return detach(record, starter=starter, trace=trace)
    except ContainerError:
        if record.removes_itself:  # its monitor would do it too, but only after we have ended
            life.forget(record)
        raise
    finally:
        record.unlock()


def join(record: Record, *, interactive: bool | None = None, detach_keys: str | None = None, trace: bool = False) -> int:
    """Start the container, which is locked, in the background, and join our own streams to it; its exit status.

    *interactive*: whether what we read goes to it; else as it was made.  Raises :class:`ContainerError`.
    """
    import _socket

    from .attach import attach_or_leave, parse_keys
    parse_keys(detach_keys or "")  # before anything is begun
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    table = in_background(record, starter=theirs, trace=trace)
    if interactive is None:
        interactive = bool(record.settings.get("interactive"))
    status = attach_or_leave(ours, tty=bool(record.settings.get("tty")), stdin=interactive, detach_keys=detach_keys)
    print_trace(table)
    return status


def print_trace(table: str) -> None:
    """The steps of the container's birth, on the error output: the output belongs to the command."""
    if table:
        os.write(2, (table + "\n").encode())
