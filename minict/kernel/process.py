"""Processes: handles that never refer to a later process (pidfd), attributes (prctl), descriptors, the keyring.

The standard library has two of these calls: ``signal.pidfd_send_signal`` and ``socket.sethostname``. They are repeated
here because importing these modules (5 and 9 ms) takes as long as the kernel needs to start a container.
"""

from __future__ import annotations

import errno
import os

from . import native
from .syscall import failure, libc, syscall

# linux/prctl.h; prctl(2)
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_NAME = 15
PR_CAPBSET_READ = 23
PR_CAPBSET_DROP = 24
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_IS_SET = 1
PR_CAP_AMBIENT_RAISE = 2
PR_CAP_AMBIENT_CLEAR_ALL = 4
SECBIT_NO_SETUID_FIXUP = 4  # linux/securebits.h

# linux/close_range.h
CLOSE_RANGE_CLOEXEC = 4

# fcntl.h; execveat(2)
AT_EMPTY_PATH = 0x1000

KEYCTL_JOIN_SESSION_KEYRING = 1  # linux/keyctl.h

# asm-generic/resource.h: the number of a limit is its position here; getrlimit(2)
RLIMITS = (
    "CPU", "FSIZE", "DATA", "STACK", "CORE", "RSS", "NPROC", "NOFILE", "MEMLOCK", "AS", "LOCKS", "SIGPENDING",
    "MSGQUEUE", "NICE", "RTPRIO", "RTTIME",
)  # fmt: skip

_prctl = libc.prctl
_prctl.argtypes = (native.c_int,) + (native.c_ulong,) * 4


def prctl(operation: int, arg2: int = 0, arg3: int = 0, arg4: int = 0, arg5: int = 0) -> int:
    """Read or change an attribute of the calling process. Raises :class:`OSError`. Source: prctl(2)."""
    result: int = _prctl(operation, arg2, arg3, arg4, arg5)
    if result == -1:
        raise failure("prctl", operation, arg2, arg3, arg4, arg5)
    return result


class _Limits(native.Structure):
    """struct rlimit of bits/resource.h, on processors with 64 bits: the soft and the hard limit."""

    _fields_ = [("soft", native.c_uint64), ("hard", native.c_uint64)]


def prlimit(pid: int, resource: str, limits: tuple[int, int] | None = None) -> tuple[int, int]:
    """Return the soft and the hard limit of *pid* (0: the caller) on a *resource* of :data:`RLIMITS`, and set *limits*.

    The module resource has this too, but takes 0.1 ms to load. Raises :class:`OSError`. Source: prlimit(2).
    """
    before, after = _Limits(), None if limits is None else native.byref(_Limits(*limits))
    if libc.prlimit(pid, RLIMITS.index(resource), after, native.byref(before)):
        raise failure("prlimit", pid, RLIMITS.index(resource), limits)
    return before.soft, before.hard


def pidfd_open(pid: int, flags: int = 0) -> int:
    """A file descriptor for the process *pid*. It refers to that process even when the number is used again.

    It becomes readable when the process ends. Raises :class:`OSError`, ESRCH when there is no such process.
    Source: pidfd_open(2).
    """
    return os.pidfd_open(pid, flags)


def pidfd_send_signal(pidfd: int, sig: int) -> None:
    """Send the signal *sig* to the process of *pidfd*, never to a later process with the same number.

    Raises :class:`OSError`, ESRCH when the process has ended and was waited for. Source: pidfd_send_signal(2).
    """
    syscall("pidfd_send_signal", pidfd, sig, None, 0)


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """A duplicate, here, of the descriptor *fd* of the process of *pidfd*; it is closed on exec.

    Raises :class:`OSError`, EPERM without the right to trace that process. Source: pidfd_getfd(2), Linux 5.6.
    """
    return syscall("pidfd_getfd", pidfd, fd, 0)


def close_range(first: int, last: int = 0xFFFFFFFF, flags: int = 0) -> None:
    """Close the file descriptors from *first* to *last*; with CLOSE_RANGE_CLOEXEC, only at the next execve.

    Raises :class:`OSError`. Source: close_range(2), Linux 5.9.
    """
    syscall("close_range", first, last, flags)


def sethostname(name: str) -> None:
    """Set the host name of the calling process's UTS namespace, at most 64 bytes.

    Raises :class:`OSError`. Source: sethostname(2).
    """
    word = os.fsencode(name)
    if libc.sethostname(word, len(word)):
        raise failure("sethostname", word, len(word))


def setdomainname(name: str) -> None:
    """Set the NIS domain name of the calling process's UTS namespace, at most 64 bytes.

    Raises :class:`OSError`. Source: setdomainname(2).
    """
    word = os.fsencode(name)
    if libc.setdomainname(word, len(word)):
        raise failure("setdomainname", word, len(word))


def begin_session_keyring() -> None:
    """Replace the inherited session keyring of the calling process by a new, empty one.

    Does nothing where keys cannot be used at all: the kernel lacks them, or a seccomp filter forbids keyctl.
    Raises :class:`OSError`, EDQUOT when this user has too many keys.
    Source: keyctl_join_session_keyring(3), session-keyring(7).
    """
    try:
        syscall("keyctl", KEYCTL_JOIN_SESSION_KEYRING, None)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):
            raise
