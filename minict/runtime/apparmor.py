"""AppArmor: a second wall behind capabilities and seccomp, on kernels that have it.

A profile is a list of rules that an administrator, or the engine, has loaded into the kernel. A process asks to be
confined by one from its next execve on; it then stays confined, and so do its children.
"""

from __future__ import annotations

import os

from . import procfs
from .errors import ContainerError

_ENABLED = "/sys/module/apparmor/parameters/enabled"


def is_enabled() -> bool:
    """Whether this kernel confines processes with AppArmor. Source: apparmor(7)."""
    try:
        with open(_ENABLED) as file:
            return file.read().strip() == "Y"
    except OSError:
        return False


def check(profile: str | None) -> None:
    """Refuse a *profile* on a kernel without AppArmor: the container would not be confined by it.

    Raises :class:`ContainerError`. Source: OCI runtime-spec, config.md, "apparmorProfile".
    """
    if profile and not is_enabled():
        raise ContainerError(
            f"the AppArmor profile {profile} cannot be applied: this kernel has no AppArmor; leave apparmorProfile out"
        )


def change_on_exec(profile: str) -> None:
    """Let the kernel confine this process, and its children, by *profile* from its next execve on.

    Raises :class:`ContainerError` when the profile is not loaded. Source: aa_change_onexec(3); proc_pid_attr(5).
    """
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    proc = procfs.open_root(root)
    try:
        for path in ("self/attr/apparmor/exec", "self/attr/exec"):  # the second is for Linux before 5.8
            try:
                return procfs.write(proc, path, f"exec {profile}")
            except FileNotFoundError:
                continue
            except OSError as error:
                raise ContainerError(
                    f"the AppArmor profile {profile} cannot be applied ({os.strerror(error.errno or 0)}): load it "
                    "first with apparmor_parser",
                    errno=error.errno,
                ) from None
        raise ContainerError(f"the AppArmor profile {profile} cannot be applied: this kernel has no AppArmor")
    finally:
        os.close(proc)
        os.close(root)
