"""``minict run``: a new container, attached to our streams, or in the background with a monitor."""

from __future__ import annotations

import os

from minict.engine.containers.options import ContainerOptions
from minict.engine.containers.store import Record
from minict.runtime.errors import ContainerError

from . import create, task

_STREAMS = ["stdin", "stdout", "stderr"]


def run(
    image: str,
    args: list[str],
    settings: ContainerOptions,
    *,
    detach: bool = False,
    detach_keys: str | None = None,
    trace: bool = False,
    quiet: bool = False,
    attach: list[str] = _STREAMS,
    sig_proxy: bool = True,
) -> int:
    """Run a container; return its exit status, or, in the background, print its id and return 0.

    *attach*: the streams that are attached to ours. *quiet*: pull without progress. Without *sig_proxy* the container
    does not get our signals, and goes on when one of them ends us. Raises :class:`ContainerError`.
    """
    attach = [name.lower() for name in attach]
    if detach and attach != _STREAMS:
        raise ContainerError(
            "-a conflicts with -d: a container in the background has no attached streams; remove one of the two"
        )
    screen, stdin = _screen(attach), settings.interactive and "stdin" in attach
    if settings.tty and not detach and settings.interactive and not os.isatty(0):
        raise ContainerError("-t: standard input is not a terminal: leave -t out to read from a pipe")
    from minict.engine.util.daemonize import hold_signals

    found = create.find_image(image, settings, quiet)  # a pull may take minutes, and can be interrupted
    hold_signals()
    record = create.create(image, args, settings, found=found, starting=True)
    if detach:
        print_trace(in_background(record, trace=trace))
    if detach or not {"stdout", "stderr"} & set(attach):
        print(record.id, flush=True)
    if detach:
        return 0
    if settings.tty or not sig_proxy:
        return join(record, interactive=stdin, detach_keys=detach_keys, trace=trace, screen=screen, signals=sig_proxy)
    return here(record, screen, stdin, trace)


def _screen(attach: list[str]) -> tuple[int, int]:
    """The descriptors for the container's output and error: ours for those in *attach*. Raises
    :class:`ContainerError`."""
    for name in attach:
        if name not in _STREAMS:
            raise ContainerError(f"invalid --attach {name}: use {', '.join(_STREAMS[:2])} or {_STREAMS[2]}")
    output, error = (
        fd if _STREAMS[fd] in attach else os.open("/dev/null", os.O_WRONLY | os.O_CLOEXEC) for fd in (1, 2)
    )
    return output, error


def here(record: Record, screen: tuple[int, int], stdin: bool, trace: bool = False) -> int:
    """Be the monitor of a container with our own streams; return its exit status.

    *screen*: the descriptors for its output and error. *stdin*: it gets our input too. Raises :class:`ContainerError`.
    """
    from minict.engine.util.daemonize import take_signals

    from .monitor import Monitor

    monitor = Monitor(record, screen=screen, stdin=0 if stdin else -1, trace=trace)
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
        raise ContainerError(
            f"cannot write the output of the container {record.name}: {monitor.lost.strerror}; "
            "'minict logs' has it, unless --rm was given"
        )
    if trace:
        from minict.runtime.trace import format_traces

        print_trace(format_traces(monitor.container.traces))
    return status


def in_background(record: Record, *, starter=None, trace: bool = False) -> str:
    """Start the container, which is locked, with a monitor of its own; return the trace of its start.

    Raises :class:`ContainerError`.
    """
    from .monitor import detach

    try:
        return detach(record, starter=starter, trace=trace)
    except ContainerError:
        if record.removes_itself:  # its monitor would do it too, but only after we have ended
            task.forget(record)
        raise
    finally:
        record.unlock()


def join(
    record: Record,
    *,
    interactive: bool | None = None,
    detach_keys: str | None = None,
    trace: bool = False,
    screen: tuple[int, int] = (1, 2),
    signals: bool = True,
) -> int:
    """Start the container, which is locked, in the background and attach to it; return its exit status.

    *interactive*: forward our input; by default as the container was created. *screen*: the descriptors for its output
    and error. *signals*: forward our signals. Raises :class:`ContainerError`.
    """
    import _socket

    from .attach import attach_or_leave, parse_keys

    parse_keys(detach_keys or "")  # checked before anything is started
    ours, theirs = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    table = in_background(record, starter=theirs, trace=trace)
    if interactive is None:
        interactive = bool(record.settings.get("interactive"))
    status = attach_or_leave(
        ours,
        tty=bool(record.settings.get("tty")),
        stdin=interactive,
        detach_keys=detach_keys,
        screen=screen,
        signals=signals,
    )
    print_trace(table)
    return status


def print_trace(table: str) -> None:
    """Print the steps of the start on standard error: standard output belongs to the command."""
    if table:
        os.write(2, (table + "\n").encode())
