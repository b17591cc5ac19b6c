"""The AppArmor profile of a container: ``minict-default``, which is like Docker's, or the one that the user names.

Used only where the kernel has AppArmor. The profile is loaded into the kernel once after each boot, by apparmor_parser;
where that is not installed, containers run without a profile, as Docker's do.
"""

from __future__ import annotations

import os

from minict.runtime import apparmor
from minict.runtime.errors import ContainerError

from .security import security

DEFAULT = "minict-default"
_LOADED = "/sys/kernel/security/apparmor/profiles"
_MACROS = "/etc/apparmor.d"

# The rules follow Docker's profile (see NOTICE): files, networks and capabilities are left to other mechanisms; it
# denies the parts of /proc and /sys that belong to the host, mount(2), and processes outside of the container.
_RULES = """\
  network,
  deny network alg,
  capability,
  file,
  umount,
  signal (receive) peer=unconfined,
  signal (send,receive) peer="{name}",

  deny @{{PROC}}/* w,
  deny @{{PROC}}/{{[^1-9/],[^1-9/][^0-9/],[^1-9s/][^0-9y/][^0-9s/],[^1-9/][^0-9/][^0-9/][^0-9/]*}}/** w,
  deny @{{PROC}}/sys/[^k]** w,
  deny @{{PROC}}/sys/kernel/{{?,??,[^s][^h][^m]**}} w,
  deny @{{PROC}}/sysrq-trigger rwklx,
  deny @{{PROC}}/kcore rwklx,

  deny mount,

  deny /sys/[^f]*/** wklx,
  deny /sys/f[^s]*/** wklx,
  deny /sys/fs/[^c]*/** wklx,
  deny /sys/fs/c[^g]*/** wklx,
  deny /sys/fs/cg[^r]*/** wklx,
  deny /sys/firmware/** rwklx,
  deny /sys/devices/virtual/powercap/** rwklx,
  deny /sys/kernel/security/** rwklx,

  ptrace (trace,tracedby,read,readby) peer="{name}",
"""


def profile(settings) -> str | None:
    """The name of the profile for a container, loaded into the kernel; None without AppArmor, without its parser, or if
    the user asks for none.

    Raises :class:`ContainerError` when the default profile cannot be loaded.
    """
    if not apparmor.is_enabled():
        return None
    choice = security(settings).apparmor
    if choice == "unconfined" or (settings.privileged and not choice):
        return None
    if choice:
        return choice
    if not is_loaded(DEFAULT) and not load(text(DEFAULT)):
        return None
    return DEFAULT


def text(name: str, macros: str = _MACROS) -> str:
    """The profile called *name* in AppArmor's language, with the macros of this machine where it has them."""
    lines = ["abi <abi/3.0>,"] if os.path.exists(f"{macros}/abi/3.0") else []
    tunables = os.path.exists(f"{macros}/tunables/global")
    lines += ["#include <tunables/global>" if tunables else "@{PROC}=/proc/"]
    lines += [f'profile "{name}" flags=(attach_disconnected,mediate_deleted) {{']
    lines += ["  #include <abstractions/base>"] if os.path.exists(f"{macros}/abstractions/base") else []
    return "\n".join(lines) + "\n" + _RULES.format(name=name) + "}\n"


def is_loaded(name: str, loaded: str = _LOADED) -> bool:
    """Whether the kernel has the profile *name*; its list has lines such as ``NAME (enforce)``."""
    try:
        with open(loaded, encoding="utf-8") as file:
            return any(line.rpartition(" (")[0] == name for line in file)
    except OSError:
        return False


def load(rules: str) -> bool:
    """Load a profile into the kernel; False where apparmor_parser is not installed. Raises :class:`ContainerError`."""
    import subprocess

    try:
        done = subprocess.run(["apparmor_parser", "-Kr"], input=rules, text=True, capture_output=True)
    except FileNotFoundError:
        return False
    if done.returncode:
        why = done.stderr.strip().replace("\n", "; ")
        raise ContainerError(
            f"the AppArmor profile {DEFAULT} cannot be loaded ({why}): run with --security-opt apparmor=unconfined"
        )
    return True
