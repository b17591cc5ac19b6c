"""Process attributes set by the user's shell, which a container must not inherit.

Docker's containers are children of a daemon, so the caller's umask, niceness, processors and limits mean nothing to
them. Here they are children of the command.
"""

from __future__ import annotations

import os

from minict.kernel.process import prctl
from minict.kernel.syscall import libc, syscall

_IOPRIO_WHO_PROCESS = 1  # linux/ioprio.h
_PR_SET_TIMERSLACK = 29  # linux/prctl.h
_TIMER_SLACK = 50_000  # nanoseconds, the kernel's own: prctl(2)

# What systemd gives a service such as Docker's daemon: soft and hard limit (systemd.exec(5), "Process properties").
_INFINITY = (1 << 64) - 1
_LIMITS = {
    "NOFILE": (1024, 524288),
    "STACK": (8 << 20, _INFINITY),
    "MEMLOCK": (8 << 20, 8 << 20),
    "NICE": (0, 0),
    "RTPRIO": (0, 0),
    **dict.fromkeys(("CORE", "CPU", "DATA", "FSIZE", "NPROC", "AS", "RSS"), (_INFINITY, _INFINITY)),
}


def disregard() -> None:
    """Give this process and its descendants the attributes of a system service.

    An attribute stays unchanged if changing it needs a privilege that root may lack, as in a container.
    """
    os.umask(0o022)
    for change in (_niceness, _processors, _disks, _memory_nodes, _timers, _personality, _oom_score, _limits):
        try:
            change()
        except OSError:
            pass


def _niceness() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, 0)


def _processors() -> None:
    os.sched_setaffinity(0, range(os.sysconf("SC_NPROCESSORS_CONF")))


def _disks() -> None:
    """The priority of disk requests follows the niceness again. Source: ioprio_set(2), IOPRIO_CLASS_NONE."""
    syscall("ioprio_set", _IOPRIO_WHO_PROCESS, 0, 0)


def _memory_nodes() -> None:
    """As after ``numactl``. Source: set_mempolicy(2), MPOL_DEFAULT."""
    syscall("set_mempolicy", 0, None, 0)


def _timers() -> None:
    prctl(_PR_SET_TIMERSLACK, _TIMER_SLACK)


def _personality() -> None:
    """As after ``setarch``, which can switch off the random addresses. Source: personality(2), PER_LINUX."""
    libc.personality(0)


def _oom_score() -> None:
    fd = os.open("/proc/self/oom_score_adj", os.O_RDWR | os.O_CLOEXEC)
    try:
        if os.read(fd, 16) != b"0\n":
            os.write(fd, b"0")
    finally:
        os.close(fd)


def _limits() -> None:
    from minict.kernel.process import prlimit

    for name, (soft, hard) in _LIMITS.items():
        now = prlimit(0, name)
        if now == (soft, hard):
            continue
        try:
            prlimit(0, name, (soft, hard))
        except OSError:  # without CAP_SYS_RESOURCE the hard limit can't rise
            prlimit(0, name, (min(soft, now[1]), now[1]))
