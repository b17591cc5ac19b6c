"""``create`` and ``run``: from a bundle to a container.

``create`` returns as soon as everything exists but the user's command. The standard streams of this process are the
container's: an engine has put its pipes there. ``run`` is create and start, and it stays until the command has ended.
"""

from __future__ import annotations

import os

from minict.runtime.container import RuntimeContainer
from minict.runtime.errors import ContainerError

from . import bundle, descriptors, record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from minict.runtime.spec import Spec

    from .log import Log


def create(options: dict[str, Any], operands: list[str], log: Log) -> None:
    """``create``: everything but the command, which waits for ``start``. Source: runtime.md, "Create"."""
    path, spec = bundle.load(options["bundle"], options["config"])
    console = descriptors.console(options, spec.process, detached=True)
    container = make(operands[0], path, spec, options, console, hold=True)
    warn(container, log)


def run(options: dict[str, Any], operands: list[str], log: Log) -> int:
    """``run``: create, start, wait and delete; the command's exit status. Source: runc-run(8)."""
    path, spec = bundle.load(options["bundle"], options["config"])
    if options["detach"]:
        console = descriptors.console(options, spec.process, detached=True)
        warn(make(operands[0], path, spec, options, console, hold=False), log)
        return 0
    from . import attend

    attend.prepare(options)
    console = descriptors.console(options, spec.process, detached=False)
    wanted = bool(spec.process and spec.process.terminal)
    ours, console = attend.open_console() if wanted else (-1, -1)
    container = make(operands[0], path, spec, options, console, hold=False)
    try:
        return attend.attend(container.child, container.pidfd, attend.receive(ours, console) if wanted else -1)
    finally:
        if not options["keep"]:
            container.delete(force=True)
        warn(container, log)


def make(id: str, path: str, spec: Spec, options: dict[str, Any], console: int, hold: bool) -> RuntimeContainer:
    """Create the container *id* of the bundle *path*; *hold*: let it wait for ``start``.

    Raises :class:`ContainerError`; then nothing of it is left. Source: runtime.md, "Lifecycle".
    """
    record.check_id(id)
    if options["no_pivot"]:
        raise ContainerError("--no-pivot is refused: by chroot alone, root in a container can return to the host")
    if options["cgroup_manager"] not in (None, "cgroupfs", "systemd"):
        raise ContainerError(f"unknown cgroup manager {options['cgroup_manager']!r}: use cgroupfs or systemd")
    preserved = descriptors.preserved(options, spec.process)
    descriptors.pass_notify_socket(spec)
    container = RuntimeContainer(id)
    container.state.make()  # takes the id
    try:
        record.keep(container.state, spec, path)
        (container.create if hold else container.run)(
            spec,
            bundle=path,
            console=console,
            preserved=preserved,
            new_keyring=not options["no_new_keyring"],
            systemd_cgroup=options["systemd_cgroup"] or options["cgroup_manager"] == "systemd",
        )
        descriptors.tell_pid(options, container.child, container.pidfd)
    except BaseException:
        container.delete(force=True)
        raise
    finally:
        if console >= 0 and hold:
            os.close(console)
    container.state.unlock()
    return container


def warn(container: RuntimeContainer, log: Log) -> None:
    """Report what went wrong and did not stop us."""
    for text in container.warnings:
        log.warn(text)
