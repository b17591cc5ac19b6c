"""Process attributes set by the user's shell, which a container must not inherit.

Docker's containers are children of a daemon, so the caller's umask, niceness, processors and limits mean nothing to
them. Here they are children of the command.
"""

from __future__ import annotations

import os

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
    for change in (_niceness, _processors, _oom_score, _limits):
        try:
            change()
        except OSError:
            pass


def _niceness() -> None:
    os.setpriority(os.PRIO_PROCESS, 0, 0)


def _processors() -> None:
    os.sched_setaffinity(0, range(os.sysconf("SC_NPROCESSORS_CONF")))


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
