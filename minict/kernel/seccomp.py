"""seccomp: a small program that the kernel runs before each system call of a process."""

from __future__ import annotations

from . import native
from .syscall import syscall

# linux/seccomp.h; seccomp(2)
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_TSYNC = 1
SECCOMP_FILTER_FLAG_LOG = 2
SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4
SECCOMP_FILTER_FLAG_NEW_LISTENER = 8
SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV = 32


class _Program(native.Structure):
    """struct sock_fprog of linux/filter.h: the number of instructions, 8 bytes each, and their address."""

    _fields_ = [("len", native.c_ushort), ("filter", native.c_char_p)]


def seccomp(operation: int, flags: int, program: bytes) -> int:
    """Install *program* (instructions of classic BPF, 8 bytes each) as a filter on the caller's system calls.

    It survives execve and cannot be removed. With SECCOMP_FILTER_FLAG_NEW_LISTENER the result is a descriptor, from
    which another process reads the calls that it has to decide. Needs no_new_privs or CAP_SYS_ADMIN.
    Raises :class:`OSError`. Source: seccomp(2).
    """
    filter = _Program(len(program) // 8, program)
    return syscall("seccomp", operation, flags, native.byref(filter))
