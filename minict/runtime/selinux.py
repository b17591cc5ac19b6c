"""SELinux: labels on processes and files, which a policy of the machine gives a meaning, on kernels that have it."""

from __future__ import annotations

import os

from . import procfs
from .errors import ContainerError


def is_enabled() -> bool:
    """Whether this kernel enforces, or logs, what a loaded policy says. Source: selinux(8)."""
    return os.path.exists("/sys/fs/selinux/enforce")


def check(label: str | None, field: str) -> None:
    """Refuse a *label* on a kernel without SELinux: it would have no effect. *field* is its place in the spec.

    Raises :class:`ContainerError`. Source: OCI runtime-spec, config.md, "selinuxLabel"; config-linux.md, "mountLabel".
    """
    if label and not is_enabled():
        raise ContainerError(
            f"the SELinux label {label} cannot be applied: this kernel has no SELinux; leave {field} out"
        )


def change_on_exec(label: str) -> None:
    """Let the kernel give this process *label* at its next execve. Raises :class:`ContainerError`.

    Source: setexeccon(3); proc_pid_attr(5).
    """
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    proc = procfs.open_root(root)
    try:
        procfs.write(proc, "self/attr/exec", label)
    except OSError as error:
        raise ContainerError(
            f"the SELinux label {label} cannot be applied: {os.strerror(error.errno or 0)}", errno=error.errno
        ) from None
    finally:
        os.close(proc)
        os.close(root)
