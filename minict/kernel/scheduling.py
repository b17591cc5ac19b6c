"""When a process runs, and where its memory and its disk requests go: calls that Python's standard library lacks."""

from __future__ import annotations

import ctypes

from .syscall import failure, libc, syscall

# linux/ioprio.h; ioprio_set(2)
IOPRIO_WHO_PROCESS = 1
IOPRIO_CLASS_SHIFT = 13


class _Attributes(ctypes.Structure):
    """struct sched_attr of linux/sched/types.h, in its first version."""

    _fields_ = [
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    ]


def sched_setattr(
    policy: int, flags: int = 0, nice: int = 0, priority: int = 0, runtime: int = 0, deadline: int = 0, period: int = 0
) -> None:
    """Set the scheduling policy of the calling thread; *runtime*, *deadline* and *period* are in nanoseconds.

    Raises :class:`OSError`, EPERM without CAP_SYS_NICE for more than others get. Source: sched_setattr(2).
    """
    attributes = _Attributes(ctypes.sizeof(_Attributes), policy, flags, nice, priority, runtime, deadline, period)
    syscall("sched_setattr", 0, ctypes.byref(attributes), 0)


def ioprio_set(io_class: int, priority: int) -> None:
    """Set the class and the priority with which the disks serve the calling thread. Raises :class:`OSError`.

    Source: ioprio_set(2).
    """
    syscall("ioprio_set", IOPRIO_WHO_PROCESS, 0, io_class << IOPRIO_CLASS_SHIFT | priority)


def set_mempolicy(mode: int, nodes: int) -> None:
    """Set from which memory nodes, the bits of *nodes*, the calling thread and its children get memory.

    Raises :class:`OSError`. Source: set_mempolicy(2).
    """
    mask = nodes.to_bytes(128, "little") if nodes else None
    syscall("set_mempolicy", mode, mask, 1024 if nodes else 0)


def personality(persona: int) -> None:
    """Set the execution domain of the calling process. Raises :class:`OSError`. Source: personality(2)."""
    if libc.personality(persona) == -1:
        raise failure("personality", persona)
