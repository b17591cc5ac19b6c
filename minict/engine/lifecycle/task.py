"""One run of a container: start its process, and clean up after it.

Read :func:`begin` and :func:`end`, in this order. What a run takes from the host is written into its ledger before it
is taken, and released by :func:`end`; if the monitor was killed, by :func:`settle`, which ``start``, ``rm`` and
``prune`` call.
"""

from __future__ import annotations

import os

from minict.engine.containers.store import Record, now
from minict.engine.images import overlay
from minict.engine.images.image import Image
from minict.engine.networks import sandbox
from minict.engine.spec import namespaces, seccomp
from minict.engine.util import events as journal
from minict.engine.volumes import mounts
from minict.runtime import spec
from minict.runtime.container import RuntimeContainer
from minict.runtime.delete import UNDO as RUNTIME_UNDO
from minict.runtime.errors import OUR_ERROR

from .bundle import prepare

# How each kind of entry in a ledger is undone; "attached" only says that the container must not outlive its monitor.
UNDO = {**RUNTIME_UNDO, **sandbox.UNDO, **namespaces.UNDO, **mounts.UNDO, "attached": lambda pid: None}


def begin(
    record: Record,
    *,
    streams: tuple = (0, 1, 2),
    console: int = -1,
    size: tuple[int, int] | None = None,
    trace: bool = False,
) -> RuntimeContainer:
    """Start the container: execute its command, and return as soon as it runs.

    From then on the calling process is its monitor: the parent of the container's first process, with which the
    container ends. *streams* and *console*: see :class:`minict.runtime.container.RuntimeContainer`. *size*: rows and
    columns of its terminal. Raises :class:`ContainerError`; then the run has ended before it began, as if the command
    had failed.
    """
    try:
        return _begin(record, streams, console, size, trace)
    except BaseException as error:
        record.write_last_run(finished=now(), exit_code=getattr(error, "status", OUR_ERROR), error=str(error))
        raise


def _begin(record: Record, streams: tuple, console: int, size, trace: bool) -> RuntimeContainer:
    settings = record.settings_object()
    if record.prepared:
        image, config, network_sandbox, starter = record.prepared
        record.prepared = None  # the next run may find another host
    else:
        image, starter = Image.load(record.image, record.image_name), None
        config, network_sandbox = prepare(record, image)
    overlay.prepare(image, record.data)
    mounts.prepare([mount for mount in record.mounts if mounts.is_missing(mount)], image, record.id)
    if size:
        config.process.consoleSize = spec.Box(height=size[0], width=size[1])
    config.mounts = mounts.arranged(config.mounts, mounts.spec_mounts(record.mounts))
    config.linux.rootfsPropagation = mounts.root_propagation(record.mounts)
    container = RuntimeContainer(record.id, UNDO)
    container.state.make()
    try:
        volumes = mounts.file_systems(record.mounts, record.id)
        container.state.add_to_ledger([("attached", os.getpid()), *volumes, *network_sandbox.ledger()])
        if starter != os.getpid():
            record.start_run()
        mounts.mount_file_systems(volumes)
        network_sandbox.reserve()
        set_variables(config.process, network_sandbox.variables())
        namespaces.reserve(container.state, settings, config)
        for name, text in {"hostname": network_sandbox.hostname + "\n", **network_sandbox.files()}.items():
            write_etc(record, name, text)
        container.run(
            config,
            streams=streams,
            console=console,
            init=settings.init,
            die_with_parent=True,
            trace=trace,
            seccomp_filter=seccomp.program(settings, config),
            prepare=network_sandbox.set_up if network_sandbox.waits else None,
        )
        tell(container.notes)
        emit_mounts(record, "mount")
        record.event("start")
        return container
    except BaseException:
        container.delete(force=True)
        raise


def tell(notes: list[str]) -> None:
    """Write each of *notes* on standard error: standard output belongs to the command."""
    for note in notes:
        os.write(2, f"minict: {note}\n".encode(errors="replace"))


def emit_mounts(record: Record, action: str) -> None:
    """Note in the journal that the volumes of a container are mounted or unmounted, as *action* says."""
    for mount in record.mounts or []:
        if mount["type"] == "volume":
            about = {"container": record.id, "destination": mount["destination"], "driver": "local"}
            about |= {"propagation": "", "read/write": str(not mount.get("read_only", False)).lower()}
            journal.emit("volume", action, mount["name"], about)


def set_variables(process: spec.Process, given: list[str]) -> None:
    """Add variables to the environment of *process*, except those that it has already."""
    there = {word.partition("=")[0] for word in process.env}
    process.env = [*process.env, *(word for word in given if word.partition("=")[0] not in there)]


def end(record: Record, container: RuntimeContainer, status: int, restarting: bool = False) -> None:
    """Record that the container's first process has ended with *status*, and release what the run held.

    *restarting*: another run follows. A container created with ``--rm`` is removed.
    """
    killed, finished = bool(container.cgroup.oom_kills()), now()
    if killed:
        record.event("oom")
    try:
        run = record.write_last_run(finished=finished, exit_code=status, oom_killed=killed, restarting=restarting)
    except OSError:  # a full disk: the time and the cause of the end are lost, but everything is released
        run = record.last_run
    record.event("die", exitCode=status, execDuration=int(finished - (run.get("started") or finished)))
    container.delete(force=True)
    emit_mounts(record, "unmount")
    if record.removes_itself and not restarting:
        forget(record)


def forget(record: Record, with_volumes: bool = True) -> None:
    """Remove a container that has ended, and with *with_volumes* its anonymous volumes; harmless when it is gone."""
    if record.locked or record.lock():
        mine = record.mounts if with_volumes else []
        there = os.path.exists(f"{record.data}/container.json")
        record.remove()
        if there:
            record.event("destroy")
        mounts.release(mine, record.id)


def settle(record: Record) -> bool:
    """Clean up after a run whose monitor was killed; return whether there was one.

    A monitor that lives holds the lock of the run, and is left alone.
    """
    container = RuntimeContainer(record.id, UNDO)
    if not container.state.lock():
        return False
    if container.pid is not None and not any(kind == "attached" for kind, _ in container.state.ledger()):
        container.state.unlock()  # it belongs to the OCI runtime, which has no monitor
        return False
    if record.last_run.get("started") and not record.last_run.get("finished"):
        record.write_last_run(finished=now(), exit_code=137, error="its monitor was killed", restarting=False)
        record.event("die", exitCode=137)
    container.delete(force=True)
    return True


def write_etc(record: Record, name: str, text: str) -> None:
    """Write one of the files in /etc afresh: the file of the last run may still be open in another container."""
    path = f"{record.data}/{name}"
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644), "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(text)
