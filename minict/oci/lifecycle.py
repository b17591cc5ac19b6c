"""``start``, ``kill``, ``delete``, ``pause`` and ``resume``: each changes the status of a container."""

from __future__ import annotations

import _signal
import os

from minict.runtime.errors import ContainerError

from . import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minict.runtime.container import RuntimeContainer

    from .log import Log

_KILL = 9


def start(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``start``: execute the command of a created container. Source: runtime.md, "Start"."""
    record.find(operands[0]).start()


def kill(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``kill``: send a signal. Engines look for "container not running". Source: runtime.md, "Kill"; runc-kill(8)."""
    container = record.find(operands[0])
    number = signal_number(operands[1] if len(operands) > 1 else "TERM")
    if options["all"] or (number == _KILL and shares_pid_namespace(container)):
        send_to_all(container, number)
    elif container.pid is None:
        raise ContainerError(f"container not running: {container.id}")
    else:
        try:
            container.kill(number)
        except ProcessLookupError:
            raise ContainerError(f"container not running: {container.id}") from None
    if number == _KILL and "freezer" in container.cgroup.directories and container.cgroup.frozen:
        container.cgroup.thaw()  # on cgroup v1 a frozen process cannot even die


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


def shares_pid_namespace(container: RuntimeContainer) -> bool:
    """Whether its processes do not end with the first of them, because that is not process 1 of a namespace."""
    from minict.runtime.container import namespaces_of

    found = namespaces_of(container.state.path("config.json"))
    return not any(each.get("type") == "pid" and not each.get("path") for each in found)


def send_to_all(container: RuntimeContainer, number: int) -> None:
    """Send the signal *number* to every process in the container's cgroup; there may be none. Source: kill(2)."""
    if number == _KILL and shares_pid_namespace(container):
        return container.cgroup.kill()
    for pid in container.cgroup.processes():
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


def delete(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``delete``: release what the container has taken from the host. Source: runtime.md, "Delete"; runc-delete(8)."""
    try:
        container = record.find(operands[0])
    except ContainerError:
        if options["force"]:
            return
        raise
    if not container.state.lock(wait=bool(options["force"])):
        if not os.path.isdir(container.state.directory):
            return
        raise ContainerError(f"cannot delete container {container.id} that is not stopped: it is being created")
    word = record.status(container)
    if word in ("running", "paused") and not options["force"]:
        container.state.unlock()
        raise ContainerError(f"cannot delete container {container.id} that is not stopped: {word}")
    container.delete(force=True)
    for text in container.warnings:
        log.warn(text)


def pause(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``pause``: stop all processes without their notice. Source: runc-pause(8); cgroups(7), freezer."""
    container = record.find(operands[0])
    word = record.status(container)
    if word not in ("running", "created"):
        raise ContainerError(f"container not running: {container.id} is {word}")
    container.cgroup.freeze()


def resume(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``resume``: let them go on. Source: runc-resume(8)."""
    container = record.find(operands[0])
    if record.status(container) != "paused":
        raise ContainerError(f"container not paused: {container.id}")
    container.cgroup.thaw()


def refuse(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``checkpoint`` and ``restore``. Raises :class:`ContainerError` in any case. Source: criu(8)."""
    raise ContainerError("minict-oci cannot checkpoint or restore containers: it does not use CRIU")
