"""What a process behind the bridge asks the keeper for: sockets of the host's network, and a way out.

A socket belongs to the network namespace in which it was made, wherever it is used. Source: network_namespaces(7).
"""

from __future__ import annotations

import os

from minict.kernel.namespaces import CLONE_NEWNET, setns
from minict.runtime.errors import ContainerError
from minict.runtime.place import in_user_namespace

from . import home


def is_inside() -> bool:
    """Whether this process is in a user's namespaces that a keeper has made."""
    return in_user_namespace() and os.path.exists(home.path("net"))


def join_network() -> None:
    """Enter the network of the user's containers, from which there is no way back. Does nothing for the host's root.

    Raises :class:`OSError`. Source: setns(2).
    """
    if not is_inside() or _is_there():
        return
    fd = os.open(home.path("net"), os.O_RDONLY | os.O_CLOEXEC)
    try:
        setns(fd, CLONE_NEWNET)
    finally:
        os.close(fd)


def _is_there() -> bool:
    """Whether this thread is in that network."""
    return os.stat("/proc/thread-self/ns/net").st_ino == os.stat(home.path("net")).st_ino


def open_way_out() -> str:
    """Have the keeper open a way out, and return a sentence when there is none. Empty for the host's root, too."""
    if not is_inside():
        return ""
    answer, _ = _ask("out")
    return "" if answer == "ok" else answer


def host_socket(family: int, kind: int):
    """A new socket in the host's network. Raises :class:`OSError`, :class:`ContainerError`. Source: unix(7)."""
    import _socket

    if not is_inside() or not _is_there():
        return _socket.socket(family, kind | _socket.SOCK_CLOEXEC)
    answer, fd = _ask(f"socket {family} {kind}")
    if fd < 0:
        raise ContainerError(f"the keeper gave no socket ({answer}): try again")
    return _socket.socket(family, kind, fileno=fd)


def _ask(request: str) -> tuple[str, int]:
    """The keeper's answer, and the descriptor that came with it, or -1. Raises :class:`ContainerError`."""
    import _socket

    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_CLOEXEC)
    try:
        directory = os.open(os.path.dirname(home.path("socket")), os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            channel.connect(f"/proc/self/fd/{directory}/socket")
        finally:
            os.close(directory)
        channel.send(request.encode())
        data, rights, _, _ = channel.recvmsg(4096, 64, _socket.MSG_CMSG_CLOEXEC)
        fds = [int.from_bytes(each[:4], "little") for _, kind, each in rights if kind == _socket.SCM_RIGHTS]
        return data.decode(errors="replace"), fds[0] if fds else -1
    except OSError as error:
        raise ContainerError(
            f"the process that keeps this user's namespaces does not answer ({error.strerror}): try again; the next "
            "command of minict starts another"
        ) from None
    finally:
        channel.close()
