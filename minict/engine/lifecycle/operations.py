"""The verbs for an existing container: start, stop, kill, restart, remove, wait, pause, rename, update.

Each function takes a :class:`minict.engine.containers.store.Record`, and raises :class:`ContainerError`.
"""

from __future__ import annotations

import os
import time

from minict.engine.containers import freezer, names, policies
from minict.engine.containers.store import ACTIVE, Record
from minict.engine.networks import connect as network_connect
from minict.engine.util import units
from minict.kernel import process as kernel
from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import ContainerError
from minict.runtime.wait import wait_until

from . import insist, recovery, run, task

_START = 5.0  # seconds that a start may still take once a user has asked for the container's end


def start(record: Record, *, attach: bool = False, interactive: bool = False, detach_keys: str | None = None) -> int:
    """Start a stopped container; harmless for a running one. With *attach*, attach to it and return its exit status."""
    with record:
        task.settle(record)
        if record.status not in ACTIVE:
            unmark(record)
            if attach:
                return run.join(record, interactive=interactive, detach_keys=detach_keys)
            run.in_background(record)
    if attach:
        from .attach import attach_or_leave, open_channel

        return attach_or_leave(
            open_channel(record), tty=bool(record.settings.get("tty")), stdin=interactive, detach_keys=detach_keys
        )
    return 0


def stop(record: Record, timeout: float | None = None, signal: str | int | None = None) -> None:
    """Ask the container to end, and kill it after *timeout* seconds (its ``--stop-timeout``, or 10; negative: never).

    *signal*: the signal to send instead of its ``--stop-signal``. Returns when everything is cleaned up; harmless for a
    container that does not run.
    """
    number = None if signal is None else units.signal_of(signal, "stop")
    if timeout is None:
        timeout = policies.stop_timeout(record.settings_object())
    if not insist.take_lock(record, max(timeout, _START) if timeout >= 0 else insist.PATIENCE):
        raise ContainerError(f"no such container: {record.name}; it has just been removed")
    try:
        mark(record)
    finally:
        record.unlock()
    restarting = None
    was_active = record.status in ACTIVE
    while (status := record.status) in ACTIVE:
        if status == "restarting":
            restarting = restarting or time.monotonic()
            if time.monotonic() - restarting > insist.PATIENCE:
                insist.end_monitor(record)
            wake_monitor(record)
            continue
        send(record, number or stop_signal(record))
        if status == "paused":
            unpause(record)  # a frozen process cannot end
        if not ended(record, timeout):
            send(record, 9)
            must_end(record)
        wait_for_monitor(record)
    if restarting or not was_active:
        wait_for_monitor(record)  # of a start that was ended, too
    if was_active:
        record.event("stop")


def kill(record: Record, signal: str | int = "KILL") -> None:
    """Send a signal to the container's first process."""
    number = units.signal_of(signal, "kill")
    if record.pid is None:
        raise ContainerError(f"the container {record.name} is not running")
    final = number in (9, stop_signal(record))
    if final:
        mark(record)  # the user wants it to end: its restart policy does not apply
    send(record, number)
    if number == 9:
        if record.status == "paused":
            unpause(record)
        must_end(record)
        wait_for_monitor(record)


def restart(record: Record, timeout: float | None = None, signal: str | int | None = None) -> None:
    """Stop the container and start it again."""
    if record.removes_itself and record.pid is not None:
        raise ContainerError(f"cannot restart {record.name}, which was created with --rm: stopping it would remove it")
    stop(record, timeout, signal)
    start(record)
    record.event("restart")


def remove(record: Record, *, force: bool = False, volumes: bool = False) -> None:
    """Remove the container, with *volumes* its anonymous volumes too.

    A running container is an error, unless *force* kills it first.
    """
    if record.status in ACTIVE:
        if not force:
            raise ContainerError(f"cannot remove {record.name}, which is {record.status}: stop it first, or use -f")
        stop(record, 0)
    if not insist.take_lock(record, _START, force):
        if force:
            return
        raise ContainerError(f"no such container: {record.name}; it has just been removed")
    try:
        if record.pid is not None:
            raise ContainerError(f"cannot remove {record.name}, which has just been started: use -f")
        task.settle(record)
        task.forget(record, volumes or record.removes_itself)
    finally:
        record.unlock()


def wait(record: Record) -> int:
    """Wait until the container has ended for good, after the last run of its restart policy; return its exit status."""
    status = None
    while True:
        while record.status in ACTIVE:
            told = _wait_for_run(record)
            status = status if told is None else told
        # Until its monitor has released it, the end of the output is on its way into the log.  A monitor that takes
        # longer is a Python program that has not asked for the end, and is left alone.
        wait_until(lambda: _is_released(record), _LAST_WORDS)
        if record.status not in ACTIVE:  # else only now its monitor has written that there is another run
            return record.exit_code if status is None or os.path.exists(f"{record.data}/life.json") else status


def _wait_for_run(record: Record) -> int | None:
    """Wait for the end of one run, or for a moment; return the exit status that the monitor tells, if it does."""
    from . import attach

    try:
        channel = attach.open_channel(record)
    except ContainerError:  # it is about to end or to start; or its monitor is a Python program
        time.sleep(0.02)
        return None
    return attach.wait(channel)


_LAST_WORDS = 3.0  # seconds for a monitor to read what was written before the end: it takes milliseconds


def _is_released(record: Record) -> bool:
    """Whether nothing is left of the run that has ended, or the next one has begun."""
    return not os.path.isdir(record.state.directory) or record.pid is not None or task.settle(record)


def pause(record: Record) -> None:
    """Freeze all processes of the container."""
    with record:  # not during the start: the starting process would wait forever for its frozen child
        if record.status != "running":
            raise ContainerError(
                f"cannot pause {record.name}, which is {record.status}: only a running container can be paused"
            )
        freezer.freeze(record.state)
        record.event("pause")


def unpause(record: Record) -> None:
    """Unfreeze all processes of the container."""
    if record.status != "paused":
        raise ContainerError(f"cannot unpause {record.name}, which is {record.status}, not paused")
    freezer.thaw(record.state)
    record.event("unpause")


def rename(record: Record, name: str) -> None:
    """Give the container another name."""
    names.check(name)
    with record:
        if name == record.name:
            raise ContainerError(f"the container {record.id[:12]} already has the name {name}")
        names.take(name, record.id, recovery.prune_container)
        before, record.name = record.name, name
        record.settings["name"] = name
        with network_connect.Changing(record):
            record.save()
            names.release(f"{before}/{record.id}")
            network_connect.rename(record.id, name)
        record.event("rename", oldName=f"/{before}")


def update(record: Record, **changes) -> None:
    """Change limits and the restart policy, now and for later starts.

    Raises :class:`ContainerError` for any other field of ContainerOptions, :class:`TypeError` for an unknown name.
    """
    from minict.engine.containers.options import ContainerOptions
    from minict.engine.spec.resources import resources

    with record:
        changed = ContainerOptions(**{**record.settings, **changes})
        if fixed := sorted(changes.keys() - _CHANGEABLE):
            raise ContainerError(
                f"cannot update {', '.join(fixed)}: a container keeps what it was made with; what can change is "
                f"{', '.join(_CHANGEABLE)}"
            )
        limits = resources(changed)
        policies.restart(changed)
        if record.pid is not None:
            RuntimeContainer(record.id).cgroup.limit(limits)
        record.settings = changed.to_dict()
        record.save()
        record.event("update")


_CHANGEABLE = dict.fromkeys(
    """memory memory_swap memory_reservation memory_swappiness cpus cpu_shares cpu_quota cpu_period cpuset_cpus
    cpuset_mems pids_limit blkio_weight device_read_bps device_write_bps device_read_iops device_write_iops
    restart""".split()
)


# ---- steps -------------------------------------------------------------------------------------------------------


def mark(record: Record) -> None:
    """Record that the user has stopped the container: its restart policy does not apply until the next start."""
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
    """Send a signal to the first process; harmless when it has ended."""
    if record.pid is not None:
        record.event("kill", signal=number)  # before the signal: its consequences are later events
    try:
        RuntimeContainer(record.id).kill(number)
    except (ContainerError, ProcessLookupError):
        pass


def ended(record: Record, seconds: float) -> bool:
    """Wait at most *seconds* for the first process to end; return whether it has."""
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
    if ended(record, insist.PATIENCE / 3):
        return
    insist.end_processes(record)  # another process may have frozen it, and it can end only after a thaw
    if not ended(record, insist.PATIENCE):
        raise ContainerError(
            f"the container {record.name} was killed and does not end: one of its processes waits for a device "
            "(state D in ps), or its parent outside the container does not wait for it"
        )


def wake_monitor(record: Record) -> None:
    """Wake the monitor that waits before the next start: it then sees that a person has stopped the container."""
    insist.continue_monitor(record)
    try:
        os.kill(record.monitor or os.getpid(), 15 if record.monitor else 0)
    except ProcessLookupError:
        pass
    time.sleep(0.005)


def wait_for_monitor(record: Record) -> None:
    """Wait until the run that has ended is cleaned up: by its monitor or, if that was killed, by us.

    A Python program that is the monitor may ask for the end much later: it cleans up then.
    """
    begin = time.monotonic()
    while not _is_released(record):
        insist.continue_monitor(record)
        waited = time.monotonic() - begin
        if waited > (_LAST_WORDS if record.belongs_to_program else 2 * insist.PATIENCE):
            return
        if waited > insist.PATIENCE:
            insist.end_monitor(record)
        time.sleep(0.002)


def stop_signal(record: Record) -> int:
    """The signal that asks the container to end: see :func:`minict.engine.containers.policies.stop_signal`."""
    from minict.engine.images.image import Image

    try:
        config = Image.load(record.image).config
    except ContainerError:  # the image is damaged, but the container must still end
        config = {}
    return policies.stop_signal(record.settings_object(), config)
