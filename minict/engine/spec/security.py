"""Security options: capabilities, ``--security-opt``, masked and read-only paths, and ``--privileged``, which lifts
them all.
"""

from __future__ import annotations

import os

from minict.runtime import apparmor, capabilities
from minict.runtime.errors import ContainerError

# Paths that reveal or change the host and belong to no namespace (moby, daemon/pkg/oci/defaults.go).
MASKED = [
    "/proc/asound",
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
]
# minict adds the last two: root in any namespace could have the kernel fill the host's log, or change its caches.
READ_ONLY = [
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
    "/proc/dynamic_debug",
    "/proc/mtrr",
]
_THERMAL = (
    "/sys/devices/system/cpu/cpu{}/thermal_throttle"  # it reveals what other containers compute (the same source)
)

_OPTIONS = (
    "no-new-privileges",
    "apparmor=PROFILE",
    "apparmor=unconfined",
    "seccomp=FILE",
    "seccomp=unconfined",
    "systempaths=unconfined",
    "mask=PATH[:PATH]",
    "unmask=PATH[:PATH]",
    "unmask=ALL",
)


class SecurityOptions:
    """The values of ``--security-opt``. Raises :class:`ContainerError` for an unknown one.

    ``no_new_privileges``; ``seccomp``: None for the default, ``unconfined``, or a file (or its text); ``apparmor``:
    None for the default, ``unconfined``, or a profile; ``masked`` and ``read_only``: paths; ``without_effect``: options
    of security modules that minict does not use, or that this kernel lacks.
    """

    def __init__(self, words: list[str]):
        self.no_new_privileges = False
        self.seccomp: str | None = None
        self.apparmor: str | None = None
        self.without_effect: list[str] = []
        self.masked, self.read_only = default_masked(), list(READ_ONLY)
        for word in words:
            name, given, value = word.partition("=" if "=" in word else ":")  # the second is Docker's first form
            self._take(word, name, value if given else None)

    def _take(self, word: str, name: str, value: str | None) -> None:
        if name == "no-new-privileges" and value in (None, "true", "false"):
            self.no_new_privileges = value != "false"
        elif name == "seccomp" and value:
            self.seccomp = value
        elif (name == "systempaths" and value == "unconfined") or (name == "unmask" and value == "ALL"):
            self.masked, self.read_only = [], []
        elif name in ("mask", "unmask") and value and all(path.startswith("/") for path in value.split(":")):
            paths = [os.path.normpath(path) for path in value.split(":")]
            self.masked = [path for path in self.masked if path not in paths] + (paths if name == "mask" else [])
            self.read_only = [path for path in self.read_only if path not in paths]
        elif name == "apparmor" and value and apparmor.is_enabled():
            self.apparmor = value
        elif name in ("apparmor", "label") and value:
            self.without_effect.append(word)
        else:
            raise ContainerError(f"invalid --security-opt {word}: use one of {', '.join(_OPTIONS)}")


def default_masked() -> list[str]:
    """:data:`MASKED`, and one directory for each CPU where it exists."""
    if not os.path.exists(_THERMAL.format(0)):
        return list(MASKED)
    return MASKED + [_THERMAL.format(number) for number in range(os.sysconf("SC_NPROCESSORS_CONF"))]


def security(settings) -> SecurityOptions:
    """The security options of a container; a privileged one has no masked paths and no filter."""
    options = SecurityOptions(settings.security_opt)
    if settings.privileged:
        options.masked, options.read_only = [], []
        options.seccomp = options.seccomp or "unconfined"
    return options


def bounding_set(settings) -> list[str]:
    """The bounding set: Docker's default, changed by ``--cap-add`` and ``--cap-drop``.

    Raises :class:`ContainerError`.
    """
    base = capabilities.known() if settings.privileged else capabilities.DEFAULT
    return capabilities.adjust(base, settings.cap_add, settings.cap_drop)


def notes(settings) -> list[str]:
    """Warnings about options that have no effect here. Raises :class:`ContainerError`."""
    return [
        f"--security-opt {word} has no effect: "
        + ("minict does not use SELinux" if word.startswith("label") else "this kernel has no AppArmor")
        for word in SecurityOptions(settings.security_opt).without_effect
    ]
