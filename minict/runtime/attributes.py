"""What the kernel knows about a process besides its rights: when it runs, where its memory and its requests go.

Each field of the specification is one system call. They come before the capabilities are dropped, because most of them
give a process more than others get.
"""

from __future__ import annotations

import os

from ..kernel import scheduling
from .errors import ContainerError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .spec import IOPriority, Linux, MemoryPolicy, Personality, Process, Scheduler

# linux/sched.h; the names are those of config.md, "scheduler"
POLICIES = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}
IO_CLASSES = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}
# linux/mempolicy.h
MEMORY_MODES = {
    "MPOL_DEFAULT": 0,
    "MPOL_PREFERRED": 1,
    "MPOL_BIND": 2,
    "MPOL_INTERLEAVE": 3,
    "MPOL_LOCAL": 4,
    "MPOL_PREFERRED_MANY": 5,
    "MPOL_WEIGHTED_INTERLEAVE": 6,
}
MEMORY_FLAGS = {"MPOL_F_NUMA_BALANCING": 1 << 13, "MPOL_F_RELATIVE_NODES": 1 << 14, "MPOL_F_STATIC_NODES": 1 << 15}
DOMAINS = {"LINUX": 0, "LINUX32": 8}  # sys/personality.h

_NO_DEADLINE = ("runtime", "deadline", "period")


def check(process: Process, linux: Linux) -> None:
    """Verify all values before anything is taken. Raises :class:`ContainerError`.

    Source: config.md, "Linux Process"; config-linux.md, "Memory policy", "Personality".
    """
    if process.scheduler:
        _look_up(POLICIES, process.scheduler.policy, "process.scheduler.policy")
        for flag in process.scheduler.flags:
            _look_up(SCHEDULER_FLAGS, flag, "process.scheduler.flags")
        _check_scheduler(process.scheduler)
    if process.ioPriority:
        _look_up(IO_CLASSES, process.ioPriority.class_, "process.ioPriority.class")
        if not 0 <= process.ioPriority.priority <= 7:
            raise ContainerError(f"process.ioPriority.priority is {process.ioPriority.priority}: it must be 0 to 7")
    if process.execCPUAffinity:
        for field in ("initial", "final"):
            numbers(getattr(process.execCPUAffinity, field) or "", f"process.execCPUAffinity.{field}")
    if linux.memoryPolicy:
        _look_up(MEMORY_MODES, linux.memoryPolicy.mode, "linux.memoryPolicy.mode")
        numbers(linux.memoryPolicy.nodes or "", "linux.memoryPolicy.nodes")
        for flag in linux.memoryPolicy.flags:
            _look_up(MEMORY_FLAGS, flag, "linux.memoryPolicy.flags")
    if linux.personality:
        _look_up(DOMAINS, linux.personality.domain, "linux.personality.domain")
        if linux.personality.flags:
            raise ContainerError("linux.personality.flags: the specification defines no flag; leave it out")


def _check_scheduler(scheduler: Scheduler) -> None:
    real_time = scheduler.policy in ("SCHED_FIFO", "SCHED_RR")
    if scheduler.priority and not real_time:
        raise ContainerError(f"process.scheduler.priority is for SCHED_FIFO and SCHED_RR, not for {scheduler.policy}")
    if scheduler.nice and not -20 <= scheduler.nice <= 19:
        raise ContainerError(f"process.scheduler.nice is {scheduler.nice}: it must be -20 to 19")
    if scheduler.policy != "SCHED_DEADLINE" and any(getattr(scheduler, name) for name in _NO_DEADLINE):
        raise ContainerError(f"process.scheduler.runtime, deadline and period are not for {scheduler.policy}")


def _look_up(table: dict[str, int], name: str, field: str) -> int:
    if name not in table:
        raise ContainerError(f"{field} has the unknown value {name!r}: use one of {', '.join(table)}")
    return table[name]


def numbers(text: str, field: str) -> set[int]:
    """The numbers in a list such as ``0-3,7``. Raises :class:`ContainerError`. Source: cpuset(7), "List format"."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, dash, last = part.strip().partition("-")
        if not first.isdigit() or (dash and not last.isdigit()) or int(last or first) > 1023:
            raise ContainerError(f"{field} is {text!r}: write numbers as in 0-3,7")
        found.update(range(int(first), int(last or first) + 1))
    return found


# ---- in the container's process: system calls only ---------------------------------------------------------------


def apply(process: Process, linux: Linux) -> None:
    """Give the calling process everything of this module. Raises :class:`ContainerError`. Source: sched(7)."""
    steps: tuple[tuple[str, Any, Callable[[Any], None]], ...] = (
        ("process.scheduler", process.scheduler, schedule),
        ("process.ioPriority", process.ioPriority, prioritize),
        ("linux.memoryPolicy", linux.memoryPolicy, bind_memory),
        ("linux.personality", linux.personality, impersonate),
    )
    for field, value, function in steps:
        if value:
            try:
                function(value)
            except OSError as error:
                why = os.strerror(error.errno or 0)
                raise ContainerError(f"{field} cannot be applied: {why}", errno=error.errno) from None


def schedule(scheduler: Scheduler) -> None:
    """Set the scheduling policy. Raises :class:`OSError`. Source: sched_setattr(2); config.md, "scheduler"."""
    scheduling.sched_setattr(
        POLICIES[scheduler.policy],
        sum(SCHEDULER_FLAGS[flag] for flag in scheduler.flags),
        scheduler.nice or 0,
        scheduler.priority or 0,
        scheduler.runtime or 0,
        scheduler.deadline or 0,
        scheduler.period or 0,
    )


def prioritize(priority: IOPriority) -> None:
    """Set the priority for the disks. Raises :class:`OSError`. Source: ioprio_set(2); config.md, "ioPriority"."""
    scheduling.ioprio_set(IO_CLASSES[priority.class_], priority.priority)


def bind_memory(policy: MemoryPolicy) -> None:
    """Set the memory nodes. Raises :class:`OSError`. Source: set_mempolicy(2); config-linux.md, "Memory policy"."""
    nodes = sum(1 << number for number in numbers(policy.nodes or "", "linux.memoryPolicy.nodes"))
    scheduling.set_mempolicy(MEMORY_MODES[policy.mode] | sum(MEMORY_FLAGS[flag] for flag in policy.flags), nodes)


def impersonate(personality: Personality) -> None:
    """Set the execution domain. Raises :class:`OSError`. Source: personality(2); config-linux.md, "Personality"."""
    scheduling.personality(DOMAINS[personality.domain])


def run_on(processors: str | None, field: str) -> None:
    """Let the calling process run on these *processors* only. Raises :class:`ContainerError` if none of them exists.

    Source: sched_setaffinity(2); config.md, "execCPUAffinity".
    """
    if processors:
        try:
            os.sched_setaffinity(0, numbers(processors, field))
        except OSError as error:
            raise ContainerError(f"{field} cannot be {processors}: {error.strerror}", errno=error.errno) from None
