"""seccomp notify: some system calls of a container are decided by a program outside of it, the agent.

A filter with such a rule comes with a descriptor, the listener, from which the agent reads what is asked and into which
it writes the answers. The container's process gets it from the kernel when it installs the filter, and waits; its
parent takes a duplicate of it (pidfd_getfd) and sends it to the agent's socket. Sources: seccomp_unotify(2); OCI
runtime-spec, config-linux.md, "Seccomp", "The Container Process State".
"""

from __future__ import annotations

import os

from ..kernel import process as kernel
from . import jsonfile
from .errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .spec import Seccomp

ACTION = "SCMP_ACT_NOTIFY"


def check(profile: Seccomp | None) -> None:
    """Refuse a *profile* that nobody could answer. Raises :class:`ContainerError`.

    Source: config-linux.md, "Seccomp".
    """
    if profile is None:
        return
    if profile.defaultAction == ACTION:
        raise ContainerError(
            f"the seccomp profile has the default action {ACTION}: ask the agent about some calls only"
        )
    if profile.asks_agent() and not profile.listenerPath:
        raise ContainerError(
            f"the seccomp profile has rules with {ACTION} and no listenerPath: name the agent's socket"
        )
    if any(rule.action == ACTION and "write" in rule.names for rule in profile.syscalls):
        raise ContainerError(f"the seccomp profile has {ACTION} for write, by which the runtime reports the listener")


def send(profile: Seccomp, pidfd: int, listener: int, pid: int, state: dict[str, Any]) -> None:
    """Send the descriptor *listener* of the process *pid* to the agent, with the *state* of the container.

    Raises :class:`ContainerError`. Source: config-linux.md, "The Container Process State"; pidfd_getfd(2), unix(7).
    """
    import _socket

    document = {
        "ociVersion": state.get("ociVersion", ""),
        "fds": ["seccompFd"],
        "pid": pid,
        "metadata": profile.listenerMetadata or "",
        "state": state,
    }
    channel = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        fd = kernel.pidfd_getfd(pidfd, listener)
        try:
            channel.connect(profile.listenerPath or "")
            text = jsonfile.dumps(document, compact=True).encode()
            channel.sendmsg([text], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, "little"))])
        finally:
            os.close(fd)
    except OSError as error:
        raise ContainerError(
            f"the seccomp agent at {profile.listenerPath} cannot be asked: {os.strerror(error.errno or 0)}",
            errno=error.errno,
        ) from None
    finally:
        channel.close()
