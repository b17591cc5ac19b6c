"""Capabilities: root's rights in some forty pieces, and the two calls that read and set them."""

from __future__ import annotations

from . import native
from .syscall import syscall

_LINUX_CAPABILITY_VERSION_3 = 0x20080522

# linux/capability.h: the number of a capability is its position here; capabilities(7)
NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID",
    "CAP_SETUID", "CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST", "CAP_NET_ADMIN",
    "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER", "CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE", "CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE", "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD", "CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP", "CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM", "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF", "CAP_CHECKPOINT_RESTORE",
)  # fmt: skip


class _Header(native.Structure):
    _fields_ = [("version", native.c_uint32), ("pid", native.c_int)]


class _Sets(native.Structure):
    """One half of the three sets: the kernel takes an array of two, the lower and the upper 32 bits."""

    _fields_ = [(name, native.c_uint32) for name in ("effective", "permitted", "inheritable")]


_TwoSets = _Sets * 2


def capget(pid: int = 0) -> tuple[int, int, int]:
    """The (effective, permitted, inheritable) capabilities of *pid* (0: the caller) as bit masks.

    Raises :class:`OSError`. Source: capget(2).
    """
    header, sets = _Header(_LINUX_CAPABILITY_VERSION_3, pid), _TwoSets()
    syscall("capget", native.byref(header), native.byref(sets))
    low, high = sets[0], sets[1]
    return (
        low.effective | high.effective << 32,
        low.permitted | high.permitted << 32,
        low.inheritable | high.inheritable << 32,
    )


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """Set the caller's three capability sets, each a bit mask.

    Raises :class:`OSError`, EPERM for a capability that the caller lacks. Source: capset(2).
    """
    header, sets = _Header(_LINUX_CAPABILITY_VERSION_3, 0), _TwoSets()
    for half, shift in ((sets[0], 0), (sets[1], 32)):
        half.effective = effective >> shift & 0xFFFFFFFF
        half.permitted = permitted >> shift & 0xFFFFFFFF
        half.inheritable = inheritable >> shift & 0xFFFFFFFF
    syscall("capset", native.byref(header), native.byref(sets))
