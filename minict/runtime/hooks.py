"""Hooks: external programs that the runtime executes at six points of a container's life cycle.

===================  ==============================  ==========================================================
``prestart``         namespaces of the runtime       all mounts are made, the old root is still in reach; the
``createRuntime``    namespaces of the runtime       network of Docker before version 28, of Podman, of GPUs
``createContainer``  namespaces of the container     the same moment, but executed by the container's process
``startContainer``   the container, as its user      after start, before the user's command
``poststart``        namespaces of the runtime       the user's command runs
``poststop``         namespaces of the runtime       the container is deleted; an error is a warning only
===================  ==============================  ==========================================================

Each gets the container's state as JSON on its standard input. They run one after the other in the given order, and the
first that fails ends the container. Source: OCI runtime-spec, config.md, "POSIX-platform Hooks".

The functions are also called in the container's process, so they make system calls only: see :mod:`.birth`.
"""

from __future__ import annotations

import os
import select

from ..kernel import process as kernel
from . import jsonfile
from .errors import ContainerError
from .files import write_all
from .process import exit_status, restore_signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from .spec import Hook, Hooks


class HookError(ContainerError):
    """A hook has failed, and with it a step of the life cycle. Source: OCI runtime-spec, runtime.md, "Lifecycle"."""


_SHOWN = 2000  # bytes of a failed hook's output in the error


def check(hooks: Hooks) -> None:
    """Verify the *hooks*. Raises :class:`ContainerError` for one without an absolute path, or with a wrong timeout.

    Source: config.md, "POSIX-platform Hooks".
    """
    for kind in type(hooks).__annotations__:
        for hook in getattr(hooks, kind):
            if not hook.path or not hook.path.startswith("/"):
                raise ContainerError(
                    f"the path {hook.path!r} of a hook is not absolute (hooks.{kind}): begin it with /"
                )
            if hook.timeout is not None and hook.timeout <= 0:
                raise ContainerError(f"the timeout of a hook is {hook.timeout} s (hooks.{kind}): it must be above 0")


def run(hooks: Hooks | None, kind: str, state: dict[str, Any], status: str, pid: int) -> None:
    """Execute all hooks of one *kind*; *state* is completed by *status* and *pid*.

    Those outside of the container start in the bundle and, without variables of their own, with the runtime's: as with
    runc and crun.

    Raises :class:`ContainerError` for the first that fails. Source: config.md, "POSIX-platform Hooks".
    """
    text = jsonfile.dumps({**state, "status": status, **({"pid": pid} if pid else {})})
    for number, hook in enumerate(getattr(hooks, kind) if hooks else ()):
        try:
            execute(hook, text, "/" if kind == "startContainer" else state["bundle"])
        except ContainerError as error:
            raise HookError(f"{kind} hook {number} ({hook.path}) failed: {error}") from None


def execute(hook: Hook, state: str, directory: str) -> None:
    """Execute one *hook* with the text *state* on its standard input, and wait for its end, at most its timeout.

    It starts in *directory*; in ``/``, the container, it gets no variable of the host.

    Raises :class:`ContainerError` with the exit status and the output when it fails. Source: config.md, "hooks".
    """
    given, output = (os.memfd_create(name, os.MFD_CLOEXEC) for name in ("state", "output"))
    try:
        write_all(given, state.encode())
        os.lseek(given, 0, os.SEEK_SET)
        pid = os.fork()
        if pid == 0:
            _become(hook, given, output, directory)
        ended = _wait(pid, hook.timeout)
        status = exit_status(os.waitpid(pid, 0)[1])
        if not ended:
            raise ContainerError(f"it has not ended within its timeout of {hook.timeout} s")
        if status:
            shown = os.pread(output, _SHOWN, 0).decode(errors="replace").strip().replace("\n", "; ")
            raise ContainerError(f"exit status {status}" + (f", output: {shown}" if shown else ""))
    finally:
        os.close(given)
        os.close(output)


def _become(hook: Hook, given: int, output: int, directory: str) -> NoReturn:
    """In the child: become the program of the *hook*."""
    try:
        for number, fd in enumerate((given, output, output)):
            os.dup2(fd, number)
        kernel.close_range(3, flags=kernel.CLOSE_RANGE_CLOEXEC)
        restore_signals()
        os.chdir(directory)
        own = {} if hook.env is not None or directory == "/" else dict(os.environ)
        environment = {**own, **dict(each.split("=", 1) for each in hook.env or () if "=" in each)}
        os.execve(hook.path or "", list(hook.args or [hook.path or ""]), environment)
    except BaseException as error:
        os.write(2, f"{hook.path}: {error}".encode())
    finally:
        os._exit(127)


def _wait(pid: int, timeout: int | None) -> bool:
    """Wait until the child *pid* has ended; after *timeout* seconds kill it and return False."""
    pidfd = kernel.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        if poll.poll(None if timeout is None else timeout * 1000):
            return True
        kernel.pidfd_send_signal(pidfd, 9)
        return False
    finally:
        os.close(pidfd)
