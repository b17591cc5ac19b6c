"""``start`` and ``kill``: what another process than the creator does to a container, by its state directory alone.

An engine calls a process of its own for each of them: so this module needs little of the rest.
"""

from __future__ import annotations

import _signal  # importing signal would add 5 ms to each start
import os

from . import jsonfile, messages
from .errors import ContainerError
from .wait import wait_until

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .state import State


def start(state: State) -> None:
    """Let a created container execute its command. Raises :class:`ContainerError`, also when that fails.

    Source: OCI runtime-spec, runtime.md, "Start"; fifo(7).
    """
    if state.status() != "created":
        raise ContainerError(f"the container {state.id} is {state.status()}: only a created one can be started")
    error = os.open(state.path("error"), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        pid = state.pid()
        if not let_go(state.path("start")):
            raise ContainerError(f"the container {state.id} has just been started, or has just ended")
        os.set_blocking(error, True)
        try:
            messages.read_report(error)  # until execve closes the child's end
        except ContainerError:
            wait_until(lambda: not pid or state.pid() != pid)  # it has reported its error and is about to end
            raise
    finally:
        os.close(error)
    run_later_hooks(state, "poststart", "running")


def let_go(fifo: str) -> bool:
    """Write a byte into the *fifo* at which a created container waits, and remove it. False when nobody waits.

    Only a non-blocking open(2) fails without a reader, with ENXIO: any other would wait for one.
    Raises :class:`OSError`. Source: fifo(7).
    """
    try:
        go = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    os.write(go, b"!")
    os.close(go)
    os.unlink(fifo)  # it is not "created" any more, whether its execve succeeds or not
    return True


def kill(state: State, signal: int) -> None:
    """Send *signal* to the first process. Raises :class:`ContainerError` when there is none.

    Source: OCI runtime-spec, runtime.md, "Kill"; pidfd_send_signal(2).
    """
    pid = state.pid()
    if pid is None:
        raise ContainerError(f"the container {state.id} is not running: start it first")
    pidfd = os.pidfd_open(pid)
    try:
        if state.pid() == pid:  # the handle refers to this process, not to a later one with its number
            _signal.pidfd_send_signal(pidfd, signal)
    finally:
        os.close(pidfd)


def run_later_hooks(state: State, kind: str, status: str) -> None:
    """Run the hooks *poststart* or *poststop*, if the creator has left some in the state directory.

    Raises :class:`ContainerError`; a running container is killed then. Source: config.md, "Poststart", "Poststop".
    """
    if not os.path.exists(state.path("hooks")):
        return
    from . import hooks
    from .spec import Hooks

    values = jsonfile.read(state.path("hooks"))
    pid = (state.pid() or 0) if status == "running" else 0
    try:
        hooks.run(Hooks.from_dict(values["hooks"]), kind, values["state"], status, pid)
    except ContainerError:
        if status == "running" and state.pid() is not None:
            try:
                kill(state, 9)
            except (ContainerError, ProcessLookupError):
                pass  # it has just ended
        raise
