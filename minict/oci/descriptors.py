"""What passes between the caller and the container besides the standard streams: sockets, descriptors, the pid file."""

from __future__ import annotations

import os

from minict.runtime.errors import ContainerError
from minict.runtime.spec import Mount

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minict.runtime.spec import Process, Spec

_NOTIFY = "/run/notify/notify.sock"


def console(options: dict[str, Any], process: Process | None, detached: bool) -> int:
    """A descriptor of the connected ``--console-socket``, to which the container sends its terminal; -1 without one.

    Raises :class:`ContainerError` when a terminal and a socket are not both there. Source: runc, docs/terminals.md.
    """
    wanted, path = bool(process and process.terminal), options["console_socket"]
    if wanted and detached and not path:
        raise ContainerError("cannot allocate a tty for a detached process without --console-socket: add it")
    if path and not (wanted and detached):
        raise ContainerError("cannot use --console-socket for a process that is not detached or has no terminal")
    return connect(path) if path else -1


def connect(path: str) -> int:
    """Connect to the Unix socket *path*; a descriptor. Raises :class:`ContainerError`. Source: unix(7)."""
    import _socket

    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        channel.connect(path)
    except OSError as error:
        raise ContainerError(f"cannot connect to the socket {path}: {error.strerror}", errno=error.errno) from None
    return int(channel.detach())


def preserved(options: dict[str, Any], process: Process | None) -> list[int]:
    """The descriptors that the process gets from 3 on: those of systemd's socket activation, and ``--preserve-fds``.

    For the former *process* gets the variables LISTEN_FDS and LISTEN_PID. Raises :class:`ContainerError` for a
    descriptor that is not open. Source: sd_listen_fds(3); runc(8), --preserve-fds.
    """
    listening = os.environ.get("LISTEN_FDS", "")
    activated = int(listening) if listening.isdigit() and os.environ.get("LISTEN_PID") == str(os.getpid()) else 0
    if activated and process:
        process.env = [*process.env, f"LISTEN_FDS={activated}", "LISTEN_PID=1"]
    count = options["preserve_fds"] or "0"
    if not count.isdigit():
        raise ContainerError(f"invalid number --preserve-fds {count!r}")
    numbers = list(range(3, 3 + activated + int(count)))
    for fd in numbers:
        try:
            os.fstat(fd)
        except OSError:
            raise ContainerError(f"the descriptor {fd}, which is to be preserved, is not open") from None
    return numbers


def pass_notify_socket(spec: Spec) -> None:
    """Let the container reach the socket in our variable NOTIFY_SOCKET, by which a service says that it is ready.

    Source: sd_notify(3); runc, docs/systemd.md; crun(1).
    """
    socket = os.environ.get("NOTIFY_SOCKET", "")
    if not socket.startswith("/") or not spec.process:
        return
    mount = Mount(destination=_NOTIFY, type="bind", source=socket, options=["bind", "nosuid", "nodev", "noexec"])
    spec.mounts = [*spec.mounts, mount]
    spec.process.env = [
        *(each for each in spec.process.env if not each.startswith("NOTIFY_SOCKET=")),
        f"NOTIFY_SOCKET={_NOTIFY}",
    ]


def tell_pid(options: dict[str, Any], pid: int, pidfd: int) -> None:
    """Write *pid* to ``--pid-file``, completely or not at all, and send *pidfd* to ``--pidfd-socket``.

    Raises :class:`OSError`, :class:`ContainerError`. Source: runc-create(8).
    """
    if options["pid_file"]:
        path = os.path.abspath(options["pid_file"])
        temporary = os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.{os.getpid()}")
        with open(temporary, "w") as file:
            file.write(str(pid))
        os.replace(temporary, path)
    if options["pidfd_socket"]:
        from minict.runtime import terminal

        channel = connect(options["pidfd_socket"])
        terminal.send(channel, pidfd)
        os.close(channel)
