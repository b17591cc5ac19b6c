"""What people do to a container that is there: start it, stop it, kill it, remove it, rename it, change its limits.

Each function takes a :class:`minict.engine.containers.store.Record`, and raises :class:`ContainerError` with a
sentence.
"""

from __future__ import annotations

import os
import time

from minict.engine.containers import names, policies
from minict.engine.containers.store import Record
from minict.engine.networks import connect as network_connect
from minict.engine.util import units
from minict.kernel import process as kernel
from minict.runtime.container import Container
from minict.runtime.errors import ContainerError

from . import recovery, run, task

_PATIENCE = 15.0  # seconds for a monitor to give back what its container held
ACTIVE = ("running", "paused", "restarting")


def start(record: Record, *, attach: bool = False, interactive: bool = False, detach_keys: str | None = None) -> int:
    """Start a container that does not run; one that runs is no error.  With *attach*, join it, and return its exit
    status."""
    with record:
        task.settle(record)
        if record.status not in ACTIVE:
            unmark(record)
            if attach:
                return run.join(record, interactive=interactive, detach_keys=detach_keys)
            run.in_background(record)
    if attach:
        from .attach import attach_or_leave, connect

        return attach_or_leave(
            connect(record), tty=bool(record.settings.get("tty")), stdin=interactive, detach_keys=detach_keys
        )
    return 0


def stop(record: Record, timeout: float | None = None, signal: str | int | None = None) -> None:
    """Ask the container to end, and kill it after *timeout* seconds (its own ``--stop-timeout``, or 10; negative:
    never).

    *signal*: what asks it, if not its own ``--stop-signal``.

    Returns when it has given everything back.  A container that does not run is no error.
    """
    number = None if signal is None else units.signal_of(signal, "stop")
    with record:
        mark(record)
    if timeout is None:
        timeout = policies.stop_timeout(record.settings_object())
    while (status := record.status) in ACTIVE:
        if status == "restarting":
            wake_monitor(record)
            continue
        send(record, number or stop_signal(record))
        if status == "paused":
            unpause(record)  # who is frozen can't even end
        if not ended(record, timeout):
            send(record, 9)
            must_end(record)
        wait_for_monitor(record)


def kill(record: Record, signal: str | int = "KILL") -> None:
    """Send a signal to the container's first process."""
    number = units.signal_of(signal, "kill")
    if record.pid is None:
        raise ContainerError(f"the container {record.name} is not running: there is nothing to kill")
    final = number in (9, stop_signal(record))
    if final:
        mark(record)  # a person wants it to end: its restart policy does not count
    send(record, number)
    if number == 9:
        if record.status == "paused":
            unpause(record)
        must_end(record)
        wait_for_monitor(record)


def restart(record: Record, timeout: float | None = None, signal: str | int | None = None) -> None:
    """Stop it and start it again."""
    if record.removes_itself and record.pid is not None:
        raise ContainerError(
            f"the container {record.name} was made with --rm: it would be gone before it can start again"
        )
    stop(record, timeout, signal)
    start(record)


def remove(record: Record, *, force: bool = False, volumes: bool = False) -> None:
    """Remove the container, with *volumes* its anonymous volumes too.  One that runs is an error, or killed by
    *force*."""
    if record.status in ACTIVE:
        if not force:
            raise ContainerError(f"the container {record.name} is {record.status}: stop it first, or remove it with -f")
        stop(record, 0)
    if not record.lock():
        if force:
            return
        raise ContainerError(f"no such container: {record.name}; it has just been removed")
    try:
        if record.pid is not None:
            raise ContainerError(f"the container {record.name} has just been started: remove it with -f")
        task.settle(record)
        task.forget(record, volumes or record.removes_itself)
    finally:
        record.unlock()


def wait(record: Record) -> int:
    """Wait until the container does not run any more; its exit status."""
    from . import attach

    status = None
    while record.status in ACTIVE:
        try:
            channel = attach.connect(record)
        except ContainerError:  # its end, or its next beginning, is near; or its monitor is somebody's Python
            time.sleep(0.02)
            continue
        status = attach.wait(channel)
    return record.exit_code if status is None or os.path.exists(f"{record.data}/life.json") else status


def pause(record: Record) -> None:
    """Freeze all processes of the container."""
    with record:  # not while it is being born: who starts it would wait for ever for the child that is frozen
        if record.status != "running":
            raise ContainerError(f"the container {record.name} is {record.status}: only a running one can be paused")
        open(record.state.path("paused"), "w").close()
        Container(record.id).cgroup.freeze()


def unpause(record: Record) -> None:
    """Let them go on."""
    if record.status != "paused":
        raise ContainerError(f"the container {record.name} is {record.status}, and not paused")
    Container(record.id).cgroup.thaw()
    try:
        os.unlink(record.state.path("paused"))
    except FileNotFoundError:
        pass


def rename(record: Record, name: str) -> None:
    """Give the container another name."""
    names.check(name)
    with record:
        if name == record.name:
            raise ContainerError(f"the container {record.id[:12]} is called {name} already")
        names.take(name, record.id, recovery.prune_container)
        before, record.name = record.name, name
        record.settings["name"] = name
        with network_connect.Changing(record):
            record.save()
            names.release(f"{before}/{record.id}")
            network_connect.rename(record.id, name)


def update(record: Record, **changes) -> None:
    """Change limits (the fields of ContainerOptions that are limits) and the restart policy, now and for later starts."""
    from minict.engine.containers.options import ContainerOptions
    from minict.engine.spec.resources import resources

    with record:
        changed = ContainerOptions(**{**record.settings, **changes})
        limits = resources(changed)
        policies.restart(changed)
        if record.pid is not None:
            Container(record.id).cgroup.limit(limits)
        record.settings = changed.to_dict()
        record.save()


# ---- steps of the above ------------------------------------------------------------------------------------------


def mark(record: Record) -> None:
    """Note that a person has stopped the container: its restart policy does not count until a person starts it."""
    try:
        open(f"{record.data}/stopped", "w").close()
    except FileNotFoundError:
        pass  # it has removed itself


def unmark(record: Record) -> None:
    try:
        os.unlink(f"{record.data}/stopped")
    except FileNotFoundError:
        pass


def send(record: Record, number: int) -> None:
    """Send a signal to the first process; that it has ended meanwhile is no error."""
    try:
        Container(record.id).kill(number)
    except (ContainerError, ProcessLookupError):
        pass


def ended(record: Record, seconds: float) -> bool:
    """Wait until the first process has ended, at most so many *seconds*; whether it has."""
    pid = record.pid
    if pid is None:
        return True
    try:
        pidfd = kernel.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        import select

        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return record.pid != pid or bool(poll.poll(None if seconds < 0 else seconds * 1000))
    finally:
        os.close(pidfd)


def must_end(record: Record) -> None:
    """Wait for a container that was killed.  Raises :class:`ContainerError` when it does not end."""
    if not ended(record, _PATIENCE):
        raise ContainerError(
            f"the container {record.name} was killed and does not end: one of its processes waits for a device "
            "(state D in ps), or for a process outside that has started it and does not wait for it"
        )


def wake_monitor(record: Record) -> None:
    """Wake the monitor that waits before the next start: it then sees that a person has stopped the container."""
    try:
        os.kill(record.monitor or os.getpid(), 15 if record.monitor else 0)
    except ProcessLookupError:
        pass
    time.sleep(0.005)


def wait_for_monitor(record: Record) -> None:
    """Wait until the life that has ended is tidied up: by its monitor, or, when that was killed, by us."""
    end = time.monotonic() + _PATIENCE
    while os.path.isdir(record.state.directory) and record.pid is None and time.monotonic() < end:
        if task.settle(record):
            return
        time.sleep(0.002)


def stop_signal(record: Record) -> int:
    """What asks the container to end: see :func:`minict.engine.containers.policies.stop_signal`."""
    from minict.engine.images.image import Image

    try:
        config = Image.load(record.image).config
    except ContainerError:  # the image is damaged, and the container is to end all the same
        config = {}
    return policies.stop_signal(record.settings_object(), config)
