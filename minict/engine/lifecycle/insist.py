"""How ``stop`` and ``rm -f`` end although other processes do not cooperate.

A start that hangs holds the container's lock: a file of the image may be a FIFO, and a process in the container may
stop the new one (SIGSTOP). A monitor may be stopped, as by Ctrl-Z at the terminal of ``minict run``. So a command that
ends a container waits for all of these with a deadline, and then kills the obstacle.
"""

from __future__ import annotations

import os
import time

from minict.engine.containers.store import Record
from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import ContainerError

PATIENCE = 15.0  # seconds for a start to fail, and for a monitor to release what its container held
_SIGCONT, _SIGKILL, _SIGTERM = 18, 9, 15


def take_lock(record: Record, seconds: float, force: bool = False) -> bool:
    """Lock the container; False when it is gone.

    A start that takes longer than *seconds* is ended. With *force* every other wait has a deadline too.
    Raises :class:`ContainerError` when another command still holds the lock.
    """
    begin, pause = time.monotonic(), 0.001
    while not record.lock(wait=False):
        waited = time.monotonic() - begin
        if not os.path.isdir(record.data):
            return False
        starts = os.path.isdir(record.state.directory)
        if starts and waited > seconds:
            end_processes(record)
        if starts and waited > seconds + PATIENCE / 2:
            end_monitor(record)
        if waited > seconds + PATIENCE and (starts or force):
            raise ContainerError(
                f"the container {record.name} is in use by another minict command that does not end: end that command, "
                f"and try again ('fuser -v {record.data}' shows it)"
            )
        continue_monitor(record)
        time.sleep(pause)
        pause = min(pause * 1.5, 0.2)
    return True


def end_processes(record: Record) -> None:
    """Kill every process in the container's control group, frozen or not; the caller checks whether one survives."""
    try:
        RuntimeContainer(record.id).cgroup.kill()
    except (ContainerError, OSError):
        pass


def continue_monitor(record: Record) -> None:
    """Continue the container's monitor if it is stopped: it has to see the end."""
    monitor = record.monitor
    if monitor and is_stopped(monitor):
        _send(monitor, _SIGCONT)


def end_monitor(record: Record) -> None:
    """End the container's monitor: a minict process in the background at once, ``minict run`` by SIGTERM.

    A Python program that uses minict does other work too, and is left alone.
    """
    monitor = record.monitor
    if monitor and monitor != os.getpid() and not record.belongs_to_program:
        _send(monitor, _SIGKILL if _name(monitor) == "minict-monitor" else _SIGTERM)


def is_stopped(pid: int) -> bool:
    """Whether a signal has stopped the process *pid*.  Source: proc_pid_stat(5), the third field."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "Tt"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        pass
