"""``start``, ``kill``, ``delete``, ``pause`` and ``resume``: each changes the status of a container."""

from __future__ import annotations

import _signal
import os

from minict.runtime import start as starter
from minict.runtime.errors import ContainerError

from . import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minict.runtime.state import State

    from .log import Log

_KILL = 9


def start(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``start``: execute the command of a created container.

    If a poststart hook fails, the container is deleted. Source: runtime.md, "Start", "Lifecycle".
    """
    container = record.find(operands[0])
    try:
        starter.start(container)
    except ContainerError as error:
        if type(error).__name__ == "HookError":  # whose module is loaded only if there are hooks
            from minict.runtime.delete import UNDO, release

            release(container, UNDO)
        raise


def kill(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``kill``: send a signal. Engines look for "container not running". Source: runtime.md, "Kill"; runc-kill(8)."""
    container = record.find(operands[0])
    number = signal_number(operands[1] if len(operands) > 1 else "TERM")
    if options["all"] or (number == _KILL and not container.has_pid_namespace()):
        return send_to_all(container, number)
    if container.pid() is None:
        raise ContainerError(f"container not running: {container.id}")
    frozen = number == _KILL and record.status(container) == "paused"
    try:
        starter.kill(container, number)
    except ProcessLookupError:
        raise ContainerError(f"container not running: {container.id}") from None
    if frozen:  # on cgroup v1 a frozen process cannot even die
        record.find_whole(container.id).cgroup.thaw()


def signal_number(word: str) -> int:
    """The number of the signal *word*: ``9``, ``KILL``, ``SIGKILL``, ``RTMIN+3``. Raises :class:`ContainerError`.

    Source: signal(7).
    """
    if word.isdigit() and int(word) < _signal.NSIG:
        return int(word)
    name = word.upper().removeprefix("SIG")
    for sign in "+-":
        base, found, distance = name.partition(sign)
        if base in ("RTMIN", "RTMAX") and found and distance.isdigit():
            return int(getattr(_signal, f"SIG{base}")) + int(sign + distance)
    number = getattr(_signal, f"SIG{name}", None) if name.isalnum() else None
    if not isinstance(number, int):
        raise ContainerError(f"unknown signal {word!r}: see signal(7)")
    return int(number)


def send_to_all(container: State, number: int) -> None:
    """Send the signal *number* to every process in the container's cgroup; there may be none. Source: kill(2)."""
    cgroup = record.find_whole(container.id).cgroup
    if number == _KILL and not container.has_pid_namespace():
        return cgroup.kill()
    for pid in cgroup.processes():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
    if number == _KILL and cgroup.frozen:
        cgroup.thaw()


def delete(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``delete``: release what the container has taken from the host. Source: runtime.md, "Delete"; runc-delete(8)."""
    from minict.runtime.delete import UNDO, release  # start and kill do not need it

    try:
        container = record.find(operands[0])
    except ContainerError:
        if options["force"]:
            return
        raise
    if not container.lock(wait=bool(options["force"])):
        if not os.path.isdir(container.directory):
            return
        raise ContainerError(f"cannot delete container {container.id} that is not stopped: it is being created")
    word = record.status(container)
    if word in ("running", "paused") and not options["force"]:
        raise ContainerError(f"cannot delete container {container.id} that is not stopped: {word}")
    for text in release(container, UNDO):
        log.warn(text)


def pause(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``pause``: stop all processes without their notice. Source: runc-pause(8); cgroups(7), freezer."""
    container = record.find_whole(operands[0])
    word = record.status(container.state)
    if word not in ("running", "created"):
        raise ContainerError(f"container not running: {container.id} is {word}")
    container.cgroup.freeze()


def resume(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``resume``: let them go on. Source: runc-resume(8)."""
    container = record.find_whole(operands[0])
    if record.status(container.state) != "paused":
        raise ContainerError(f"container not paused: {container.id}")
    container.cgroup.thaw()


def refuse(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``checkpoint`` and ``restore``. Raises :class:`ContainerError` in any case. Source: criu(8)."""
    raise ContainerError("minict-oci cannot checkpoint or restore containers: it does not use CRIU")
